package edge

import (
	"context"
	"strings"
	"time"
)

// Run keeps measuring how much there is room for, until ctx is done.
func (e *Edge) Run(ctx context.Context) error {
	if e.opts.Usage == nil {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			e.measure(time.Now())
		}
	}
}

func (e *Edge) measure(now time.Time) {
	before := int(e.order.level.Load())
	l, level := e.order.step(now, e.opts.Usage())
	e.metrics.load(l, level)
	if level == before {
		return
	}
	attrs := []any{"level", level, "requests", percent(l.requests), "bandwidth", percent(l.rate), "fills", percent(l.fills), "waiters", percent(l.waiters), "memory", percent(l.memory)}
	switch {
	case level == 0:
		e.log.Info("overload: there is room for everybody again", attrs...)
	case level > before:
		e.log.Warn("overload: refusing more", append(attrs, "refused", refusedAt(level))...)
	default:
		e.log.Info("overload: refusing less", append(attrs, "refused", refusedAt(level))...)
	}
}

// mayPrefetch reports whether there is room for what nobody has asked for yet.
func (e *Edge) mayPrefetch() bool {
	if e.order.refuses(prefetch) {
		e.metrics.shed[prefetch].Inc()
		return false
	}
	return true
}

func percent(share float64) int { return int(share*100 + 0.5) }

func refusedAt(level int) string {
	var names []string
	for p := priorities - priority(level); p < priorities; p++ {
		names = append(names, p.String())
	}
	return strings.Join(names, ",")
}

// Overload is what /debug/overload shows.
type Overload struct {
	Level   int      `json:"level"`
	Refused []string `json:"refused"`
	Usage   Usage    `json:"usage"`
}

// Overload says who is refused now, and the usage that says so.
func (e *Edge) Overload() Overload {
	o := Overload{Level: int(e.order.level.Load()), Refused: []string{}}
	for p := priorities - priority(o.Level); p < priorities; p++ {
		o.Refused = append(o.Refused, p.String())
	}
	if e.opts.Usage != nil {
		o.Usage = e.opts.Usage()
	}
	return o
}
