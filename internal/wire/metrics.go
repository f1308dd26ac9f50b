package wire

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what one listener counts. The handles of the frequent cases are
// resolved once: a hit costs a few atomic additions.
type metrics struct {
	requests *prometheus.CounterVec
	ready    [len(methods)][6]prometheus.Counter // by index in methods, by first digit of the status
	seconds  prometheus.Histogram
	bytes    prometheus.Counter
	inFlight prometheus.Gauge
	panics   prometheus.Counter
	gone     prometheus.Counter // who left by himself
	slow     prometheus.Counter // who was cut for slowness
}

// methods are the values of the label "method"; the last stands for the rest.
var methods = [...]string{"GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "other"}

// classes are the values of the label "code_class", by first digit; "none" is
// an exchange that ended without an answer.
var classes = [...]string{"none", "1xx", "2xx", "3xx", "4xx", "5xx"}

func newMetrics(reg prometheus.Registerer, listener string) *metrics {
	l := prometheus.Labels{"listener": listener}
	m := &metrics{
		requests: register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_http_requests_total", ConstLabels: l,
			Help: "Exchanges that have ended, by method and class of the status sent.",
		}, []string{"method", "code_class"})),
		seconds: register(reg, prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "weir_http_request_seconds", ConstLabels: l,
			Help:    "Time from a request's header to the last byte of its answer, waiting on purpose included.",
			Buckets: []float64{.001, .005, .02, .1, .25, .5, 1, 2, 4, 8, 16, 60},
		})),
		bytes: register(reg, prometheus.NewCounter(prometheus.CounterOpts{
			Name: "weir_http_response_bytes_total", ConstLabels: l,
			Help: "Bytes of answers' bodies handed to the network.",
		})),
		inFlight: register(reg, prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "weir_http_in_flight", ConstLabels: l,
			Help: "Exchanges under way.",
		})),
		panics: register(reg, prometheus.NewCounter(prometheus.CounterOpts{
			Name: "weir_http_panics_total", ConstLabels: l,
			Help: "Panics caught while an exchange was served: each is a bug, the log has the stack.",
		})),
	}
	gone := register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "weir_http_client_gone_total", ConstLabels: l,
		Help: "Exchanges whose client left (left), or was cut for slowness (slow), before the end of the answer.",
	}, []string{"reason"}))
	m.gone, m.slow = gone.WithLabelValues("left"), gone.WithLabelValues("slow")
	for i, method := range methods {
		for c, class := range classes {
			m.ready[i][c] = m.requests.WithLabelValues(method, class)
		}
	}
	return m
}

// count adds one exchange that ended with status; 0: with no answer at all.
func (m *metrics) count(method string, status int) {
	class := status / 100
	if class < 0 || class >= len(classes) {
		class = 5
	}
	for i, name := range methods {
		if name == method || i == len(methods)-1 {
			m.ready[i][class].Inc()
			return
		}
	}
}

// register is promauto for collectors that may be there already: a listener
// that is opened again under its name, or several clients that share one, go
// on counting where the first began.
func register[C prometheus.Collector](reg prometheus.Registerer, c C) C {
	if reg == nil {
		return c
	}
	err := reg.Register(c)
	if have, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		return have.ExistingCollector.(C)
	}
	if err != nil {
		panic("BUG: wire: " + err.Error())
	}
	return c
}

// newTurned returns the counters of connections refused, by refusal.
func newTurned(reg prometheus.Registerer, listener string) (turned [refusals]prometheus.Counter) {
	v := register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "weir_http_connections_refused_total", ConstLabels: prometheus.Labels{"listener": listener},
		Help: "Connections closed because as many as may be were open: in all (full), or from their address (address).",
	}, []string{"reason"}))
	turned[tooMany], turned[tooManyOfOne] = v.WithLabelValues("full"), v.WithLabelValues("address")
	return turned
}
