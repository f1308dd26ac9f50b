package cluster

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"weir/internal/web"

	"github.com/hashicorp/memberlist"
	"github.com/prometheus/client_golang/prometheus"
)

// Transport is what gossip travels over: sockets by default, a [Network] in
// tests and simulations.
type Transport = memberlist.NodeAwareTransport

// Options say who this node is and where it finds the others.
type Options struct {
	Name      string   // unique in the cluster: 1 to 64 of a-z, A-Z, 0-9, '.', '_', '-'
	Bind      string   // gossip listens here, TCP and UDP: "ip:port", ":port"; port 0 takes a free one
	Advertise string   // where others reach gossip, "host:port"; "": Bind, or a private address of this machine
	PeerAddr  string   // where others reach the peer listener, "host:port"; ":port": at the address gossip comes from
	Join      []string // seeds, "host:port"; names are looked up at each attempt. Empty: this node waits to be joined
	Label     string   // keeps clusters that share a network and a secret apart; at most 64 bytes
	Zone      string   // keys are owned within a zone; "" is one as well
	Weight    int      // share of keys relative to others, 1 to 1000; 0: 10

	// Secret authenticates and encrypts gossip and authenticates requests to
	// peers: at least 16 bytes, the same on all nodes. Without one Bind must
	// be a loopback address.
	Secret []byte

	// Dial makes the Handler that reaches a peer. It is called once for each
	// name and address, when it is first needed, and must not block; what it
	// returns is closed, if it has a Close, a minute after the peer has gone.
	Dial func(name, addr string) web.Handler

	RejoinEvery time.Duration // how often seeds and lost members are looked for, give or take a fifth. 0: 5 s
	Transport   Transport     // nil: sockets on Bind
	OnChange    func(Event)   // told of each change, one at a time, in order; it may take its time
	Log         *slog.Logger  // nil: discard
	Registerer  prometheus.Registerer
}

const (
	defaultWeight = 10
	defaultRejoin = 5 * time.Second
	minSecret     = 16 // bytes
)

// complete puts in defaults and checks what there is.
func (o *Options) complete() error {
	if o.Weight == 0 {
		o.Weight = defaultWeight
	}
	if o.RejoinEvery == 0 {
		o.RejoinEvery = defaultRejoin
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Join = slices.Clone(o.Join)
	if err := checkName(o.Name); err != nil {
		return err
	}
	if err := checkZone(o.Zone); err != nil {
		return err
	}
	if o.Weight < 1 || o.Weight > maxWeight {
		return fmt.Errorf("weight %d: want 1 to %d", o.Weight, maxWeight)
	}
	if len(o.Label) > maxZone {
		return fmt.Errorf("label of %d bytes: at most %d", len(o.Label), maxZone)
	}
	if o.Dial == nil {
		return errors.New("no Dial: peers could not be asked")
	}
	if o.RejoinEvery < 0 {
		return fmt.Errorf("rejoin every %v: negative", o.RejoinEvery)
	}
	host, port, err := net.SplitHostPort(o.PeerAddr)
	if ip, bad := netip.ParseAddr(host); err == nil && bad == nil && ip.IsUnspecified() {
		o.PeerAddr = ":" + port // others put in the address gossip comes from
	}
	if err := checkPeerAddr(o.PeerAddr); err != nil {
		return err
	}
	for _, seed := range o.Join {
		if host, _, err := splitHost(seed, 1); err != nil || host == "" {
			return fmt.Errorf("join %.80q: want host:port", seed)
		}
	}
	return o.checkBind()
}

func (o *Options) checkBind() error {
	if o.Secret != nil && len(o.Secret) < minSecret {
		return fmt.Errorf("secret of %d bytes: at least %d", len(o.Secret), minSecret)
	}
	if o.Transport != nil {
		return nil
	}
	ip, _, err := o.bindAddr()
	if err != nil {
		return err
	}
	if o.Secret == nil && !ip.IsLoopback() {
		return fmt.Errorf("gossip on %q without a secret: anybody could join; set a cluster secret or bind to 127.0.0.1", o.Bind)
	}
	return nil
}

func (o *Options) bindAddr() (netip.Addr, int, error) {
	host, port, err := splitHost(o.Bind, -1)
	switch {
	case err != nil:
		return netip.Addr{}, 0, fmt.Errorf("bind %.80q: want ip:port", o.Bind)
	case host == "":
		return netip.IPv4Unspecified(), port, nil
	case host == "localhost":
		return netip.MustParseAddr("127.0.0.1"), port, nil
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}, 0, fmt.Errorf("bind %.80q: want an IP address of this machine, or nothing, before the port", o.Bind)
	}
	return ip, port, nil
}

// splitHost splits host:port; a missing port is def, unless that is negative.
func splitHost(s string, def int) (host string, port int, err error) {
	host, p, err := net.SplitHostPort(s)
	if err != nil {
		if ip, bad := netip.ParseAddr(s); def < 0 || bad != nil && !only(s, ".-") {
			return "", 0, err
		} else if bad == nil {
			s = ip.String()
		}
		return s, def, nil
	}
	n, err := strconv.ParseUint(p, 10, 16)
	return host, int(n), err
}
