package demo

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"weir/bench"
)

// A status tells, again and again, how the demo does: on a terminal in one line
// that changes, elsewhere in a plain line now and then.
type status struct {
	stage *stage
	opts  Options
	swarm *bench.Stats
	began time.Time
}

const (
	terminalEvery = time.Second
	plainEvery    = 5 * time.Second
)

func newStatus(s *stage, o Options, swarm *bench.Stats, began time.Time) *status {
	return &status{stage: s, opts: o, swarm: swarm, began: began}
}

func (s *status) run(ctx context.Context) {
	every := plainEvery
	if s.opts.Terminal {
		every = terminalEvery
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		s.print()
		select {
		case <-tick.C:
		case <-ctx.Done():
			if s.opts.Terminal {
				fmt.Fprintln(s.opts.Out)
			}
			return
		}
	}
}

func (s *status) print() {
	f := s.figures()
	if !s.opts.Terminal {
		fmt.Fprintln(s.opts.Out, f.long())
		return
	}
	width := 80
	if s.opts.Width != nil {
		width = cmp.Or(s.opts.Width(), width)
	}
	// A line that wraps could not be written over.
	line := f.long()
	if len(line) >= width {
		line = f.short()
	}
	fmt.Fprintf(s.opts.Out, "\r%s\x1b[K", line[:min(len(line), max(0, width-1))])
}

// figures are where things stand at one moment.
type figures struct {
	after                             time.Duration
	segments, edges, all, asked, hits float64
	origin                            float64
	swarm                             *bench.Report
}

func (f figures) long() string {
	line := fmt.Sprintf("%5s  segments %.0f | edges %.0f of %.0f | viewers asked %.0f times, %.1f %% from cache | origin asked %.0f times",
		f.after, f.segments, f.edges, f.all, f.asked, f.share(), f.origin)
	if r := f.swarm; r != nil {
		line += fmt.Sprintf(" | swarm %d, stalls %d, failures %d", r.Playing, r.Stalls, total(r.Failures)+total(r.Broken))
	}
	return line
}

func (f figures) short() string {
	line := fmt.Sprintf("%5s  edges %.0f of %.0f | asked: edges %.0f, origin %.0f", f.after, f.edges, f.all, f.asked, f.origin)
	if r := f.swarm; r != nil {
		line += fmt.Sprintf(" | swarm %d, stalls %d", r.Playing, r.Stalls)
	}
	return line
}

func (f figures) share() float64 {
	if f.asked == 0 {
		return 0
	}
	return 100 * f.hits / f.asked
}

// figures reads the nodes' own metrics.
func (s *status) figures() figures {
	f := figures{
		after:    time.Since(s.began).Round(time.Second),
		segments: sum(s.stage.originReg, "weir_origin_segments_total", "", ""),
		origin:   sum(s.stage.originReg, "weir_http_requests_total", "listener", "viewers"),
		all:      float64(len(s.stage.edges)),
	}
	for _, r := range s.stage.edgeRegs {
		f.asked += sum(r, "weir_edge_requests_total", "", "")
		for _, how := range []string{"hit", "joined", "stale"} {
			f.hits += sum(r, "weir_edge_requests_total", "outcome", how)
		}
		f.edges = max(f.edges, sum(r, "weir_cluster_members", "state", "alive"))
	}
	if s.opts.Viewers > 0 {
		r := s.swarm.Report()
		f.swarm = &r
	}
	return f
}

func total(m map[string]int64) (n int64) {
	for _, v := range m {
		n += v
	}
	return n
}

// sum adds up the series of a metric that have the label value, or all.
func sum(r *prometheus.Registry, name, label, value string) (total float64) {
	families, err := r.Gather()
	if err != nil {
		return 0
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			wanted := label == ""
			for _, l := range m.GetLabel() {
				wanted = wanted || l.GetName() == label && l.GetValue() == value
			}
			if wanted {
				total += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return total
}
