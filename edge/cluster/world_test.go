package cluster

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/internal/web"

	"github.com/prometheus/client_golang/prometheus"
)

// Mostly it takes less than a second; where gossip missed a node, until the
// next exchange of whole states or two.
const (
	joinTime   = 25 * time.Second
	rejoinTime = 30 * time.Second
)

// A world is some nodes on one in-memory network, under a fake clock.
type world struct {
	t     *testing.T
	net   *Network
	nodes map[string]*node
}

type node struct {
	*Cluster
	stop  context.CancelFunc
	ended chan error
	reg   *prometheus.Registry

	mu     sync.Mutex // guards events
	events []Event
}

func newWorld(t *testing.T) *world { return &world{t: t, net: new(Network), nodes: map[string]*node{}} }

// start runs a node that knows the first node of the network as its seed.
func (w *world) start(name string, change func(*Options)) *node {
	w.t.Helper()
	n := &node{reg: prometheus.NewRegistry(), ended: make(chan error, 1)}
	opts := Options{Name: name, PeerAddr: ":8091", Join: []string{"10.0.0.1:7946"}, Secret: secret, Label: "test",
		Transport: w.net.Transport(name), Registerer: n.reg,
		OnChange: func(e Event) { n.mu.Lock(); n.events = append(n.events, e); n.mu.Unlock() },
		Dial: func(name, addr string) web.Handler {
			return web.HandlerFunc(func(context.Context, *web.Request) (*web.Response, error) { return web.Text(200, addr), nil })
		},
	}
	if change != nil {
		change(&opts)
	}
	n.Cluster = newCluster(w.t, opts)
	var ctx context.Context
	ctx, n.stop = context.WithCancel(w.t.Context())
	go func() { n.ended <- n.Run(ctx) }()
	<-n.Up()
	w.nodes[name] = n
	return n
}

// end stops all nodes, so that no goroutine outlives the test.
func (w *world) end() {
	for _, n := range w.nodes {
		n.kill()
		if err := n.Close(); err != nil {
			w.t.Error(err)
		}
	}
	time.Sleep(time.Minute) // memberlist's last timers
}

func (n *node) kill() {
	n.stop()
	<-n.done
}

// within waits for the clusters to look as wanted and returns how long it took.
func (w *world) within(limit time.Duration, want map[string]int) time.Duration {
	w.t.Helper()
	start := time.Now()
	for {
		wrong := ""
		for name, alive := range want {
			if got := w.nodes[name].Alive(); got != alive {
				wrong += fmt.Sprintf(" %s sees %d, want %d;", name, got, alive)
			}
		}
		if wrong == "" {
			return time.Since(start)
		}
		if time.Since(start) > limit {
			w.t.Fatalf("after %v:%s", limit, wrong)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (n *node) saw(kind Kind, name string) bool {
	synctest.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range n.events {
		if e.Kind == kind && e.Member.Name == name {
			return true
		}
	}
	return false
}

func all(alive int, names ...string) map[string]int {
	m := map[string]int{}
	for _, n := range names {
		m[n] = alive
	}
	return m
}

// gauge lets testutil read one state's count.
type gauge struct {
	n *node
	s State
}

func (g gauge) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(g, ch) }
func (g gauge) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.MustNewConstMetric(prometheus.NewDesc("x", "x", nil, nil), prometheus.GaugeValue, g.n.count(g.s))
}

func mustOwner(n *node, key string) string { return n.Owners(key, 1)[0].Name }
