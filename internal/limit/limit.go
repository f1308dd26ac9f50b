// Package limit is how much one client may ask of a node.
//
// It promises that what it remembers of clients has a size that no number of
// clients changes: its tables are as large on the first day as under ten
// million invented addresses, and what they forget first is whoever asked
// least. It has no clock, no goroutine and no network; time is handed in.
package limit

import (
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"weir/internal/web"
)

// Rules are what each client may do. The zero value allows everything.
type Rules struct {
	Connections int  // open at once from one address; 0: any number
	Address     Rate // requests from one address
	Token       Rate // requests with one token

	// Exempt are addresses that no rule holds for: those behind which many
	// people sit (carriers' NAT, CDNs), and one's own.
	Exempt []netip.Prefix

	// Proxies are load balancers and CDNs that say in the field Forwarded for
	// whom they ask ("X-Forwarded-For", the default, or "Forwarded" of RFC
	// 7239). The field of anybody else is nobody's word, and not read. They
	// may open any number of connections.
	Proxies   []netip.Prefix
	Forwarded string
}

// Clients holds the clients of a node to Rules, which can change while it is in
// use; what is known of the clients stays. All its methods may be called at once.
type Clients struct {
	rules     atomic.Pointer[Rules]
	addresses rates
	tokens    rates
	open      connections
}

// tracked is how many addresses, and how many tokens, a rate is kept of: 4 MiB
// for each of the two, once a rate is set.
const tracked = 1 << 18

// New returns Clients under rules.
func New(rules Rules) *Clients {
	c := &Clients{}
	c.addresses.size, c.tokens.size = tracked, tracked
	c.Store(rules)
	return c
}

// Store puts rules in the place of those in force.
func (c *Clients) Store(rules Rules) {
	rules.Exempt, rules.Proxies = slices.Clone(rules.Exempt), slices.Clone(rules.Proxies)
	c.rules.Store(&rules)
}

// Enter counts a connection from a, unless as many as may be are open: then it
// returns false, and nothing is counted. Each that was counted must Leave.
func (c *Clients) Enter(a netip.Addr) bool {
	r := c.rules.Load()
	most := r.Connections
	if most > 0 && (holds(r.Exempt, a) || holds(r.Proxies, a)) {
		most = 0
	}
	return c.open.enter(Of(a), most)
}

// Leave takes back an Enter that returned true.
func (c *Clients) Leave(a netip.Addr) { c.open.leave(Of(a)) }

// Addresses returns from how many addresses connections are open.
func (c *Clients) Addresses() int { return c.open.addresses() }

// Who returns the address of the client behind a request that came from remote
// with the header h.
func (c *Clients) Who(remote netip.Addr, h *web.Header) netip.Addr {
	r := c.rules.Load()
	if len(r.Proxies) == 0 || !holds(r.Proxies, remote) {
		return remote
	}
	return r.behind(remote, h)
}

// Request takes one request of the client at the address a, which Who returned.
// It returns 0, or when the client may ask again: then nothing was taken.
func (c *Clients) Request(a netip.Addr, now time.Time) time.Duration {
	r := c.rules.Load()
	// Whoever a proxy does not tell apart is not limited: that would be all of
	// its clients at once.
	if r.Address.off() || holds(r.Exempt, a) || holds(r.Proxies, a) {
		return 0
	}
	t := c.addresses.of(now)
	return t.take(t.address(Of(a)), r.Address, now)
}

// Token is Request for the token called id, of whose signature the caller is sure.
func (c *Clients) Token(id string, a netip.Addr, now time.Time) time.Duration {
	r := c.rules.Load()
	if r.Token.off() || holds(r.Exempt, a) {
		return 0
	}
	t := c.tokens.of(now)
	return t.take(t.text(id), r.Token, now)
}

// LimitsAddresses reports whether Request can say no.
func (c *Clients) LimitsAddresses() bool { return c != nil && !c.rules.Load().Address.off() }

// LimitsTokens reports whether Token can say no.
func (c *Clients) LimitsTokens() bool { return c != nil && !c.rules.Load().Token.off() }

// Of returns the address that a client is counted under. One IPv6 client has as
// many addresses as it likes in its /64 (RFC 8981, RFC 6177), so that they are one.
func Of(a netip.Addr) netip.Addr {
	if a = a.Unmap(); a.Is6() {
		if p, err := a.WithZone("").Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}

func holds(prefixes []netip.Prefix, a netip.Addr) bool {
	if len(prefixes) == 0 {
		return false
	}
	a = a.Unmap().WithZone("")
	for _, p := range prefixes {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
