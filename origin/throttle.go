package origin

import (
	"sync"
	"time"
)

// A throttle keeps clients that are refused again and again from filling the log. Of each
// channel and reason it lets a burst through, then one line a period, and says how many it
// dropped: an encoder with a wrong key hides no other.
type throttle struct {
	mu   sync.Mutex
	said map[cause]*allowance
}

type cause struct{ reason, channel string }

type allowance struct {
	since, seen time.Time
	said        int // since since
	dropped     int
}

const (
	throttleBurst  = 4
	throttlePeriod = 15 * time.Second
	throttleCauses = 1000 // at once; channels may be a stranger's invention
)

func newThrottle() *throttle { return &throttle{said: map[cause]*allowance{}} }

// allow reports whether a line may be written, and how many were dropped before it.
func (t *throttle) allow(reason, channel string) (dropped int, ok bool) {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.of(cause{reason, channel}, now)
	switch {
	case now.Sub(a.seen) >= 2*throttlePeriod: // the trouble was over, this is a new one
		a.since, a.said = now, 0
	case now.Sub(a.since) >= throttlePeriod:
		a.since, a.said = now, throttleBurst-1
	}
	a.seen = now
	if a.said >= throttleBurst {
		a.dropped++
		return 0, false
	}
	a.said++
	dropped, a.dropped = a.dropped, 0
	return dropped, true
}

// of returns what is known of a cause; beyond throttleCauses, of all the others together.
// Callers hold t.mu.
func (t *throttle) of(c cause, now time.Time) *allowance {
	if a := t.said[c]; a != nil {
		return a
	}
	if len(t.said) >= throttleCauses {
		for c, a := range t.said {
			if now.Sub(a.seen) >= 2*throttlePeriod {
				delete(t.said, c)
			}
		}
		if len(t.said) >= throttleCauses {
			c = cause{}
		}
	}
	a := t.said[c]
	if a == nil {
		a = &allowance{since: now, seen: now}
		t.said[c] = a
	}
	return a
}
