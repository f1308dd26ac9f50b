package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/internal/web"
)

// A mistake in the configuration is named before anything listens; above all
// a cluster that anybody on the network could join.
func TestOptionsThatCannotWorkAreRefused(t *testing.T) {
	base := Options{Name: "e1", Bind: "127.0.0.1:7946", PeerAddr: ":8091", Dial: noDial}
	good := func(change func(*Options)) {
		t.Helper()
		o := base
		change(&o)
		if _, err := New(o); err != nil {
			t.Errorf("%+v: %v", o, err)
		}
	}
	good(func(o *Options) {})
	good(func(o *Options) { o.Bind = "[::1]:0" })
	good(func(o *Options) { o.Bind = "localhost:7946" })
	good(func(o *Options) { o.Bind, o.Secret = ":7946", secret })
	good(func(o *Options) { o.Bind, o.Secret = "[::]:7946", secret })
	good(func(o *Options) { o.Join = []string{"e1", "e2:7946", "10.0.0.1", "[::1]:7946", "e.example.net:1"} })
	good(func(o *Options) { o.PeerAddr = "0.0.0.0:8091" }) // means :8091

	bad := func(knob string, change func(*Options)) {
		t.Helper()
		o := base
		change(&o)
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), knob) {
			t.Errorf("%+v: error %v does not name %q", o, err, knob)
		}
	}
	bad("secret", func(o *Options) { o.Bind = ":7946" })
	bad("secret", func(o *Options) { o.Bind = "0.0.0.0:7946" })
	bad("secret", func(o *Options) { o.Bind = "10.0.0.1:7946" })
	bad("secret", func(o *Options) { o.Bind = "[::]:7946" })
	bad("secret", func(o *Options) { o.Bind, o.Secret = ":7946", []byte{} })
	bad("secret", func(o *Options) { o.Secret = []byte("fifteen bytes..") })
	bad("bind", func(o *Options) { o.Bind = "" })
	bad("bind", func(o *Options) { o.Bind = "127.0.0.1" })
	bad("bind", func(o *Options) { o.Bind = "e1:7946" })
	bad("bind", func(o *Options) { o.Bind = "127.0.0.1:99999" })
	bad("name", func(o *Options) { o.Name = "" })
	bad("name", func(o *Options) { o.Name = "a;b" })
	bad("name", func(o *Options) { o.Name = strings.Repeat("a", 65) })
	bad("zone", func(o *Options) { o.Zone = "a b" })
	bad("weight", func(o *Options) { o.Weight = -1 })
	bad("weight", func(o *Options) { o.Weight = maxWeight + 1 })
	bad("label", func(o *Options) { o.Label = strings.Repeat("a", 65) })
	bad("peer address", func(o *Options) { o.PeerAddr = "" })
	bad("peer address", func(o *Options) { o.PeerAddr = "8091" })
	bad("join", func(o *Options) { o.Join = []string{":7946"} })
	bad("join", func(o *Options) { o.Join = []string{"http://e1:7946/"} })
	bad("join", func(o *Options) { o.Join = []string{""} })
	bad("Dial", func(o *Options) { o.Dial = nil })
	bad("rejoin", func(o *Options) { o.RejoinEvery = -1 })
}

// A seed is tried at each address its name has, and an address needs no name.
func TestSeedsAreLookedUp(t *testing.T) {
	f := func(seed, want string) {
		t.Helper()
		at, err := resolve(t.Context(), seed, 7946)
		if err != nil || len(at) == 0 || want != "" && at[0] != netip.MustParseAddrPort(want) {
			t.Errorf("%s: %v, %v", seed, at, err)
		}
	}
	f("10.0.0.1", "10.0.0.1:7946")
	f("10.0.0.1:1", "10.0.0.1:1")
	f("[::1]:1", "[::1]:1")
	f("::1", "[::1]:7946")
	f("localhost:1", "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if at, err := resolve(ctx, "name.invalid:1", 7946); err == nil {
		t.Errorf("resolved %v after the end", at)
	}
}

// A cluster of one owns everything, before it runs and without allocating.
func TestClusterOfOneOwnsEverything(t *testing.T) {
	c := newCluster(t, Options{})
	if peer, self := c.Owner("/x"); !self || peer != nil {
		t.Errorf("owner %v, self %v", peer, self)
	}
	if o := c.Owners("/x", 3); len(o) != 1 || !o[0].Self || o[0].Peer != nil || o[0].Name != "e1" {
		t.Errorf("owners %+v", o)
	}
	if m := c.Members(); len(m) != 1 || m[0].Share != 1 || !m[0].Self || m[0].State != Alive {
		t.Errorf("members %+v", m)
	}
	if n := testing.AllocsPerRun(100, func() { c.Owner("/live/news/hd/1.m4s") }); n != 0 {
		t.Errorf("Owner allocates %v times", n)
	}
	if err := c.Leave(time.Second); err != nil {
		t.Error(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := c.Run(t.Context()); err == nil {
		t.Error("runs after Close")
	}
}

// Gossip's own lines reach the log by their weight, and a storm of them does
// not fill a disk.
func TestGossipLogIsLevelledAndThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelInfo}))
		w := &logWriter{log: log}
		for range 50 {
			fmt.Fprintf(w, "[DEBUG] memberlist: chatter\n")
		}
		for range 50 {
			fmt.Fprintf(w, "[WARN] memberlist: something odd\n")
		}
		if s := out.String(); strings.Count(s, `level=INFO msg="gossip: something odd"`) != maxLines || strings.Contains(s, "chatter") {
			t.Errorf("log:\n%s", s)
		}
		out.Reset()
		time.Sleep(linesSpan)
		fmt.Fprintf(w, "[ERR] memberlist: broken\n")
		fmt.Fprintf(w, "no level\n")
		if s := out.String(); !strings.Contains(s, "dropped=30") || !strings.Contains(s, `level=WARN msg="gossip: broken"`) || strings.Contains(s, "no level") {
			t.Errorf("log:\n%s", s)
		}
	})
}

// Over real sockets, on this machine only: two edges meet, ask each other what
// each can prove, and part.
func TestTwoNodesOverSockets(t *testing.T) {
	start := func(name string, join ...string) (*Cluster, chan error) {
		c := newCluster(t, Options{Name: name, Bind: "127.0.0.1:0", PeerAddr: "127.0.0.1:8091", Join: join, Secret: secret, RejoinEvery: 200 * time.Millisecond})
		ended := make(chan error, 1)
		go func() { ended <- c.Run(context.Background()) }()
		select {
		case <-c.Up():
		case err := <-ended:
			t.Fatal(err)
		}
		return c, ended
	}
	wait := func(c *Cluster, alive int) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); c.Alive() != alive; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s sees %d, want %d", c.opts.Name, c.Alive(), alive)
			}
		}
	}
	a, aEnded := start("a")
	if _, err := netip.ParseAddrPort(a.Addr()); err != nil || strings.HasSuffix(a.Addr(), ":0") {
		t.Fatalf("address %q", a.Addr())
	}
	b, bEnded := start("b", a.Addr())
	wait(a, 2)
	wait(b, 2)
	req := ask("/x", "")
	a.Sign(req)
	if err := b.Verify(req); err != nil {
		t.Error(err)
	}
	if err := a.Leave(5 * time.Second); err != nil {
		t.Error(err)
	}
	wait(b, 1)
	for c, ended := range map[*Cluster]chan error{a: aEnded, b: bEnded} {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	// A port that is taken is an error of Run, and names the port.
	c, cEnded := start("c")
	d := newCluster(t, Options{Name: "d", Bind: c.Addr(), Secret: secret})
	if err := d.Run(t.Context()); err == nil || !strings.Contains(err.Error(), c.Addr()) {
		t.Errorf("error %v does not name %s", err, c.Addr())
	}
	if err := errors.Join(d.Close(), c.Close(), <-cEnded); err != nil {
		t.Error(err)
	}
}

// What is asked of a peer goes out under this node's name, and Dial that gives
// nothing is an error, not a panic.
func TestPeerThatCannotBeDialled(t *testing.T) {
	c := newCluster(t, Options{Secret: secret})
	p := &peer{name: "x", addr: "10.0.0.1:1", cluster: c}
	if _, err := p.Serve(t.Context(), ask("/x", "")); web.StatusOf(err) != 502 {
		t.Errorf("error %v", err)
	}
}

// A node that has seen hundreds of others die still looks for its seeds, and
// for some of the dead, but not for all of them at once.
func TestTargetsAreFewAndSeedsFirst(t *testing.T) {
	var seeds []string
	for i := range 20 {
		seeds = append(seeds, fmt.Sprintf("10.1.0.%d:7946", i))
	}
	c := newCluster(t, Options{Join: append(seeds, "10.1.0.0:7946", "127.0.0.1:0")})
	for i := range 2 * maxLost {
		c.lose(&member{name: fmt.Sprint(i), gossip: fmt.Sprintf("10.2.%d.%d:7946", i/256, i%256)})
	}
	if n := len(c.lostPeers()); n != maxLost {
		t.Errorf("%d lost members remembered", n)
	}
	f := func(wantSeeds, wantAll int) {
		t.Helper()
		targets, err := c.targets(t.Context())
		seen, n := map[string]bool{}, 0
		for _, a := range targets {
			if seen[a] {
				t.Errorf("%s twice", a)
			}
			seen[a] = true
			if strings.HasPrefix(a, "10.1.") {
				n++
			}
		}
		if err != nil || n != wantSeeds || len(targets) != wantAll {
			t.Errorf("%d targets, %d of them seeds, want %d and %d; %v", len(targets), n, wantAll, wantSeeds, err)
		}
	}
	f(12, 16)
	c.opts.Join = seeds[:3]
	f(3, 16)
	c.lost = map[string]lostPeer{}
	f(3, 3)
	c.draining.Store(true)
	f(0, 0)
}
