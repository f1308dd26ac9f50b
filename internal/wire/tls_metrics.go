package wire

import "github.com/prometheus/client_golang/prometheus"

// tlsMetrics are what a TLS listener counts beside its requests.
type tlsMetrics struct {
	h1, h2, weak, bad, slow, left, crowded prometheus.Counter // handshakes
	seconds                                prometheus.Histogram
	abuse                                  [abuses]prometheus.Counter
	warned                                 throttle
}

func newTLSMetrics(reg prometheus.Registerer, listener string) *tlsMetrics {
	l := prometheus.Labels{"listener": listener}
	hands := register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "weir_tls_handshakes_total", ConstLabels: l,
		Help: "TLS handshakes by how they ended: h1 and h2 began to be served.",
	}, []string{"result"}))
	ended := register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "weir_http2_abuse_total", ConstLabels: l,
		Help: "Connections of HTTP/2 that were ended because their client did too much of something.",
	}, []string{"what"}))
	m := &tlsMetrics{
		h1: hands.WithLabelValues("h1"), h2: hands.WithLabelValues("h2"),
		weak: hands.WithLabelValues("weak_cipher"), bad: hands.WithLabelValues("failed"), slow: hands.WithLabelValues("timeout"),
		left: hands.WithLabelValues("left"), crowded: hands.WithLabelValues("crowded_out"),
		seconds: register(reg, prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "weir_tls_handshake_seconds", ConstLabels: l,
			Help:    "Time from a connection's start to the end of its handshake, of those that succeeded.",
			Buckets: []float64{.002, .01, .05, .1, .25, .5, 1, 2.5, 10},
		})),
	}
	for a := noAbuse + 1; a < abuses; a++ {
		m.abuse[a] = ended.WithLabelValues(a.String())
	}
	return m
}
