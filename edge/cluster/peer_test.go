package cluster

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/internal/web"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// A request that fails takes the dead peer out at once, seconds before gossip
// does, and its keys go where every other node will look for them too.
func TestFailedPeerLosesItsKeysAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.end()
		var broken error
		dialled := map[string]int{}
		a := w.start("a", func(o *Options) {
			o.Dial = func(name, addr string) web.Handler {
				dialled[name+" "+addr]++
				return web.HandlerFunc(func(ctx context.Context, req *web.Request) (*web.Response, error) {
					if err := w.nodes[name].Verify(req); err != nil {
						t.Errorf("%s refuses: %v", name, err)
					}
					if broken != nil {
						return nil, broken
					}
					return web.Text(200, name), nil
				})
			}
		})
		w.start("b", nil)
		w.start("c", nil)
		w.within(joinTime, all(3, "a", "b", "c"))
		key := ""
		for _, k := range keys(1000) {
			if o := a.Owners(k, 2); o[0].Name == "b" && o[1].Name == "c" {
				key = k
				break
			}
		}
		serve := func(ctx context.Context, want string) error {
			t.Helper()
			peer, self := a.Owner(key)
			if self || peer.Name() != want {
				t.Fatalf("owner %v, want %s", peer, want)
			}
			req := ask(key, "")
			resp, err := peer.Serve(ctx, req)
			if err == nil {
				resp.Close()
			}
			if req.Header.Len() != 0 {
				t.Error("the caller's request was changed")
			}
			return err
		}
		state := func(want State) {
			t.Helper()
			for _, m := range a.Members() {
				if m.Name == "b" && m.State != want {
					t.Errorf("b is %s, want %s", m.State, want)
				}
			}
		}
		if err := serve(t.Context(), "b"); err != nil {
			t.Fatal(err)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		broken = errors.New("the viewer left")
		_ = serve(gone, "b") // is no failure of b
		broken = web.Errorf(404, "not found")
		_ = serve(t.Context(), "b") // neither
		broken = web.Errorf(502, "connection refused")
		_ = serve(t.Context(), "b")
		broken = nil
		state(Failing)
		if err := serve(t.Context(), "c"); err != nil { // b is out, c is next
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		state(Alive)
		broken = web.Errorf(502, "connection refused")
		_ = serve(t.Context(), "b")
		broken = nil
		time.Sleep(time.Second)
		state(Failing) // 2 s the second time
		a.Succeeded("b")
		b, _ := a.Owner(key)
		if err := serve(t.Context(), "b"); err != nil {
			t.Fatal(err)
		}
		a.Failed("b")
		state(Failing)
		if resp, err := b.Serve(t.Context(), ask(key, "")); err != nil { // one that was on its way
			t.Fatal(err)
		} else {
			resp.Close()
		}
		state(Alive)
		a.Failed("b")
		a.Failed("nobody")
		a.Succeeded("nobody")
		a.Failed("a") // this node cannot fail
		state(Failing)
		if got := testutil.ToFloat64(a.metrics.failures); got != 4 {
			t.Errorf("%v failures counted, want 4", got)
		}
		if len(dialled) != 2 || dialled["b 10.0.0.2:8091"] != 1 || dialled["c 10.0.0.3:8091"] != 1 {
			t.Errorf("dialled %v, want each peer once", dialled)
		}
	})
}

// A node whose addresses change closes what it had open, a minute later, when
// nobody can be reading any more.
func TestPeersThatHaveGoneAreClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.end()
		var mu sync.Mutex
		closed := map[string]time.Time{}
		a := w.start("a", func(o *Options) {
			o.Dial = func(name, addr string) web.Handler {
				return &closer{func() { mu.Lock(); closed[addr] = time.Now(); mu.Unlock() }}
			}
		})
		w.start("b", nil)
		w.start("c", nil)
		w.within(joinTime, all(3, "a", "b", "c"))
		for _, o := range a.Owners("/x", 3) {
			if !o.Self {
				if _, err := o.Peer.Serve(t.Context(), ask("/x", "")); err == nil {
					t.Error("the closer answers")
				}
			}
		}
		left := time.Now()
		if err := w.nodes["b"].Leave(2 * time.Second); err != nil {
			t.Error(err)
		}
		w.within(2*time.Second, all(2, "a", "c"))
		time.Sleep(2 * time.Minute)
		mu.Lock()
		defer mu.Unlock()
		if at, ok := closed["10.0.0.2:8091"]; !ok || at.Sub(left) < time.Minute || at.Sub(left) > 75*time.Second || len(closed) != 1 {
			t.Errorf("closed %v after %v", closed, at.Sub(left))
		}
	})
}

type closer struct{ f func() }

func (c *closer) Serve(context.Context, *web.Request) (*web.Response, error) {
	return nil, errors.New("closed")
}
func (c *closer) Close() { c.f() }
