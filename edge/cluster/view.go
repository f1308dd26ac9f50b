package cluster

import (
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// maxOwners is how many owners of a key can be asked for.
const maxOwners = 8

// A member is a node that gossip says is alive, as one view has it.
type member struct {
	name   string
	gossip string // host:port it gossips from
	meta
	self  bool
	point point
	peer  *peer // how to ask it; nil: this node, or one whose meta is not understood
	why   string
}

// A view is who lives, at one moment. It never changes: a change makes a new
// one and swaps the pointer, so that an owner is found without a lock.
type view struct {
	members []*member // by name
	owners  []*member // those of them that may own keys, failure marks aside
	hash    uint64    // names owners; equal on all nodes that agree
}

func newView(zone string, members map[string]*member) *view {
	v := &view{members: make([]*member, 0, len(members))}
	for _, m := range members {
		v.members = append(v.members, m)
	}
	slices.SortFunc(v.members, func(a, b *member) int { return strings.Compare(a.name, b.name) })
	d := xxhash.New()
	for _, m := range v.members {
		if m.draining || m.zone != zone || m.peer == nil && !m.self {
			continue
		}
		v.owners = append(v.owners, m)
		_, _ = d.WriteString(m.name)
		_, _ = d.Write([]byte{0, byte(m.weight), byte(m.weight >> 8)})
	}
	v.hash = d.Sum64()
	return v
}

// An Owner is one of the nodes that a key belongs to, in order of preference.
type Owner struct {
	Name string
	Self bool
	Peer Peer // how to ask it; nil when it is this node
}

// Owner returns the peer that owns key, or self: then nobody else does, and the
// origin is to be asked. Owners are the members of this node's zone that are
// alive, not draining and not marked as failing. It neither waits nor allocates.
func (c *Cluster) Owner(key string) (owner Peer, self bool) {
	var top [1]*member
	if rank(top[:], pointOf(key), c.view.Load().owners, failing) == 0 || top[0].self {
		return nil, true
	}
	return top[0].peer, false
}

// Owners returns the first n owners of key (at most 8), the one that Owner
// names first. It is empty when nobody may own keys, as on a last node that is
// draining.
func (c *Cluster) Owners(key string, n int) []Owner {
	var top [maxOwners]*member
	n = rank(top[:max(0, min(n, maxOwners))], pointOf(key), c.view.Load().owners, failing)
	owners := make([]Owner, n)
	for i, m := range top[:n] {
		owners[i] = Owner{Name: m.name, Self: m.self}
		if !m.self {
			owners[i].Peer = m.peer
		}
	}
	return owners
}

func failing(m *member) bool { return m.peer != nil && m.peer.health.down() }

// A State is what a member is to this node.
type State string

// The states of members.
const (
	Alive      State = "alive"      // it owns its share of the keys
	Draining   State = "draining"   // it is about to leave and owns nothing
	Failing    State = "failing"    // gossip says it lives, requests failed: it owns nothing for the moment
	OtherZone  State = "other_zone" // it lives in another zone, which has its own owners
	Unroutable State = "unroutable" // its address or its version is not understood
	Lost       State = "lost"       // it was a member and went without leaving; it is looked for
)

var states = [...]State{Alive, Draining, Failing, OtherZone, Unroutable, Lost}

// A Member is one node as /debug/cluster shows it.
type Member struct {
	Name   string  `json:"name"`
	Self   bool    `json:"self,omitempty"`
	State  State   `json:"state"`
	Why    string  `json:"why,omitempty"` // what is wrong with one that is unroutable
	Gossip string  `json:"gossip"`        // address it gossips from
	Peer   string  `json:"peer"`          // address it answers peers on
	Zone   string  `json:"zone,omitempty"`
	Weight int     `json:"weight,omitempty"`
	Share  float64 `json:"share"` // of the keys of this node's zone, from 0 to 1
}

// Members returns all nodes that live and those that are looked for, by name.
func (c *Cluster) Members() []Member {
	v := c.view.Load()
	total := 0
	for _, m := range v.owners {
		if !failing(m) {
			total += m.weight
		}
	}
	list := make([]Member, 0, len(v.members))
	for _, m := range v.members {
		out := m.describe(c.opts.Zone)
		if out.State == Alive && total > 0 {
			out.Share = float64(m.weight) / float64(total)
		}
		list = append(list, out)
	}
	for name, addr := range c.lostPeers() {
		list = append(list, Member{Name: name, State: Lost, Gossip: addr})
	}
	slices.SortStableFunc(list, func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
	return list
}

func (m *member) describe(zone string) Member {
	out := Member{Name: m.name, Self: m.self, State: Alive, Why: m.why, Gossip: m.gossip, Zone: m.zone, Weight: m.weight}
	switch {
	case m.peer != nil:
		out.Peer = m.peer.addr
	case m.self:
		out.Peer = m.meta.peer
	}
	switch {
	case m.peer == nil && !m.self:
		out.State = Unroutable
	case m.draining:
		out.State = Draining
	case m.zone != zone:
		out.State = OtherZone
	case failing(m):
		out.State = Failing
	}
	return out
}

// Alive returns how many nodes gossip says are alive, this one included.
func (c *Cluster) Alive() int { return len(c.view.Load().members) }

// Hash names the set of nodes that may own keys, with their weights. It
// travels with every request to a peer, so that edges notice when they
// disagree about who owns what; nothing is decided by it.
func (c *Cluster) Hash() uint64 { return c.view.Load().hash }
