package edge

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/internal/spool"
	"weir/internal/web"
)

func TestCA07NoStoreIsNeverStored(t *testing.T) {
	row(t, func(t *testing.T, e *Edge, o *fo) {
		in := web.FormatHTTPDate(time.Now().Add(time.Hour))
		for _, pairs := range [][]string{
			{"Cache-Control", "no-store"}, {"Cache-Control", "No-Store, max-age=60"}, {"Cache-Control", "max-age=60", "Cache-Control", "NO-STORE"},
			{"Cache-Control", "public, s-maxage=60,no-store"}, {"Cache-Control", "no-store", "Expires", in}, {"cache-control", "max-age=60, x=\"y\", no-store"},
			{"Cache-Control", `max-age=60, x="never ends, no-store`},
		} {
			o.says(200, "x", pairs...)
			if n := o.times(t, e, 3, path()); n != 3 {
				t.Errorf("%q: %d origin requests of 3", pairs, n)
			}
		}
		// A cache that understands the status may store in spite of no-store (RFC 9111 section 5.2.2.3).
		o.says(200, "x", "Cache-Control", "must-understand, no-store, max-age=60")
		if n := o.times(t, e, 3, "/u"); n != 1 {
			t.Errorf("must-understand of a status that is understood: %d requests", n)
		}
		o.says(299, "x", "Cache-Control", "must-understand, no-store, max-age=60")
		if n := o.times(t, e, 3, "/v"); n != 3 {
			t.Errorf("must-understand of a status that is not: %d requests", n)
		}
	})
}

func TestCA08PrivateIsNeverStored(t *testing.T) {
	row(t, func(t *testing.T, e *Edge, o *fo) {
		for _, control := range []string{"private", "Private, max-age=60", `private="", max-age=60`, "s-maxage=60, private", `private, private="X-A"`} {
			o.says(200, "x", "Cache-Control", control)
			if n := o.times(t, e, 3, path()); n != 3 {
				t.Errorf("%q: %d origin requests of 3", control, n)
			}
		}
	})
}

// Of a page that is common but for a greeting the greeting is left out.
func TestCA08NamedFieldsAreStoredWithoutThem(t *testing.T) {
	row(t, func(t *testing.T, e *Edge, o *fo) {
		for _, control := range []string{`max-age=60, private="Set-Cookie, X-Name"`, `max-age=60, no-cache="x-name"`, `max-age=60, private=X-Name`} {
			o.says(200, "x", "Cache-Control", control, "X-Name", "Ann", "Set-Cookie", "n=ann", "X-Kept", "1")
			p := path()
			o.wants(t, e, 1, p)
			if g := o.wants(t, e, 0, p); flat(g).Has("X-Name") || flat(g).Has("Set-Cookie") || g.Get("X-Kept") != "1" || g.text != "x" {
				t.Errorf("%q: %v", control, slices.Collect(flat(g).All()))
			}
		}
	})
}

func TestCA12AuthorizationIsSharedOnlyIfTheAnswerSaysSo(t *testing.T) {
	rowAll(t, func(t *testing.T, e *Edge, o *fo) {
		f := func(n int, control string) {
			t.Helper()
			o.answer = func(_ context.Context, req *web.Request) (*web.Response, error) {
				return web.NewResponse(200, web.String("for "+req.Header.Get("Authorization")), "Cache-Control", control), nil
			}
			p := path()
			a := get(t, e, p, "Authorization", "Basic ann")
			if a.text != "for Basic ann" {
				t.Errorf("%q: %q", control, a.text)
			}
			if asked := o.times(t, e, 3, p, "Authorization", "Basic bob"); asked != n {
				t.Errorf("%q: %d origin requests of 3 with another name", control, asked)
			}
			if n == 3 { // and nobody gets what was ann's
				if g := get(t, e, p, "Authorization", "Basic bob"); g.text != "for Basic bob" {
					t.Errorf("%q: %q", control, g.text)
				}
				if g := get(t, e, p); g.text != "for " {
					t.Errorf("%q: without a name %q", control, g.text)
				}
			}
		}
		f(3, "max-age=60")
		f(3, "max-age=60, proxy-revalidate")
		f(3, "")
		f(0, "max-age=60, public")
		f(0, "s-maxage=60")
		f(0, "max-age=60, must-revalidate")
	})
}

// Where the edge itself decides who may have what, nobody's name goes further.
func TestCA12WithTokensNoNameReachesTheOrigin(t *testing.T) {
	src, sign := signer(t)
	rowWith(t, Options{QueryAll: true, Tokens: src}, func(t *testing.T, e *Edge, o *fo) {
		o.says(200, "x", "Cache-Control", "max-age=60")
		o.wants(t, e, 1, "/a", "Authorization", "Bearer "+sign(time.Hour, "/"), "Cookie", "id=ann")
		o.wants(t, e, 0, "/a", "Authorization", "Bearer "+sign(time.Hour, "/"), "Cookie", "id=bob")
		if h := o.last().Header; h.Has("Authorization") || h.Has("Cookie") {
			t.Errorf("the origin was told %v", slices.Collect(h.All()))
		}
	})
}

func TestCA29OnlyListedStatusesAreGuessedAbout(t *testing.T) {
	row(t, func(t *testing.T, e *Edge, o *fo) {
		old := "Last-Modified"
		f := func(status, n int, pairs ...string) {
			t.Helper()
			o.says(status, "x", pairs...)
			p := path()
			asked := 0
			for range 3 {
				asked += o.times(t, e, 1, p)
				pause := 2 * time.Second // past what is remembered of a failure
				if status == 404 {
					pause = 300 * time.Millisecond // such a one is believed for a second
				}
				time.Sleep(pause)
			}
			if asked != n {
				t.Errorf("%d %q: %d origin requests of 3, want %d", status, pairs, asked, n)
			}
		}
		for _, status := range []int{200, 203, 300, 301, 308, 404, 405, 410, 414} {
			f(status, 1, old, ago(time.Hour))
		}
		for _, status := range []int{302, 303, 307, 400, 401, 403, 429, 500, 502, 503, 504} {
			f(status, 3, old, ago(time.Hour))
		}
		for _, status := range []int{302, 307, 400, 403} {
			f(status, 1, "Cache-Control", "max-age=60")
		}
		f(200, 3)
	})
}

// A missing object is not asked for by every viewer, and one that came after
// all is there soon.
func TestCA30NegativeAnswersAreShort(t *testing.T) {
	row(t, func(t *testing.T, e *Edge, o *fo) {
		o.says(404, "no", "Cache-Control", "max-age=2")
		o.wants(t, e, 1, "/l/s9.m4s")
		time.Sleep(1900 * time.Millisecond)
		o.wants(t, e, 0, "/l/s9.m4s")
		time.Sleep(100 * time.Millisecond)
		o.says(200, "x", "Cache-Control", "max-age=60")
		if g := o.wants(t, e, 1, "/l/s9.m4s"); g.Status != 200 {
			t.Errorf("%d", g.Status)
		}
		o.says(404, "no")
		o.wants(t, e, 1, "/l/s8.m4s")
		time.Sleep(6 * time.Second) // a target duration
		o.wants(t, e, 1, "/l/s8.m4s")
		for _, status := range []int{500, 502, 503, 504, 429} {
			for _, control := range []string{"", "max-age=3600", "public, s-maxage=3600, stale-if-error=3600"} {
				o.says(status, "busy", "Cache-Control", control)
				p := path()
				get(t, e, p)
				if n := o.times(t, e, 100, p); n != 0 {
					t.Errorf("%d: %d origin requests in the same moment", status, n)
				}
				time.Sleep(time.Second)
				o.says(200, "x", "Cache-Control", "max-age=60")
				if g := o.wants(t, e, 1, p); g.Status != 200 {
					t.Errorf("%d %q a second after it was over: %d", status, control, g.Status)
				}
			}
		}
		o.dies()
		p := path()
		get(t, e, p)
		if n := o.times(t, e, 100, p); n != 0 {
			t.Errorf("%d origin requests in the moment of an outage", n)
		}
	})
}

func TestCA31TargetedFieldsDecide(t *testing.T) {
	row(t, func(t *testing.T, e *Edge, o *fo) {
		const cdn, own, cc = "CDN-Cache-Control", "Weir-Cache-Control", "Cache-Control"
		in := func(d time.Duration) string { return web.FormatHTTPDate(time.Now().Add(d)) }
		f := func(lives time.Duration, pairs ...string) {
			t.Helper()
			o.says(200, "x", pairs...)
			p := path()
			g := o.wants(t, e, 1, p)
			for i := 0; i < len(pairs); i += 2 {
				if pairs[i+1] != "" && !strings.Contains(flat(g).Joined(pairs[i]), pairs[i+1]) {
					t.Errorf("%s is %q further down, want %q", pairs[i], flat(g).Joined(pairs[i]), pairs[i+1])
				}
			}
			if lives > 0 {
				time.Sleep(lives - 1)
				o.wants(t, e, 0, p)
				time.Sleep(time.Nanosecond)
			}
			o.wants(t, e, 1, p)
			if lives == 0 {
				o.wants(t, e, 1, p)
			}
		}
		f(20*time.Second, cdn, "max-age=20", cc, "max-age=10")
		f(20*time.Second, cdn, "max-age=20", cc, "no-store", "Expires", "0")
		f(20*time.Second, cdn, "max-age=20", cc, "private")
		f(10*time.Second, cdn, "max-age=10", cc, "s-maxage=20", "Expires", in(time.Hour))
		f(20*time.Second, cdn, "s-maxage=20, max-age=5", cc, "max-age=10")
		f(0, cdn, "no-store", cc, "max-age=60")
		f(0, cdn, "private", cc, "max-age=60, public")
		f(0, cdn, "no-cache, max-age=60", cc, "max-age=60")
		f(0, cdn, "max-age=0", cc, "max-age=60")
		f(0, cdn, "public", cc, "max-age=60", "Expires", in(time.Hour)) // valid, and says no lifetime
		for _, void := range []string{"", ",", "max-age=60,", "MAX-AGE=60", "max-age=60.5", `max-age="60"`, "max-age=sixty", "=", "max-age=60;", "max-age=60 no-store",
			"max-age=1234567890123456", "no-store, é", `no-store, a="`} {
			f(10*time.Second, cdn, void, cc, "max-age=10")
		}
		f(10*time.Second, cdn, void(), "Expires", in(10*time.Second), "Date", ago(0))
		f(30*time.Second, own, "max-age=30", cdn, "max-age=20", cc, "max-age=10")
		f(20*time.Second, own, "max-age=30,", cdn, "max-age=20", cc, "max-age=10")
		f(20*time.Second, cdn, "foo", cdn, "max-age=20;bar=1", cc, "max-age=10")
	})
}

func void() string { return "max-age=," }

func TestCA27FieldsOfOneHopAreNeitherStoredNorForwarded(t *testing.T) {
	rowAll(t, func(t *testing.T, e *Edge, o *fo) {
		hop := []string{"Connection", "X-A, x-b, Content-Length", "X-A", "1", "X-B", "2", "Keep-Alive", "timeout=5", "Proxy-Connection", "keep-alive", "Te", "trailers",
			"Trailer", "X-Sum", "Upgrade", "h2c", "Proxy-Authenticate", "Basic", "Proxy-Authorization", "Basic x", "Transfer-Encoding", "identity"}
		o.says(200, "x", append([]string{"Cache-Control", "max-age=60", "X-Kept", "1"}, hop...)...)
		get(t, e, "/a", append([]string{"X-Kept", "1"}, hop...)...)
		asked := o.last().Header
		stored := flat(o.wants(t, e, 0, "/a"))
		for i := 0; i < len(hop); i += 2 {
			if asked.Has(hop[i]) {
				t.Errorf("forwarded: %s", hop[i])
			}
			if stored.Has(hop[i]) {
				t.Errorf("stored: %s", hop[i])
			}
		}
		if asked.Get("X-Kept") != "1" || stored.Get("X-Kept") != "1" {
			t.Errorf("%v %v", asked, stored)
		}
		o.says(201, "x", hop...)
		ask(t, e, request("POST", "/a", append([]string{"X-Kept", "1"}, hop...)...))
		for i := 0; i < len(hop); i += 2 {
			if o.last().Header.Has(hop[i]) {
				t.Errorf("passed on with POST: %s", hop[i])
			}
		}
	})
}

// Half a segment that is taken for a whole one is a hole in everybody's film.
func TestCA28ATruncatedBodyIsNeverAWholeOne(t *testing.T) {
	row(t, func(t *testing.T, e *Edge, o *fo) {
		for _, announced := range []int64{-1, 100} {
			slab := spool.NewSlab(spool.SlabOptions{Poison: true})
			o.answer = func(context.Context, *web.Request) (*web.Response, error) {
				w, b := slab.New(0)
				if announced >= 0 {
					w.SetLen(announced)
				}
				_, _ = w.Write([]byte("half of it"))
				go func() {
					time.Sleep(time.Second)
					w.Abort(nil)
				}()
				return web.NewResponse(200, b, "Cache-Control", "max-age=60"), nil
			}
			p := path()
			if g := get(t, e, p); g.Status != 200 || g.err == nil {
				t.Errorf("announced %d: %d %q, %v: want a cut", announced, g.Status, g.text, g.err)
			}
			time.Sleep(time.Second)
			o.says(200, "all of it", "Cache-Control", "max-age=60")
			if g := o.wants(t, e, 1, p); g.text != "all of it" || g.err != nil {
				t.Errorf("announced %d, afterwards: %q %v", announced, g.text, g.err)
			}
			o.wants(t, e, 0, p)
		}
	})
}

// Interim answers go to whoever's question is under way, and to nobody else.
func TestCA37InterimAnswersAreNeverStored(t *testing.T) {
	row(t, func(t *testing.T, e *Edge, o *fo) {
		o.answer = func(_ context.Context, req *web.Request) (*web.Response, error) {
			h := web.NewHeader("Link", "</a.css>; rel=preload")
			if req.Inform != nil {
				req.Inform(103, &h)
			}
			time.Sleep(time.Second)
			return web.NewResponse(200, web.String("page"), "Cache-Control", "max-age=60"), nil
		}
		var seen []int
		viewer := func() *web.Request {
			req := request("GET", "/p.html")
			req.Inform = func(status int, h *web.Header) {
				if h.Get("Link") == "" {
					t.Error("without its fields")
				}
				seen = append(seen, status)
			}
			return req
		}
		for range 3 {
			if g := ask(t, e, viewer()); g.Status != 200 || g.text != "page" || flat(g).Has("Link") {
				t.Errorf("%d %q", g.Status, g.text)
			}
		}
		if !slices.Equal(seen, []int{103}) || o.count() != 1 {
			t.Errorf("%v after %d origin requests", seen, o.count())
		}
	})
}

// A cookie that the origin sets opens one viewer's session.
func TestCA39SetCookieIsOneViewersOnly(t *testing.T) {
	row(t, func(t *testing.T, e *Edge, o *fo) {
		n := 0
		o.answer = func(context.Context, *web.Request) (*web.Response, error) {
			time.Sleep(time.Second)
			n++
			return web.NewResponse(200, web.String("x"), "Cache-Control", "max-age=60", "Set-Cookie", "session="+decimal(n), "Set-Cookie", "b=2"), nil
		}
		cookies := 0
		for _, g := range crowd(e, 100, func(int) *web.Request { return request("GET", "/a") }) {
			if flat(g).Has("Set-Cookie") {
				cookies++
			}
		}
		if g := get(t, e, "/a"); flat(g).Has("Set-Cookie") {
			t.Error("a hit sets a cookie")
		}
		want := 0
		if e.opts.QueryAll {
			want = 1 // who caused the request
		}
		if cookies != want || o.count() != 1 {
			t.Errorf("%d viewers got the cookie, want %d; %d origin requests", cookies, want, o.count())
		}
	})
}

// A shop that says nothing of its pages must not show one visitor another's.
func TestCookiesAreKeyedLikeAnyRequest(t *testing.T) {
	rowAll(t, func(t *testing.T, e *Edge, o *fo) {
		o.answer = func(_ context.Context, req *web.Request) (*web.Response, error) {
			time.Sleep(time.Second)
			control := "max-age=60"
			if req.Path == "/me" {
				control = ""
			}
			return web.NewResponse(200, web.String("for "+req.Header.Get("Cookie")), "Cache-Control", control, "Last-Modified", ago(time.Hour)), nil
		}
		o.wants(t, e, 1, "/logo", "Cookie", "id=ann")
		o.wants(t, e, 0, "/logo", "Cookie", "id=bob")
		o.wants(t, e, 0, "/logo")
		for i, g := range crowd(e, 5, func(i int) *web.Request { return request("GET", "/me", "Cookie", "id="+decimal(i)) }) {
			if g.text != "for id="+decimal(i) {
				t.Errorf("visitor %d: %q", i, g.text)
			}
		}
	})
	rowWith(t, Options{QueryAll: true, DropCookies: true}, func(t *testing.T, e *Edge, o *fo) {
		o.says(200, "x", "Last-Modified", ago(time.Hour))
		o.wants(t, e, 1, "/me", "Cookie", "id=ann")
		o.wants(t, e, 0, "/me", "Cookie", "id=bob")
		ask(t, e, request("POST", "/me", "Cookie", "id=bob"))
		for _, req := range o.asked {
			if req.Header.Has("Cookie") {
				t.Errorf("%s with a cookie", req.Method)
			}
		}
	})
}
