package node

import (
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"weir/cmd/weir/config"
)

type metrics struct {
	reloaded, refused prometheus.Counter
	pending           prometheus.Gauge
}

// certMetrics tell of the certificates of a TLS listener.
type certMetrics struct {
	applied, refused prometheus.Counter
	expiry           *prometheus.GaugeVec
}

func newCertMetrics(reg prometheus.Registerer) *certMetrics {
	auto := promauto.With(reg)
	reloads := auto.NewCounterVec(prometheus.CounterOpts{
		Name: "weir_tls_certificate_changes_total", Help: "Certificates found changed on disk, by result: applied or refused.",
	}, []string{"result"})
	return &certMetrics{
		applied: reloads.WithLabelValues("applied"),
		refused: reloads.WithLabelValues("refused"),
		expiry: auto.NewGaugeVec(prometheus.GaugeOpts{
			Name: "weir_tls_certificate_expiry_seconds", Help: "When a certificate in force expires, in Unix time, by the first name that it is for.",
		}, []string{"name"}),
	}
}

// show replaces what is told: of two certificates for one name the one that expires first.
func (m *certMetrics) show(all []config.Certificate) {
	m.expiry.Reset()
	first := map[string]int64{}
	for _, c := range all {
		at := c.Expires().Unix()
		if have, ok := first[c.Name()]; !ok || at < have {
			first[c.Name()] = at
			m.expiry.WithLabelValues(c.Name()).Set(float64(at))
		}
	}
}

func newMetrics(reg *prometheus.Registry, version string, s *state) *metrics {
	if version == "" {
		version = "unknown"
	}
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collectors.NewBuildInfoCollector())
	auto := promauto.With(reg)
	auto.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "weir_build_info", Help: "1, with the version as a label.",
		ConstLabels: prometheus.Labels{"version": version, "goversion": runtime.Version()},
	}, func() float64 { return 1 })
	auto.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "weir_node_ready", Help: "1 while the node should get traffic, else 0.",
	}, func() float64 {
		if s.get() == ready {
			return 1
		}
		return 0
	})
	reloads := auto.NewCounterVec(prometheus.CounterOpts{
		Name: "weir_node_reloads_total", Help: "Reloads of the config, by result: applied or refused.",
	}, []string{"result"})
	return &metrics{
		reloaded: reloads.WithLabelValues("applied"),
		refused:  reloads.WithLabelValues("refused"),
		pending: auto.NewGauge(prometheus.GaugeOpts{
			Name: "weir_node_pending_restart", Help: "Keys of the config that differ from what runs and need a restart.",
		}),
	}
}
