package edge

import (
	"context"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"weir/internal/limit"
	"weir/internal/web"
)

// A gauge is what a test says a node has in use, in percent.
type gauge struct{ percent atomic.Int64 }

func (g *gauge) usage() Usage { return Usage{Requests: g.percent.Load(), MaxRequests: 100} }

func (g *gauge) set(e *Edge, percent int64) {
	g.percent.Store(percent)
	e.measure(time.Now())
}

// flood is a node that sends percent of what it may.
func (g *gauge) flood(e *Edge, percent int64) {
	g.percent.Store(0)
	began := time.Now()
	e.opts.Usage = func() Usage {
		return Usage{Sent: time.Since(began).Milliseconds() * percent, MaxRate: 100_000}
	}
	e.order.last.Sent = 0
	for range 60 {
		time.Sleep(interval)
		e.measure(time.Now())
	}
	e.opts.Usage = g.usage
	e.order.rate = 0
}

func from(addr, target string, pairs ...string) *web.Request {
	req := request("GET", target, pairs...)
	req.Remote = netip.AddrPortFrom(netip.MustParseAddr(addr), 4711)
	return req
}

// While there is too much to do, those who watch go on without noticing, and
// those who come are told to come back: a promise kept is worth more than one made.
func TestRunningSessionsGoOnWhileNewOnesAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gauge
		e := newEdge(t, Options{Usage: g.usage}, &fake{answer: media})
		f := func(addr, target string, want int) {
			t.Helper()
			got := ask(t, e, from(addr, target))
			if got.Status != want {
				t.Errorf("%s from %s: %d %s, want %d", target, addr, got.Status, got.text, want)
			}
			if want != 503 {
				return
			}
			h := flat(got)
			if after, err := strconv.Atoi(h.Get("Retry-After")); err != nil || after < 1 || after > 5 {
				t.Errorf("Retry-After %q", h.Get("Retry-After"))
			}
			if h.Get("Cache-Control") != "no-store" || h.Get("Access-Control-Allow-Origin") != "*" || !strings.HasPrefix(got.text, "overload_") {
				t.Errorf("%v %q", h, got.text)
			}
		}
		const old, young = "192.0.2.1", "192.0.2.2"
		f(old, "/live/news/index.m3u8", 200)
		f(old, "/live/news/hi/index.m3u8", 200)

		g.set(e, 95) // no new sessions, no DVR, no prefetch
		f(old, "/live/news/hi/index.m3u8", 200)
		f(old, "/live/news/lo/index.m3u8", 200) // another rendition of the same
		f(old, "/live/news/hi/seg1.m4s", 200)
		f(young, "/live/news/hi/seg1.m4s", 200)
		f(young, "/live/news/hi/key.bin", 200)
		f(young, "/live/news/index.m3u8", 503)
		f(young, "/live/news/hi/index.m3u8", 503)
		f(old, "/live/sport/index.m3u8", 503) // one more channel is one more session
		f(old, "/live/news/@20261125T201500Z/hi/index.m3u8", 503)
		f(old, "/vod/film/hi/seg1.m4s", 503)
		if e.mayPrefetch() {
			t.Error("prefetch goes on")
		}
		f(young, "/live/news/index.m3u8", 503) // to have been refused is not to have been seen

		g.flood(e, 115)
		f(old, "/live/news/hi/seg1.m4s", 503)
		f(old, "/live/news/hi/index.m3u8", 200)
		g.flood(e, 135)
		f(old, "/live/news/hi/index.m3u8", 503)
		f(old, "/live/news/hi/key.bin", 503)

		for range 4 { // playing, live and those who come are back; DVR is not
			g.set(e, 75)
			time.Sleep(calm + interval)
		}
		g.set(e, 75)
		f(young, "/live/news/index.m3u8", 200)
		f(old, "/live/news/hi/seg1.m4s", 200)
		if testutil.ToFloat64(e.metrics.shed[joining]) != 4 || testutil.ToFloat64(e.metrics.shed[rewinding]) != 2 ||
			testutil.ToFloat64(e.metrics.shed[live]) != 1 || testutil.ToFloat64(e.metrics.shed[playing]) != 2 || testutil.ToFloat64(e.metrics.shed[prefetch]) != 1 {
			t.Error("refusals are not counted by priority")
		}
	})
}

// A session that went away a while ago begins anew; one that went on did not end.
func TestASessionIsRunningForAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gauge
		e := newEdge(t, Options{Usage: g.usage}, &fake{answer: media})
		f := func(want int) {
			t.Helper()
			if got := ask(t, e, from("192.0.2.1", "/live/news/hi/index.m3u8")); got.Status != want {
				t.Errorf("%d, want %d", got.Status, want)
			}
		}
		f(200)
		g.set(e, 95)
		for range 3 {
			time.Sleep(50 * time.Second)
			f(200)
		}
		time.Sleep(sessionWindow + 2*time.Second)
		f(503)
	})
}

// Behind one address many watch, and one viewer moves from network to network:
// where there are tokens they say who is who.
func TestATokenIsASession(t *testing.T) {
	var g gauge
	src, sign := signer(t)
	e := newEdge(t, Options{Usage: g.usage, Tokens: src}, &fake{answer: media})
	a, b := sign(time.Hour, "/live/"), sign(2*time.Hour, "/live/")
	f := func(addr, token string, want int) {
		t.Helper()
		if got := ask(t, e, from(addr, "/t/"+token+"/live/news/index.m3u8")); got.Status != want {
			t.Errorf("%d, want %d", got.Status, want)
		}
	}
	f("192.0.2.1", a, 200)
	g.set(e, 95)
	f("192.0.2.1", b, 503)
	f("198.51.100.7", a, 200)
	f("192.0.2.1", "x"+a, 403) // a token that is none is no session, and no new one either
}

// Run looks four times a second, and ends with its context.
func TestRunMeasures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gauge
		e := newEdge(t, Options{Usage: g.usage}, &fake{answer: media})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- e.Run(ctx) }()
		g.percent.Store(95)
		time.Sleep(2 * interval)
		synctest.Wait()
		if o := e.Overload(); o.Level != 3 || strings.Join(o.Refused, " ") != "joining rewinding prefetch" || o.Usage.Requests != 95 {
			t.Errorf("%+v", o)
		}
		if r := testutil.ToFloat64(e.metrics.loads[0]); r != 0.95 {
			t.Errorf("load %v", r)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestChannelOf(t *testing.T) {
	f := func(path, want string) {
		t.Helper()
		if got := channelOf(path); got != want {
			t.Errorf("%s belongs to %q, want %q", path, got, want)
		}
	}
	f("/live/news/index.m3u8", "/live/news")
	f("/live/news/hi/index.m3u8", "/live/news")
	f("/live/news/hi/a/b.m3u8", "/live/news")
	f("/hls/news.m3u8", "/hls")
	f("/news.m3u8", "")
}

// One client that asks without end is told when to come back; its neighbours and
// its own other requests later are served.
func TestRateOfAnAddressIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := &fake{answer: media}
		e := newEdge(t, Options{Clients: limit.New(limit.Rules{Address: limit.Rate{PerSecond: 2, Burst: 5}})}, up)
		statuses := map[int]int{}
		for i := range 20 {
			got := ask(t, e, from("192.0.2.1", "/live/news/hi/seg"+strconv.Itoa(i)+".m4s"))
			statuses[got.Status]++
			if got.Status == 429 {
				if h := flat(got); h.Get("Retry-After") != "1" || h.Get("Access-Control-Allow-Origin") != "*" || h.Get("Cache-Control") != "no-store" {
					t.Errorf("%v", h)
				}
			}
		}
		if statuses[200] != 5 || statuses[429] != 15 || up.count() != 5 {
			t.Errorf("%v, upstream asked %d times", statuses, up.count())
		}
		if got := ask(t, e, from("192.0.2.2", "/live/news/hi/seg0.m4s")); got.Status != 200 {
			t.Errorf("a neighbour gets %d", got.Status)
		}
		time.Sleep(time.Second)
		if got := ask(t, e, from("192.0.2.1", "/live/news/hi/seg0.m4s")); got.Status != 200 {
			t.Errorf("%d after a second", got.Status)
		}
		if n := testutil.ToFloat64(e.metrics.refused.WithLabelValues(reasonAddressRate)); n != 15 {
			t.Errorf("%v refusals counted", n)
		}
	})
}

// A request that TryServe hands on to Serve is one request.
func TestARequestCountsOnce(t *testing.T) {
	e := newEdge(t, Options{Clients: limit.New(limit.Rules{Address: limit.Rate{PerSecond: 0.001, Burst: 4}})}, &fake{answer: media})
	served := 0
	for range 10 {
		req := from("192.0.2.1", "/live/news/hi/seg1.m4s")
		resp, ok := e.TryServe(req)
		if !ok {
			var err error
			if resp, err = e.Serve(context.Background(), req); err != nil {
				t.Fatal(err)
			}
		}
		if read(resp).Status == 200 {
			served++
		}
	}
	if served != 4 {
		t.Errorf("%d served of a burst of 4", served)
	}
}

// A token that a whole forum shares is limited wherever it is used from; one
// that nobody signed is never counted against the one it names.
func TestRateOfATokenIsLimited(t *testing.T) {
	src, sign := signer(t)
	e := newEdge(t, Options{Tokens: src, Clients: limit.New(limit.Rules{Token: limit.Rate{PerSecond: 0.001, Burst: 3}})}, &fake{answer: media})
	a, b := sign(time.Hour, "/live/"), sign(2*time.Hour, "/live/")
	f := func(i int, token string, want int) {
		t.Helper()
		if got := ask(t, e, from("192.0.2."+strconv.Itoa(i), "/t/"+token+"/live/news/hi/seg1.m4s")); got.Status != want {
			t.Errorf("%d: %s, want %d", got.Status, got.text, want)
		}
	}
	forged := a[:strings.LastIndexByte(a, '.')+1] + "AAAA"
	for i := range 10 {
		f(i, forged, 403)
	}
	for i := range 3 {
		f(i, a, 200)
	}
	f(4, a, 429)
	f(4, b, 200)
}

// Guessing tokens is limited like anything else.
func TestRefusedTokensCountForTheirAddress(t *testing.T) {
	src, _ := signer(t)
	e := newEdge(t, Options{Tokens: src, Clients: limit.New(limit.Rules{Address: limit.Rate{PerSecond: 0.001, Burst: 3}})}, &fake{answer: media})
	for i := range 5 {
		want := 403
		if i >= 3 {
			want = 429
		}
		if got := ask(t, e, from("192.0.2.1", "/t/a.b.c"+strconv.Itoa(i)+"/live/news/hi/seg1.m4s")); got.Status != want {
			t.Errorf("attempt %d: %d, want %d", i, got.Status, want)
		}
	}
}

// Behind a load balancer the viewers are told apart by what it says, and by
// nobody else's word.
func TestRatesSeeThroughTrustedProxies(t *testing.T) {
	e := newEdge(t, Options{Clients: limit.New(limit.Rules{Address: limit.Rate{PerSecond: 0.001, Burst: 2},
		Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})}, &fake{answer: media})
	f := func(peer, says string, want int) {
		t.Helper()
		if got := ask(t, e, from(peer, "/live/news/hi/seg1.m4s", "X-Forwarded-For", says)); got.Status != want {
			t.Errorf("%s says %s: %d, want %d", peer, says, got.Status, want)
		}
	}
	f("10.0.0.1", "192.0.2.1", 200)
	f("10.0.0.2", "192.0.2.1", 200)
	f("10.0.0.1", "192.0.2.1", 429)
	f("10.0.0.1", "192.0.2.2", 200)
	for i := range 5 { // who is no proxy invents a new address each time
		want := 200
		if i >= 2 {
			want = 429
		}
		f("203.0.113.5", "198.51.100."+strconv.Itoa(i), want)
	}
}

// A segment demands what its rendition needs, and nothing else does.
func TestSegmentsDemandTheRateOfTheirRendition(t *testing.T) {
	e := newEdge(t, Options{MinRate: func(path string) int64 { return int64(len(path)) }}, &fake{answer: media})
	f := func(target string, want int64) {
		t.Helper()
		for range 2 { // from upstream, and from the cache
			if got := get(t, e, target); got.MinRate != want {
				t.Errorf("%s demands %d, want %d", target, got.MinRate, want)
			}
		}
	}
	f("/live/news/hi/seg1.m4s", 22)
	f("/live/news/hi/index.m3u8", 0)
}

// BenchmarkEnter is what admission adds to a hit.
func BenchmarkEnter(b *testing.B) {
	var g gauge
	many := limit.Rate{PerSecond: 1e9, Burst: 1 << 20}
	for _, c := range []struct {
		name, path string
		o          Options
	}{
		{"nothing/segment", "/live/news/hi/seg1.m4s", Options{}},
		{"order/segment", "/live/news/hi/seg1.m4s", Options{Usage: g.usage}},
		{"order/playlist", "/live/news/hi/index.m3u8", Options{Usage: g.usage}},
		{"order+rates/segment", "/live/news/hi/seg1.m4s", Options{Usage: g.usage, Clients: limit.New(limit.Rules{Address: many, Token: many})}},
	} {
		b.Run(c.name, func(b *testing.B) {
			src, sign := signer(b)
			c.o.Tokens = src
			e := newEdge(b, c.o, &fake{answer: media})
			req := request("GET", "/t/"+sign(time.Hour, "/live/news/")+c.path)
			q, err := e.question(req)
			if err != nil {
				b.Fatal(err)
			}
			b.Run("admit", func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := e.admit(&q); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run("enter", func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := e.enter(req, &q); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}
