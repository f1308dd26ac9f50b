// Package cluster knows which edges live, and which of them owns a key.
//
// It promises an answer at once: an owner is computed from an immutable
// snapshot of the members, never by asking anybody. Gossip (memberlist, which
// no other package sees) brings members in and out within seconds; what
// requests find out takes a dead one out at once; and a network that was cut
// becomes whole again by itself, because seeds and lost members are looked for
// all the time. Nodes may disagree for a while about who owns what: that costs
// requests to the origin, never a wrong answer.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
)

const (
	maxEvents      = 256         // changes waiting to be logged
	retirePeersAge = time.Minute // after which nobody can be reading from a peer that has gone

	// How often a node that waits to be heard looks whether anybody is left to hear it.
	companyCheck = 20 * time.Millisecond
)

// A Cluster is this node's membership. Before Run and after Leave it is a
// cluster of one or of none; its methods may be used by any number of
// goroutines at any time.
type Cluster struct {
	opts    Options
	log     *slog.Logger
	metrics *metrics
	gossip  []byte // key of gossip; nil: no secret
	peerKey []byte // key of Weir-Peer proofs; nil: no secret
	nonces  *nonces

	view     atomic.Pointer[view]
	draining atomic.Bool
	up       chan struct{} // closed once gossip listens
	done     chan struct{} // closed once Run has ended
	events   chan Event
	dropped  atomic.Int64 // events not told because events was full

	mu      sync.Mutex // guards members, lost, peers, retired, cancel and closed
	members map[string]*member
	lost    map[string]lostPeer
	peers   map[string]*peer
	retired []*peer // replaced at another address, not yet closed
	cancel  context.CancelFunc
	closed  bool

	life sync.Mutex             // guards ml and left; held while leaving, so that nobody shuts ml down meanwhile
	ml   *memberlist.Memberlist // nil: gossip does not run
	left bool
}

// New checks the options and returns a Cluster of this node alone. Nothing
// runs and nothing listens before Run.
func New(opts Options) (*Cluster, error) {
	if err := opts.complete(); err != nil {
		return nil, fmt.Errorf("cluster: %w", err)
	}
	c := &Cluster{
		opts:    opts,
		log:     opts.Log,
		nonces:  newNonces(maxNonces),
		up:      make(chan struct{}),
		done:    make(chan struct{}),
		events:  make(chan Event, maxEvents),
		members: map[string]*member{},
		lost:    map[string]lostPeer{},
		peers:   map[string]*peer{},
	}
	if opts.Secret != nil {
		var err error
		if c.gossip, err = derive(opts.Secret, opts.Label, "gossip"); err != nil {
			return nil, fmt.Errorf("cluster: %w", err)
		}
		if c.peerKey, err = derive(opts.Secret, opts.Label, "peer"); err != nil {
			return nil, fmt.Errorf("cluster: %w", err)
		}
	}
	self := &member{name: opts.Name, gossip: opts.Bind, meta: c.meta(), self: true, point: pointOf(opts.Name)}
	c.members[opts.Name] = self
	c.view.Store(newView(opts.Zone, c.members))
	c.metrics = newMetrics(opts.Registerer, c)
	return c, nil
}

// Run gossips until ctx is done or Close is called. It returns an error if
// gossip cannot listen; that nobody can be joined is none, since they may yet
// come. Without a Leave before it, its end looks to the others like a crash.
func (c *Cluster) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c.mu.Lock()
	if c.closed || c.cancel != nil {
		c.mu.Unlock()
		return errors.New("cluster: Run after Close, or twice")
	}
	c.cancel = cancel
	c.mu.Unlock()
	defer close(c.done)

	cfg, err := c.config(ctx)
	if err != nil {
		return err
	}
	ml, err := memberlist.Create(cfg)
	if err != nil {
		return fmt.Errorf("cluster: gossip on %s: %w; if no address is found to advertise, set one", c.opts.Bind, err)
	}
	c.life.Lock()
	c.ml = ml
	c.life.Unlock()
	close(c.up)
	defer c.shutdown(ml)
	c.log.Info("gossip listens", "address", c.Addr(), "node", c.opts.Name, "zone", c.opts.Zone, "authenticated", c.gossip != nil)

	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { c.rejoin(ctx, ml) })
	for {
		select {
		case e := <-c.events:
			c.tell(e)
		case <-ctx.Done():
			return nil
		}
	}
}

func (c *Cluster) shutdown(ml *memberlist.Memberlist) {
	c.life.Lock()
	defer c.life.Unlock()
	c.ml = nil
	if err := ml.Shutdown(); err != nil {
		c.log.Warn("gossip did not shut down cleanly", "error", err)
	}
}

// Up is closed once gossip listens and Addr is known.
func (c *Cluster) Up() <-chan struct{} { return c.up }

// Addr returns the address that others reach this node's gossip at; before Up,
// and after Leave, the one it was told to bind.
func (c *Cluster) Addr() string {
	for _, m := range c.view.Load().members {
		if m.self {
			return m.gossip
		}
	}
	return c.opts.Bind
}

// Drain tells the others that this node is about to leave: from then on it
// owns no keys, and nothing new is asked of it. It waits until one of them has
// been told, at most timeout.
func (c *Cluster) Drain(timeout time.Duration) error {
	c.life.Lock()
	defer c.life.Unlock()
	return c.drain(timeout)
}

func (c *Cluster) drain(timeout time.Duration) error {
	if c.draining.Swap(true) || c.ml == nil || c.left {
		return nil
	}
	told := make(chan error, 1)
	go func(ml *memberlist.Memberlist) { told <- ml.UpdateNode(max(timeout, time.Millisecond)) }(c.ml)
	tick := time.NewTicker(companyCheck)
	defer tick.Stop()
	for c.staying() {
		select {
		case err := <-told:
			if err != nil && c.staying() {
				return fmt.Errorf("cluster: tell others that %s is draining: %w", c.opts.Name, err)
			}
			return nil
		case <-tick.C:
		}
	}
	return nil
}

// Leave drains, then leaves the cluster for good, so that the others do not
// take this node's end for a crash. It waits until one of them has been told,
// at most timeout. Run goes on, to pass the message on, until it is ended. An
// error says that nobody heard it and somebody stays, who will notice by gossip
// within seconds; when all others leave too, nobody has to hear it.
func (c *Cluster) Leave(timeout time.Duration) error {
	c.life.Lock()
	defer c.life.Unlock()
	timeout = max(timeout, 2*time.Millisecond)
	err := c.drain(timeout / 2)
	if c.ml == nil || c.left {
		return err
	}
	c.left = true
	if !c.staying() {
		timeout = 2 * time.Millisecond
	}
	if err := c.ml.Leave(timeout / 2); err != nil && c.staying() {
		return fmt.Errorf("cluster: %s leaves: %w", c.opts.Name, err)
	}
	return nil
}

// staying reports whether gossip knows another member that is not leaving.
func (c *Cluster) staying() bool {
	return slices.ContainsFunc(c.view.Load().members, func(m *member) bool { return !m.self && !m.draining })
}

// Close ends Run, waits for its end, and closes all peers. It may be called
// more than once.
func (c *Cluster) Close() error {
	c.mu.Lock()
	c.closed = true
	cancel := c.cancel
	c.mu.Unlock()
	if cancel != nil {
		cancel()
		<-c.done
	}
	c.mu.Lock()
	gone := c.retired
	for _, p := range c.peers {
		gone = append(gone, p)
	}
	c.retired, c.peers = nil, map[string]*peer{}
	c.mu.Unlock()
	return closeAll(gone)
}

func closeAll(peers []*peer) error {
	var errs []error
	for _, p := range peers {
		if err := p.close(); err != nil {
			errs = append(errs, fmt.Errorf("close peer %s: %w", p.name, err))
		}
	}
	return errors.Join(errs...)
}
