package limit

import (
	"math"
	"sync"
	"time"
)

// A Rate is requests a second, of which Burst may come at once. The zero value
// is no limit.
type Rate struct {
	PerSecond float64
	Burst     int // at least 1
}

func (r Rate) off() bool { return r.PerSecond <= 0 }

// rates holds many clients to a rate: the generic cell rate algorithm, which is
// a token bucket that is one number, the moment at which the bucket will be
// full again. Whose moment has passed has asked nothing that still matters, and
// is forgotten for nothing.
//
// The alternative, golang.org/x/time/rate, is 72 bytes and a mutex a client,
// and a map with a list round it to be bounded; this is 16 bytes.
type rates struct {
	size  int
	begin sync.Once
	table *table // made when it is first needed
}

// of returns the table, which begins with the first that is held to a rate.
func (r *rates) of(now time.Time) *table {
	r.begin.Do(func() { r.table = newTable(r.size, now) })
	return r.table
}

// take takes one request of who. It returns 0, or how long until there is one to take.
func (t *table) take(who uint64, rate Rate, now time.Time) time.Duration {
	at := t.at(now)
	each := int64(float64(time.Second) / rate.PerSecond)
	each = min(max(each, 1), math.MaxInt64/4/int64(max(rate.Burst, 1)))
	ahead := each * int64(max(rate.Burst, 1)-1) // how far ahead of time the bucket may be
	cell := t.claim(who)
	for {
		full := cell.Load()
		// A moment that no request under this rate could have set was set under
		// another: nobody waits an hour for a limit that was changed.
		from := min(max(full, at), at+ahead+each)
		early, next := from-at-ahead, from+each
		if early > 0 {
			next = from
		}
		if full == next || cell.CompareAndSwap(full, next) {
			return time.Duration(max(early, 0))
		}
	}
}
