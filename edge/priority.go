package edge

import (
	"math"
	"sync/atomic"
	"time"
)

// A priority says who is served first when not all can be: those who watch keep
// watching, before anybody else begins.
type priority uint8

const (
	playing   priority = iota // playlists of sessions that run, and what is no media
	live                      // media of the live edge
	joining                   // playlists of sessions that begin
	rewinding                 // DVR and VOD
	prefetch                  // what nobody has asked for yet
	priorities
)

func (p priority) String() string {
	return [...]string{"playing", "live", "joining", "rewinding", "prefetch"}[min(p, priorities-1)]
}

// Usage is what a node has in use now, of how much: see [Options.Usage]. A limit
// of 0 is none.
type Usage struct {
	Requests    int64 `json:"requests"` // exchanges under way
	MaxRequests int64 `json:"max_requests"`
	Sent        int64 `json:"sent"`     // bytes, ever
	MaxRate     int64 `json:"max_rate"` // bytes a second
	Fills       int64 `json:"fills"`    // questions that upstreams have not answered yet
	MaxFills    int64 `json:"max_fills"`
	Waiters     int64 `json:"waiters"` // viewers who wait for such an answer to begin
	MaxWaiters  int64 `json:"max_waiters"`
	Held        int64 `json:"held"` // bytes of memory that eviction would not bring back
	MaxHeld     int64 `json:"max_held"`
}

// A load is the usage as shares of the limits. Only a rate can be above 1: those
// who watch already are refused for nothing else, since they open no connections,
// and what they want others want too.
type load struct{ requests, rate, fills, waiters, memory float64 }

func (l load) most() float64 { return max(l.requests, l.rate, l.fills, l.waiters, l.memory) }

// The levels of an order: at level n the n lowest priorities are refused. A level
// is entered when the load has been at enter for so long, and left, one by one,
// when it has stayed below leave for calm: what was refused comes back in turns,
// and does not bring the load back all at once. Nobody who watches is refused for
// a burst, as when many begin with what a channel has of the last seconds.
var levels = [...]struct {
	enter, leave float64
	after        time.Duration
}{
	{},                         // 0: everybody is served
	{enter: 0.70, leave: 0.60}, // 1: no prefetch
	{enter: 0.80, leave: 0.70}, // 2: nor DVR and VOD
	{enter: 0.90, leave: 0.80}, // 3: nor new sessions
	{enter: 1.10, leave: 1.00, after: 5 * time.Second}, // 4: nor live segments: players go down to what fits
	{enter: 1.30, leave: 1.20, after: 5 * time.Second}, // 5: nobody
}

const (
	calm     = 2 * time.Second
	smooth   = 2 * time.Second // over which the rate of sending is averaged
	interval = 250 * time.Millisecond
)

// An order decides who is served. Its step is called by one goroutine at a time.
type order struct {
	level atomic.Int32 // of levels: what a request looks at

	last  Usage                  // of the step before
	at    time.Time              // when that was; zero: there was none
	rate  float64                // bytes/s, averaged
	quiet time.Time              // since when the load is below the level's leave; zero: it is not
	over  [len(levels)]time.Time // since when it has reached each level's enter; zero: it has not
}

// refuses reports whether there is no room for p.
func (o *order) refuses(p priority) bool { return p >= priorities-priority(o.level.Load()) }

// step takes the usage at now, and returns the load and the level from now on.
func (o *order) step(now time.Time, u Usage) (load, int) {
	if passed := now.Sub(o.at).Seconds(); !o.at.IsZero() && passed > 0 {
		current := float64(max(0, u.Sent-o.last.Sent)) / passed
		o.rate += (current - o.rate) * (1 - math.Exp(-passed/smooth.Seconds()))
	}
	o.at, o.last = now, u
	l := load{
		requests: min(1, share(float64(u.Requests), u.MaxRequests)),
		rate:     share(o.rate, u.MaxRate),
		fills:    min(1, share(float64(u.Fills), u.MaxFills)),
		waiters:  min(1, share(float64(u.Waiters), u.MaxWaiters)),
		memory:   min(1, share(float64(u.Held), u.MaxHeld)),
	}
	level := int(o.level.Load())
	for i := range o.over {
		if l.most() < levels[i].enter {
			o.over[i] = time.Time{}
		} else if o.over[i].IsZero() {
			o.over[i] = now
		}
	}
	for level < len(levels)-1 && !o.over[level+1].IsZero() && now.Sub(o.over[level+1]) >= levels[level+1].after {
		level++
		o.quiet = time.Time{}
	}
	switch {
	case level == 0 || l.most() >= levels[level].leave:
		o.quiet = time.Time{}
	case o.quiet.IsZero():
		o.quiet = now
	case now.Sub(o.quiet) >= calm:
		level--
		o.quiet = now
	}
	o.level.Store(int32(level))
	return l, level
}

func share(used float64, limit int64) float64 {
	if limit <= 0 {
		return 0
	}
	return used / float64(limit)
}
