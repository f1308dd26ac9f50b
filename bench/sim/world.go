package sim

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"weir/bench"
	"weir/cache"
	"weir/edge"
	"weir/edge/cluster"
	"weir/internal/disk/disktest"
	"weir/internal/spool"
	"weir/internal/web"
	"weir/origin"
	"weir/token"
)

// A world is the cluster of a scenario.
type world struct {
	ctx    context.Context
	settle func() // returns when everybody waits for something

	slab     *spool.Slab
	network  *cluster.Network
	origins  []*originNode
	edges    []*edgeNode
	encoders map[string][]*bench.Encoder

	groups    []*group // of viewers, in the order they came
	stats     bench.Stats
	swarm     int                  // players started
	audiences []context.CancelFunc // of players
	seats     int                  // viewers and players who have an address
	rate      int64                // bytes/s that each edge may send; 0: any number
	memory    int64                // bytes of each edge's cache
	disks     bool                 // each edge has a disk below it
	owns      string               // the edge that "owner" stands for
	stops     []func()
}

type originNode struct {
	name     string
	origin   *origin.Origin
	end      func()
	ingest   web.Handler
	link     *link // what edges go through
	reported int64
	lags     bool // what is pushed to it gets lost
}

type edgeNode struct {
	name    string
	edge    *edge.Edge
	cache   *cache.Cache
	aware   *edge.Aware
	cluster *cluster.Cluster
	viewers *link // what viewers go through
	peers   *link // what other edges go through
	dead    bool
	stop    context.CancelFunc
}

// create is world edges=N origins=N [bandwidth=N] [memory=N] [disk=yes]: that many
// nodes, the edges in one gossip cluster, each of which may send N bytes a second
// before it refuses whom it can, and keeps N KiB in memory and the rest on a disk.
// Time then goes by until they know each other.
func (w *world) create(l line) (string, error) {
	edges, err := l.number("edges", 1)
	if err != nil {
		return "", err
	}
	origins, err := l.number("origins", 1)
	if err != nil {
		return "", err
	}
	rate, err := l.number("bandwidth", 0)
	if err != nil {
		return "", err
	}
	if w.origins != nil {
		return "", fmt.Errorf("there is a world already")
	}
	memory, err := l.number("memory", 64<<10)
	if err != nil {
		return "", err
	}
	w.rate, w.memory, w.disks = int64(rate), int64(memory)<<10, l.opts["disk"] != ""
	time.Sleep(time.Until(birth))
	w.slab = spool.NewSlab(spool.SlabOptions{Poison: true})
	w.encoders = map[string][]*bench.Encoder{}
	for i := range origins {
		if err := w.addOrigin(fmt.Sprintf("o%d", i+1)); err != nil {
			return "", err
		}
	}
	w.network = &cluster.Network{}
	for i := range edges {
		if err := w.addEdge(fmt.Sprintf("e%d", i+1)); err != nil {
			return "", err
		}
	}
	w.wait(20 * time.Second)
	return "", nil
}

func (w *world) addOrigin(name string) error {
	n := &originNode{name: name}
	n.ingest = web.HandlerFunc(func(ctx context.Context, req *web.Request) (*web.Response, error) {
		return n.origin.Ingest().Serve(ctx, req)
	})
	n.link = newLink(web.HandlerFunc(func(ctx context.Context, req *web.Request) (*web.Response, error) {
		return n.origin.Viewers().Serve(ctx, req)
	}), w.slab)
	w.origins = append(w.origins, n)
	w.stops = append(w.stops, func() { n.end() })
	return w.start(n)
}

// start starts an origin, which knows nothing. Nobody reaches it meanwhile.
func (w *world) start(n *originNode) error {
	w.settle()
	o, err := origin.New(origin.Options{OpenIngest: true, Slab: w.slab})
	if err != nil {
		return err
	}
	stop := w.run(o.Run)
	n.origin, n.end = o, func() { stop(); _ = o.Close() }
	return nil
}

func (w *world) addEdge(name string) error {
	n := &edgeNode{name: name, aware: edge.NewAware(edge.AwareOptions{})}
	var err error
	co := cache.Options{Bytes: w.memory, Slab: w.slab, Judge: n.aware.Judge}
	if w.disks {
		co.Disk = &cache.Disk{Dir: "/cache", Max: 64 << 20, FS: disktest.NewFake().FS()}
	}
	if n.cache, err = cache.New(co); err != nil {
		return err
	}
	var join []string
	if len(w.edges) > 0 {
		join = []string{"10.0.0.1:7946"} // the first edge on the simulated network
	}
	n.cluster, err = cluster.New(cluster.Options{Name: name, PeerAddr: name + ":8091", Join: join, Transport: w.network.Transport(name),
		Secret: []byte("a secret of the simulated cluster"), RejoinEvery: 5 * time.Second,
		Dial: func(peer, _ string) web.Handler { return w.edge(peer).peers }, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	var upstreams []edge.Origin
	for _, o := range w.origins {
		upstreams = append(upstreams, edge.Origin{Name: o.name, Handler: o.link})
	}
	o := edge.Options{Node: name, Cache: n.cache, Origins: func() []edge.Origin { return upstreams },
		Peers: n.cluster, Tokens: new(token.Source), Aware: n.aware}
	if w.rate > 0 {
		o.Usage = func() edge.Usage {
			return edge.Usage{Sent: n.viewers.sent.Load() + n.peers.sent.Load(), MaxRate: w.rate}
		}
	}
	if n.edge, err = edge.New(o); err != nil {
		return err
	}
	n.viewers = newLink(n.edge, w.slab)
	n.peers = newLink(n.edge.PeerHandler(), w.slab)
	n.stop = w.run(n.cluster.Run)
	if w.rate > 0 {
		w.run(n.edge.Run)
	}
	w.edges = append(w.edges, n)
	w.stops = append(w.stops, func() { n.die(); n.cache.Close() })
	return nil
}

// die ends the node's part in gossip without a word, and its connections.
func (n *edgeNode) die() {
	if n.dead {
		return
	}
	n.dead = true
	n.viewers.cut()
	n.peers.cut()
	n.stop()
	_ = n.cluster.Close()
}

// run runs f in the background until the world ends or the returned function
// is called.
func (w *world) run(f func(context.Context) error) context.CancelFunc {
	ctx, cancel := context.WithCancel(w.ctx)
	done := make(chan struct{})
	go func() { defer close(done); _ = f(ctx) }()
	stop := func() { cancel(); <-done }
	w.stops = append(w.stops, stop)
	return stop
}

func (w *world) close() {
	for _, g := range w.groups {
		g.cancel()
	}
	for i := len(w.stops) - 1; i >= 0; i-- {
		w.stops[i]()
	}
	w.settle()
}

// wait lets time go by, and then everybody come to rest.
func (w *world) wait(d time.Duration) {
	time.Sleep(d)
	w.settle()
}

func (w *world) edge(name string) *edgeNode {
	if name == "owner" {
		name = w.owns
	}
	i := slices.IndexFunc(w.edges, func(e *edgeNode) bool { return e.name == name })
	if i < 0 {
		return nil
	}
	return w.edges[i]
}

// link returns the wire over which other nodes reach a node.
func (w *world) link(name string) (*link, error) {
	for _, o := range w.origins {
		if o.name == name {
			return o.link, nil
		}
	}
	if e := w.edge(name); e != nil {
		return e.peers, nil
	}
	return nil, fmt.Errorf("no node %q", name)
}
