// Package node puts a configured origin or edge together and runs it.
//
// It promises that a node is up as a whole or not at all, that it says where
// it listens and why it is not ready, that a reload applies what can change
// while it runs, names the rest and changes nothing when anything is wrong,
// and that a node told to stop leaves in order: unready first, then the
// cluster, then the listeners with what is under way, and the admin listener
// last, so that the end can still be watched.
package node

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"weir/cmd/weir/config"
	"weir/internal/web"
)

// Options configures a node. Config must be given; it may come from a file or
// be made in code from config.DefaultOrigin or config.DefaultEdge.
type Options[C config.Origin | config.Edge] struct {
	Config *C

	// Reread returns the config anew for a reload. nil: a reload changes nothing.
	Reread func() (*C, error)
	// Viewers, where given, wraps what viewers reach: the demo puts its page
	// there. It should pass on web.Quick.
	Viewers func(web.Handler) web.Handler

	Log      *slog.Logger         // nil: discard
	Level    *slog.LevelVar       // set by a reload; nil: the level stays
	Registry *prometheus.Registry // nil: an own one
	Version  string               // for metrics; "": unknown
}

// Addrs are where a node really listens, host:port each, "" where it does not.
type Addrs struct {
	Viewers, ViewersTLS, Ingest, Peers, Gossip, Admin string
}

// fields are the addresses there are, for the log.
func (a Addrs) fields() (fields []any) {
	for _, l := range []struct{ name, addr string }{
		{"viewers", a.Viewers}, {"viewers_tls", a.ViewersTLS}, {"ingest", a.Ingest}, {"peers", a.Peers}, {"gossip", a.Gossip}, {"admin", a.Admin},
	} {
		if l.addr != "" {
			fields = append(fields, l.name, l.addr)
		}
	}
	return fields
}

// A Node is an origin or an edge on this machine.
type Node struct {
	name    string // for the log
	addrs   Addrs
	up      chan struct{} // closed when all of it serves
	log     *slog.Logger
	state   state
	drain   func() config.Drain // in force now
	gossip  gossip              // nil: none
	protect *protection         // of an edge; nil: none
	certs   *certs              // of the TLS listener; nil: there is none

	reload  func() (Applied, error)
	metrics *metrics
	failed  chan error // of a listener that ended by itself

	mu    sync.Mutex // guards steps and begun
	steps []step     // what was set up, to be taken down last to first
	begun bool
	tasks []func() // started by Run, in order
}

type gossip interface {
	Up() <-chan struct{}
	Addr() string
}

// A step takes down one thing. Ctx bounds what it may wait for.
type step struct {
	name string
	down func(ctx context.Context) error
}

func newNode[C config.Origin | config.Edge](o *Options[C]) (*Node, error) {
	if o.Config == nil {
		return nil, errors.New("node: Options.Config must be given")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
	}
	n := &Node{log: o.Log, failed: make(chan error, 1), up: make(chan struct{})}
	n.metrics = newMetrics(o.Registry, o.Version, &n.state)
	return n, nil
}

// Addrs returns where the node listens: the real ports, where the config says
// port 0. The listeners are open from New on and served by Run; gossip's
// address is known once the node is Up.
func (n *Node) Addrs() Addrs {
	a := n.addrs
	if n.gossip != nil {
		a.Gossip = n.gossip.Addr()
	}
	return a
}

// Up is closed when all of the node serves.
func (n *Node) Up() <-chan struct{} { return n.up }

// Name returns the node's name.
func (n *Node) Name() string { return n.name }

// onClose says how to take down what was just set up.
func (n *Node) onClose(name string, down func(ctx context.Context) error) {
	n.mu.Lock()
	n.steps = append(n.steps, step{name, down})
	n.mu.Unlock()
}

// onRun says what Run starts. It must not block.
func (n *Node) onRun(f func()) { n.tasks = append(n.tasks, f) }

// background runs f from Run on until it is taken down, and waits for its end.
func (n *Node) background(name string, f func(ctx context.Context) error) {
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	n.onRun(func() {
		running.Go(func() {
			if err := f(ctx); err != nil && ctx.Err() == nil {
				n.fail(name, err)
			}
		})
	})
	n.onClose(name, func(context.Context) error { stop(); running.Wait(); return nil })
}

// fail makes Run end, because a part without which the node is useless ended.
func (n *Node) fail(part string, err error) {
	select {
	case n.failed <- &partError{part, err}:
	default:
	}
}

type partError struct {
	part string
	err  error
}

func (e *partError) Error() string { return e.part + ": " + e.err.Error() }
func (e *partError) Unwrap() error { return e.err }

// Reload reads the config again and applies what can change while the node
// runs. When anything is wrong with it, nothing changes.
func (n *Node) Reload() (Applied, error) { return n.reload() }

// Ready reports whether the node should get traffic.
func (n *Node) Ready() bool { return n.state.get() == ready }

// state is where in its life a node is.
type state struct{ v atomic.Int32 }

type phase int32

const (
	starting phase = iota
	ready
	draining
)

func (p phase) String() string { return [...]string{"starting", "ready", "draining"}[p] }

func (s *state) get() phase  { return phase(s.v.Load()) }
func (s *state) set(p phase) { s.v.Store(int32(p)) }
