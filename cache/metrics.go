package cache

import (
	"errors"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"weir/internal/web"
)

// Why something was not kept, or not even tried.
type rejection uint8

const (
	refusedByPolicy  rejection = iota // the memory tier holds what is wanted more
	refusedByQueue                    // the memory tier could not keep up
	tooLarge                          // more than MaxObject
	noRoom                            // more than the budget can free now
	tooManyWaiters                    // an asker was sent away: MaxWaiters
	tooManyFollowers                  // the same: MaxFollowers
	tooMuchParked                     // the same: MaxParked
	rejections
)

func (r rejection) String() string {
	return [...]string{"policy", "queue", "size", "budget", "waiters", "followers", "parked"}[r]
}

// metrics are the handles of a Cache's metrics, resolved once.
type metrics struct {
	requests                      [classes][outcomes]prometheus.Counter
	rejected                      [rejections]prometheus.Counter
	evictions                     [tierCount]prometheus.Counter
	fillFails                     *prometheus.CounterVec
	overdue, elections, abandoned prometheus.Counter
}

func newMetrics(c *Cache, reg prometheus.Registerer) *metrics {
	f, m := promauto.With(reg), &metrics{}
	requests := f.NewCounterVec(prometheus.CounterOpts{Name: "weir_cache_requests_total",
		Help: "Questions answered, by class of object and by how."}, []string{"class", "outcome"})
	for cl := range classes {
		for o := range outcomes {
			m.requests[cl][o] = requests.WithLabelValues(cl.String(), o.String())
		}
	}
	rejected := f.NewCounterVec(prometheus.CounterOpts{Name: "weir_cache_rejected_total",
		Help: "Objects not kept and askers sent away, by reason."}, []string{"reason"})
	for r := range rejections {
		m.rejected[r] = rejected.WithLabelValues(r.String())
	}
	evictions := f.NewCounterVec(prometheus.CounterOpts{Name: "weir_cache_evictions_total",
		Help: "Objects that went to make room, by the tier they stood in."}, []string{"tier"})
	for t := young; t < tierCount; t++ {
		m.evictions[t] = evictions.WithLabelValues(t.String())
	}
	m.fillFails = f.NewCounterVec(prometheus.CounterOpts{Name: "weir_cache_fill_errors_total",
		Help: "Fills that failed, by reason."}, []string{"reason"})
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m.overdue = counter("weir_cache_waits_over_total", "Askers told that no answer came within the time that one may wait.")
	m.elections = counter("weir_cache_elections_total", "Fills made anew for those who wait, because the first could not reach upstream.")
	m.abandoned = counter("weir_cache_abandoned_total", "Fills ended because all who wanted their body had left.")

	gauge := func(name, help string, labels prometheus.Labels, value func() int64) {
		f.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels},
			func() float64 { return float64(value()) })
	}
	for t := young; t < tierCount; t++ {
		labels := prometheus.Labels{"tier": t.String()}
		gauge("weir_cache_bytes", "Bytes of the budget, by tier; held is what is in the air or was evicted and is still read.",
			labels, func() int64 { n, _ := c.tiers.usage(t); return n })
		gauge("weir_cache_objects", "Objects kept, by tier.",
			labels, func() int64 { _, n := c.tiers.usage(t); return n })
	}
	gauge("weir_cache_bytes", "Bytes of the budget, by tier; held is what is in the air or was evicted and is still read.",
		prometheus.Labels{"tier": "held"}, c.held)
	gauge("weir_cache_flights", "Fills in the air.", nil, c.inFlight.Load)
	gauge("weir_cache_parked_bytes", "Bytes that those who wait for the head of an answer take.", nil, c.parked.Load)
	gauge("weir_cache_waiters", "Askers waiting for the head of an answer.", nil, c.waiters.Load)
	return m
}

func (m *metrics) count(cl Class, o Outcome) { m.requests[min(cl, classes-1)][o].Inc() }

func (m *metrics) evicted(from tier) { m.evictions[from].Inc() }

// fillFailed counts a fill that failed, under one of a few fixed reasons.
func (m *metrics) fillFailed(err error) { m.fillFails.WithLabelValues(failureReason(err)).Inc() }

func failureReason(err error) string {
	switch {
	case errors.Is(err, errPanic):
		return "panic"
	case errors.Is(err, ErrStalled):
		return "stalled"
	case errors.Is(err, ErrTooLarge):
		return "size"
	case errors.Is(err, ErrNoRoom):
		return "budget"
	case errors.Is(err, errUpstreamStatus):
		return "status"
	case errors.Is(err, errCut):
		return "cut"
	}
	switch web.StatusOf(err) {
	case http.StatusGatewayTimeout:
		return "timeout"
	case http.StatusBadGateway, http.StatusServiceUnavailable:
		return "upstream"
	}
	return "other"
}
