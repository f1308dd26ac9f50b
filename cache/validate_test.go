package cache

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"weir/internal/web"
)

// conditional answers by the value of a request's field X, with an entity tag of
// its own for each, and 304 to who names a tag that is right. It notes what it
// was asked with.
type conditional struct {
	upstream
	tags  map[string]string // by X
	asked []string          // If-None-Match, each time
}

func (u *conditional) of(query Query) *upstream {
	return &upstream{answer: func(_ int64, prior *Object) (*web.Response, error) {
		u.fills.Add(1)
		x, tags := query.Header.Get("X"), ""
		if prior != nil {
			tags, _ = prior.Conditions()
		}
		u.asked = append(u.asked, tags)
		head := []string{"ETag", u.tags[x], "Cache-Control", "max-age=10", "Vary", "X", "X-At", fmt.Sprint(u.fills.Load())}
		if tags != "" && web.MatchETag(tags, u.tags[x]) {
			return web.NewResponse(304, nil, head...), nil
		}
		return web.NewResponse(200, web.String(u.tags[x]), head...), nil
	}}
}

// Upstream is asked with the tags of all variants that are kept (RFC 9111
// section 4.3.1), and a 304 says which of them is the answer: it costs no body
// where two variants are the same.
func TestCA15AllVariantsAreNamedInTheQuestion(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{})
		u := &conditional{tags: map[string]string{"1": `"a"`, "2": `"b"`, "3": `"a"`, "4": `W/"w"`, "5": `"e"`}}
		f := func(x string, want Outcome, body, asked string) {
			t.Helper()
			n := u.fills.Load()
			query := q("/a", "X", x)
			get(t, c, query, u.of(query), want, body)
			if asked == "-" {
				if u.fills.Load() != n {
					t.Errorf("%s: upstream was asked", x)
				}
				return
			}
			if u.fills.Load() != n+1 || u.asked[n] != asked {
				t.Errorf("%s: upstream was asked with %q, want %q", x, u.asked[n:], asked)
			}
		}
		f("1", Miss, `"a"`, ``)
		time.Sleep(time.Second)
		f("2", Miss, `"b"`, `"a"`)
		time.Sleep(time.Second)
		f("3", Revalidated, `"a"`, `"b", "a"`) // another's body
		f("3", Hit, `"a"`, "-")
		f("4", Miss, `W/"w"`, `"a", "b"`)
		time.Sleep(time.Minute)
		f("4", Revalidated, `W/"w"`, `W/"w", "a", "b"`)
		f("2", Revalidated, `"b"`, `"b", "a"`) // a weak tag tells nothing of other variants
		u.tags["1"] = `"b"`                    // variant 1 became what variant 2 is
		f("1", Revalidated, `"b"`, `"a", "b"`)
		time.Sleep(time.Minute)
		f("5", Miss, `"e"`, `"b", "a"`)
		time.Sleep(time.Minute)
		f("5", Revalidated, `"e"`, `"e", "b", "a"`)
	})
}

// "All the stored responses with one of those same strong validators are
// identified for update" (RFC 9111 section 4.3.4): the twin of what was asked
// about is fresh again too.
func TestCA16A304RenewsAllThatHaveItsStrongTag(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{})
		u := &conditional{tags: map[string]string{"1": `"a"`, "2": `"a"`, "3": `"c"`}}
		ask := func(x string, want Outcome, body string) web.Header {
			t.Helper()
			query := q("/a", "X", x)
			return get(t, c, query, u.of(query), want, body)
		}
		ask("1", Miss, `"a"`)
		ask("2", Revalidated, `"a"`)
		ask("3", Miss, `"c"`)
		time.Sleep(time.Minute)
		ask("1", Revalidated, `"a"`)
		if h := ask("2", Hit, `"a"`); h.Get("X-At") != "4" {
			t.Errorf("the twin has header %v", h)
		}
		ask("3", Revalidated, `"c"`)
		u.wants(t, 5)
		if s := c.Stats(); s.Young.Objects != 3 || s.Held != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// A 304 that says that the answer depends on more than it did until now renews
// its twin no longer: what the twin's request said there is not known.
func TestA304WithANewVaryDropsTheTwin(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{})
		vary := "X"
		u := &upstream{answer: func(_ int64, prior *Object) (*web.Response, error) {
			if prior != nil {
				return web.NewResponse(304, nil, "ETag", `"1"`, "Vary", vary, "Cache-Control", "max-age=9"), nil
			}
			return web.NewResponse(200, web.String("x"), "ETag", `"1"`, "Vary", vary, "Cache-Control", "max-age=9"), nil
		}}
		get(t, c, q("/a", "X", "1", "Y", "1"), u, Miss, "x")
		get(t, c, q("/a", "X", "2", "Y", "1"), u, Revalidated, "x")
		time.Sleep(time.Minute)
		vary = "X, Y"
		get(t, c, q("/a", "X", "1", "Y", "1"), u, Revalidated, "x")
		if _, ok := c.Lookup(q("/a", "X", "2", "Y", "9")); ok {
			t.Error("the twin answers a request that it may not be for")
		}
	})
}

// A 304 about something that is not kept updates nothing, and upstream is asked
// again without a condition (row CA-17).
func TestCA17A304WithAnUnknownStrongTagUpdatesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := func(have, said string, want Outcome, fills int64) {
			t.Helper()
			c := newCache(t, Options{})
			u := &upstream{answer: func(n int64, prior *Object) (*web.Response, error) {
				if prior != nil {
					return web.NewResponse(304, nil, "ETag", said, "Cache-Control", "max-age=1", "X-Test", "new"), nil
				}
				return web.NewResponse(200, web.String("x"), "ETag", have, "Cache-Control", "max-age=1", "X-Test", fmt.Sprint(n)), nil
			}}
			get(t, c, q("/a"), u, Miss, "x")
			time.Sleep(time.Minute)
			h := get(t, c, q("/a"), u, want, "x")
			if (h.Get("X-Test") == "new") != (want == Revalidated) {
				t.Errorf("%s, %s: header %v", have, said, h)
			}
			u.wants(t, fills)
		}
		f(`"1"`, `"1"`, Revalidated, 2)
		f(`"1"`, `"2"`, Miss, 3)
		f(`W/"1"`, `"1"`, Miss, 3) // strong comparison
		f(`"1"`, `W/"1"`, Revalidated, 2)
		f(`W/"1"`, `W/"1"`, Revalidated, 2)
		f(`W/"1"`, `W/"2"`, Miss, 3)
	})
}

// An upstream that gives one strong tag to both codings of an object, against
// RFC 9110 section 8.8.3.3, does not make us send gzip to who cannot read it.
func TestA304NeverCrossesCodings(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{})
		u := &upstream{answer: func(n int64, prior *Object) (*web.Response, error) {
			if prior != nil {
				return web.NewResponse(304, nil, "ETag", `"1"`, "Vary", "Accept-Encoding", "Cache-Control", "max-age=9"), nil
			}
			if n == 1 {
				return web.NewResponse(200, web.String("zipped"), "Content-Encoding", "gzip", "ETag", `"1"`, "Vary", "Accept-Encoding", "Cache-Control", "max-age=9"), nil
			}
			return web.NewResponse(200, web.String("plain"), "ETag", `"1"`, "Vary", "Accept-Encoding", "Cache-Control", "max-age=9"), nil
		}}
		get(t, c, q("/a", "Accept-Encoding", "gzip"), u, Miss, "zipped")
		get(t, c, q("/a", "Accept-Encoding", "identity"), u, Miss, "plain")
		u.wants(t, 3)
		time.Sleep(time.Minute)
		get(t, c, q("/a", "Accept-Encoding", "identity"), u, Revalidated, "plain")
		get(t, c, q("/a", "Accept-Encoding", "gzip"), u, Hit, "zipped")
	})
}

// The list of tags does not grow beyond what servers take, and holds nothing
// that would spoil it.
func TestConditionsAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{})
		u := &conditional{tags: map[string]string{"bad": `no"quotes`}}
		for i := range maxVariants {
			x := fmt.Sprint(i)
			u.tags[x] = `"` + strings.Repeat("t", 100) + x + `"`
			query := q("/a", "X", x)
			get(t, c, query, u.of(query), Miss, u.tags[x])
		}
		if n := len(u.asked[maxVariants-1]); n > maxConditions+100 || n < maxConditions/2 {
			t.Errorf("If-None-Match has %d bytes", n)
		}
		bad := q("/b", "X", "bad")
		get(t, c, bad, u.of(bad), Miss, `no"quotes`)
		query := q("/b", "X", "1")
		get(t, c, query, u.of(query), Miss, u.tags["1"])
		if asked := u.asked[len(u.asked)-1]; asked != "" {
			t.Errorf("asked with %q", asked)
		}
	})
}

// A 304 while the key was invalidated renews nothing for those who come after.
func TestA304OfAnInvalidatedKeyIsNotKept(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{})
		u := revalidating("max-age=5")
		get(t, c, q("/a"), u, Miss, "body")
		time.Sleep(time.Minute)
		done := make(chan struct{})
		go func() { defer close(done); get(t, c, q("/a"), u, Revalidated, "body") }()
		time.Sleep(500 * time.Millisecond)
		c.Invalidate("/a")
		<-done
		if _, ok := c.Lookup(q("/a")); ok {
			t.Error("found after it was invalidated")
		}
		o, how, err := c.Get(context.Background(), q("/a"), u.fill)
		if err != nil || how != Miss {
			t.Fatal(how, err)
		}
		o.Release()
	})
}
