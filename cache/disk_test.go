package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weir/internal/disk/disktest"
	"weir/internal/spool"
	"weir/internal/web"
)

// onDisk returns a cache with a disk below it.
func onDisk(t testing.TB, d *disktest.Fake, o Options) *Cache {
	t.Helper()
	o.Disk = &Disk{Dir: "/cache", Max: 64 << 20, FS: d.FS()}
	if o.Bytes == 0 {
		o.Bytes = 8 << 20
	}
	return newCache(t, o)
}

// squeeze pushes all that nobody reads out of memory, and waits for the disk.
func squeeze(c *Cache) {
	synctest.Wait() // flights that still land
	for {
		k, from := c.tiers.victim(live)
		if k == nil {
			break
		}
		c.retire(k, from)
		synctest.Wait()
	}
}

// keepOnDisk has what u answers asked for twice and pushed out of memory.
func keepOnDisk(t testing.TB, c *Cache, query Query, u *upstream, body string) {
	t.Helper()
	get(t, c, query, u, Miss, body)
	get(t, c, query, nil, Hit, body)
	synctest.Wait()
	squeeze(c)
	if _, ok := c.Lookup(query); ok {
		t.Fatal("it is still in memory")
	}
	if !c.shelf.Has(query.Key) {
		t.Fatal("it is not on the disk")
	}
}

// What viewers want again comes back from the disk, once for all of them, with
// its age; upstream hears nothing of it.
func TestWhatLeftMemoryComesBackFromDisk(t *testing.T) {
	for _, size := range []int{0, 1000, 300 << 10, 6 << 20} {
		bubble(t, func(t *testing.T) {
			c := newCache(t, Options{Bytes: 128 << 20, MaxObject: 8 << 20, Disk: &Disk{Dir: "/cache", Max: 1 << 30, FS: disktest.NewFake().FS()}})
			body := string(pattern("/a", size))
			u := says(200, body, "Cache-Control", "max-age=600", "Content-Type", "video/mp4", "ETag", `"x"`)
			u.delay = 0 // it would count as age
			keepOnDisk(t, c, q("/a"), u, body)
			time.Sleep(100 * time.Second)
			for i, r := range crowd(c, 50, func(int) (Query, Fill) { return q("/a"), (*upstream)(nil).fill }) {
				resp := r.o.Response(time.Now())
				if age := resp.Get("Age"); age != "100" || resp.Get("Content-Type") != "video/mp4" || resp.Get("ETag") != `"x"` {
					t.Errorf("asker %d: Age %q, %q", i, age, resp.Get("Content-Type"))
				}
				resp.Close()
				if got := read(t, r.o); got != body {
					t.Errorf("asker %d: %d bytes", i, len(got))
				}
			}
			u.wants(t, 1)
			synctest.Wait()
			get(t, c, q("/a"), nil, Hit, body)
		})
	}
}

// A restart changes nothing about how long an answer is good.
func TestFreshnessOutlivesARestart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := disktest.NewFake()
		c := onDisk(t, d, Options{})
		u := says(200, "body", "Cache-Control", "max-age=600", "Age", "50", "ETag", `"1"`)
		u.delay = 0 // it would count as age
		keepOnDisk(t, c, q("/a"), u, "body")
		start := time.Now()
		c.Close()
		time.Sleep(time.Minute)
		c = onDisk(t, d, Options{})
		h := get(t, c, q("/a"), nil, Hit, "body")
		if want := fmt.Sprint(int((50*time.Second + time.Since(start)).Seconds())); h.Get("Age") != want {
			t.Errorf("Age %s, want %s", h.Get("Age"), want)
		}
		c.Close()
		time.Sleep(time.Until(start) + 560*time.Second) // past its end
		c = onDisk(t, d, Options{})
		renewed := &upstream{answer: func(_ int64, prior *Object) (*web.Response, error) {
			if prior == nil || prior.ETag() != `"1"` {
				t.Error("upstream is not asked whether it is still good")
			}
			return web.NewResponse(304, nil, "Cache-Control", "max-age=600", "ETag", `"1"`), nil
		}}
		get(t, c, q("/a"), renewed, Revalidated, "body")
		get(t, c, q("/a"), nil, Hit, "body")
		renewed.wants(t, 1)
		squeeze(c)
		c.Close()
		c = onDisk(t, d, Options{})
		get(t, c, q("/a"), nil, Hit, "body") // the new life was written down
	})
}

// A stale answer on disk is served as it allows, while a new one is fetched.
func TestStaleFromDisk(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := onDisk(t, disktest.NewFake(), Options{})
		old := says(200, "old", "Cache-Control", "max-age=60, stale-while-revalidate=300, stale-if-error=500")
		keepOnDisk(t, c, q("/a"), old, "old")
		time.Sleep(70 * time.Second)
		young := says(200, "new", "Cache-Control", "max-age=60, stale-if-error=500")
		get(t, c, q("/a"), young, Stale, "old")
		time.Sleep(2 * time.Second)
		get(t, c, q("/a"), nil, Hit, "new")
		young.wants(t, 1)

		keepOnDisk(t, c, q("/b"), old, "old")
		time.Sleep(400 * time.Second)
		down := &upstream{answer: func(int64, *Object) (*web.Response, error) {
			return nil, &web.Error{Status: 502, Reason: "test", Err: errors.New("refused")}
		}}
		get(t, c, q("/b"), down, Stale, "old")
	})
}

// The disk keeps variants apart as memory does.
func TestVariantsOnDisk(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := disktest.NewFake()
		c := onDisk(t, d, Options{})
		de, en := q("/a", "Accept-Language", "de"), q("/a", "Accept-Language", "en")
		keepOnDisk(t, c, de, says(200, "Guten Tag", "Cache-Control", "max-age=600", "Vary", "Accept-Language"), "Guten Tag")
		keepOnDisk(t, c, en, says(200, "Hello", "Cache-Control", "max-age=600", "Vary", "Accept-Language"), "Hello")
		c.Close()
		c = onDisk(t, d, Options{})
		get(t, c, de, nil, Hit, "Guten Tag")
		get(t, c, en, nil, Hit, "Hello")
		fr := says(200, "Bonjour", "Cache-Control", "max-age=600", "Vary", "Accept-Language")
		get(t, c, q("/a", "Accept-Language", "fr"), fr, Miss, "Bonjour")
	})
}

// One wrong byte anywhere makes a miss, and no viewer sees it.
func TestAWrongByteOnDiskIsAMiss(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := disktest.NewFake()
		c := onDisk(t, d, Options{})
		body := string(pattern("/a", 200<<10))
		u := says(200, body, "Cache-Control", "max-age=600")
		keepOnDisk(t, c, q("/a"), u, body)
		flip := func(at int) {
			if err := d.Edit("/cache/0000000001.shelf", func(p []byte) []byte { p[at] ^= 0x10; return p }); err != nil {
				t.Fatal(err)
			}
		}
		flip(150 << 10)
		get(t, c, q("/a"), u, Miss, body)
		u.wants(t, 2)
	})
}

// A wrong byte deep in a large object cuts those who follow; none of them takes
// it for whole, and who asks then gets it from upstream.
func TestAWrongByteInALargeObjectCuts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := disktest.NewFake()
		c := newCache(t, Options{Bytes: 128 << 20, MaxObject: 8 << 20, Disk: &Disk{Dir: "/cache", Max: 1 << 30, FS: d.FS()}})
		body := string(pattern("/a", 6<<20))
		u := says(200, body, "Cache-Control", "max-age=600")
		keepOnDisk(t, c, q("/a"), u, body)
		_ = d.Edit("/cache/0000000001.shelf", func(p []byte) []byte { p[5<<20] ^= 1; return p })
		o, _, err := c.Get(context.Background(), q("/a"), nil)
		if err != nil {
			t.Fatal(err)
		}
		resp := o.Response(time.Now())
		o.Release()
		p, err := web.ReadAll(context.Background(), resp.Body, 1<<30)
		resp.Close()
		if !errors.Is(err, web.ErrAborted) || !strings.HasPrefix(body, string(p)) || len(p) > 5<<20 {
			t.Errorf("%d bytes, %v", len(p), err)
		}
		synctest.Wait()
		get(t, c, q("/a"), u, Miss, body)
	})
}

// A purge reaches the disk, and holds after a restart.
func TestInvalidateReachesTheDisk(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := disktest.NewFake()
		c := onDisk(t, d, Options{})
		u := says(200, "old", "Cache-Control", "max-age=600")
		keepOnDisk(t, c, q("/a"), u, "old")
		keepOnDisk(t, c, q("/b"), u, "old")
		keepOnDisk(t, c, q("/c"), u, "old")
		get(t, c, q("/b"), nil, Hit, "old") // in memory again, too
		c.Invalidate("/a")
		c.Invalidate("/b")
		c.Evict("/c")
		synctest.Wait()
		for _, key := range []string{"/a", "/b", "/c"} {
			if c.shelf.Has(key) {
				t.Errorf("%s is still on disk", key)
			}
		}
		c.Close()
		c = onDisk(t, d, Options{})
		fresh := says(200, "new", "Cache-Control", "max-age=600")
		get(t, c, q("/a"), fresh, Miss, "new")
		get(t, c, q("/b"), fresh, Miss, "new")
	})
}

// A purge that comes when an object is on its way out of memory, and in neither
// of the two for a moment, holds for the disk too.
func TestInvalidateBetweenMemoryAndDisk(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := onDisk(t, disktest.NewFake(), Options{})
		get(t, c, q("/a"), says(200, "old", "Cache-Control", "max-age=600"), Miss, "old")
		get(t, c, q("/a"), nil, Hit, "old")
		synctest.Wait()
		k, from := c.tiers.victim(live)
		c.Invalidate("/a")
		c.retire(k, from)
		synctest.Wait()
		if c.shelf.Has("/a") {
			t.Error("the old answer is on disk")
		}
	})
}

// A purge while the answer is being read from the disk: those who asked before
// get it, nobody else.
func TestInvalidateWhileTheDiskIsRead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := disktest.NewFake()
		c := onDisk(t, d, Options{})
		keepOnDisk(t, c, q("/a"), says(200, "old", "Cache-Control", "max-age=600"), "old")
		d.Stall(disktest.Read)
		early := make(chan string, 1)
		go func() {
			o, _, err := c.Get(context.Background(), q("/a"), (*upstream)(nil).fill)
			if err != nil {
				t.Error(err)
			}
			early <- read(t, o)
		}()
		synctest.Wait()
		c.Invalidate("/a")
		d.Resume()
		if got := <-early; got != "old" {
			t.Errorf("who asked before got %q", got)
		}
		get(t, c, q("/a"), says(200, "new", "Cache-Control", "max-age=600"), Miss, "new")
	})
}

// Something newer that is not worth a place on disk does not let the older
// answer there come back.
func TestTheDiskNeverGoesBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := onDisk(t, disktest.NewFake(), Options{})
		keepOnDisk(t, c, q("/a"), says(200, "1", "Cache-Control", "max-age=60", "ETag", `"1"`), "1")
		time.Sleep(61 * time.Second)
		get(t, c, q("/a"), says(200, "2", "Cache-Control", "max-age=20", "ETag", `"2"`), Miss, "2")
		squeeze(c)
		if c.shelf.Has("/a") {
			t.Error("the older answer is still there")
		}
	})
}

// A disk that hangs delays nobody for longer than a second, and then nobody.
func TestAHangingDiskDelaysNobody(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := disktest.NewFake()
		c := onDisk(t, d, Options{})
		u := &upstream{answer: says(200, "body", "Cache-Control", "max-age=600").answer}
		keepOnDisk(t, c, q("/a"), u, "body")
		keepOnDisk(t, c, q("/b"), u, "body")
		d.Stall(disktest.Read, disktest.Write)
		start := time.Now()
		get(t, c, q("/a"), u, Miss, "body")
		if took := time.Since(start); took > time.Second {
			t.Errorf("the first waits %v", took)
		}
		start = time.Now()
		get(t, c, q("/b"), u, Miss, "body")
		if took := time.Since(start); took > 0 {
			t.Errorf("the next waits %v", took)
		}
		d.Resume()
		synctest.Wait()
	})
}

// An orderly end writes down what is in memory and was wanted.
func TestMemoryOutlivesAnOrderlyEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := disktest.NewFake()
		c := onDisk(t, d, Options{})
		body := string(pattern("/a", 100<<10))
		u := says(200, body, "Cache-Control", "max-age=600")
		for i := range 20 {
			get(t, c, q(fmt.Sprint("/", i)), u, Miss, body)
			get(t, c, q(fmt.Sprint("/", i)), nil, Hit, body)
		}
		get(t, c, q("/once"), u, Miss, body)
		c.Close()
		c = onDisk(t, d, Options{})
		for i := range 20 {
			get(t, c, q(fmt.Sprint("/", i)), nil, Hit, body)
		}
		if c.shelf.Has("/once") {
			t.Error("what was wanted once was written")
		}
	})
}

// Reading, evicting, promoting, purging and restarting at once, on the real
// file system: every body is right, and the budget holds.
func TestDiskUnderLoad(t *testing.T) {
	dir := t.TempDir()
	const limit = 6 << 20
	for round := range 3 {
		slab := spool.NewSlab(spool.SlabOptions{Poison: true})
		c, err := New(Options{Bytes: limit, MaxObject: 1 << 20, Slab: slab, Disk: &Disk{Dir: dir, Max: 24 << 20}})
		if err != nil {
			t.Fatal(err)
		}
		var fills, over, wrong atomic.Int64
		var wg sync.WaitGroup
		bodies := make([][]byte, 300)
		for n := range bodies {
			bodies[n] = pattern(fmt.Sprint("/k", n), 1000+n*7001%(600<<10))
		}
		for worker := range 8 {
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(uint64(round), uint64(worker)))
				for range 120 {
					n := min(int(rng.ExpFloat64()*20), len(bodies)-1)
					key, body := fmt.Sprint("/k", n), bodies[n]
					if rng.IntN(50) == 0 {
						c.Invalidate(key)
					}
					o, _, err := c.Get(context.Background(), q(key), func(context.Context, *Object) (*web.Response, error) {
						fills.Add(1)
						return web.NewResponse(200, web.Bytes(body), "Cache-Control", "max-age=600"), nil
					})
					if err != nil {
						continue // no room
					}
					resp := o.Response(time.Now())
					o.Release()
					p, err := web.ReadAll(context.Background(), resp.Body, 1<<30)
					resp.Close()
					if err == nil && !bytes.Equal(p, body) || !bytes.HasPrefix(body, p) {
						wrong.Add(1)
					}
					if c.budget.used.Load() > limit || slab.InUse() > limit {
						over.Add(1)
					}
				}
			})
		}
		wg.Wait()
		c.Close()
		if n := wrong.Load(); n > 0 {
			t.Errorf("round %d: %d bodies were wrong", round, n)
		}
		if n := over.Load(); n > 0 {
			t.Errorf("round %d: %d times over the budget", round, n)
		}
		if n := c.budget.used.Load(); n != 0 || slab.InUse() != 0 {
			t.Errorf("round %d: %d charged, %d in use after the end", round, n, slab.InUse())
		}
		t.Logf("round %d: %d fills of 960, %+v", round, fills.Load(), c.shelf.Usage())
	}
}
