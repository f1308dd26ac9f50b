package wire

import (
	"context"
	"net"
	"sync"
	"time"
)

// Sweeps come once a second; an exchange younger than minAge is left for the
// next one. So a client that left is noticed within sweepEvery + minAge.
const (
	sweepEvery = time.Second
	minAge     = 400 * time.Millisecond
)

// A sweeper looks for clients that left while their exchange waits: fasthttp
// does not read from a connection then and so cannot know.
type sweeper struct {
	mu      sync.Mutex
	waiting map[*waiter]struct{} // guarded by mu
}

// A waiter is an exchange that the sweeper looks after.
type waiter struct {
	conn   net.Conn
	since  time.Time
	cancel context.CancelCauseFunc
}

func (s *sweeper) add(w *waiter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting == nil {
		s.waiting = make(map[*waiter]struct{})
	}
	s.waiting[w] = struct{}{}
}

func (s *sweeper) remove(w *waiter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.waiting, w)
}

// run sweeps until stop is closed.
func (s *sweeper) run(stop <-chan struct{}) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	var old []*waiter
	for {
		select {
		case <-stop:
			return
		case now := <-tick.C:
			old = s.olderThan(now.Add(-minAge), old[:0])
			for i, w := range old {
				// An exchange may have ended meanwhile: its context no longer
				// matters to anybody then.
				if clientLeft(w.conn) {
					w.cancel(ErrClientGone)
				}
				old[i] = nil
			}
		}
	}
}

func (s *sweeper) olderThan(t time.Time, dst []*waiter) []*waiter {
	s.mu.Lock()
	defer s.mu.Unlock()
	for w := range s.waiting {
		if w.since.Before(t) {
			dst = append(dst, w)
		}
	}
	return dst
}
