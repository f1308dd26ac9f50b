package edge

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"weir/cache"
)

// An outcome is how a viewer's request ended: those of the cache, and these.
type outcome uint8

const (
	refused   = outcome(cache.Pass) + 1 + iota // the viewer may not have it
	failed                                     // nobody could be asked
	preflight                                  // a page asked whether it may ask
	outcomes
)

func outcomeOf(how cache.Outcome) outcome { return outcome(how) }

func (o outcome) String() string {
	switch o {
	case refused:
		return "refused"
	case failed:
		return "failed"
	case preflight:
		return "preflight"
	}
	return cache.Outcome(o).String()
}

// kinds is the number of cache classes.
const kinds = int(cache.Init) + 1

var codeClasses = [...]string{"1xx", "2xx", "3xx", "4xx", "5xx"}

// metrics has its handles resolved, so that counting a hit looks nothing up.
type metrics struct {
	requests  [kinds][outcomes][len(codeClasses)]prometheus.Counter
	refused   *prometheus.CounterVec
	upstream  *prometheus.CounterVec
	failovers *prometheus.CounterVec
	peers     *prometheus.CounterVec
	resumes   *prometheus.CounterVec

	shed  [priorities]prometheus.Counter
	loads [5]prometheus.Gauge // as in load
	level prometheus.Gauge
}

func newMetrics(e *Edge, r prometheus.Registerer) *metrics {
	f := promauto.With(r)
	requests := f.NewCounterVec(prometheus.CounterOpts{
		Name: "weir_edge_requests_total",
		Help: "Viewers' requests, by kind of object, how they were answered, and class of status code.",
	}, []string{"kind", "outcome", "code_class"})
	m := &metrics{
		refused: f.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_edge_refused_total",
			Help: "Viewers' requests refused, by reason; those that begin with token_ are verdicts on tokens.",
		}, []string{"reason"}),
		upstream: f.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_edge_upstream_requests_total",
			Help: "Requests of this edge, by whom it asked (peer, origin) and result: class of status code, timeout or error.",
		}, []string{"upstream", "result"}),
		failovers: f.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_edge_failovers_total",
			Help: "Times that the next was asked because this one failed, by whom that was (peer, origin).",
		}, []string{"upstream"}),
		peers: f.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_edge_peer_requests_total",
			Help: "Requests of other edges, by how they were answered.",
		}, []string{"outcome"}),
		resumes: f.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_edge_resumes_total",
			Help: "Bodies that were cut on their way here, by whether another upstream could go on with them (ok, failed).",
		}, []string{"result"}),
	}
	shed := f.NewCounterVec(prometheus.CounterOpts{
		Name: "weir_edge_shed_total",
		Help: "What was refused because others go first, by priority: playing, live, joining, rewinding, prefetch.",
	}, []string{"priority"})
	for p := range priorities {
		m.shed[p] = shed.WithLabelValues(p.String())
	}
	loads := f.NewGaugeVec(prometheus.GaugeOpts{
		Name: "weir_edge_load_ratio",
		Help: "How much of a limit is in use, by limit: requests, bandwidth, fills, waiters, memory. 1 is all.",
	}, []string{"limit"})
	for i, name := range [...]string{"requests", "bandwidth", "fills", "waiters", "memory"} {
		m.loads[i] = loads.WithLabelValues(name)
	}
	m.level = f.NewGauge(prometheus.GaugeOpts{
		Name: "weir_edge_overload_level",
		Help: "How many of the five priorities are refused, from the lowest: prefetch, rewinding, joining, live, playing.",
	})
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "weir_edge_origins_up",
		Help: "Origins that are not known to fail.",
	}, func() float64 { up, _ := e.origins.up(time.Now()); return float64(up) })
	for k := range m.requests {
		for o := range m.requests[k] {
			for c := range m.requests[k][o] {
				m.requests[k][o][c] = requests.WithLabelValues(cache.Class(k).String(), outcome(o).String(), codeClasses[c])
			}
		}
	}
	return m
}

func (m *metrics) count(class cache.Class, o outcome, status int) {
	m.requests[class][o][min(max(status/100, 1), len(codeClasses))-1].Inc()
}

// load shows what was measured.
func (m *metrics) load(l load, level int) {
	for i, share := range [...]float64{l.requests, l.rate, l.fills, l.waiters, l.memory} {
		m.loads[i].Set(share)
	}
	m.level.Set(float64(level))
}

// codeClass names the class of a status code.
func codeClass(status int) string { return codeClasses[min(max(status/100, 1), len(codeClasses))-1] }
