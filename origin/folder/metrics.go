package folder

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	files  *prometheus.CounterVec
	unseen prometheus.Counter
	up     prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	return &metrics{
		files: f.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_folder_files_total", Help: "Files of the watched folder by kind and by what became of them: pushed, refused, busy, changed, missing.",
		}, []string{"kind", "result"}),
		unseen: f.NewCounter(prometheus.CounterOpts{
			Name: "weir_folder_unseen_changes_total", Help: "Changed playlists that polling found and no event told of.",
		}),
		up: f.NewGauge(prometheus.GaugeOpts{
			Name: "weir_folder_up", Help: "1 while the watched folder can be read.",
		}),
	}
}
