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

// A usage is what a node has in use now, of how much: see [Options.Usage].
type Usage struct {
	Requests, MaxRequests int64 // exchanges under way
	Sent, MaxRate         int64 // bytes ever sent, and how many it may be a second
	Fills, MaxFills       int64 // questions that upstreams have not answered yet
	Held, MaxHeld         int64 // bytes of memory that eviction would not bring back
}

// A load is the usage as shares: 1 is all there is. What has no limit is 0.
type load struct{ requests, rate, fills, memory float64 }

func (l load) most() float64 { return max(l.requests, l.rate, l.fills, l.memory) }

// The levels of an order: at level n the n lowest priorities are refused. A level
// is entered at once when the load reaches enter, and left, one by one, when it
// has stayed below leave for calm: what was refused comes back in turns, and does
// not bring the load back all at once.
var levels = [...]struct{ enter, leave float64 }{
	{},           // 0: everybody is served
	{0.70, 0.60}, // 1: no prefetch
	{0.80, 0.70}, // 2: nor DVR and VOD
	{0.90, 0.80}, // 3: nor new sessions
	{1.10, 1.00}, // 4: nor live segments: players go down to what fits
	{1.30, 1.20}, // 5: nobody. Only a rate can be so far over its limit
}

const (
	calm     = 2 * time.Second
	smooth   = 2 * time.Second // over which the rate of sending is averaged
	interval = 250 * time.Millisecond
)

// An order decides who is served. Its step is called by one goroutine at a time.
type order struct {
	level atomic.Int32 // of levels: what a request looks at

	last  Usage     // of the step before
	at    time.Time // when that was; zero: there was none
	rate  float64   // bytes/s, averaged
	quiet time.Time // since when the load is below the level's leave; zero: it is not
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
	l := load{share(float64(u.Requests), u.MaxRequests), share(o.rate, u.MaxRate), share(float64(u.Fills), u.MaxFills), share(float64(u.Held), u.MaxHeld)}
	level := int(o.level.Load())
	for level < len(levels)-1 && l.most() >= levels[level+1].enter {
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
