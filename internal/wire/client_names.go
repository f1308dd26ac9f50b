package wire

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	// addressesFresh is for how long the addresses of a name are taken for its
	// addresses: many connections are made at once, and then none for minutes.
	addressesFresh = 5 * time.Second
	// addressesKept is for how long they are used on where the resolver fails.
	addressesKept = time.Hour
)

// names finds the addresses of one upstream's name.
type names struct {
	lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	log    *slog.Logger
	acc    *clientMetrics

	mu      sync.Mutex
	known   []netip.Addr // guarded by mu; replaced, never changed
	at      time.Time    // guarded by mu; when known was found
	tried   time.Time    // guarded by mu; when the resolver was last asked
	failing bool         // guarded by mu
	turn    int          // guarded by mu
}

// systemLookup asks the system's resolver.
func systemLookup(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

// resolve returns the addresses of host in the order in which to try them. It
// asks the resolver again for each connection, but not twice within moments.
// That a name does not exist is believed; that the resolver cannot tell is not
// the end of an upstream that was reached a moment ago.
func (n *names) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	now := time.Now()
	n.mu.Lock()
	if len(n.known) > 0 && now.Sub(n.tried) < addressesFresh {
		defer n.mu.Unlock()
		return n.inTurn(), nil
	}
	known := len(n.known) > 0
	n.mu.Unlock()
	if known { // a resolver that hangs leaves time to connect to what is known
		if end, ok := ctx.Deadline(); ok {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, end.Sub(now)/2)
			defer cancel()
		}
	}
	found, err := n.lookup(ctx, host)
	if err == nil && len(found) == 0 {
		err = &net.DNSError{Err: "no address", Name: host, IsNotFound: true}
	}
	addrs, news, err := n.learn(found, err, time.Now())
	if news != nil {
		n.log.Warn("the resolver fails: going on with the addresses known", "name", host, "err", news)
	}
	return addrs, err
}

// learn takes in what the resolver said. News is its failure, where it did not
// fail before.
func (n *names) learn(found []netip.Addr, err error, now time.Time) (addrs []netip.Addr, news, _ error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	var dns *net.DNSError
	switch {
	case err == nil:
		n.acc.lookups.WithLabelValues("ok").Inc()
		n.known, n.at, n.tried, n.failing = order(found), now, now, false
		return n.inTurn(), nil, nil
	case errors.As(err, &dns) && dns.IsNotFound:
		n.known = nil
	case len(n.known) > 0 && now.Sub(n.at) < addressesKept:
		n.acc.lookups.WithLabelValues("kept").Inc()
		n.tried = now
		if !n.failing {
			n.failing, news = true, err
		}
		return n.inTurn(), news, nil
	}
	n.acc.lookups.WithLabelValues("failed").Inc()
	return nil, nil, err
}

// order makes the families take turns, beginning with the resolver's first
// (RFC 8305 section 4).
func order(found []netip.Addr) []netip.Addr {
	var same, other []netip.Addr
	for _, a := range found {
		a = a.Unmap()
		switch {
		case slices.Contains(same, a) || slices.Contains(other, a):
		case a.Is4() == found[0].Unmap().Is4():
			same = append(same, a)
		default:
			other = append(other, a)
		}
	}
	out := make([]netip.Addr, 0, len(found))
	for i := range max(len(same), len(other)) {
		if i < len(same) {
			out = append(out, same[i])
		}
		if i < len(other) {
			out = append(out, other[i])
		}
	}
	return out[:min(len(out), maxAddresses)]
}

// inTurn returns the known addresses, beginning with another of the preferred
// family each time, so that connections spread. The caller holds mu.
func (n *names) inTurn() []netip.Addr {
	var firsts []int
	for i, a := range n.known {
		if a.Is4() == n.known[0].Is4() {
			firsts = append(firsts, i)
		}
	}
	at := firsts[n.turn%len(firsts)]
	n.turn++
	return slices.Concat(n.known[at:], n.known[:at])
}
