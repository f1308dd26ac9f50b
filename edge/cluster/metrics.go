package cluster

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	failures      prometheus.Counter
	refusals      [len(refusals)]prometheus.Counter
	disagreements prometheus.Counter
	joined        prometheus.Counter
	notJoined     prometheus.Counter
	conflicts     prometheus.Counter
}

func newMetrics(r prometheus.Registerer, c *Cluster) *metrics {
	auto := promauto.With(r)
	m := &metrics{
		failures: auto.NewCounter(prometheus.CounterOpts{
			Name: "weir_cluster_peer_failures_total",
			Help: "Times a peer was marked as failing because a request to it failed.",
		}),
		disagreements: auto.NewCounter(prometheus.CounterOpts{
			Name: "weir_cluster_view_mismatch_total",
			Help: "Requests from peers that see other members than this node does. A few after a change are normal.",
		}),
		conflicts: auto.NewCounter(prometheus.CounterOpts{
			Name: "weir_cluster_name_conflicts_total",
			Help: "Times a node was heard of under a name that another node has. Give each node a name of its own.",
		}),
	}
	rejoins := auto.NewCounterVec(prometheus.CounterOpts{
		Name: "weir_cluster_rejoin_attempts_total",
		Help: "Attempts to reach seeds and lost members, by result: ok or failed.",
	}, []string{"result"})
	m.joined, m.notJoined = rejoins.WithLabelValues("ok"), rejoins.WithLabelValues("failed")
	refused := auto.NewCounterVec(prometheus.CounterOpts{
		Name: "weir_cluster_verify_failures_total",
		Help: "Requests to the peer listener refused, by reason.",
	}, []string{"reason"})
	for i := range refusals {
		m.refusals[i] = refused.WithLabelValues(refusals[i].label)
	}
	for _, s := range states {
		auto.NewGaugeFunc(prometheus.GaugeOpts{
			Name:        "weir_cluster_members",
			Help:        "Members as this node sees them, itself included, by state.",
			ConstLabels: prometheus.Labels{"state": string(s)},
		}, func() float64 { return c.count(s) })
	}
	return m
}

func (c *Cluster) count(s State) float64 {
	if s == Lost {
		return float64(len(c.lostPeers()))
	}
	n := 0
	for _, m := range c.view.Load().members {
		if m.describe(c.opts.Zone).State == s {
			n++
		}
	}
	return float64(n)
}
