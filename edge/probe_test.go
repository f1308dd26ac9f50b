package edge

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"weir/internal/web"
)

// healthPage is what an origin answers to probes, for now.
type healthPage struct {
	mu     sync.Mutex
	answer func(context.Context, *web.Request) (*web.Response, error)
}

func page(answer func(context.Context, *web.Request) (*web.Response, error)) *healthPage {
	return &healthPage{answer: answer}
}

func (h *healthPage) set(answer func(context.Context, *web.Request) (*web.Response, error)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answer = answer
}

func (h *healthPage) get() func(context.Context, *web.Request) (*web.Response, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.answer
}

// probing is an edge whose origins are probed at /health; what viewers ask is
// answered by media.
func probing(t *testing.T, p Probe, answers ...*healthPage) (*Edge, []*fake, *prometheus.Registry) {
	t.Helper()
	var fakes []*fake
	var origins []web.Handler
	for _, a := range answers {
		o := &fake{}
		o.answer = func(ctx context.Context, req *web.Request) (*web.Response, error) {
			if req.Path == "/health" {
				return a.get()(ctx, req)
			}
			return media(ctx, req)
		}
		fakes, origins = append(fakes, o), append(origins, o)
	}
	reg := prometheus.NewRegistry()
	p.Path = "/health"
	e := newEdge(t, Options{Probe: p, Registerer: reg}, origins...)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- e.RunProbes(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return e, fakes, reg
}

// An origin that is down is found before a viewer has to, and taken up again
// when it has been well for a while: one probe of either kind changes nothing.
func TestProbesFindOriginsDownAndUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := page(answering(200, "ok")), page(answering(200, "ok"))
		e, fakes, reg := probing(t, Probe{Every: 5 * time.Second}, first, second)
		viewers := func(o1 bool, when string) {
			t.Helper()
			before := [2]int{}
			path := "/l/" + when + ".m4s"
			count := func(f *fake) (n int) {
				f.mu.Lock()
				defer f.mu.Unlock()
				for _, req := range f.asked {
					if req.Path == path {
						n++
					}
				}
				return n
			}
			if g := get(t, e, path); g.Status != 200 {
				t.Errorf("%s: %d", when, g.Status)
			}
			before[0], before[1] = count(fakes[0]), count(fakes[1])
			if want := [2]int{btoi(o1), btoi(!o1)}; before != want {
				t.Errorf("%s: asked %v, want %v", when, before, want)
			}
			up := 1 + btoi(o1)
			if n, _ := e.OriginsUp(); n != up {
				t.Errorf("%s: %d up", when, n)
			}
			want := "# HELP weir_edge_origin_up 1 for an origin that is not known to fail, 0 for one that is asked only for want of another.\n# TYPE weir_edge_origin_up gauge\n" +
				"weir_edge_origin_up{origin=\"o1\"} " + string(rune('0'+btoi(o1))) + "\nweir_edge_origin_up{origin=\"o2\"} 1\n"
			if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "weir_edge_origin_up"); err != nil {
				t.Errorf("%s: %v", when, err)
			}
		}
		time.Sleep(time.Second)
		viewers(true, "start")
		first.set(answering(503, "maintenance"))
		time.Sleep(10 * time.Second) // two probes
		viewers(true, "two-failed")
		first.set(answering(200, "ok"))
		time.Sleep(5 * time.Second)
		first.set(answering(503, "maintenance"))
		time.Sleep(10 * time.Second)
		viewers(true, "two-failed-again")
		time.Sleep(5 * time.Second)
		viewers(false, "three-failed")
		first.set(answering(200, "ok"))
		time.Sleep(5 * time.Second)
		viewers(false, "one-well")
		time.Sleep(5 * time.Second)
		viewers(true, "two-well")
	})
}

func TestWhatAProbeTakesForWell(t *testing.T) {
	f := func(p Probe, answer func(context.Context, *web.Request) (*web.Response, error), up int) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			p.Down = 1
			e, fakes, _ := probing(t, p, page(answer), page(answering(p.Status, "")))
			time.Sleep(4 * time.Second)
			if n, _ := e.OriginsUp(); n != up {
				t.Errorf("%d up, want %d", n, up)
			}
			if h := fakes[0].last(); h.Method != "GET" || h.Header.Get("CDN-Loop") != "weir; node=e1" {
				t.Errorf("%+v", h)
			}
		})
	}
	f(Probe{Status: 200}, answering(200, ""), 2)
	f(Probe{Status: 204}, answering(204, ""), 2)
	f(Probe{Status: 404}, answering(404, ""), 2)
	f(Probe{Status: 404}, func(context.Context, *web.Request) (*web.Response, error) { return nil, web.Errorf(404, "no") }, 2)
	f(Probe{Status: 200}, answering(204, ""), 1)
	f(Probe{Status: 200}, answering(301, "", "Location", "/"), 1)
	f(Probe{Status: 200}, unreachable, 1)
	f(Probe{Status: 200}, silent, 1)
	f(Probe{Status: 200}, func(context.Context, *web.Request) (*web.Response, error) {
		return nil, &web.Error{Status: 503, Reason: reasonPool, Err: errors.New("no connection free")}
	}, 2)
}

// All down by their probes is no reason to ask nobody.
func TestOriginsThatAreAllDownAreAskedAllTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sick := page(answering(500, ""))
		e, _, _ := probing(t, Probe{Down: 1}, sick, sick)
		time.Sleep(time.Second)
		if up, all := e.OriginsUp(); up != 0 || all != 2 {
			t.Errorf("%d of %d up", up, all)
		}
		if g := get(t, e, "/l/s.m4s"); g.Status != 200 {
			t.Errorf("%d", g.Status)
		}
	})
}

// A probe that is slow does not delay the others, nor pile up.
func TestProbesAreNeverMoreThanOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int32
		slow := page(func(ctx context.Context, _ *web.Request) (*web.Response, error) {
			most.Store(max(most.Load(), now.Add(1)))
			<-ctx.Done()
			now.Add(-1)
			return nil, context.Cause(ctx)
		})
		e, fakes, _ := probing(t, Probe{Every: 2 * time.Second, Timeout: time.Minute}, slow, page(answering(200, "")))
		time.Sleep(time.Minute)
		if most.Load() != 1 || fakes[1].count() < 14 {
			t.Errorf("%d at a time, the other was probed %d times", most.Load(), fakes[1].count())
		}
		if up, _ := e.OriginsUp(); up != 1 {
			t.Errorf("%d up", up)
		}
	})
}

func TestWithoutAPathNobodyIsProbed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		origin := &fake{answer: media}
		e := newEdge(t, Options{}, origin)
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		defer cancel()
		if err := e.RunProbes(ctx); err != nil || origin.count() != 0 {
			t.Errorf("%v, %d requests", err, origin.count())
		}
	})
}
