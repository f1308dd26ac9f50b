package cache

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"weir/internal/web"
)

func filled(tb testing.TB, n, size int, header ...string) *Cache {
	c := newCache(tb, Options{Bytes: 256 << 20})
	body := web.Bytes(make([]byte, size))
	for i := range n {
		o, _, err := c.Get(context.Background(), q(fmt.Sprint("/live/news/v1080/seg", i, ".m4s"), header...),
			func(context.Context, *Object) (*web.Response, error) {
				return web.NewResponse(200, body, "Cache-Control", "max-age=3600", "Content-Type", "video/mp4", "Vary", "Accept-Encoding"), nil
			})
		if err != nil {
			tb.Fatal(err)
		}
		o.Release()
	}
	return c
}

// A hit must not allocate: ten thousand a second would keep the collector busy.
func TestLookupDoesNotAllocate(t *testing.T) {
	c := filled(t, 1, 2<<10)
	query := q("/live/news/v1080/seg0.m4s")
	missing := q("/none")
	n := testing.AllocsPerRun(1000, func() {
		o, ok := c.Lookup(query)
		if !ok {
			t.Fatal("not found")
		}
		o.Release()
		c.Lookup(missing)
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkLookupHit(b *testing.B) {
	f := func(name string, keys int) {
		b.Run(name, func(b *testing.B) {
			c := filled(b, keys, 2<<10)
			queries := make([]Query, keys)
			for i := range queries {
				queries[i] = q(fmt.Sprint("/live/news/v1080/seg", i, ".m4s"))
			}
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					o, ok := c.Lookup(queries[i%keys])
					if !ok {
						b.Fatal("miss")
					}
					o.Release()
				}
			})
		})
	}
	f("one key", 1)
	f("1000 keys", 1000)
}

// BenchmarkResponse is a hit with its answer made and closed.
func BenchmarkResponse(b *testing.B) {
	c := filled(b, 1, 2<<10)
	query := q("/live/news/v1080/seg0.m4s")
	b.ReportAllocs()
	for b.Loop() {
		o, _ := c.Lookup(query)
		resp := o.Response(time.Now())
		o.Release()
		resp.Close()
	}
}

// BenchmarkWake is the time from the head of an answer to the last callback of
// those who waited for it. Wanted: < 1 ms for 1,000 and < 10 ms for 10,000.
func BenchmarkWake(b *testing.B) {
	for _, n := range []int{1_000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			c := newCache(b, Options{})
			var total time.Duration
			for i := range b.N {
				published, last := make(chan bool), make(chan time.Time, 1)
				left := n
				query := q(fmt.Sprint("/", i))
				for range n {
					c.Ask(query, func(context.Context, *Object) (*web.Response, error) {
						at := <-published
						_ = at
						return web.NewResponse(200, web.String("part"), "Cache-Control", "max-age=1"), nil
					}, func(o *Object, _ Outcome, _ error) {
						o.Release()
						if left--; left == 0 {
							last <- time.Now()
						}
					})
				}
				start := time.Now()
				published <- true
				total += (<-last).Sub(start)
			}
			b.ReportMetric(float64(total.Microseconds())/1000/float64(b.N), "ms/wake")
		})
	}
}

// BenchmarkParked is what one who waits takes, all in all but his goroutine's
// stack: waiterBytes must not be less.
func BenchmarkParked(b *testing.B) {
	const n = 10_000
	c := newCache(b, Options{})
	query := q("/live/news/v1080/seg0.m4s")
	var taken, counted float64
	for range b.N {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		leave := make([]func(), n)
		for i := range n {
			ready := make(chan result, 1) // as Get has one
			leave[i] = c.Ask(query, silent, func(o *Object, how Outcome, err error) { ready <- result{o, how, err} })
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		taken += float64(after.HeapAlloc-before.HeapAlloc) / n
		counted += float64(c.Stats().Parked) / n
		for _, gone := range leave {
			gone()
		}
		c.Invalidate(query.Key)
	}
	b.ReportMetric(taken/float64(b.N), "bytes/waiter")
	b.ReportMetric(counted/float64(b.N), "counted/waiter")
}

// BenchmarkMiss is a question, its fill and its keeping.
func BenchmarkMiss(b *testing.B) {
	c := newCache(b, Options{})
	body := web.Bytes(make([]byte, 2<<10))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		o, _, err := c.Get(context.Background(), q(fmt.Sprint("/", i)), func(context.Context, *Object) (*web.Response, error) {
			return web.NewResponse(200, body, "Cache-Control", "max-age=3600"), nil
		})
		if err != nil {
			b.Fatal(err)
		}
		o.Release()
	}
}
