package edge

import (
	"errors"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"weir/cache"
	"weir/edge/schedule"
	"weir/internal/limit"
	"weir/internal/web"
)

// sessionWindow is how long after its last playlist a session counts as running:
// several reloads of a live playlist, and a pause for breath.
const sessionWindow = time.Minute

// inOrder refuses what there is no room for. While there is room for all it costs
// a segment one atomic load; a playlist is noted, so that its session is known
// when it matters.
func (e *Edge) inOrder(req *web.Request, q *question, t ticket) error {
	level := e.order.level.Load()
	if e.opts.Usage == nil || level == 0 && q.class != cache.Playlist {
		return nil
	}
	p := e.priorityOf(q)
	if p == joining {
		who, now := e.sighting(req, q, t), time.Now()
		if level > 0 && e.seen.Has(who, now) {
			p = playing
		}
		if !e.order.refuses(p) {
			e.seen.Mark(who, now)
			return nil
		}
	} else if !e.order.refuses(p) {
		return nil
	}
	e.metrics.shed[p].Inc()
	return &web.Error{Status: http.StatusServiceUnavailable, Reason: reasonOverload + "_" + p.String(),
		// Not all at the same moment: they would all be refused again.
		RetryAfter: time.Second * time.Duration(1+rand.IntN(5)), Err: errors.New("this edge serves those who watch already: try again, or another edge")}
}

// priorityOf says what a request is for, a playlist being of a session that begins.
func (e *Edge) priorityOf(q *question) priority {
	switch {
	case e.recorded(q.path):
		return rewinding
	case q.class == cache.Playlist:
		return joining
	case q.class == cache.Segment || q.class == cache.Init:
		return live
	}
	return playing // keys, and what is no media
}

// recorded reports whether what lies at a path is DVR or VOD: as weir's own paths
// tell, or the playlist that lists it.
func (e *Edge) recorded(path string) bool {
	return rewinds(path) || e.aware.Kind(path) == schedule.VOD
}

// rewinds tells by weir's own paths what is not live: start-over and catch-up
// ("/live/news/@20261125T201500Z/") and assets ("/vod/").
func rewinds(path string) bool {
	return strings.HasPrefix(path, "/vod/") || strings.Contains(path, "/@")
}

// sighting is who plays what: by token, where there are tokens, else by address.
func (e *Edge) sighting(req *web.Request, q *question, t ticket) limit.Sighting {
	if t.claims != nil {
		return e.seen.ByToken(tokenID(t.claims, q.token), channelOf(q.path))
	}
	return e.seen.ByAddress(e.client(req), channelOf(q.path))
}

func (e *Edge) client(req *web.Request) netip.Addr {
	if e.opts.Clients == nil {
		return req.Remote.Addr()
	}
	return e.opts.Clients.Who(req.Remote.Addr(), &req.Header)
}

// channelOf returns what the playlists of one channel have in common: the first
// two segments of the path ("/live/news"), or its directory where that is less.
func channelOf(path string) string {
	at, slashes := 0, 0
	for i := 1; i < len(path) && slashes < 2; i++ {
		if path[i] == '/' {
			at, slashes = i, slashes+1
		}
	}
	return path[:at]
}
