package cache

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"weir/internal/spool"
	"weir/internal/web"
)

// newCache returns a cache over a slab that poisons what comes back. At the end
// of the test, when every reader is gone, no byte may be left.
func newCache(t testing.TB, o Options) *Cache {
	t.Helper()
	if o.Slab == nil {
		o.Slab = spool.NewSlab(spool.SlabOptions{Poison: true})
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		if n := c.budget.used.Load(); n != 0 {
			t.Errorf("%d bytes are still charged after the end", n)
		}
		if n := o.Slab.InUse(); n != 0 {
			t.Errorf("%d bytes of the slab are still in use after the end", n)
		}
		if n := c.waiters.Load(); n != 0 {
			t.Errorf("%d waiters are left", n)
		}
	})
	return c
}

// bubble runs f under a fake clock.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

// upstream answers fills and counts them.
type upstream struct {
	fills  atomic.Int64
	delay  time.Duration
	answer func(n int64, prior *Object) (*web.Response, error) // n: the fill's number, from 1
}

func (u *upstream) fill(ctx context.Context, prior *Object) (*web.Response, error) {
	if u == nil {
		panic("upstream was asked")
	}
	n := u.fills.Add(1)
	if u.delay > 0 {
		select {
		case <-time.After(u.delay):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	return u.answer(n, prior)
}

// says returns an upstream that always gives the same answer after a second.
func says(status int, body string, header ...string) *upstream {
	return &upstream{delay: time.Second, answer: func(int64, *Object) (*web.Response, error) {
		return web.NewResponse(status, web.String(body), header...), nil
	}}
}

func q(key string, header ...string) Query {
	h := web.NewHeader(header...)
	return Query{Key: key, Header: &h, Class: Segment}
}

// read returns all of an object's body, and releases the object.
func read(t testing.TB, o *Object) string {
	t.Helper()
	resp := o.Response(time.Now())
	o.Release()
	defer resp.Close()
	p, err := web.ReadAll(context.Background(), resp.Body, 1<<30)
	if err != nil {
		t.Errorf("read body: %v", err)
	}
	return string(p)
}

// get asks, expects an outcome and a body, and returns the response's header.
func get(t testing.TB, c *Cache, q Query, u *upstream, want Outcome, body string) web.Header {
	t.Helper()
	o, how, err := c.Get(context.Background(), q, u.fill)
	if err != nil {
		t.Fatalf("get %s: %v", q.Key, err)
	}
	if how != want {
		t.Errorf("get %s: outcome %v, want %v", q.Key, how, want)
	}
	resp := o.Response(time.Now())
	defer resp.Close()
	h := resp.Flatten()
	o.Release()
	p, err := web.ReadAll(context.Background(), resp.Body, 1<<30)
	if err != nil || string(p) != body {
		t.Errorf("get %s: body %q, %v; want %q", q.Key, p, err, body)
	}
	return h
}

func (u *upstream) wants(t testing.TB, n int64) {
	t.Helper()
	if got := u.fills.Load(); got != n {
		t.Errorf("upstream saw %d requests, want %d", got, n)
	}
}

// result is what one asker got.
type result struct {
	o   *Object
	how Outcome
	err error
}

// crowd has n ask at once and returns what each got, in order.
func crowd(c *Cache, n int, ask func(i int) (Query, Fill)) []result {
	var wg sync.WaitGroup
	all := make([]result, n)
	for i := range n {
		wg.Go(func() {
			q, fill := ask(i)
			o, how, err := c.Get(context.Background(), q, fill)
			all[i] = result{o, how, err}
		})
	}
	wg.Wait()
	return all
}

func tally(all []result) map[Outcome]int {
	n := map[Outcome]int{}
	for _, r := range all {
		n[r.how]++
	}
	return n
}

// Ten thousand viewers want the segment that was published a moment ago: the
// origin is asked once, and all of them play.
func TestCO01TenThousandAskAndUpstreamIsAskedOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{})
		u := says(200, "segment", "Cache-Control", "max-age=60")
		all := crowd(c, 10_000, func(int) (Query, Fill) { return q("/seg"), u.fill })
		for _, r := range all {
			if r.err != nil {
				t.Fatal(r.err)
			}
			if got := read(t, r.o); got != "segment" {
				t.Fatalf("got %q", got)
			}
		}
		u.wants(t, 1)
		if n := tally(all); n[Miss] != 1 || n[Joined] != 9_999 {
			t.Errorf("outcomes %v, want one miss and 9999 joined", n)
		}
		get(t, c, q("/seg"), u, Hit, "segment")
		u.wants(t, 1)
		for how, want := range map[Outcome]float64{Miss: 1, Joined: 9_999, Hit: 1} {
			if got := testutil.ToFloat64(c.metrics.requests[Segment][how]); got != want {
				t.Errorf("weir_cache_requests_total{segment,%v} is %v, want %v", how, got, want)
			}
		}
	})
}

// What is fresh is answered without asking, and what is not fresh is not
// (CA-01, CA-02): a viewer never sees an answer past its lifetime.
func TestCA01FreshIsReusedAndCA02ExpiredIsNot(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{})
		u := says(200, "x", "Cache-Control", "max-age=10")
		if _, ok := c.Lookup(q("/a")); ok {
			t.Fatal("Lookup found something in an empty cache")
		}
		get(t, c, q("/a"), u, Miss, "x")
		o, ok := c.Lookup(q("/a"))
		if !ok {
			t.Fatal("Lookup does not find what is fresh")
		}
		read(t, o)
		time.Sleep(8 * time.Second)
		get(t, c, q("/a"), u, Hit, "x")
		time.Sleep(time.Second)
		if _, ok := c.Lookup(q("/a")); ok {
			t.Error("Lookup returned what had expired: upstream took a second of its ten")
		}
		get(t, c, q("/a"), u, Miss, "x")
		u.wants(t, 2)
	})
}

// A player that tunes in by Age must not be told one for a playlist that was
// made for it (standards: RFC 9111 5.1, CA-03, CO-10); who comes later is.
func TestCA03OnlyStoredAnswersHaveAge(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{})
		u := says(200, "x", "Cache-Control", "max-age=60")
		for _, r := range crowd(c, 3, func(int) (Query, Fill) { return q("/a"), u.fill }) {
			time.Sleep(2 * time.Second)
			if resp := r.o.Response(time.Now()); resp.Get("Age") != "" {
				t.Errorf("Age %s on an answer that was just filled", resp.Get("Age"))
			} else {
				resp.Close()
			}
			r.o.Release()
		}
		if h := get(t, c, q("/a"), u, Hit, "x"); h.Get("Age") != "7" { // upstream's second, and three times two
			t.Errorf("Age %q on a hit, want 7", h.Get("Age"))
		}
		time.Sleep(5 * time.Second)
		if h := get(t, c, q("/a"), u, Hit, "x"); h.Get("Age") != "12" {
			t.Errorf("Age %q five seconds later, want 12", h.Get("Age"))
		}
		old := says(200, "x", "Cache-Control", "max-age=60", "Age", "50")
		if h := get(t, c, q("/b"), old, Miss, "x"); h.Get("Age") != "51" {
			t.Errorf("Age %q of a fill whose upstream said 50 a second ago", h.Get("Age"))
		}
	})
}

// A viewer that gives up frees its place at once, and changes nothing for the
// others, not even if it was the one whose request went upstream (CO-05).
func TestCO05LeaderLeavesAndNobodyNotices(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{})
		u := says(200, "x", "Cache-Control", "max-age=60")
		ctx, leave := context.WithCancelCause(context.Background())
		gone := errors.New("gone")
		left := make(chan error)
		go func() { _, _, err := c.Get(ctx, q("/a"), u.fill); left <- err }()
		synctest.Wait()
		joined := make(chan string)
		go func() {
			o, how, err := c.Get(context.Background(), q("/a"), u.fill)
			if err != nil || how != Joined {
				t.Errorf("follower: %v, %v", how, err)
			}
			joined <- read(t, o)
		}()
		synctest.Wait()
		leave(gone)
		if err := <-left; err != gone {
			t.Errorf("the leader's Get returned %v", err)
		}
		if n := c.waiters.Load(); n != 1 {
			t.Errorf("%d waiters after the leader left, want 1", n)
		}
		if got := <-joined; got != "x" {
			t.Errorf("follower got %q", got)
		}
		u.wants(t, 1)
	})
}

// Everybody leaves before the answer is there: the fill goes on, so that the
// next viewer finds the segment.
func TestAllLeaveAndTheFillIsKept(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{})
		u := says(200, "x", "Cache-Control", "max-age=60")
		for range 10 {
			cancel := c.Ask(q("/a"), u.fill, func(*Object, Outcome, error) { t.Error("called after it was cancelled") })
			cancel()
			cancel()
		}
		if s := c.Stats(); s.Waiters != 0 || s.InAir != 1 {
			t.Errorf("%d waiters, %d in the air; want 0 and 1", s.Waiters, s.InAir)
		}
		time.Sleep(2 * time.Second)
		get(t, c, q("/a"), u, Hit, "x")
		u.wants(t, 1)
	})
}

// An origin held the request until there was something to tell: who waited is
// told no Age, and who comes later one that counts from then (row CO-10).
func TestCO10AgeCountsFromWhenAHeldRequestWasAnswered(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{})
		u := &upstream{delay: 5 * time.Second, answer: func(int64, *Object) (*web.Response, error) {
			return web.NewResponse(200, web.String("x"), "Cache-Control", "max-age=60", "Date", web.FormatHTTPDate(time.Now())), nil
		}}
		for _, r := range crowd(c, 10, func(int) (Query, Fill) { return q("/a"), u.fill }) {
			resp := r.o.Response(time.Now())
			if age := resp.Get("Age"); age != "" {
				t.Errorf("who waited was told Age %s", age)
			}
			resp.Close()
			r.o.Release()
		}
		made := web.FormatHTTPDate(time.Now())
		time.Sleep(2 * time.Second)
		if h := get(t, c, q("/a"), u, Hit, "x"); h.Get("Age") != "2" || h.Get("Date") != made {
			t.Errorf("two seconds later: Age %s, Date %s", h.Get("Age"), h.Get("Date"))
		}
	})
}

// What upstream says of an object reaches those who get it from here as it was
// said (row CA-36).
func TestCA36ValidatorsAndDatesPassUnchanged(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{})
		said := []string{"Date", "Fri, 31 Dec 1999 23:59:59 GMT", "ETag", `W/"a,b"`, "Last-Modified", "Wed, 29 Dec 1999 00:00:00 GMT",
			"Expires", "Sun, 02 Jan 2000 00:00:00 GMT", "Content-Location", "/other", "Cache-Control", "max-age=60, x-own=\"1\""}
		u := says(200, "x", said...)
		get(t, c, q("/a"), u, Miss, "x")
		time.Sleep(3 * time.Second)
		h := get(t, c, q("/a"), u, Hit, "x")
		for i := 0; i < len(said); i += 2 {
			if got := h.Get(said[i]); got != said[i+1] {
				t.Errorf("%s is %q, was %q", said[i], got, said[i+1])
			}
		}
	})
}
