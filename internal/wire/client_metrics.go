package wire

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// clientMetrics are what clients of one name count together.
type clientMetrics struct {
	requests    *prometheus.CounterVec
	ok          prometheus.Counter
	seconds     prometheus.Histogram
	bytes       prometheus.Counter
	inFlight    prometheus.Gauge
	waiting     prometheus.Gauge
	connections prometheus.Gauge
	lookups     *prometheus.CounterVec
}

func newClientMetrics(reg prometheus.Registerer, upstream string) *clientMetrics {
	l := prometheus.Labels{"upstream": upstream}
	m := &clientMetrics{
		requests: register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_upstream_requests_total", ConstLabels: l,
			Help: "Requests to an upstream that have ended: answered whole, or with the reason why not.",
		}, []string{"outcome"})),
		seconds: register(reg, prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "weir_upstream_request_seconds", ConstLabels: l,
			Help:    "Time from a request to an upstream to the last byte of its answer.",
			Buckets: []float64{.001, .005, .02, .1, .25, .5, 1, 2, 4, 8, 16, 60},
		})),
		bytes: register(reg, prometheus.NewCounter(prometheus.CounterOpts{
			Name: "weir_upstream_response_bytes_total", ConstLabels: l,
			Help: "Bytes of answers' bodies received from an upstream.",
		})),
		inFlight: register(reg, prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "weir_upstream_in_flight", ConstLabels: l,
			Help: "Requests to an upstream under way.",
		})),
		waiting: register(reg, prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "weir_upstream_waiting", ConstLabels: l,
			Help: "Requests that wait for a connection to an upstream, because all are in use.",
		})),
		connections: register(reg, prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "weir_upstream_connections", ConstLabels: l,
			Help: "Open connections to an upstream, in use and idle.",
		})),
		lookups: register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_upstream_lookups_total", ConstLabels: l,
			Help: "Times that an upstream's name was looked up, by result: ok, failed, or kept where the addresses known before were used on.",
		}, []string{"result"})),
	}
	m.ok = m.requests.WithLabelValues("ok")
	return m
}

// count adds one request that began at start. Reason is one of a few fixed
// words; "": it was answered.
func (m *clientMetrics) count(reason string, start time.Time) {
	m.seconds.Observe(time.Since(start).Seconds())
	if reason == "" {
		m.ok.Inc()
		return
	}
	m.requests.WithLabelValues(reason).Inc()
}
