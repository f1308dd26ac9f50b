package cache

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"time"

	"weir/internal/web"
)

// restless is how long after a failed fill the next one starts, at random:
// edges that were asked at the same moment do not ask again at the same moment.
func restless() time.Duration { return 25*time.Millisecond + rand.N(75*time.Millisecond) }

// maxFailing is how long a fill may have taken to fail if there is to be
// another: those who waited longer for nothing are told.
const maxFailing = 5 * time.Second

// elect decides, after a fill that brought no head, whether there is to be
// another for all who wait, and lets a moment pass before it. One of them
// becomes the new leader; they all wait on, and those who ask in the meantime
// join. With false the failure is told.
func (f *flight) elect(a answer, failed error) (bool, error) {
	if f.solo || f.elections >= f.c.opts.Retries || !worthAnother(failed) {
		return false, nil
	}
	pause := f.c.opts.Jitter()
	f.s.mu.Lock()
	now := time.Now()
	took := now.Sub(a.asked)
	if f.settled || took > maxFailing || f.standIn(now) != nil || f.successor(now.Add(pause+took), took < atOnce) == nil {
		f.s.mu.Unlock()
		return false, nil
	}
	f.resting = true
	f.s.mu.Unlock()
	if a.resp != nil {
		a.resp.Close()
	}
	f.elections++
	f.c.metrics.elections.Inc()
	f.progressed()
	wait := time.NewTimer(pause)
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-f.ctx.Done():
		return false, context.Cause(f.ctx)
	}
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	f.resting = false
	if f.settled {
		return false, errSettled
	}
	f.crown()
	f.progressed()
	return true, nil
}

// worthAnother reports whether a failure may be one of the moment: upstream
// could not be reached. What it says is said, be it that it is in trouble. A
// fill that stalled has used up the time there is, and one that panicked would
// again.
func worthAnother(failed error) bool {
	for _, err := range [...]error{nil, errUnfinished, ErrClosed, ErrStalled, ErrNoRoom, ErrTooLarge, errOvertaken, errLeft} {
		if failed == err || errors.Is(failed, err) {
			return false
		}
	}
	e, ok := errors.AsType[*web.Error](failed)
	if !ok {
		return true // not even an answer
	}
	return e.RetryAfter == 0 && (e.Status == http.StatusBadGateway || e.Status == http.StatusServiceUnavailable || e.Status == http.StatusGatewayTimeout)
}

// successor returns one of those who wait that can lead next, and will still
// wait at the given time: a fill that takes as long as the last one did must be
// of use to somebody. Where it failed at once whoever asks alone for what is live
// leads again: he is the first of many, who come while he waits, and who would
// else all be told that it failed. For anything else he is told, and can ask again
// himself. One that may wait for a peer does not lead those who must not. The
// caller holds s.mu.
func (f *flight) successor(at time.Time, atOnce bool) *waiter {
	since := at.Sub(f.c.born)
	var again *waiter
	for _, w := range f.waiters {
		switch {
		case w.q.NoPeer != f.fk.noPeer || w.until <= since:
		case w != f.leader:
			return w
		case atOnce && w.q.Class != Other:
			again = w
		}
	}
	return again
}

// atOnce is how soon a fill fails that nobody has had the time to join.
const atOnce = 50 * time.Millisecond

// crown makes another of those who wait the leader, whose fill runs from now
// on: the failure may have been that of the first one's own way upstream. The
// caller holds s.mu.
func (f *flight) crown() {
	if w := f.successor(time.Now(), true); w != nil {
		f.leader, f.fill, f.q = w, w.fill, w.q
	}
}
