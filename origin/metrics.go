package origin

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics of an origin. The label channel has at most Options.MaxChannels values at once:
// forget takes those of a channel that is gone.
type metrics struct {
	segments        *prometheus.CounterVec
	gaps            *prometheus.CounterVec
	discontinuities *prometheus.CounterVec
	tooLong         *prometheus.CounterVec
	lastPublish     *prometheus.GaugeVec
	renditions      *prometheus.GaugeVec
	uploads         *prometheus.CounterVec
	refusals        *prometheus.CounterVec
	deletes         *prometheus.CounterVec
	delay           prometheus.Histogram
	renderings      prometheus.Counter
	channels        prometheus.Gauge
	answers         [answerKinds][len(codeClasses)]prometheus.Counter
}

// An answerKind is what viewers, edges and CDNs are answered with.
type answerKind uint8

const (
	otherAnswer answerKind = iota // no such thing
	multivariantAnswer
	playlistAnswer
	initAnswer
	segmentAnswer
	answerKinds
)

func (k answerKind) String() string {
	return [answerKinds]string{"other", "multivariant", "playlist", "init", "segment"}[k]
}

var codeClasses = [...]string{"1xx", "2xx", "3xx", "4xx", "5xx"}

func newMetrics(reg prometheus.Registerer, bytes func() int64) *metrics {
	f := promauto.With(reg)
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "weir_origin_bytes", Help: "Memory that uploads, media and pushed playlists hold, in bytes.",
	}, func() float64 { return float64(bytes()) })
	m := &metrics{
		segments: f.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_origin_segments_total", Help: "Segments published, gaps not counted.",
		}, []string{"channel"}),
		gaps: f.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_origin_gaps_total", Help: "EXT-X-GAP published, by why there were no media.",
		}, []string{"channel", "reason"}),
		discontinuities: f.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_origin_discontinuities_total", Help: "EXT-X-DISCONTINUITY published.",
		}, []string{"channel"}),
		tooLong: f.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_origin_segments_too_long_total", Help: "Segments longer than the target duration, published as gaps.",
		}, []string{"channel"}),
		lastPublish: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "weir_origin_last_publish_timestamp_seconds", Help: "When the channel last published a segment, as Unix time.",
		}, []string{"channel"}),
		renditions: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "weir_origin_renditions", Help: "Renditions that publish.",
		}, []string{"channel"}),
		uploads: f.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_origin_uploads_total", Help: "Uploads by how they ended: stored, playlist, repeated, stale, ignored, cut, refused.",
		}, []string{"result"}),
		refusals: f.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_origin_refusals_total", Help: "Ingest requests refused, by reason.",
		}, []string{"reason"}),
		deletes: f.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_origin_deletes_total", Help: "DELETE requests, by what became of the file: dropped, kept, unknown.",
		}, []string{"result"}),
		delay: f.NewHistogram(prometheus.HistogramOpts{
			Name: "weir_origin_publish_delay_seconds", Help: "From a segment's last byte to its place in the playlist.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}),
		renderings: f.NewCounter(prometheus.CounterOpts{
			Name: "weir_origin_renderings_total", Help: "Playlists rendered: at most one for each change.",
		}),
		channels: f.NewGauge(prometheus.GaugeOpts{
			Name: "weir_origin_channels", Help: "Channels that exist.",
		}),
	}
	answers := f.NewCounterVec(prometheus.CounterOpts{
		Name: "weir_origin_answers_total", Help: "Answers to edges, CDNs and viewers, by kind of object and class of status code.",
	}, []string{"kind", "code_class"})
	for k := range answerKinds {
		for i, class := range codeClasses {
			m.answers[k][i] = answers.WithLabelValues(k.String(), class)
		}
	}
	return m
}

func (m *metrics) answered(k answerKind, status int) {
	if i := status/100 - 1; i >= 0 && i < len(codeClasses) {
		m.answers[k][i].Inc()
	}
}

func (m *metrics) forget(channel string) {
	is := prometheus.Labels{"channel": channel}
	m.segments.Delete(is)
	m.gaps.DeletePartialMatch(is)
	m.discontinuities.Delete(is)
	m.tooLong.Delete(is)
	m.lastPublish.Delete(is)
	m.renditions.Delete(is)
}
