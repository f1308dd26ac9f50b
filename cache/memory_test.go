package cache

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"weir/internal/web"
)

// full returns a cache whose memory tier is full of objects that are wanted
// more than anything new will be.
func full(t testing.TB, o Options) *Cache {
	c := newCache(t, o)
	body := string(make([]byte, 10<<10))
	u := &upstream{answer: func(int64, *Object) (*web.Response, error) {
		return web.NewResponse(200, web.String(body), "Cache-Control", "max-age=86400"), nil
	}}
	old := 2 * int(c.opts.Bytes) / (10 << 10)
	for i := range old {
		get(t, c, q(fmt.Sprint("/old", i)), u, Miss, body)
	}
	for range 20 { // wanted in twenty different seconds
		for i := range old {
			if o, ok := c.Lookup(q(fmt.Sprint("/old", i))); ok {
				o.Release()
			}
		}
		time.Sleep(time.Second)
	}
	synctest.Wait()
	if s := c.Stats(); s.Memory.Bytes < s.Memory.Share/2 {
		t.Fatalf("memory is not full: %+v", s)
	}
	return c
}

// With ristretto alone 100 new segments for 200 viewers each cost about 15,000
// fetches, because it refuses what it does not know. Here it is 100.
func TestNewSegmentsNeverDependOnThePolicy(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := full(t, Options{Bytes: 2 << 20})
		body := string(make([]byte, 20<<10))
		u := says(200, body, "Cache-Control", "max-age=60")
		for seg := range 100 {
			key := fmt.Sprint("/live", seg)
			for _, r := range crowd(c, 100, func(int) (Query, Fill) { return q(key), u.fill }) {
				read(t, r.o)
			}
			for range 100 {
				get(t, c, q(key), u, Hit, body)
			}
		}
		u.wants(t, 100)
		if s := c.Stats(); s.Bytes > s.Limit {
			t.Errorf("over budget: %+v", s)
		}
	})
}

// What leaves the young is found in memory, without going upstream.
func TestMemoryAnswersWhatLeftTheYoung(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{Bytes: 4 << 20, Young: 100 << 10})
		body := string(make([]byte, 30<<10))
		u := says(200, body, "Cache-Control", "max-age=600")
		for i := range 20 {
			get(t, c, q(fmt.Sprint("/", i)), u, Miss, body)
		}
		synctest.Wait()
		s := c.Stats()
		if s.Memory.Objects < 17 || s.Young.Objects > 3 {
			t.Errorf("stats %+v", s)
		}
		for i := range 20 {
			get(t, c, q(fmt.Sprint("/", i)), u, Hit, body)
		}
	})
}

// What can never be used again is not offered to memory.
func TestDeadObjectsAreNotKept(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{Bytes: 4 << 20, Young: 100 << 10})
		body := string(make([]byte, 30<<10))
		u := says(200, body, "Cache-Control", "max-age=2")
		for i := range 20 {
			get(t, c, q(fmt.Sprint("/", i)), u, Miss, body)
			time.Sleep(2 * time.Second)
		}
		synctest.Wait()
		if s := c.Stats(); s.Memory.Objects != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

// The policy's queue is full and drops what it is given: nothing calls back for
// that, and the bytes come back all the same.
func TestDroppedSetsAreAccountedFor(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{Bytes: 4 << 20, Young: 100 << 10})
		c.tiers.policy.close() // from now on it drops everything
		body := string(make([]byte, 30<<10))
		u := says(200, body, "Cache-Control", "max-age=600")
		for i := range 20 {
			get(t, c, q(fmt.Sprint("/", i)), u, Miss, body)
		}
		synctest.Wait()
		s := c.Stats()
		if s.Memory.Objects != 0 || s.Held != 0 || s.Young.Bytes > 100<<10 {
			t.Errorf("stats %+v", s)
		}
		if n := testutil.ToFloat64(c.metrics.rejected[refusedByQueue]); n != float64(20-s.Young.Objects) {
			t.Errorf("%v drops counted, %d objects left", n, s.Young.Objects)
		}
	})
}

// The traps of the policy: what it was given comes back exactly once however it
// goes, a delete calls twice and with nothing, and a refused object calls too.
func TestPolicyGivesBackExactlyOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var mu sync.Mutex
		back := map[*kept]int{}
		p, err := newPolicy(1000, policyEvents{
			gone:    func(k *kept) { mu.Lock(); back[k]++; mu.Unlock() },
			evicted: func() {}, refused: func() {},
		})
		if err != nil {
			t.Fatal(err)
		}
		given := 0
		set := func(id uint64, cost int64) {
			if p.set(&kept{id: id, cost: cost}) {
				given++
			}
		}
		for i := range uint64(500) {
			set(i%50, 90)
			set(i%50, 2000) // too large
			p.touch(i)
			p.del(&kept{id: i % 40})
			if i%10 == 0 {
				synctest.Wait()
			}
		}
		p.close()
		p.close()
		p.touch(1)
		p.del(&kept{id: 1})
		if p.set(&kept{id: 1}) {
			t.Error("a closed policy took something")
		}
		synctest.Wait()
		if len(back) != given {
			t.Errorf("%d of %d came back", len(back), given)
		}
		for k, n := range back {
			if k == nil || n != 1 {
				t.Errorf("%v came back %d times", k, n)
			}
		}
	})
}

// Objects that come back to life after they were dropped, while the policy
// still handles their past, end up counted right.
func TestReplacingWhatTheMemoryHolds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{Bytes: 2 << 20, Young: 100 << 10})
		body := string(make([]byte, 30<<10))
		u := says(200, body, "Cache-Control", "max-age=30")
		for range 30 {
			crowdRelease(crowd(c, 20, func(i int) (Query, Fill) { return q(fmt.Sprint("/", i)), u.fill }))
			time.Sleep(31 * time.Second)
		}
		synctest.Wait()
		s := c.Stats()
		if n := s.Young.Objects + s.Memory.Objects; n > 20 || s.Held != 0 {
			t.Errorf("stats %+v", s)
		}
		entries := 0
		for i := range c.shards {
			entries += len(c.shards[i].entries)
		}
		if int64(entries) != s.Young.Objects+s.Memory.Objects {
			t.Errorf("%d keys in the index, %d objects in the tiers", entries, s.Young.Objects+s.Memory.Objects)
		}
	})
}

// Many viewers, few bytes: eviction, refresh and reading at the same time. Run
// with -race; every body is checked.
func TestStormOfReadersAndEvictions(t *testing.T) {
	c := newCache(t, Options{Bytes: 1 << 20, Young: 300 << 10})
	var wg sync.WaitGroup
	for g := range 16 {
		wg.Go(func() {
			for i := range 300 {
				key := fmt.Sprint("/", (g*7+i*13)%60)
				fill := func(_ context.Context, prior *Object) (*web.Response, error) {
					if prior != nil && i%2 == 0 {
						return web.NewResponse(304, nil), nil
					}
					return web.NewResponse(200, web.Bytes(pattern(key, 30<<10)), "ETag", `"1"`,
						"Cache-Control", []string{"max-age=60", "max-age=0", "no-cache"}[i%3]), nil
				}
				o, ok := c.Lookup(q(key))
				if !ok {
					var err error
					if o, _, err = c.Get(context.Background(), q(key), fill); err != nil {
						t.Errorf("get: %v", err)
						continue
					}
				}
				if got := read(t, o); got != string(pattern(key, 30<<10)) {
					t.Errorf("%s: wrong body of %d bytes", key, len(got))
				}
				if i%50 == 0 {
					_ = c.Stats()
				}
			}
		})
	}
	wg.Wait()
}
