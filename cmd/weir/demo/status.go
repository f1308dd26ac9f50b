package demo

import (
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
	width int // of the line on the terminal
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
		s.print(s.line())
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

func (s *status) print(line string) {
	if !s.opts.Terminal {
		fmt.Fprintln(s.opts.Out, line)
		return
	}
	fmt.Fprintf(s.opts.Out, "\r%-*s", s.width, line)
	s.width = len(line)
}

// line is where things stand, from the nodes' own metrics.
func (s *status) line() string {
	segments := sum(s.stage.originReg, "weir_origin_segments_total", "", "")
	atOrigin := sum(s.stage.originReg, "weir_http_requests_total", "listener", "viewers")
	var all, hits, alive float64
	for _, r := range s.stage.edgeRegs {
		all += sum(r, "weir_edge_requests_total", "", "")
		for _, how := range []string{"hit", "joined", "stale"} {
			hits += sum(r, "weir_edge_requests_total", "outcome", how)
		}
		alive = max(alive, sum(r, "weir_cluster_members", "state", "alive"))
	}
	share := 0.0
	if all > 0 {
		share = 100 * hits / all
	}
	line := fmt.Sprintf("%5s  segments %.0f | edges %.0f of %d | viewers asked %.0f times, %.1f %% from cache | origin asked %.0f times",
		time.Since(s.began).Round(time.Second), segments, alive, len(s.stage.edges), all, share, atOrigin)
	if s.opts.Viewers > 0 {
		r := s.swarm.Report()
		line += fmt.Sprintf(" | swarm %d, stalls %d, failures %d", r.Playing, r.Stalls, total(r.Failures)+total(r.Broken))
	}
	return line
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
