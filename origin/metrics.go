package origin

import (
	"time"

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
	warnings        *prometheus.GaugeVec
	renditions      *prometheus.GaugeVec
	states          *prometheus.GaugeVec
	ranges          *prometheus.GaugeVec
	rangesIgnored   *prometheus.CounterVec
	uploads         *prometheus.CounterVec
	refusals        *prometheus.CounterVec
	deletes         *prometheus.CounterVec
	delay           prometheus.Histogram
	renderings      prometheus.Counter
	channels        prometheus.Gauge
	storeQueue      prometheus.Gauge
	storeDelay      prometheus.Histogram
	storeLost       prometheus.Counter
	storeRemoved    *prometheus.CounterVec
	storeReads      *prometheus.CounterVec
	storeScrubbed   *prometheus.CounterVec
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

func newMetrics(reg prometheus.Registerer, o *Origin) *metrics {
	f := promauto.With(reg)
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "weir_origin_bytes", Help: "Memory that uploads, media and pushed playlists hold, in bytes.",
	}, func() float64 { return float64(o.inUse()) })
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
			Name: "weir_origin_segments_too_long_total", Help: "Segments longer than the target duration, by what became of them: split at key frames, or a gap.",
		}, []string{"channel", "became"}),
		warnings: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "weir_origin_warnings", Help: "What the channel's encoder had better do otherwise: /debug/streams says what.",
		}, []string{"channel"}),
		lastPublish: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "weir_origin_last_publish_timestamp_seconds", Help: "When the channel last published a segment, as Unix time.",
		}, []string{"channel"}),
		renditions: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "weir_origin_renditions", Help: "Renditions that publish.",
		}, []string{"channel"}),
		states: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "weir_origin_channel_state", Help: "1 for what the operator made of the channel: live, ended, removed.",
		}, []string{"channel", "state"}),
		ranges: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "weir_origin_date_ranges", Help: "EXT-X-DATERANGE that the channel's playlists tell.",
		}, []string{"channel"}),
		rangesIgnored: f.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_origin_date_ranges_ignored_total", Help: "EXT-X-DATERANGE of encoders that were not told on, each time they were pushed, by reason.",
		}, []string{"channel", "reason"}),
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
	m.store(f, o)
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

// store makes the metrics of the Store.
func (m *metrics) store(f promauto.Factory, o *Origin) {
	m.storeQueue = f.NewGauge(prometheus.GaugeOpts{
		Name: "weir_store_queue_bytes", Help: "Published media that wait to be on disk, in bytes.",
	})
	m.storeDelay = f.NewHistogram(prometheus.HistogramOpts{
		Name: "weir_store_delay_seconds", Help: "From a segment's place in the playlist to its being durable.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
	})
	m.storeLost = f.NewCounter(prometheus.CounterOpts{
		Name: "weir_store_lost_total", Help: "Segments that the disk did not take in time: they are lost to DVR and restarts.",
	})
	m.storeRemoved = f.NewCounterVec(prometheus.CounterOpts{
		Name: "weir_store_removed_bytes_total", Help: "Bytes taken away by retention, by why: time, channel (dvr_max), total (max), free (keep_free).",
	}, []string{"why"})
	m.storeReads = f.NewCounterVec(prometheus.CounterOpts{
		Name: "weir_store_reads_total", Help: "Segments read back from disk, by result: ok, damaged, gone, busy, error.",
	}, []string{"result"})
	m.storeScrubbed = f.NewCounterVec(prometheus.CounterOpts{
		Name: "weir_store_scrubbed_total", Help: "Segments on disk checked after a start, by result: ok, damaged, gone, error.",
	}, []string{"result"})
	if o.depot == nil && o.opts.Store == nil {
		return
	}
	for _, result := range []string{"ok", "damaged", "gone", "error"} { // the first is seen, too: increase() needs a zero before it
		m.storeReads.WithLabelValues(result)
		m.storeScrubbed.WithLabelValues(result)
	}
	for _, why := range []string{"time", "channel", "total", "free"} {
		m.storeRemoved.WithLabelValues(why)
	}
	for s := StoreOK; s < storeStates; s++ {
		f.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "weir_store_state", Help: "1 for the state the disk is in: ok, slow, full, failing.",
			ConstLabels: prometheus.Labels{"state": s.String()},
		}, func() float64 {
			if o.StoreStatus().State == s {
				return 1
			}
			return 0
		})
	}
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "weir_store_bytes", Help: "Bytes on disk.",
	}, func() float64 { return float64(o.StoreStatus().Bytes) })
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "weir_store_free_bytes", Help: "Bytes that the file system of store.dir has left; -1: unknown.",
	}, func() float64 { return float64(o.StoreStatus().Free) })
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
	m.tooLong.DeletePartialMatch(is)
	m.lastPublish.Delete(is)
	m.warnings.Delete(is)
	m.renditions.Delete(is)
	m.states.DeletePartialMatch(is)
	m.ranges.Delete(is)
	m.rangesIgnored.DeletePartialMatch(is)
}

func (m *metrics) publishedAt(channel string, t time.Time) {
	m.lastPublish.WithLabelValues(channel).Set(float64(t.UnixMilli()) / 1000)
}

func (m *metrics) stateIs(channel string, s State) {
	m.states.DeletePartialMatch(prometheus.Labels{"channel": channel})
	m.states.WithLabelValues(channel, s.String()).Set(1)
}
