package cluster

import (
	"context"
	"fmt"
	"log"
	"maps"
	"time"

	"github.com/hashicorp/memberlist"
)

const (
	deadReclaim   = 30 * time.Second // after this a node may come back under its name with another address
	streamTimeout = 3 * time.Second  // for one exchange of state over TCP
	pushPull      = 10 * time.Second // between such exchanges, each with one other node
)

// config is memberlist's for a local network: a dead node is noticed within
// about 7 s, a change is known to all within a second.
func (c *Cluster) config(ctx context.Context) (*memberlist.Config, error) {
	cfg := memberlist.DefaultLANConfig()
	cfg.Name = c.opts.Name
	cfg.Label = c.opts.Label
	cfg.SecretKey = c.gossip
	cfg.TCPTimeout = streamTimeout
	// Gossip misses a node now and then; the exchange of whole states, every
	// 30 s by default, is what repairs that.
	cfg.PushPullInterval = pushPull
	// 0, the default, would refuse for ever a node that comes back under its
	// name with another address, as containers do.
	cfg.DeadNodeReclaimTime = deadReclaim
	cfg.Delegate = delegate{c}
	cfg.Events = delegate{c}
	cfg.Conflict = delegate{c}
	cfg.Logger = log.New(&logWriter{log: c.log}, "", 0)
	if c.opts.Transport != nil {
		cfg.Transport = c.opts.Transport
		return cfg, nil
	}
	ip, port, err := c.opts.bindAddr()
	if err != nil {
		return nil, fmt.Errorf("cluster: %w", err)
	}
	cfg.BindAddr, cfg.BindPort, cfg.AdvertisePort = ip.String(), port, port
	if c.opts.Advertise == "" {
		return cfg, nil
	}
	at, err := resolve(ctx, c.opts.Advertise, port)
	if err != nil {
		return nil, fmt.Errorf("cluster: advertise %s: %w", c.opts.Advertise, err)
	}
	cfg.AdvertiseAddr, cfg.AdvertisePort = at[0].Addr().String(), int(at[0].Port())
	return cfg, nil
}

// delegate is what memberlist calls. It calls with its own locks held, so
// nothing here waits for anything or calls memberlist back.
type delegate struct{ c *Cluster }

func (d delegate) NodeMeta(limit int) []byte {
	b := d.c.meta().append(nil)
	if len(b) > limit {
		panic("BUG: cluster: node meta too long") // checked by New: name, zone and address are short
	}
	return b
}

func (c *Cluster) meta() meta {
	return meta{
		draining: c.draining.Load(),
		protocol: peerProtocol,
		weight:   c.opts.Weight,
		zone:     c.opts.Zone,
		peer:     c.opts.PeerAddr,
	}
}

func (d delegate) NotifyJoin(n *memberlist.Node)   { d.c.heard(n, Joined) }
func (d delegate) NotifyUpdate(n *memberlist.Node) { d.c.heard(n, Changed) }
func (d delegate) NotifyLeave(n *memberlist.Node)  { d.c.missed(n) }

func (d delegate) NotifyConflict(existing, other *memberlist.Node) {
	d.c.metrics.conflicts.Inc()
	d.c.emit(Event{Kind: Conflict, Member: Member{Name: existing.Name, Gossip: existing.Address()}, Other: other.Address()})
}

// Nothing but membership is gossiped.
func (delegate) NotifyMsg([]byte)                {}
func (delegate) GetBroadcasts(int, int) [][]byte { return nil }
func (delegate) LocalState(bool) []byte          { return nil }
func (delegate) MergeRemoteState([]byte, bool)   {}

// heard takes in a node that joined or that says something new of itself.
func (c *Cluster) heard(n *memberlist.Node, kind Kind) {
	m := &member{name: n.Name, gossip: n.Address(), self: n.Name == c.opts.Name, point: pointOf(n.Name)}
	said, err := parseMeta(n.Meta)
	if err == nil {
		err = checkName(n.Name)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		m.why = err.Error()
	} else if m.meta = said; m.self {
		m.meta.peer = said.peerAddr(n.Addr) // as the others see it
	} else {
		m.peer = c.peerFor(n.Name, said.peerAddr(n.Addr))
		if kind == Joined {
			m.peer.health.reset() // gossip has just reached it
		}
	}
	c.members[m.name] = m
	maps.DeleteFunc(c.lost, func(name string, l lostPeer) bool {
		return name == m.name || l.gossip == m.gossip // it was found, or another has its address now
	})
	c.publish()
	c.emit(Event{Kind: kind, Member: m.describe(c.opts.Zone)})
}

// missed takes out a node that left or died. Memberlist does not say which of
// the two (Node.State is never set); who leaves on purpose drains first.
func (c *Cluster) missed(n *memberlist.Node) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.members[n.Name]
	if m == nil {
		return
	}
	delete(c.members, n.Name)
	if m.peer != nil {
		m.peer.gone = time.Now()
	}
	kind := Left
	if !m.self && !m.draining {
		kind = Died
		c.lose(m)
	}
	c.publish()
	c.emit(Event{Kind: kind, Member: m.describe(c.opts.Zone)})
}

// publish makes the members as they are now the ones that Owner sees. Callers
// hold c.mu.
func (c *Cluster) publish() { c.view.Store(newView(c.opts.Zone, c.members)) }

// peerFor returns the peer called name at addr: the one there is, unless it is
// at another address. Callers hold c.mu.
func (c *Cluster) peerFor(name, addr string) *peer {
	p := c.peers[name]
	if p != nil && p.addr == addr {
		p.gone = time.Time{}
		return p
	}
	if p != nil {
		p.gone = time.Now()
		c.retired = append(c.retired, p)
	}
	p = &peer{name: name, addr: addr, cluster: c}
	c.peers[name] = p
	return p
}

// sweep closes the peers that have been gone long enough for the last request
// to them to have ended.
func (c *Cluster) sweep() {
	var gone []*peer
	c.mu.Lock()
	old := func(p *peer) bool { return !p.gone.IsZero() && time.Since(p.gone) > retirePeersAge }
	for name, p := range c.peers {
		if old(p) {
			gone = append(gone, p)
			delete(c.peers, name)
		}
	}
	kept := c.retired[:0]
	for _, p := range c.retired {
		if old(p) {
			gone = append(gone, p)
		} else {
			kept = append(kept, p)
		}
	}
	clear(c.retired[len(kept):])
	c.retired = kept
	c.mu.Unlock()
	if err := closeAll(gone); err != nil {
		c.log.Warn("closing connections to peers that have gone", "error", err)
	}
}
