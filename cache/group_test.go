package cache

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"weir/internal/web"
)

// fillUp asks once for n objects of a size, and checks the budget.
func fillUp(t *testing.T, c *Cache, n, size int, of func(i int) Query, header ...string) {
	t.Helper()
	body := string(pattern("x", size))
	u := &upstream{answer: func(int64, *Object) (*web.Response, error) {
		return web.NewResponse(200, web.String(body), append([]string{"Cache-Control", "max-age=86400"}, header...)...), nil
	}}
	for i := range n {
		get(t, c, of(i), u, Miss, body)
		synctest.Wait()
		if s := c.Stats(); s.Bytes > s.Limit || s.Young.Bytes > s.Young.Share {
			t.Fatalf("over: %+v", s)
		}
	}
}

func there(c *Cache, n int, of func(i int) Query) (found int) {
	for i := range n {
		if o, ok := c.Lookup(of(i)); ok {
			o.Release()
			found++
		}
	}
	return found
}

func segment(i int) Query { return q(fmt.Sprint("/live/seg", i)) }

// A crawler that downloads ten times what the cache holds, in files or in
// recordings, costs live viewers nothing.
func TestACrawlLeavesWhatIsLive(t *testing.T) {
	file := func(i int) Query {
		query := q(fmt.Sprint("/file", i))
		query.Class = Other
		return query
	}
	known := func(i int) Query {
		query := q(fmt.Sprint("/vod/seg", i))
		query.Recorded = true
		return query
	}
	old := func(i int) Query { return q(fmt.Sprint("/old/seg", i)) }
	f := func(name string, crawled func(int) Query, header ...string) {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				const size, window = 50 << 10, 20
				c := newCache(t, Options{Bytes: 4 << 20})
				fillUp(t, c, window, size, segment)
				for range 10 {
					fillUp(t, c, 82, size, func(i int) Query { q := crawled(i); q.Key += time.Now().String(); return q }, header...)
					time.Sleep(time.Second)
					if n := there(c, window, segment); n != window {
						t.Fatalf("%d of %d live segments are left", n, window)
					}
				}
			})
		})
	}
	f("files", file)
	f("recordings that are known", known)
	f("recordings by their date", old, "Last-Modified", web.FormatHTTPDate(time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)))
}

// However much is live, recordings keep their part.
func TestASurgeOfLiveLeavesRecordingsTheirPart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const size = 50 << 10
		c := newCache(t, Options{Bytes: 4 << 20, Shares: Shares{Live: 70, Recorded: 30}})
		vod := func(i int) Query {
			query := q(fmt.Sprint("/vod/seg", i))
			query.Recorded = true
			return query
		}
		const kept = 9 // of 64 KiB with what they cost, in 30 % of 2 MiB
		fillUp(t, c, kept, size, vod)
		fillUp(t, c, 820, size, segment)
		if n := there(c, kept, vod); n != kept {
			t.Errorf("%d of %d recordings are left", n, kept)
		}
	})
}

// What one group does not use another may.
func TestSharesAreLentOut(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{Bytes: 4 << 20})
		other := func(i int) Query {
			query := q(fmt.Sprint("/file", i))
			query.Class = Other
			return query
		}
		fillUp(t, c, 30, 50<<10, other)
		if n := there(c, 30, other); n != 30 {
			t.Errorf("%d of 30 files are left", n)
		}
		if s := c.Stats(); s.Memory.Objects != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// Slow readers of files hold what they read. Room for more is not made of what
// is live: it passes through.
func TestReadersOfFilesDoNotCostLive(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{Bytes: 4 << 20, MaxObject: 1 << 20})
		fillUp(t, c, 20, 50<<10, segment)
		var reading []*Object
		for i := range 10 {
			query := q(fmt.Sprint("/file", i))
			query.Class = Other
			o, _, err := c.Get(t.Context(), query, says(200, string(make([]byte, 700<<10)), "Cache-Control", "max-age=600").fill)
			if err != nil {
				t.Fatal(err)
			}
			reading = append(reading, o)
			synctest.Wait()
		}
		if n := there(c, 20, segment); n != 20 {
			t.Errorf("%d of 20 live segments are left", n)
		}
		for _, o := range reading {
			o.Release()
		}
	})
}

func TestGroupsByWhatIsKnown(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	f := func(want group, query Query, modified time.Duration, age time.Duration) {
		t.Helper()
		if got := groupOf(query, web.FormatHTTPDate(now.Add(-modified)), now, age); got != want {
			t.Errorf("%+v, modified %v ago, aged %v: %v, want %v", query, modified, age, got, want)
		}
	}
	f(live, Query{Class: Segment}, time.Second, 0)
	f(live, Query{Class: Playlist}, time.Second, 0)
	f(live, Query{Class: Init}, 1000*time.Hour, 0)
	f(live, Query{Class: Segment}, 9*time.Minute, 0)
	f(recorded, Query{Class: Segment}, time.Hour, 0)
	f(recorded, Query{Class: Segment}, 0, time.Hour)
	f(recorded, Query{Class: Segment, Recorded: true}, 0, 0)
	f(recorded, Query{Class: Other, Recorded: true}, 0, 0)
	f(other, Query{Class: Other}, 0, 0)
	f(other, Query{Class: 99}, 0, 0)
}
