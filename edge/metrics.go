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
	retries   *prometheus.CounterVec
	hedges    *prometheus.CounterVec
	probes    *prometheus.CounterVec
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
			Help: "Requests of this edge, by whom it asked (peer, origin) and result: class of status code, timeout, error, busy (no connection was free) or cancelled (another was faster).",
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
		retries: f.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_edge_retries_total",
			Help: "Times that an origin was asked for what one had failed to answer: ok, failed, or withheld because too many had failed.",
		}, []string{"result"}),
		hedges: f.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_edge_hedges_total",
			Help: "Times that an origin was so late that the next one was to be asked as well: won by that, lost to the first, failed, or withheld by the budget.",
		}, []string{"result"}),
		probes: f.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_edge_probes_total",
			Help: "Probes of origins, by result: ok, failed.",
		}, []string{"result"}),
	}
	if r != nil {
		r.MustRegister(originsUp{&e.origins})
	}
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

// originsUp tells of each origin that is configured now whether it is well.
type originsUp struct{ of *origins }

var originUp = prometheus.NewDesc("weir_edge_origin_up",
	"1 for an origin that is not known to fail, 0 for one that is asked only for want of another.", []string{"origin"}, nil)

func (o originsUp) Describe(ch chan<- *prometheus.Desc) { ch <- originUp }

func (o originsUp) Collect(ch chan<- prometheus.Metric) {
	told := map[string]bool{}
	for name, well := range o.of.each(time.Now()) {
		if !told[name] {
			told[name] = true
			ch <- prometheus.MustNewConstMetric(originUp, prometheus.GaugeValue, float64(btoi(well)), name)
		}
	}
}

func (m *metrics) count(class cache.Class, o outcome, status int) {
	m.requests[class][o][min(max(status/100, 1), len(codeClasses))-1].Inc()
}

// codeClass names the class of a status code.
func codeClass(status int) string { return codeClasses[min(max(status/100, 1), len(codeClasses))-1] }
