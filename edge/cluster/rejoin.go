package cluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

const (
	firstJoin   = 250 * time.Millisecond // pause after the first attempt that reached nobody
	lookupTime  = 2 * time.Second        // for the name of one seed
	maxTargets  = 16                     // addresses tried in one round
	joinsAtOnce = 4
	maxLost     = 256            // lost members looked for
	lostFor     = 24 * time.Hour // how long each is looked for
	sayAgain    = time.Minute    // how often it is said that nobody can be reached
)

// A lostPeer is where a member was that went without leaving.
type lostPeer struct {
	gossip string
	since  time.Time
}

// lose remembers where m was. Callers hold c.mu.
func (c *Cluster) lose(m *member) {
	if len(c.lost) >= maxLost {
		for name := range c.lost { // any: that many at once is no single loss
			delete(c.lost, name)
			break
		}
	}
	c.lost[m.name] = lostPeer{gossip: m.gossip, since: time.Now()}
}

// lostPeers returns the gossip addresses of lost members by name.
func (c *Cluster) lostPeers() map[string]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	lost := make(map[string]string, len(c.lost))
	for name, l := range c.lost {
		if time.Since(l.since) > lostFor {
			delete(c.lost, name)
			continue
		}
		lost[name] = l.gossip
	}
	return lost
}

// rejoin looks for seeds and lost members that are not alive, for ever:
// memberlist itself talks to a dead member for 30 s only, so that without this
// a network that was cut for longer would stay two clusters after it healed.
// It is quicker as long as nobody has been found yet.
func (c *Cluster) rejoin(ctx context.Context, ml *memberlist.Memberlist) {
	pause := min(firstJoin, c.opts.RejoinEvery)
	var said time.Time
	for {
		tried, reached, err := c.joinOnce(ctx, ml)
		if tried > 0 && reached == 0 && c.Alive() == 1 && time.Since(said) >= sayAgain && ctx.Err() == nil {
			said = time.Now()
			c.log.Warn("no other member can be reached; trying on", "join", c.opts.Join, "error", err)
		}
		c.sweep()
		if c.Alive() > 1 {
			pause = c.opts.RejoinEvery
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(jitter(pause)):
		}
		pause = min(2*pause, c.opts.RejoinEvery)
	}
}

// jitter returns d give or take a fifth, so that nodes that lost each other at
// one moment do not look for each other at one moment.
func jitter(d time.Duration) time.Duration {
	return d - d/5 + rand.N(2*d/5+1)
}

// joinOnce tries once to reach whoever should be there and is not. The error
// is one of those met, for a log.
func (c *Cluster) joinOnce(ctx context.Context, ml *memberlist.Memberlist) (tried, reached int, err error) {
	targets, err := c.targets(ctx)
	var wg sync.WaitGroup
	var mu sync.Mutex // guards reached and err
	turn := make(chan struct{}, joinsAtOnce)
	for _, addr := range targets {
		turn <- struct{}{}
		if ctx.Err() != nil {
			break // one that does not answer takes streamTimeout, and nobody is to wait for all of them
		}
		wg.Go(func() {
			defer func() { <-turn }()
			n, joinErr := ml.Join([]string{addr})
			mu.Lock()
			defer mu.Unlock()
			if n > 0 {
				reached++
				c.metrics.joined.Inc()
				return
			}
			if one := errors.Unwrap(joinErr); one != nil {
				joinErr = one // out of a list that memberlist writes in several lines
			}
			err = joinErr
			c.metrics.notJoined.Inc()
		})
	}
	wg.Wait()
	return len(targets), reached, err
}

// targets returns the addresses of seeds and lost members, less those from
// which a member that is alive gossips: at most maxTargets, chosen at random,
// but seeds first, so that a crowd of members long dead cannot keep a node from
// the ones that its operator named.
func (c *Cluster) targets(ctx context.Context) ([]string, error) {
	if c.draining.Load() {
		return nil, nil // who is leaving does not look for company
	}
	skip := map[string]bool{}
	for _, m := range c.view.Load().members { // this node is one of them
		skip[m.gossip] = true
	}
	var seeds, lost []string
	var failed error
	_, port, _ := splitHost(c.opts.Bind, -1)
	for _, seed := range c.opts.Join {
		at, err := resolve(ctx, seed, port)
		if err != nil {
			failed = fmt.Errorf("look up seed %s: %w", seed, err)
			c.metrics.notJoined.Inc()
			continue
		}
		for _, a := range at {
			if addr := a.String(); !skip[addr] {
				skip[addr] = true
				seeds = append(seeds, addr)
			}
		}
	}
	for _, addr := range c.lostPeers() {
		if !skip[addr] {
			skip[addr] = true
			lost = append(lost, addr)
		}
	}
	shuffle(seeds)
	shuffle(lost)
	targets := append(seeds[:min(len(seeds), maxTargets-min(len(lost), maxTargets/4))], lost...)
	return targets[:min(len(targets), maxTargets)], failed
}

func shuffle(s []string) { rand.Shuffle(len(s), func(i, j int) { s[i], s[j] = s[j], s[i] }) }

// resolve returns the addresses that "host:port" stands for: one or more.
func resolve(ctx context.Context, hostport string, defaultPort int) ([]netip.AddrPort, error) {
	host, port, err := splitHost(hostport, max(defaultPort, 0))
	if err != nil {
		return nil, err
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.AddrPort{netip.AddrPortFrom(ip, uint16(port))}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	at := make([]netip.AddrPort, len(ips))
	for i, ip := range ips {
		at[i] = netip.AddrPortFrom(ip.Unmap(), uint16(port))
	}
	return at, nil
}
