package cache

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"weir/internal/web"
)

// echo answers with what the request says in one field, and varies by it.
func echo(field string, fills *upstream) func(Query) Fill {
	return func(q Query) Fill {
		return func(ctx context.Context, prior *Object) (*web.Response, error) {
			fills.fills.Add(1)
			time.Sleep(time.Second)
			return web.NewResponse(200, web.String(q.Header.Get(field)), "Cache-Control", "max-age=60", "Vary", field), nil
		}
	}
}

// Viewers whose requests differ where the answer depends on it get their own,
// and each kind costs one request (CA-13, CA-14).
func TestVariantsAreFilledOnceEach(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, u := newCache(t, Options{}), &upstream{}
		fill := echo("X-Lang", u)
		ask := func(i int) (Query, Fill) {
			q := q("/a", "X-Lang", fmt.Sprint("l", i%5))
			return q, fill(q)
		}
		for i, r := range crowd(c, 1000, ask) {
			if r.err != nil || r.how == Pass {
				t.Fatalf("%v, %v", r.how, r.err)
			}
			if got, want := read(t, r.o), fmt.Sprint("l", i%5); got != want {
				t.Fatalf("viewer of %s got %s", want, got)
			}
		}
		u.wants(t, 5)
		for i := range 10 {
			q, fill := ask(i)
			o, how, err := c.Get(context.Background(), q, fill)
			if err != nil || how != Hit || read(t, o) != fmt.Sprint("l", i%5) {
				t.Errorf("variant %d: %v, %v", i, how, err)
			}
		}
		u.wants(t, 5)
		// Absent is a value of its own.
		none := q("/a")
		o, how, _ := c.Get(context.Background(), none, fill(none))
		if how != Miss || read(t, o) != "" {
			t.Errorf("a request without the field: %v", how)
		}
	})
}

// What says the same in other words is the same request: browsers differ in
// how they write Accept-Encoding, and there are only two variants.
func TestRequestsAreNormalisedForVary(t *testing.T) {
	same := func(name string, a, b web.Header, want bool) {
		t.Helper()
		names := []string{strings.ToLower(name)}
		got := string(appendVariant(nil, names, &a)) == string(appendVariant(nil, names, &b))
		if got != want {
			t.Errorf("%v and %v: same is %v", a, b, got)
		}
	}
	h := web.NewHeader
	ae := func(a, b string, want bool) {
		t.Helper()
		same("Accept-Encoding", h("Accept-Encoding", a), h("Accept-Encoding", b), want)
	}
	ae("gzip", "gzip, deflate, br", true)
	ae("gzip", "br;q=1, gzip;q=0.5", true)
	ae("identity", "br", true)
	ae("gzip", "gzip;q=0", false)
	same("Accept-Encoding", h(), h("Accept-Encoding", ""), true)
	same("X", h("X", "a,b"), h("X", " a , b"), true)
	same("X", h("X", "a,b"), h("X", "a", "x", "b"), true)
	same("X", h("X", "a,b"), h("X", "b,a"), false)
	same("X", h("X", "A"), h("X", "a"), false)
	same("Accept-Language", h("Accept-Language", "de-CH,EN;q=0.5"), h("Accept-Language", "DE-ch, en;q=0.5"), true)
	same("Accept-Language", h("Accept-Language", "de,en"), h("Accept-Language", "en,de"), false)
	same("X", h(), h("X", ""), false)
	same("X", h("X", `"a,b"`), h("X", `"a, b"`), false)
	same("X", h(), h(), true)
}

// An upstream that says Vary only now and then never makes a viewer get what
// is for another.
func TestVaryThatComesAndGoes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{})
		answer := func(body string, header ...string) *upstream {
			return says(200, body, append(header, "Cache-Control", "max-age=60")...)
		}
		get(t, c, q("/a", "X", "1"), answer("one", "Vary", "X"), Miss, "one")
		get(t, c, q("/a", "X", "2"), answer("two"), Miss, "two") // no Vary
		get(t, c, q("/a", "X", "1"), nil, Hit, "one")
		get(t, c, q("/a", "X", "2"), nil, Hit, "two")
		get(t, c, q("/a", "X", "3", "Y", "1"), answer("three", "Vary", "Y"), Miss, "three")
		get(t, c, q("/a", "X", "3", "Y", "2"), answer("four"), Miss, "four")
		get(t, c, q("/a", "X", "3", "Y", "1"), nil, Hit, "three")
		if n := c.Stats().Young.Objects; n != 2 {
			t.Errorf("%d objects are kept, want the 2 that can be found", n)
		}
	})
}

// An upstream that names ever new fields does not make keys grow without end.
func TestVaryFieldsAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{})
		for i := range 5 * maxVary {
			u := says(200, "x", "Cache-Control", "max-age=600", "Vary", fmt.Sprint("X-", i))
			get(t, c, q("/a", fmt.Sprint("X-", i), "1"), u, Miss, "x")
			get(t, c, q("/a", fmt.Sprint("X-", i), "1"), nil, Hit, "x")
		}
		if n := len(c.shard(c.hash("/a")).varyOf("/a")); n > maxVary {
			t.Errorf("variants are told apart by %d fields", n)
		}
	})
}

// Whatever stands in a field, the same list written otherwise is the same, and
// an answer's Vary never yields more names than are allowed.
func FuzzVary(f *testing.F) {
	f.Add("gzip, br", "Accept-Encoding, X, *")
	f.Add(` a ,,b`, "x,X, ,y")
	f.Add(`"a, b"`, ",")
	f.Fuzz(func(t *testing.T, value, vary string) {
		h := web.NewHeader("Vary", vary)
		if names, ok := varyNames(&h); ok && len(names) > maxVary {
			t.Errorf("%d names", len(names))
		}
		if strings.Contains(value, `"`) {
			return
		}
		one, many := web.NewHeader("X", value), web.Header{}
		for member := range strings.SplitSeq(value, ",") {
			many.Add("x", "\t"+member+" ")
		}
		a, b := appendVariant(nil, []string{"x"}, &one), appendVariant(nil, []string{"x"}, &many)
		if string(a) != string(b) {
			t.Errorf("%q and %q differ: %q, %q", one, many, a, b)
		}
	})
}

// A viewer that invents values cannot fill the store with variants of one key.
func TestVariantsAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, u := newCache(t, Options{}), &upstream{}
		fill := echo("X", u)
		for i := range 3 * maxVariants {
			q := q("/a", "X", fmt.Sprint(i))
			o, _, err := c.Get(context.Background(), q, fill(q))
			if err != nil {
				t.Fatal(err)
			}
			o.Release()
		}
		time.Sleep(time.Millisecond)
		if n := c.Stats().Young.Objects; n != maxVariants {
			t.Errorf("%d variants are kept, want %d", n, maxVariants)
		}
	})
}

// What tells variants apart takes memory too, and a viewer says how much.
func TestVariantsAreCharged(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{})
		u := says(200, "x", "Cache-Control", "max-age=60", "Vary", "X-Lang")
		long := strings.Repeat("l", 10<<10)
		for i := range 10 {
			get(t, c, q("/a", "X-Lang", fmt.Sprint(long, i)), u, Miss, "x")
		}
		if used := c.budget.used.Load(); used < 10*int64(len(long)) {
			t.Errorf("%d bytes are charged for ten variants with %d bytes of name each", used, len(long))
		}
	})
}

// A request whose field differs, or is not there, never gets another's answer;
// "*" anywhere in the list never matches anything (row CA-13).
func TestCA13VaryNeverMatchesStar(t *testing.T) {
	ask := func(name string, want Outcome, first, second web.Header, vary ...string) {
		t.Helper()
		bubble(t, func(t *testing.T) {
			c := newCache(t, Options{})
			header := []string{"Cache-Control", "max-age=60"}
			for _, v := range vary {
				header = append(header, "Vary", v)
			}
			u := says(200, "x", header...)
			o, _, err := c.Get(context.Background(), Query{Key: "/a", Header: &first}, u.fill)
			if err != nil {
				t.Fatal(err)
			}
			o.Release()
			o, how, err := c.Get(context.Background(), Query{Key: "/a", Header: &second}, u.fill)
			if err != nil || how != want {
				t.Errorf("%s: %v, %v, want %v", name, how, err, want)
			}
			o.Release()
			u.wants(t, map[bool]int64{true: 1, false: 2}[want == Hit])
		})
	}
	h := web.NewHeader
	ask("same", Hit, h("X", "1"), h("X", "1"), "X")
	ask("name in another case", Hit, h("X", "1"), h("x", "1"), "x")
	ask("other", Miss, h("X", "1"), h("X", "2"), "X")
	ask("absent", Miss, h("X", "1"), h(), "X")
	ask("present", Miss, h(), h("X", "1"), "X")
	ask("empty is not absent", Miss, h(), h("X", ""), "X")
	ask("both absent", Hit, h(), h(), "X")
	ask("blanks and lines", Hit, h("X", "a,b"), h("X", "a ", "x", " b"), "X")
	ask("one of two", Miss, h("X", "1", "Y", "1"), h("X", "1", "Y", "2"), "X, Y")
	ask("two lines", Miss, h("X", "1", "Y", "1"), h("X", "1", "Y", "2"), "X", "Y")
	ask("empty members", Hit, h("X", "1"), h("X", "1"), ", X ,,")
	ask("empty", Hit, h("X", "1"), h("X", "2"), "")
	ask("*", Pass, h("X", "1"), h("X", "1"), "*")
	ask("*, x", Pass, h("X", "1"), h("X", "1"), "*, X")
	ask("x, *", Pass, h("X", "1"), h("X", "1"), "X, *")
	ask(", *", Pass, h("X", "1"), h("X", "1"), ", *")
	ask("second line", Pass, h("X", "1"), h("X", "1"), "X", "*")
}

// Two variants live beside each other (row CA-14), and of many the one that
// nobody wanted for the longest time goes first.
func TestCA14TheLeastWantedVariantGoesFirst(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, u := newCache(t, Options{}), &upstream{}
		fill := echo("X", u)
		ask := func(i int) Outcome {
			q := q("/a", "X", fmt.Sprint(i))
			o, how, err := c.Get(context.Background(), q, fill(q))
			if err != nil {
				t.Fatal(err)
			}
			o.Release()
			return how
		}
		c.opts.Judge = func(_ Query, _ *web.Response, may web.Freshness) web.Freshness {
			may.Lifetime = time.Hour
			return may
		}
		for i := range maxVariants {
			if ask(i) != Miss {
				t.Error("found too early")
			}
		}
		time.Sleep(time.Second)
		for i := range maxVariants {
			if i != 17 && ask(i) != Hit {
				t.Errorf("%d is not kept", i)
			}
		}
		ask(maxVariants)
		for i := range maxVariants + 1 {
			if o, ok := c.Lookup(q("/a", "X", fmt.Sprint(i))); ok == (i == 17) {
				t.Errorf("%d: found is %v", i, ok)
			} else if ok {
				o.Release()
			}
		}
	})
}
