package node

import (
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	reloaded, refused prometheus.Counter
	pending           prometheus.Gauge
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
