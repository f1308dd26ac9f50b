package origin

import (
	"sync"
	"time"
)

// A throttle keeps a client that is refused again and again from filling the log. Of each
// reason it lets a burst through, then one line a period, and says how many it dropped.
type throttle struct {
	mu     sync.Mutex
	reason map[string]*allowance // by reason, of which there are few
}

type allowance struct {
	since   time.Time
	said    int
	dropped int
}

const (
	throttleBurst  = 20
	throttlePeriod = 10 * time.Second
)

func newThrottle() *throttle { return &throttle{reason: map[string]*allowance{}} }

// allow reports whether a line may be written, and how many were dropped before it.
func (t *throttle) allow(reason string) (dropped int, ok bool) {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.reason[reason]
	if a == nil {
		a = &allowance{since: now}
		t.reason[reason] = a
	}
	if now.Sub(a.since) >= throttlePeriod {
		a.since, a.said = now, 0
	}
	if a.said >= throttleBurst {
		a.dropped++
		return 0, false
	}
	a.said++
	dropped, a.dropped = a.dropped, 0
	return dropped, true
}
