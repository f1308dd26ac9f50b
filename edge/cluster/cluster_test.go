package cluster

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// Edges find each other, agree about owners, and one that dies is taken out.
func TestNodesFindEachOtherAndAgree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.end()
		names := []string{"a", "b", "c", "d"}
		for _, n := range names {
			w.start(n, nil)
		}
		t.Logf("whole after %v", w.within(joinTime, all(4, names...)))
		for _, k := range keys(200) {
			want := w.nodes["a"].Owners(k, 4)
			for _, n := range names {
				got := w.nodes[n].Owners(k, 4)
				peer, self := w.nodes[n].Owner(k)
				for i := range want {
					if len(got) != 4 || got[i].Name != want[i].Name || got[i].Self != (got[i].Name == n) || (got[i].Peer == nil) != got[i].Self {
						t.Fatalf("%s: %s says %+v, a says %+v", k, n, got, want)
					}
				}
				if self != (want[0].Name == n) || !self && peer.Name() != want[0].Name || self && peer != nil {
					t.Fatalf("%s: %s says owner %v, self %v; want %s", k, n, peer, self, want[0].Name)
				}
			}
		}
		if w.nodes["a"].Hash() != w.nodes["d"].Hash() {
			t.Error("nodes that agree have different hashes")
		}
		w.nodes["d"].kill()
		t.Logf("death noticed after %v", w.within(30*time.Second, all(3, "a", "b", "c")))
		if !w.nodes["a"].saw(Joined, "d") || !w.nodes["a"].saw(Died, "d") || w.nodes["a"].saw(Left, "d") {
			t.Errorf("events of a: %+v", w.nodes["a"].events)
		}
		if got := testutil.ToFloat64(gauge{w.nodes["a"], Lost}); got != 1 {
			t.Errorf("%v lost members counted", got)
		}
		if err := testutil.GatherAndCompare(w.nodes["a"].reg, strings.NewReader(`
# HELP weir_cluster_members Members as this node sees them, itself included, by state.
# TYPE weir_cluster_members gauge
weir_cluster_members{state="alive"} 3
weir_cluster_members{state="draining"} 0
weir_cluster_members{state="failing"} 0
weir_cluster_members{state="lost"} 1
weir_cluster_members{state="other_zone"} 0
weir_cluster_members{state="unroutable"} 0
`), "weir_cluster_members"); err != nil {
			t.Error(err)
		}
		w.start("d2", func(o *Options) { o.Name = "d" }) // another address, the same name, at once
		time.Sleep(3 * time.Second)
		if w.nodes["a"].Alive() != 3 && w.nodes["a"].Alive() != 4 {
			t.Error("a restarted node upsets the others")
		}
		w.within(time.Minute, all(4, "a", "b", "c", "d2")) // its name is free after 30 s
	})
}

// After a cut that outlasts memberlist's patience (it talks to the dead for
// 30 s) the cluster becomes whole within a few seconds of the network. Without
// our own rejoining it stays two clusters, each with its own owners, for ever.
func TestHealedPartitionBecomesWhole(t *testing.T) {
	names := []string{"a", "b", "c", "d", "e", "f"}
	cut := func(t *testing.T, rejoin time.Duration) *world {
		w := newWorld(t)
		for _, n := range names {
			w.start(n, func(o *Options) { o.RejoinEvery = rejoin })
		}
		w.within(joinTime, all(6, names...))
		w.net.Cut([]string{"a", "b", "c"}, []string{"d", "e", "f"})
		t.Logf("cut noticed after %v", w.within(time.Minute, all(3, names...)))
		time.Sleep(2 * time.Minute)
		w.within(0, all(3, names...))
		if w.nodes["a"].Hash() == w.nodes["f"].Hash() {
			t.Error("the halves agree about the members")
		}
		w.net.Heal()
		return w
	}
	t.Run("with rejoining", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := cut(t, 0)
			defer w.end()
			took := w.within(rejoinTime, all(6, names...))
			t.Logf("whole %v after healing", took)
			if !w.nodes["a"].saw(Died, "d") || len(w.nodes["a"].lostPeers()) != 0 {
				t.Error("what was lost and found is not recorded")
			}
			if testutil.ToFloat64(w.nodes["a"].metrics.notJoined) == 0 {
				t.Error("attempts during the cut are not counted")
			}
		})
	})
	t.Run("without", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := cut(t, 240*time.Hour)
			defer w.end()
			time.Sleep(3 * time.Minute)
			w.within(0, all(3, names...))
		})
	})
}

// A node that is started before its seeds waits for them; that they are not
// there yet is nothing to die of.
func TestSeedsMayComeLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.end()
		first := w.net.Transport("a")                                                          // takes 10.0.0.1, where nobody listens
		w.start("b", func(o *Options) { o.Join = []string{"10.0.0.1:7946", "10.0.0.2:7946"} }) // one is itself
		time.Sleep(time.Minute)
		if _, self := w.nodes["b"].Owner("/x"); !self || w.nodes["b"].Alive() != 1 {
			t.Error("alone, it does not own everything")
		}
		w.start("a", func(o *Options) { o.Join, o.Transport = nil, first })
		w.within(rejoinTime, all(2, "a", "b"))
	})
}

// A node that leaves is out within a second and nobody goes looking for it;
// from its draining on no keys are its own.
func TestLeavingNodeIsNotMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.end()
		for _, n := range []string{"a", "b", "c"} {
			w.start(n, nil)
		}
		w.within(joinTime, all(3, "a", "b", "c"))
		if err := w.nodes["c"].Drain(time.Second); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		w.within(0, all(3, "a", "b", "c"))
		for _, k := range keys(200) {
			for _, n := range []string{"a", "b", "c"} {
				if owners := w.nodes[n].Owners(k, 3); len(owners) != 2 || owners[0].Name == "c" || owners[1].Name == "c" {
					t.Fatalf("%s: %s says %+v", k, n, owners)
				}
			}
		}
		for range 2 {
			if err := w.nodes["c"].Leave(2 * time.Second); err != nil {
				t.Error(err)
			}
		}
		w.within(2*time.Second, all(2, "a", "b"))
		w.nodes["c"].kill()
		if err := w.nodes["c"].Leave(time.Second); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		if !w.nodes["a"].saw(Left, "c") || w.nodes["a"].saw(Died, "c") || len(w.nodes["a"].lostPeers()) != 0 {
			t.Errorf("events of a: %+v", w.nodes["a"].events)
		}
		if _, self := w.nodes["b"].Owner("/x"); self == (mustOwner(w.nodes["a"], "/x") != "b") {
			t.Error("a and b disagree")
		}
	})
}

// A whole cluster that is told to stop stops without an error, at night as in
// the demo: when all leave, nobody has to be told. One that stays has to be.
func TestLeavingTogetherIsNoError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.end()
		for _, n := range []string{"a", "b", "c"} {
			w.start(n, nil)
		}
		w.within(joinTime, all(3, "a", "b", "c"))
		left := make(chan error, 2)
		for _, n := range []string{"a", "b"} {
			go func() { left <- w.nodes[n].Leave(2 * time.Second) }()
		}
		for range 2 {
			if err := <-left; err != nil {
				t.Errorf("somebody stays to hear it: %v", err)
			}
		}
		w.nodes["a"].kill()
		w.nodes["b"].kill()
		if err := w.nodes["c"].Leave(time.Second); err != nil {
			t.Errorf("the last one: %v", err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.end()
		for _, n := range []string{"a", "b"} {
			w.start(n, nil)
		}
		w.within(joinTime, all(2, "a", "b"))
		left := make(chan error, 2)
		for _, n := range []string{"a", "b"} {
			go func() { left <- w.nodes[n].Leave(2 * time.Second) }()
		}
		for range 2 {
			if err := <-left; err != nil {
				t.Errorf("both leave: %v", err)
			}
		}
	})
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.end()
		for _, n := range []string{"a", "b"} {
			w.start(n, nil)
		}
		w.within(joinTime, all(2, "a", "b"))
		w.nodes["b"].kill()
		if err := w.nodes["a"].Leave(100 * time.Millisecond); err == nil {
			t.Error("nobody heard it, and b is not known to leave")
		}
	})
}

// An operator reads in /debug/cluster where the others ask this very node.
func TestMembersShowHowEachIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.end()
		for _, n := range []string{"a", "b"} {
			w.start(n, nil)
		}
		w.within(joinTime, all(2, "a", "b"))
		a, b := w.nodes["a"].Members(), w.nodes["b"].Members()
		for i := range a {
			if a[i].Peer == "" || a[i].Peer != b[i].Peer {
				t.Errorf("%s: a says %q, b says %q", a[i].Name, a[i].Peer, b[i].Peer)
			}
		}
	})
}

// tarpit is a network in which nobody answers and nobody refuses.
type tarpit struct{ Transport }

func (tarpit) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	time.Sleep(timeout)
	return nil, fmt.Errorf("connection to %s timed out", a.Addr)
}

// A node that is told to stop while it looks for many others that do not answer
// stops, and does not first try them all.
func TestStoppingDoesNotWaitForSeeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := w.start("a", func(o *Options) {
			o.Transport = tarpit{o.Transport}
			for i := range 16 {
				o.Join = append(o.Join, fmt.Sprintf("10.1.0.%d:7946", i))
			}
		})
		time.Sleep(time.Second)
		start := time.Now()
		n.kill()
		if took := time.Since(start); took > streamTimeout {
			t.Errorf("it took %v", took)
		}
		w.end()
	})
}
