package edge

import (
	"context"
	"strings"
	"testing"
	"time"

	"weir/internal/web"
)

// varies makes the origin answer with what the request said in a field, and
// that it depends on what vary names.
func (o *fo) varies(field string, vary ...string) {
	o.answer = func(_ context.Context, req *web.Request) (*web.Response, error) {
		text := "none"
		if req.Header.Has(field) {
			text = req.Header.Joined(field)
		}
		pairs := []string{"Cache-Control", "max-age=60"}
		for _, line := range vary {
			pairs = append(pairs, "Vary", line)
		}
		return web.NewResponse(200, web.String(text), pairs...), nil
	}
}

func TestCA13VaryMatchesWhatTheRequestSaid(t *testing.T) {
	rowAll(t, func(t *testing.T, e *Edge, o *fo) {
		f := func(n int, want, target string, pairs ...string) {
			t.Helper()
			if g := o.wants(t, e, n, target, pairs...); g.text != want {
				t.Errorf("%s %q: %q, want %q", target, pairs, g.text, want)
			}
		}
		o.varies("X", "X")
		f(1, "1", "/a", "X", "1")
		f(1, "2", "/a", "X", "2") // another value
		f(1, "none", "/a")        // absent is no value
		f(1, "", "/a", "X", "")   // and not an empty one
		f(0, "none", "/a", "Y", "1")
		f(0, "1", "/a", "x", " 1 ")
		o.varies("X", "x, Y", "z")
		f(1, "1", "/b", "X", "1", "Z", "1")
		f(0, "1", "/b", "X", "1", "Z", "1", "W", "1")
		f(1, "1", "/b", "X", "1", "Z", "2")
		f(1, "1", "/b", "X", "1", "Z", "1", "Y", "1")
		o.varies("X", "X")
		f(1, "a,  b", "/c", "X", "a,  b")
		f(0, "a,  b", "/c", "X", "a", "X", "b") // lines of one list
		f(0, "a,  b", "/c", "X", "a , b")
		f(1, "b, a", "/c", "X", "b, a") // order may mean something
		f(1, `"a,b"`, "/c", "X", `"a,b"`)
		f(1, `"a, b"`, "/c", "X", `"a, b"`)
	})
}

func TestCA13VaryNeverMatchesStar(t *testing.T) {
	row(t, func(t *testing.T, e *Edge, o *fo) {
		for _, vary := range [][]string{{"*"}, {"*, x"}, {"x,*"}, {", *"}, {"x", "*"}, {"*", "x"}, {" * "}} {
			o.varies("X", vary...)
			if n := o.times(t, e, 3, path(), "X", "1"); n != 3 {
				t.Errorf("Vary %q: %d origin requests of 3", vary, n)
			}
		}
		o.varies("X", "", " , ")
		if n := o.times(t, e, 3, path()); n != 1 {
			t.Errorf("an empty Vary: %d origin requests", n)
		}
	})
}

// Encodings are told apart as far as they make a difference: there is gzip and
// there is plain, whatever else browsers list.
func TestCA13AcceptEncodingIsNormalised(t *testing.T) {
	row(t, func(t *testing.T, e *Edge, o *fo) {
		o.varies("Accept-Encoding", "Accept-Encoding")
		f := func(n int, want string, encoding ...string) {
			t.Helper()
			var pairs []string
			for _, line := range encoding {
				pairs = append(pairs, "Accept-Encoding", line)
			}
			if g := o.wants(t, e, n, "/p.txt", pairs...); g.text != want {
				t.Errorf("%q: %q", encoding, g.text)
			}
		}
		f(1, "gzip", "gzip, deflate, br")
		f(0, "gzip", "br;q=1.0, gzip;q=0.8, *;q=0.1")
		f(0, "gzip", "deflate", "gzip")
		f(0, "gzip", "*")
		f(1, "identity")
		f(0, "identity", "br")
		f(0, "identity", "gzip;q=0, *")
		f(0, "identity", "identity")
	})
}

func TestCA14VariantsCoexist(t *testing.T) {
	rowAll(t, func(t *testing.T, e *Edge, o *fo) {
		o.varies("Accept-Language", "Accept-Language")
		for i, lang := range []string{"de", "en", "fr", "de", "en", "fr", "de"} {
			n := 0
			if i < 3 {
				n = 1
			}
			if g := o.wants(t, e, n, "/a", "Accept-Language", lang); g.text != lang {
				t.Errorf("%s: %q", lang, g.text)
			}
		}
	})
}

// Many languages ask at once: one request for each, none for each viewer.
func TestCA14ManyVariantsAreFilledApart(t *testing.T) {
	rowAll(t, func(t *testing.T, e *Edge, o *fo) {
		o.varies("Accept-Language", "Accept-Language")
		say := o.answer
		o.answer = func(ctx context.Context, req *web.Request) (*web.Response, error) {
			time.Sleep(time.Second)
			return say(ctx, req)
		}
		const langs = 20
		for round := range 2 {
			before := o.count()
			for i, g := range crowd(e, 1000, func(i int) *web.Request { return request("GET", "/a", "Accept-Language", "l"+decimal(i%langs)) }) {
				if g.text != "l"+decimal(i%langs) {
					t.Fatalf("viewer %d was shown %q", i, g.text)
				}
			}
			// The first round does not know yet what the answer depends on.
			if n := o.count() - before; round == 0 && n > 2*langs || round == 1 && n != 0 {
				t.Errorf("round %d: %d origin requests for %d variants", round, n, langs)
			}
		}
	})
}

func TestCA24AnotherQueryIsAnotherEntry(t *testing.T) {
	rowAll(t, func(t *testing.T, e *Edge, o *fo) {
		o.says(200, "x", "Cache-Control", "max-age=60")
		for _, target := range []string{"/a", "/a?", "/a?b=1", "/a?b=2", "/a?b=1&c=2", "/a?c=2&b=1", "/a?B=1", "/a?b=1&b=1", "/a?b=%31", "/b?b=1"} {
			n := 1
			if target == "/a?" {
				n = 0 // an empty query is none here: the request line tells them apart, the origin seldom does
			}
			o.wants(t, e, n, target)
			o.wants(t, e, 0, target)
			_, query, _ := strings.Cut(target, "?")
			if n == 1 && o.last().Query != query {
				t.Errorf("%s: asked with %q", target, o.last().Query)
			}
		}
		o.wants(t, e, 0, "/a?b=1&CMCD=br%3D1")
		o.wants(t, e, 0, "/a?CMCD=br%3D2&b=1")
		o.wants(t, e, 1, "/a?CMCDx=1&b=1")
	})
}

func TestCA25WhatIsNoDirectiveIsNotInTheKey(t *testing.T) {
	src, sign := signer(t)
	rowWith(t, Options{Tokens: src}, func(t *testing.T, e *Edge, o *fo) {
		o.says(200, "x", "Cache-Control", "max-age=60")
		const one = "_HLS_msn=7&_HLS_part=2&_HLS_skip=YES"
		for i, query := range []string{one, "_HLS_part=2&_HLS_skip=YES&_HLS_msn=7", "_HLS_skip=YES&_HLS_msn=07&_HLS_part=2", one + "&CMCD=bl%3D1", "_HLS_throughput=9&" + one, "utm=1&" + one} {
			n := 0
			if i == 0 {
				n = 1
			}
			o.wants(t, e, n, "/t/"+sign(time.Hour, "/")+"/l/i.m3u8?"+query)
			if o.last().Query != one || strings.Contains(o.last().Path, "/t/") {
				t.Errorf("the origin was asked for %s?%s", o.last().Path, o.last().Query)
			}
		}
	})
}

func TestCA26DirectivesAreInTheKeyOfPlaylists(t *testing.T) {
	row(t, func(t *testing.T, e *Edge, o *fo) {
		o.answer = func(_ context.Context, req *web.Request) (*web.Response, error) {
			return web.NewResponse(200, web.String(req.Query), "Cache-Control", "max-age=60"), nil
		}
		for range 2 {
			for _, query := range []string{"", "_HLS_msn=1", "_HLS_msn=2", "_HLS_msn=2&_HLS_part=0", "_HLS_msn=2&_HLS_part=1", "_HLS_msn=2&_HLS_part=1&_HLS_skip=YES", "_HLS_skip=v2", "_HLS_skip=YES"} {
				if g := get(t, e, "/l/i.m3u8?"+query); g.text != query {
					t.Errorf("%q: %q", query, g.text)
				}
			}
		}
		if n := o.count(); n != 8 {
			t.Errorf("%d origin requests for 8 versions", n)
		}
	})
}
