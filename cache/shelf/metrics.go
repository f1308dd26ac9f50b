package shelf

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// What became of a thing that was to be put.
type put uint8

const (
	putNew    put = iota // written
	putHead              // its head was written anew
	putKept              // it was there already
	putOnce              // it was wanted once only
	putLarge             // more than a file
	putQueue             // the disk could not keep up
	putMemory            // no memory for the index
	putFault             // the disk failed, or rested after it had
	puts
)

func (p put) String() string {
	return [...]string{"written", "refreshed", "kept", "once", "size", "queue", "memory", "fault"}[p]
}

// What became of a question.
type get uint8

const (
	getHit   get = iota // the head was found
	getMiss             // another key of the same hash, or another variant
	getBad              // a checksum was wrong
	getError            // the disk said no
	getSlow             // the disk said nothing
	getBusy             // not even tried
	gets
)

func (g get) String() string {
	return [...]string{"hit", "miss", "bad", "error", "slow", "busy"}[g]
}

type fault uint8

const (
	faultOpen fault = iota
	faultRead
	faultSlow
	faultWrite
	faultFull
	faults
)

func (f fault) String() string { return [...]string{"open", "read", "slow", "write", "full"}[f] }

type metrics struct {
	put              [puts]prometheus.Counter
	get              [gets]prometheus.Counter
	faults           [faults]prometheus.Counter
	evicted          prometheus.Counter
	reading, writing prometheus.Histogram
}

func newMetrics(s *Shelf, reg prometheus.Registerer) *metrics {
	f, m := promauto.With(reg), &metrics{}
	written := f.NewCounterVec(prometheus.CounterOpts{Name: "weir_cache_disk_writes_total",
		Help: "Objects that left memory and were offered to the disk, by what became of them."}, []string{"outcome"})
	for p := range puts {
		m.put[p] = written.WithLabelValues(p.String())
	}
	read := f.NewCounterVec(prometheus.CounterOpts{Name: "weir_cache_disk_reads_total",
		Help: "Objects that the index knew and that were read, by what became of it."}, []string{"outcome"})
	for g := range gets {
		m.get[g] = read.WithLabelValues(g.String())
	}
	failed := f.NewCounterVec(prometheus.CounterOpts{Name: "weir_cache_disk_faults_total",
		Help: "Times that the disk failed, after each of which it rests for a second to a minute."}, []string{"kind"})
	for k := range faults {
		m.faults[k] = failed.WithLabelValues(k.String())
	}
	m.evicted = f.NewCounter(prometheus.CounterOpts{Name: "weir_cache_disk_evictions_total",
		Help: "Objects that went with the oldest file."})
	buckets := prometheus.ExponentialBuckets(100e-6, 2.5, 12) // 100 µs to 2.4 s
	m.reading = f.NewHistogram(prometheus.HistogramOpts{Name: "weir_cache_disk_read_seconds",
		Help: "Time to read an object whole.", Buckets: buckets})
	m.writing = f.NewHistogram(prometheus.HistogramOpts{Name: "weir_cache_disk_write_seconds",
		Help: "Time to write an object.", Buckets: buckets})
	gauge := func(name, help string, value func(Usage) int64) {
		f.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return float64(value(s.Usage())) })
	}
	gauge("weir_cache_disk_bytes", "Bytes of the files of the disk tier.", func(u Usage) int64 { return u.Bytes })
	gauge("weir_cache_disk_objects", "Objects on disk.", func(u Usage) int64 { return u.Objects })
	gauge("weir_cache_disk_queue_bytes", "Bytes of objects that wait to be written.", func(u Usage) int64 { return u.Queued })
	return m
}
