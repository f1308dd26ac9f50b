package edge

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/internal/web"
)

// statusMembers takes Cache-Status apart as RFC 9211 wants it: a list of names
// with parameters, of which each is there once.
func statusMembers(t *testing.T, field string) (names []string, params []map[string]string) {
	t.Helper()
	for member := range strings.SplitSeq(field, ", ") {
		parts := strings.Split(member, "; ")
		p := map[string]string{}
		for _, part := range parts[1:] {
			name, value, valued := strings.Cut(part, "=")
			if !valued {
				value = "?1"
			}
			if _, twice := p[name]; twice {
				t.Errorf("%q says %s twice", field, name)
			}
			p[name] = value
		}
		if (p["hit"] == "?1") == (p["fwd"] != "") {
			t.Errorf("%q: hit and fwd exclude each other, and one of them is owed", field)
		}
		names, params = append(names, parts[0]), append(params, p)
	}
	return names, params
}

func TestCA34CacheStatusSaysWhatHappened(t *testing.T) {
	rowWith(t, Options{QueryAll: true, HonourRequests: true}, func(t *testing.T, e *Edge, o *fo) {
		// want is what must be said, "-name" what must not.
		f := func(req *web.Request, want ...string) got {
			t.Helper()
			g := ask(t, e, req)
			field := flat(g).Joined("Cache-Status")
			names, params := statusMembers(t, field)
			own := params[len(params)-1]
			if names[len(names)-1] != "e1" {
				t.Errorf("%s: the last member of %q is not this edge", req.Path, field)
			}
			for _, w := range want {
				name, value, valued := strings.Cut(w, "=")
				switch v, has := own[strings.TrimPrefix(name, "-")]; {
				case strings.HasPrefix(name, "-") && has, !strings.HasPrefix(name, "-") && (!has || valued && v != value):
					t.Errorf("%s %s: %q, want %q", req.Method, req.Path, field, w)
				}
			}
			return g
		}
		read := func(target string, pairs ...string) *web.Request { return request("GET", target, pairs...) }
		o.has(`"1"`, "x", "Cache-Control", "max-age=10, stale-while-revalidate=5, stale-if-error=60", "Vary", "X")
		f(read("/a"), "fwd=uri-miss", "stored", "ttl=10", "-fwd-status")
		f(read("/a"), "hit", "ttl=10", "-stored")
		f(read("/a", "X", "1"), "fwd=vary-miss", "stored")
		f(read("/a", "If-None-Match", `"1"`), "hit") // a 304 of ours
		f(read("/a", "Range", "bytes=0-0"), "hit")   // and a 206
		f(read("/a", "Cache-Control", "no-cache"), "fwd=request", "fwd-status=304", "stored", "ttl=10")
		f(read("/a", "Cache-Control", "no-store"), "hit")
		f(read("/new", "Cache-Control", "no-store"), "fwd=request", "-stored", "-ttl")
		f(request("POST", "/new"), "fwd=method", "-stored", "-ttl")
		f(request("HEAD", "/head"), "fwd=uri-miss", "-stored")
		f(read("/cond", "If-None-Match", `"1"`), "fwd=uri-miss", "fwd-status=200", "stored") // upstream said 200, the viewer hears 304
		time.Sleep(12500 * time.Millisecond)
		f(read("/a"), "hit", "ttl=-3")
		synctest.Wait()
		f(read("/a"), "hit", "ttl=10")
		time.Sleep(20 * time.Second)
		f(read("/a"), "fwd=stale", "fwd-status=304", "stored", "ttl=10")
		time.Sleep(20 * time.Second)
		o.says(503, "down")
		f(read("/a"), "fwd=stale", "fwd-status=503", "ttl=-10", "-stored")
		f(read("/a"), "hit", "ttl=-10") // remembered: nobody was asked
		time.Sleep(time.Second)
		o.has(`"2"`, "y", "Cache-Control", "max-age=10")
		f(read("/a"), "fwd=stale", "stored", "-fwd-status")
		o.says(200, "x", "Cache-Control", "private")
		f(read("/p"), "fwd=uri-miss", "-stored", "-ttl")
		o.says(200, "x", "Cache-Control", "max-age=0")
		f(read("/z"), "fwd=uri-miss", "-stored")
		o.says(404, "x", "Cache-Control", "max-age=5")
		f(read("/404"), "fwd=uri-miss", "stored", "ttl=5")
		f(read("/404"), "hit")
		o.says(503, "down")
		f(read("/503"), "fwd=uri-miss", "-stored") // it is upstream's answer

		// Members of caches nearer to the origin stay before ours, on hits too.
		o.says(200, "x", "Cache-Control", "max-age=60", "Cache-Status", `"shield (fra)"; hit; ttl=3`, "Cache-Status", "mid; fwd=miss")
		for range 2 {
			g := f(read("/chain"))
			if !strings.HasPrefix(flat(g).Joined("Cache-Status"), `"shield (fra)"; hit; ttl=3, mid; fwd=miss, e1; `) {
				t.Errorf("%q", flat(g).Joined("Cache-Status"))
			}
		}

		// "Caches SHOULD NOT add to locally generated responses" of which nothing came from the store.
		o.dies()
		for _, req := range []*web.Request{read("/gone"), read("/none", "Cache-Control", "only-if-cached"), request("TRACE", "/a"), read("/l", "CDN-Loop", "weir; node=e1")} {
			if g := ask(t, e, req); g.Status < 400 || flat(g).Has("Cache-Status") {
				t.Errorf("%s %s: %d with Cache-Status %q", req.Method, req.Path, g.Status, g.Get("Cache-Status"))
			}
		}
	})
}

func TestCA34MergedRequestsAreCalledCollapsed(t *testing.T) {
	row(t, func(t *testing.T, e *Edge, o *fo) {
		o.answer = func(context.Context, *web.Request) (*web.Response, error) {
			time.Sleep(time.Second)
			return web.NewResponse(200, web.String("x"), "Cache-Control", "max-age=1", "ETag", `"1"`), nil
		}
		for _, want := range []string{"uri-miss", "stale"} {
			collapsed := 0
			for _, g := range crowd(e, 50, func(int) *web.Request { return request("GET", "/a") }) {
				if _, p := statusMembers(t, g.Get("Cache-Status")); p[0]["collapsed"] == "?1" && p[0]["fwd"] == want && p[0]["stored"] == "" {
					collapsed++
				}
			}
			if collapsed != 49 {
				t.Errorf("%s: %d of 50 collapsed", want, collapsed)
			}
			time.Sleep(5 * time.Second)
		}
	})
}

func TestCA35ALoopIsNoticed(t *testing.T) {
	own := loop{"weir", "e1"}
	for field, want := range map[string]bool{
		"":                                       false,
		"weir; node=e1":                          true,
		"weir;node=e1":                           true,
		"WEIR ; NODE=e1":                         true,
		`weir; node="e1"`:                        true,
		"weir; a=b; node=e1; c":                  true,
		"a, b;c=d, weir; node=e1, e":             true,
		"weir; node=e2, weir; node=e1":           true,
		"weir; node=e2":                          false,
		"weir":                                   false,
		"weir; node=e11":                         false,
		"weird; node=e1":                         false,
		"other; node=e1":                         false,
		`a; x="weir; node=e1"`:                   false, // what is quoted names nobody
		`a; x=", weir; node=e1, "`:               false,
		`a; x="\", weir; node=e1, \""`:           false,
		`a; x="\\", weir; node=e1`:               true,
		`a; x="y;z", weir; n="a,b;c"; node=e1`:   true,
		`a; x="never ends, weir; node=e1`:        true, // malformed: better one refusal than a loop
		`a; x="never ends`:                       false,
		",,; ,=, weir; node=e1":                  true,
		"weir; node":                             false,
		";;;":                                    false,
		strings.Repeat("a, ", 500) + own.add(""): true,
	} {
		if got := own.passed(field); got != want {
			t.Errorf("%.60q: %v, want %v", field, got, want)
		}
	}
}

func TestCA35ForwardedRequestsCarryOurId(t *testing.T) {
	row(t, func(t *testing.T, e *Edge, o *fo) {
		o.says(200, "x")
		f := func(want string, lines ...string) {
			t.Helper()
			var pairs []string
			for _, line := range lines {
				pairs = append(pairs, "CDN-Loop", line)
			}
			if g := get(t, e, path(), pairs...); g.Status != 200 || o.last().Header.Joined("CDN-Loop") != want {
				t.Errorf("%q: %d, sent on as %q, want %q", lines, g.Status, o.last().Header.Joined("CDN-Loop"), want)
			}
		}
		f("weir; node=e1")
		f("other, weir; node=e1", "other")
		f("one;a=\"b,c\", two, weir; node=e1", "one;a=\"b,c\"", "two")
		f("weir; node=e2, weir; node=e1", "weir; node=e2")
		f("weir; node=e1", `broken="`) // malformed: it would hide whoever is added behind it
		before := o.count()
		for _, lines := range [][]string{{"weir; node=e1"}, {"a", "weir; node=e1", "b"}, {`broken="`, "weir; node=e1"}} {
			var pairs []string
			for _, line := range lines {
				pairs = append(pairs, "CDN-Loop", line)
			}
			if g := get(t, e, path(), pairs...); g.Status != 508 {
				t.Errorf("%q: %d", lines, g.Status)
			}
		}
		if o.count() != before {
			t.Error("a request that loops went on")
		}
	})
}

// Edges that were given each other as origins find out: at once for what is
// passed on, and where a lie would hurt others who wait, by the time there is.
func TestCA35EdgesInACircleDoNotAskForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var edges [3]*Edge
		asked := 0
		for i := range edges {
			next := web.HandlerFunc(func(ctx context.Context, req *web.Request) (*web.Response, error) {
				asked++
				return edges[(i+1)%len(edges)].Serve(ctx, req)
			})
			edges[i] = newEdge(t, Options{Node: fmt.Sprint("c", i), QueryAll: true}, next)
		}
		for method, want := range map[string]int{"GET": 504, "HEAD": 508, "POST": 508} {
			asked = 0
			start := time.Now()
			if g := ask(t, edges[0], request(method, "/"+method)); g.Status != want || asked > 8 || want == 508 && time.Since(start) > 0 {
				t.Errorf("%s: %d after %d requests and %v", method, g.Status, asked, time.Since(start))
			}
		}
	})
}

func FuzzLoop(f *testing.F) {
	for _, s := range []string{"weir; node=e1", `a; x="weir; node=e1"`, `"\`, ",;=", "weir;node=\"e1\",b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, field string) {
		l := loop{"weir", "e1"}
		l.passed(field)
		if !l.passed(l.add(l.sendable(field))) {
			t.Errorf("after %q we are not found again", field)
		}
		if other := (loop{"weir", "e2"}); !l.passed(other.add(l.add(l.sendable(field)))) {
			t.Errorf("behind %q and another edge we are not found again", field)
		}
	})
}
