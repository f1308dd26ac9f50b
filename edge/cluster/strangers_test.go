package cluster

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// Each zone has its own owners, weights set shares, and a node that says
// something nobody understands lives but is not asked.
func TestZonesWeightsAndStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.end()
		w.start("a", func(o *Options) { o.Zone, o.Weight = "fra", 30 })
		w.start("b", func(o *Options) { o.Zone = "fra" })
		w.start("c", func(o *Options) { o.Zone = "ams" })
		w.start("d", func(o *Options) { o.Zone = "fra"; o.PeerAddr = "d.example.net:9000" })
		w.within(joinTime, all(4, "a", "b", "c", "d"))
		got := ""
		for _, m := range w.nodes["b"].Members() {
			got += fmt.Sprintf("%s %s %q %.2f self=%v; ", m.Name, m.State, m.Peer, m.Share, m.Self)
		}
		want := `a alive "10.0.0.1:8091" 0.60 self=false; b alive "10.0.0.2:8091" 0.20 self=true; c other_zone "10.0.0.3:8091" 0.00 self=false; d alive "d.example.net:9000" 0.20 self=false; `
		if got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		for _, k := range keys(300) {
			for _, o := range w.nodes["b"].Owners(k, 8) {
				if o.Name == "c" {
					t.Fatal("another zone's node owns a key")
				}
			}
			if _, self := w.nodes["c"].Owner(k); !self {
				t.Fatal("the only node of a zone does not own a key")
			}
		}
		w.nodes["d"].opts.PeerAddr = "0.0.0.0:1" // a weir with a bug, or of another time
		if err := w.nodes["d"].Drain(time.Second); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		for _, m := range w.nodes["b"].Members() {
			if m.Name == "d" && (m.State != Unroutable || m.Why == "") {
				t.Errorf("%+v", m)
			}
		}
	})
}

// Two nodes of one name would both believe to own the same keys: the second is
// kept out, and every log says so.
func TestDuplicateNameIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.end()
		w.start("a", nil)
		w.start("b", nil)
		w.within(joinTime, all(2, "a", "b"))
		w.start("twin", func(o *Options) { o.Name = "b" })
		time.Sleep(10 * time.Second)
		if !w.nodes["a"].saw(Conflict, "b") || testutil.ToFloat64(w.nodes["a"].metrics.conflicts) == 0 {
			t.Error("the conflict went unseen")
		}
		if w.nodes["a"].Alive() != 2 || w.nodes["a"].Members()[1].Gossip != "10.0.0.2:7946" {
			t.Errorf("%+v", w.nodes["a"].Members())
		}
	})
}

// A node with another secret, or of another cluster, stays outside.
func TestStrangersStayOutside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.end()
		w.start("a", nil)
		w.start("secret", func(o *Options) { o.Secret = []byte("another secret altogether") })
		w.start("none", func(o *Options) { o.Secret = nil })
		w.start("label", func(o *Options) { o.Label = "production" })
		w.start("none and label", func(o *Options) {
			o.Name, o.Secret, o.Label, o.Join = "other", nil, "production", []string{"10.0.0.3:7946"}
		})
		time.Sleep(time.Minute)
		w.within(0, all(1, "a", "secret", "none", "label", "none and label"))
	})
}
