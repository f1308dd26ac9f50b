package cluster

import (
	"context"
	"net/http"
	"sync"
	"time"

	"weir/internal/web"
)

// A Peer is another edge that can be asked. It is an alias of a plain
// interface, so that package edge can name the same type without importing
// this one.
type Peer = interface {
	web.Handler
	Name() string
}

// peer is one node at one address, for as long as it has that address: its
// connections and what is known of its health outlive a change of weight or an
// absence.
type peer struct {
	name, addr string
	cluster    *Cluster
	health     health

	once    sync.Once // dials
	handler web.Handler

	gone time.Time // since when it is no member; zero: it is one. Guarded by Cluster.mu
}

// Name returns the node's name.
func (p *peer) Name() string { return p.name }

// Serve signs a copy of req and asks the peer. That the peer answered at all
// ends its failure mark; that it did not, while the caller still wanted an
// answer, sets one.
func (p *peer) Serve(ctx context.Context, req *web.Request) (*web.Response, error) {
	p.once.Do(func() { p.handler = p.cluster.opts.Dial(p.name, p.addr) })
	if p.handler == nil {
		return nil, web.Errorf(http.StatusBadGateway, "peer %s at %s cannot be dialled", p.name, p.addr)
	}
	signed := req.Clone()
	p.cluster.sign(signed, p.name)
	resp, err := p.handler.Serve(ctx, signed)
	switch {
	case err == nil:
		p.cluster.succeeded(p)
	case web.ReasonOf(err) == "upstream_busy": // no connection was free: it was not asked
	case ctx.Err() == nil && web.StatusOf(err) >= 500:
		p.cluster.failed(p)
	}
	return resp, err
}

// close lets go of the peer's connections, once nobody can ask it any more.
func (p *peer) close() error {
	p.once.Do(func() {}) // from now on it is not dialled
	switch h := p.handler.(type) {
	case interface{ Close() error }:
		return h.Close()
	case interface{ Close() }:
		h.Close()
	}
	return nil
}

// Failed marks the named peer as failing: it owns nothing for 1 s, and for
// twice as long each time that it fails again soon after, at most 30 s. A
// success ends the mark, and so does a new start of the peer. Call it for what Serve cannot see: a body that stopped, an answer too slow.
func (c *Cluster) Failed(name string) {
	if p := c.peer(name); p != nil {
		c.failed(p)
	}
}

// Succeeded ends the failure mark of the named peer.
func (c *Cluster) Succeeded(name string) {
	if p := c.peer(name); p != nil {
		c.succeeded(p)
	}
}

func (c *Cluster) peer(name string) *peer {
	for _, m := range c.view.Load().members {
		if m.name == name {
			return m.peer
		}
	}
	return nil
}

func (c *Cluster) failed(p *peer) {
	if mark := p.health.failed(); mark > 0 {
		c.metrics.failures.Inc()
		c.log.Warn("peer failed; its keys go to others", "peer", p.name, "address", p.addr, "for", mark)
	}
}

func (c *Cluster) succeeded(p *peer) {
	if p.health.succeeded() {
		c.log.Info("peer answers again", "peer", p.name, "address", p.addr)
	}
}
