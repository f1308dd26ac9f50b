package origin

import (
	"net/http"
	"time"

	"weir/internal/web"
)

// A presentation goes in two steps, as HLSbis 6.2.2 asks: first its playlists, so that nobody
// begins to play it any more, then its media, when the Availability Duration of what was
// listed last is over. That holds for one that an operator removed and for one whose encoder
// is long gone; if the latter comes back in between, the channel goes on.

// withdraw takes all playlists away. Media stay as long as those who have them may ask.
func (c *channel) withdraw(now time.Time) {
	c.withdrawn.Store(true)
	c.multi.Store(nil)
	c.first, c.multiAt = time.Time{}, time.Time{} // if it goes on, it begins as if for the first time
	for _, r := range c.order {
		r.gone, r.newGo = true, true
		r.leave(len(r.log), now)
		r.show()
	}
}

// departed takes a channel that nobody needs any more through both steps, and reports whether
// it is through: nothing is left that anybody could ask for.
func (c *channel) departed(now time.Time, short bool) bool {
	if c.withdrawn.Load() && c.alive() > 0 {
		c.withdrawn.Store(false) // its encoder came back
	}
	if !c.withdrawn.Load() {
		if !c.unneeded(now, short) {
			return false
		}
		c.withdraw(now)
		c.log.Info("channel is withdrawn: its playlists are gone, its media follow", "state", c.State().String(),
			"last_push", now.Sub(c.lastPush).Round(time.Second))
	}
	for _, r := range c.order {
		if _, _, n := r.shelf.span(); n > 0 || len(r.leaving) > 0 {
			return false
		}
	}
	return c.State() != StateLive || c.store.total == 0 // an upload is under way: it may come back
}

// unneeded reports whether the channel's playlists have served their time.
func (c *channel) unneeded(now time.Time, short bool) bool {
	if c.State() != StateEnded {
		return c.over(now, short)
	}
	patience := idleFor
	if short {
		patience /= 6
	}
	return now.Sub(c.stateAt) > patience
}

// until returns when the last of the media that left the playlists may go; zero: none did.
func (c *channel) until() (t time.Time) {
	for _, r := range c.order {
		if n := len(r.leaving); n > 0 && r.leaving[n-1].until.After(t) {
			t = r.leaving[n-1].until
		}
	}
	return t
}

// stopped reports whether no rendition is to publish anything more, for a reason.
func (c *channel) stopped() bool {
	for _, r := range c.order {
		if !r.ended && !r.gone {
			return false
		}
	}
	return len(c.order) > 0
}

// withdrawnAnswer is what viewers get instead of a playlist that was taken away.
func (c *channel) withdrawnAnswer() *web.Response {
	if c.State() == StateRemoved {
		return refusal(http.StatusGone, reasonRemoved, "the channel was removed", soon)
	}
	return refusal(http.StatusGone, "channel_gone", "the channel is over", soon)
}
