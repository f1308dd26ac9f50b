package cache

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/internal/disk/disktest"
	"weir/internal/spool"
	"weir/internal/web"
)

var (
	tortureSeeds = flag.Int("torture", 0, "how many seeds TestTruthUnderTorture goes through; 0: a few")
	tortureFirst = flag.Uint64("torture-first", 1, "the first of them")
)

// torture is an upstream that can always tell whether an answer is right, an
// audience that holds the cache to it, and all that may happen to a cache and
// its disk, by a seed. Bodies say which key, variant and version they are, and
// upstream notes for how long it allowed each of them to be used.
type torture struct {
	t     *testing.T
	disk  *disktest.Fake
	harsh bool // the disk also fails to write, and lies: a purge may not outlive a restart

	mu      sync.Mutex // guards what follows
	c       *Cache
	rnd     *rand.Rand
	fills   int
	version map[string]int
	floor   map[string]int       // no older version may be given to who asks now
	seen    map[string]int       // the newest version that was given to anybody, by key and X
	last    map[string]time.Time // the last time that what is kept was renewed, by key and X
	said    map[thing][]grant    // what upstream allowed
	once    map[string]int       // who got what was for one
	how     map[Outcome]int      // answers that were checked
	old     int                  // of these: from the disk
}

// A thing is one state of one resource. X is what the request said, "*" if the
// answer does not depend on that.
type thing struct {
	key, x  string
	version int
}

func (g thing) tag() string { return fmt.Sprintf(`"%s.%d"`, g.x, g.version) }

// A grant is what an answer allowed, from when on.
type grant struct {
	at               time.Time
	fresh, swr, sie  time.Duration
	noCache, mustAsk bool
}

func (x *torture) n(n int) int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.rnd.IntN(n)
}

func (x *torture) one(of int) bool { return x.n(of) == 0 }

func (x *torture) pause(most time.Duration) time.Duration {
	return time.Duration(x.n(int(most/time.Millisecond)))*time.Millisecond + time.Millisecond
}

// policies are what upstream allows, and in what words.
var policies = []struct {
	words string
	grant
}{
	{"max-age=0", grant{}},
	{"max-age=1", grant{fresh: time.Second}},
	{"max-age=60", grant{fresh: time.Minute}},
	{"max-age=600", grant{fresh: 10 * time.Minute}},
	{"public, max-age=100", grant{fresh: 100 * time.Second}},
	{"max-age=40, stale-while-revalidate=20", grant{fresh: 40 * time.Second, swr: 20 * time.Second}},
	{"max-age=2, stale-if-error=30", grant{fresh: 2 * time.Second, sie: 30 * time.Second}},
	{"max-age=3, must-revalidate, stale-while-revalidate=99, stale-if-error=99", grant{fresh: 3 * time.Second, mustAsk: true}},
	{"s-maxage=50, stale-if-error=99", grant{fresh: 50 * time.Second, mustAsk: true}},
	{"no-cache, max-age=99, stale-while-revalidate=99", grant{noCache: true}},
}

func (x *torture) policy() (string, grant) {
	p := policies[x.n(len(policies))]
	return p.words, p.grant
}

// now returns what upstream has for a query: what begins with /v depends on X,
// what begins with /m sometimes.
func (x *torture) now(query Query) (g thing, vary bool) {
	vary = strings.HasPrefix(query.Key, "/v") || strings.HasPrefix(query.Key, "/m") && x.one(2)
	g = thing{query.Key, "*", 0}
	if vary {
		g.x = query.Header.Get("X")
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	g.version = x.version[g.key]
	return g, vary
}

// allow notes what upstream says of a thing, and returns the header.
func (x *torture) allow(g thing, vary bool) []string {
	words, may := x.policy()
	head := []string{"Cache-Control", words, "ETag", g.tag()}
	if vary {
		head = append(head, "Vary", "X")
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	may.at = time.Now()
	x.said[g] = append(x.said[g], may)
	return head
}

func (x *torture) fill(query Query) Fill {
	return func(ctx context.Context, prior *Object) (*web.Response, error) {
		x.mu.Lock()
		x.fills++
		id := x.fills
		x.mu.Unlock()
		before, _ := x.now(query)
		wait := x.pause(2 * time.Second)
		if x.one(3) {
			wait = 0
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			if x.one(2) {
				time.Sleep(x.pause(time.Second)) // it does not heed it at once
			}
			return nil, context.Cause(ctx)
		}
		g, vary := x.now(query)
		x.mu.Lock()
		if before.version < x.floor[g.key] && x.rnd.IntN(2) == 0 {
			g.version = before.version // what was purged meanwhile is still on its way
		}
		x.mu.Unlock()
		matches, tags := false, ""
		if prior != nil {
			tags, _ = prior.Conditions()
			matches = web.MatchETag(tags, g.tag())
		}
		what := x.n(40)
		switch {
		case what < 3:
			return nil, web.Errorf(502, "refused")
		case what == 3:
			return web.NewResponse(503, web.String("busy"), "Cache-Control", "max-age=1"), nil
		case what == 4:
			return web.NewResponse(404, web.String("none")), nil
		case what == 5:
			panic("torture")
		case what == 6:
			<-ctx.Done()
			return nil, context.Cause(ctx)
		case what < 9 && prior != nil:
			// Of something else: not to be believed.
			return web.NewResponse(304, nil, "ETag", `"other"`, "Cache-Control", "max-age=600"), nil
		case what < 30 && matches:
			return web.NewResponse(304, nil, x.allow(g, vary)...), nil
		case query.Header.Has("Authorization"):
			words, may := x.policy()
			if !strings.Contains(words, "public") && !may.mustAsk {
				return web.NewResponse(200, x.body(ctx, g, id, "personal"), "Cache-Control", words), nil
			}
		case what == 30 && strings.HasSuffix(g.key, "0"):
			return web.NewResponse(200, x.body(ctx, g, id, "personal"), "Cache-Control", "private, max-age=60"), nil
		}
		head := x.allow(g, vary)
		if x.one(8) {
			head = append(head, "Set-Cookie", fmt.Sprint("id=", id))
		}
		return web.NewResponse(200, x.body(ctx, g, id, "shared"), head...), nil
	}
}

// text returns a body that can be told to be right, byte for byte.
func text(line string, n int) string {
	rest := make([]byte, n)
	seed := [32]byte{}
	copy(seed[:], line)
	_, _ = rand.NewChaCha8(seed).Read(rest)
	return line + "\n" + string(rest)
}

// body returns one that is there, or comes bit by bit, or is cut.
func (x *torture) body(ctx context.Context, g thing, id int, kind string) web.Body {
	size := x.n([]int{1, 3000, 3000, 60_000, 60_000, 200_000, 310_000}[x.n(7)])
	all := text(fmt.Sprintf("%d %s %s %d %s %d", size, g.key, g.x, g.version, kind, id), size)
	how := x.n(6)
	if how < 3 {
		return web.String(all)
	}
	x.mu.Lock()
	w, b := x.c.opts.Slab.New(0)
	x.mu.Unlock()
	if how == 3 {
		w.SetLen(int64(len(all)))
	}
	cut := len(all) + 1
	if how == 5 {
		cut = x.n(len(all))
	}
	step := len(all)/(1+x.n(8)) + 1
	go func() {
		for i := 0; i < len(all); i += step {
			select {
			case <-time.After(x.pause(300 * time.Millisecond)):
			case <-ctx.Done():
				w.Abort(context.Cause(ctx))
				return
			}
			if i+step > cut {
				w.Abort(errors.New("cut"))
				return
			}
			_, _ = w.Write([]byte(all[i:min(len(all), i+step)]))
		}
		_ = w.Complete()
	}()
	return b
}

// meddler changes what is kept, and what upstream has, while all that goes on.
func (x *torture) meddler(during time.Duration) {
	x.mu.Lock()
	c := x.c
	x.mu.Unlock()
	for end := time.Now().Add(during); time.Now().Before(end); {
		time.Sleep(x.pause(1500 * time.Millisecond))
		query := x.query()
		switch x.n(6) {
		case 0:
			x.mu.Lock()
			x.version[query.Key]++
			v := x.version[query.Key]
			x.mu.Unlock()
			c.Invalidate(query.Key)
			x.mu.Lock()
			if !c.closed.Load() { // else the disk does not hear of it
				x.floor[query.Key] = max(v, x.floor[query.Key])
			}
			x.mu.Unlock()
		case 1:
			x.mu.Lock()
			x.version[query.Key]++ // and nobody is told
			x.mu.Unlock()
		case 2:
			c.Evict(query.Key)
		case 3:
			g, vary := x.now(query)
			c.Refresh(query, web.NewResponse(200, nil, x.allow(g, vary)...), -1, time.Now())
		case 4: // something large comes
			for range x.n(30) {
				if k, from := c.tiers.victim(live); k != nil {
					c.retire(k, from)
				}
			}
		case 5:
			if o, _ := c.Peek(query); o != nil {
				o.Release()
			}
			_ = c.Stats()
		}
	}
}

// breaker breaks the disk.
func (x *torture) breaker(during time.Duration) {
	for end := time.Now().Add(during); time.Now().Before(end); {
		time.Sleep(x.pause(6 * time.Second))
		what := x.n(8)
		switch {
		case what < 2:
			x.disk.FailSome(disktest.Read, "", 1+x.n(3), errors.New("bad sector"))
		case what < 4:
			x.disk.Stall(disktest.Read)
			time.Sleep(x.pause(3 * time.Second))
			x.disk.Resume()
		case !x.harsh:
		case what == 4:
			x.disk.Stall()
			time.Sleep(x.pause(3 * time.Second))
			x.disk.Resume()
		case what == 5:
			_ = x.disk.Edit(fmt.Sprintf("/cache/%010d.shelf", 1+x.n(3)), func(p []byte) []byte {
				if len(p) > 0 {
					p[x.n(len(p))] ^= 4
				}
				return p
			})
		default:
			op := []disktest.Op{disktest.Write, disktest.Sync, disktest.Create, disktest.Remove, disktest.Free}[x.n(5)]
			x.disk.FailSome(op, "", 1+x.n(3), errors.New("broken"))
		}
	}
}

// live is one life of a cache on the disk.
func (x *torture) live(during time.Duration) {
	for _, op := range []disktest.Op{disktest.Read, disktest.Write, disktest.Sync, disktest.Create, disktest.Remove, disktest.Free} {
		x.disk.FailSome(op, "", 0, nil)
	}
	slab := spool.NewSlab(spool.SlabOptions{Poison: true})
	c, err := New(Options{Bytes: 6 << 20, MaxObject: 300_000, Slab: slab, FillTimeout: 4 * time.Second, WaitTimeout: 6 * time.Second,
		MaxFollowers: 8, MaxWaiters: 30, Retries: 1 + x.n(2), Disk: &Disk{Dir: "/cache", Max: 16 << 20, FS: x.disk.FS()}})
	if err != nil {
		x.t.Fatal(err)
	}
	x.mu.Lock()
	x.c = c
	clear(x.last)
	clear(x.seen) // what was forgotten may be found again
	x.mu.Unlock()
	var all sync.WaitGroup
	for range 300 {
		all.Go(func() { x.asker(during) })
	}
	all.Go(func() { x.meddler(during) })
	all.Go(func() { x.breaker(during) })
	if x.one(3) {
		time.Sleep(during / 2) // in the middle of all that
	} else {
		all.Wait()
	}
	if x.harsh && x.one(3) {
		x.disk.PowerCut(rand.New(rand.NewPCG(uint64(x.n(1000)), 6)))
	}
	c.Close()
	all.Wait()
	synctest.Wait()
	if s := c.Stats(); s.Waiters != 0 || s.Parked != 0 || s.InAir != 0 || c.budget.used.Load() != 0 {
		x.t.Errorf("left over: %d bytes, %+v", c.budget.used.Load(), s)
	}
	if n := slab.InUse(); n != 0 {
		x.t.Errorf("%d bytes of the slab are in use", n)
	}
	if n := x.disk.Handles(); n != 0 {
		x.t.Errorf("%d files are open", n)
	}
}

// Whatever befalls the cache and its disk, and across a restart: what a viewer
// gets is whole, of his key and variant, no older than the last purge, allowed
// by upstream at that moment, and nobody else's. Nothing is left in the end.
func TestTruthUnderTorture(t *testing.T) {
	seeds := *tortureSeeds
	if seeds == 0 {
		seeds = 12
	}
	checked, old := map[Outcome]int{}, 0
	for seed := *tortureFirst; seed < *tortureFirst+uint64(seeds); seed++ {
		bubble(t, func(t *testing.T) {
			x := &torture{t: t, disk: disktest.NewFake(), harsh: seed%2 == 0, rnd: rand.New(rand.NewPCG(seed, 5)), how: map[Outcome]int{},
				version: map[string]int{}, floor: map[string]int{}, seen: map[string]int{}, last: map[string]time.Time{}, said: map[thing][]grant{}, once: map[string]int{}}
			for range 2 {
				x.live(60 * time.Second)
				if x.harsh { // the purges may not have been written down
					clear(x.floor)
				}
				time.Sleep(x.pause(30 * time.Second))
			}
			for how, n := range x.how {
				checked[how] += n
			}
			old += x.old
			if t.Failed() {
				t.Logf("seed %d", seed)
			}
		})
		if t.Failed() {
			return
		}
	}
	t.Logf("%v, %d from the disk", checked, old)
	for _, how := range []Outcome{Hit, Joined, Stale, Miss, Revalidated, Pass} {
		if checked[how] == 0 || old == 0 {
			t.Errorf("no answer was a %v: this test tests nothing", how)
		}
	}
}
