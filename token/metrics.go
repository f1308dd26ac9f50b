package token

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics has its handles resolved, so that counting a verdict looks nothing up.
type metrics struct {
	verdicts      [len(resultNames)]prometheus.Counter
	hits, badHits prometheus.Counter
	size, badSize prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) *metrics {
	verdicts := register(r, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "weir_token_verdicts_total",
		Help: "Tokens judged, by result: ok, or why the viewer was refused.",
	}, []string{"result"}))
	hits := register(r, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "weir_token_memo_hits_total",
		Help: "Tokens judged from memory, by verdict: good or bad. The rest cost a signature check each.",
	}, []string{"verdict"}))
	entries := register(r, prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "weir_token_memo_entries",
		Help: "Verdicts remembered, by verdict: good or bad.",
	}, []string{"verdict"}))
	m := &metrics{
		hits:    hits.WithLabelValues("good"),
		badHits: hits.WithLabelValues("bad"),
		size:    entries.WithLabelValues("good"),
		badSize: entries.WithLabelValues("bad"),
	}
	for i := range m.verdicts {
		m.verdicts[i] = verdicts.WithLabelValues(result(i).String())
	}
	m.size.Set(0) // a new Verifier remembers nothing
	m.badSize.Set(0)
	return m
}

// register returns c, or what is registered already under its name: a Verifier
// that replaces another goes on counting where that one stopped.
func register[C prometheus.Collector](r prometheus.Registerer, c C) C {
	if r == nil {
		return c
	}
	if err := r.Register(c); err != nil {
		if twice, is := errors.AsType[prometheus.AlreadyRegisteredError](err); is {
			if first, same := twice.ExistingCollector.(C); same {
				return first
			}
		}
		panic("BUG: " + err.Error())
	}
	return c
}
