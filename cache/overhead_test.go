package cache

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"weir/internal/spool"
	"weir/internal/web"
)

// maxOverhead is what an object may take beside its body, index and header
// included: in 1 GiB there is room for a million small objects' heads.
const maxOverhead = 600

// What each object costs beside its body is bounded, and what is charged for it
// is what it takes: a budget that counts too little ends in the system's
// killer, one that counts too much keeps too little.
func TestAnObjectTakesLittleBesideItsBody(t *testing.T) {
	const n, size = 100_000, 1 << 10
	slab := spool.NewSlab(spool.SlabOptions{})
	c, err := New(Options{Bytes: 1 << 30, Slab: slab})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	body := web.Bytes(make([]byte, size))
	date := time.Now()
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	fillOne := func(i int) {
		date = date.Add(time.Second)
		o, _, err := c.Get(context.Background(), q(fmt.Sprintf("/live/channel-%03d/1080p/seg-%08d.m4s", i%500, i)),
			func(context.Context, *Object) (*web.Response, error) {
				return web.NewResponse(200, body,
					"Content-Type", string([]byte("video/mp4")), "Cache-Control", string([]byte("public, max-age=31536000, immutable")),
					"ETag", fmt.Sprintf("\"%016x\"", i), "Last-Modified", web.FormatHTTPDate(date), "Date", web.FormatHTTPDate(date),
					"Accept-Ranges", string([]byte("bytes")), "Server", string([]byte("nginx/1.27.3")), "Vary", string([]byte("Accept-Encoding"))), nil
			})
		if err != nil {
			t.Fatal(err)
		}
		o.Release()
	}
	for i := range 1000 { // what is made once
		fillOne(i)
	}
	before, charged := heap(), c.budget.used.Load()
	for i := range n {
		fillOne(1000 + i)
	}
	bodies := int64(n) * size
	took := (heap() - before - bodies) / n
	cost := (c.budget.used.Load() - charged - bodies) / n
	if _, objects := c.tiers.usage(young); objects != n+1000 {
		t.Fatalf("%d objects are kept, want %d", objects, n+1000)
	}
	t.Logf("%d bytes an object, %d are charged", took, cost)
	if took > maxOverhead {
		t.Errorf("%d bytes an object beside its body, at most %d", took, maxOverhead)
	}
	if cost < took || cost > took*5/4 {
		t.Errorf("%d bytes are charged for an object that takes %d", cost, took)
	}
}
