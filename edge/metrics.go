package edge

import (
	"errors"
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

	invalidated prometheus.Counter
	slices      *prometheus.CounterVec
	retries     *prometheus.CounterVec
	hedges      *prometheus.CounterVec
	probes      *prometheus.CounterVec
	shed        [priorities]prometheus.Counter
	loads       [5]prometheus.Gauge // as in load
	level       prometheus.Gauge
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
		invalidated: f.NewCounter(prometheus.CounterOpts{
			Name: "weir_edge_invalidations_total",
			Help: "Requests with an unsafe method that an origin obeyed, so that what was kept of their URIs was forgotten.",
		}),
		slices: f.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_edge_slices_total",
			Help: "Slices of large objects asked for upstream, by result (ok, changed, no_ranges, failed).",
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

// sliceFailed counts a slice that did not come.
func (m *metrics) sliceFailed(err error) {
	result := "failed"
	switch {
	case errors.Is(err, errChanged):
		result = "changed"
	case errors.Is(err, errNoRanges):
		result = "no_ranges"
	}
	m.slices.WithLabelValues(result).Inc()
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

// load shows what was measured.
func (m *metrics) load(l load, level int) {
	for i, share := range [...]float64{l.requests, l.rate, l.fills, l.waiters, l.memory} {
		m.loads[i].Set(share)
	}
	m.level.Set(float64(level))
}

// codeClass names the class of a status code.
func codeClass(status int) string { return codeClasses[min(max(status/100, 1), len(codeClasses))-1] }

// awareMetrics count what an [Aware] does.
type awareMetrics struct {
	playlists     *prometheus.CounterVec
	elsewhere     prometheus.Counter
	prefetch      *prometheus.CounterVec
	prefetchBytes *prometheus.CounterVec
	holds         *prometheus.CounterVec
	impossible    *prometheus.CounterVec
	expired       prometheus.Counter
}

func newAwareMetrics(a *Aware, r prometheus.Registerer) *awareMetrics {
	f := promauto.With(r)
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "weir_edge_renditions",
		Help: "Media playlists whose newest version is known.",
	}, func() float64 { n, _ := a.book.Size(); return float64(n) })
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "weir_edge_schedule_bytes",
		Help: "Bytes remembered of playlists, about.",
	}, func() float64 { _, n := a.book.Size(); return float64(n) })
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "weir_edge_held",
		Help: "Segments that are waited for now because they are due and upstream does not have them.",
	}, func() float64 { return float64(a.holds.count()) })
	return &awareMetrics{
		playlists: f.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_edge_playlists_total",
			Help: "Playlists that upstream answered, by what they turned out to be.",
		}, []string{"result"}),
		elsewhere: f.NewCounter(prometheus.CounterOpts{
			Name: "weir_edge_playlist_elsewhere_total",
			Help: "URIs newly listed in playlists that lead to other hosts, or nowhere; they are never fetched.",
		}),
		prefetch: f.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_edge_prefetch_total",
			Help: "Objects to be fetched before a viewer asked, by what came of it.",
		}, []string{"result"}),
		prefetchBytes: f.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_edge_prefetch_bytes_total",
			Help: "Bytes fetched before a viewer asked, by whether one asked in time (wanted, unwanted).",
		}, []string{"result"}),
		holds: f.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_edge_holds_total",
			Help: "Segments that were due and waited for, by how that ended (answered, in_vain), or not for want of places (full).",
		}, []string{"result"}),
		impossible: f.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_edge_impossible_total",
			Help: "Fills refused because the playlists rule the object out, by why (future, past).",
		}, []string{"why"}),
		expired: f.NewCounter(prometheus.CounterOpts{
			Name: "weir_edge_expired_total",
			Help: "Objects given up because they left every playlist and their availability is over.",
		}),
	}
}
