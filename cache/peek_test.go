package cache

import (
	"testing"
	"time"

	"weir/internal/web"
)

func TestPeekSeesWhatIsKeptOfAnyAge(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{})
		u := says(200, "x", "Cache-Control", "max-age=10, stale-while-revalidate=5", "Vary", "X", "ETag", `"1"`)
		if o, others := c.Peek(q("/a")); o != nil || others {
			t.Error("something is kept before anybody asked")
		}
		get(t, c, q("/a", "X", "1"), u, Miss, "x")
		if o, others := c.Peek(q("/a", "X", "2")); o != nil || !others {
			t.Errorf("another variant: %v %v", o, others)
		}
		f := func(fresh, behind, stored bool) {
			t.Helper()
			o, _ := c.Peek(q("/a", "X", "1"))
			if o == nil {
				t.Fatal("nothing")
			}
			now := time.Now()
			if o.Fresh(now) != fresh || o.StaleWhileRevalidate(now) != behind || o.Stored(now) != stored {
				t.Errorf("after %v: %v %v %v", o.Age(now), o.Fresh(now), o.StaleWhileRevalidate(now), o.Stored(now))
			}
			if got := read(t, o); got != "x" {
				t.Errorf("%q", got)
			}
		}
		f(true, true, true)
		time.Sleep(11 * time.Second)
		f(false, true, true)
		time.Sleep(5 * time.Second)
		f(false, false, true)
		u.wants(t, 1)
	})
}

// A viewer reloads and the operator lets him: all who do so at the same time
// are one question to upstream, with a condition.
func TestValidateAsksUpstreamAboutWhatIsFresh(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{})
		u := &upstream{delay: time.Second, answer: func(n int64, prior *Object) (*web.Response, error) {
			if n > 1 && prior != nil && prior.ETag() == `"1"` {
				return web.NewResponse(304, nil, "ETag", `"1"`, "Cache-Control", "max-age=60"), nil
			}
			return web.NewResponse(200, web.String("x"), "ETag", `"1"`, "Cache-Control", "max-age=60"), nil
		}}
		get(t, c, q("/a"), u, Miss, "x")
		v := q("/a")
		v.Validate = true
		all := crowd(c, 10, func(int) (Query, Fill) { return v, u.fill })
		for _, r := range all {
			r.o.Release()
		}
		n := tally(all)
		if n[Revalidated] != 1 || n[Joined] != 9 {
			t.Errorf("%v", n)
		}
		u.wants(t, 2)
		get(t, c, q("/a"), u, Hit, "x")
	})
}

// Two people who are logged in ask for their page at the same moment.
func TestAnAnswerToACookieThatSaysNothingIsNotShared(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{})
		fill := func(who string, n *upstream) Fill {
			n.delay = time.Second
			n.answer = func(int64, *Object) (*web.Response, error) {
				return web.NewResponse(200, web.String("page of "+who), "Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT"), nil
			}
			return n.fill
		}
		var a, b upstream
		all := crowd(c, 2, func(i int) (Query, Fill) {
			if i == 0 {
				return q("/me", "Cookie", "s=a"), fill("a", &a)
			}
			return q("/me", "Cookie", "s=b"), fill("b", &b)
		})
		for i, want := range []string{"page of a", "page of b"} {
			if all[i].err != nil {
				t.Fatal(all[i].err)
			}
			if got := read(t, all[i].o); got != want {
				t.Errorf("%d: %q", i, got)
			}
		}
	})
}
