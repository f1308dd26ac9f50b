package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"pgregory.net/rapid"

	"weir/internal/spool"
	"weir/internal/web"
)

// pattern returns n bytes that tell which key they belong to and where they stand.
func pattern(key string, n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = key[i%len(key)] + byte(i>>8)
	}
	return p
}

// streamed returns a body that arrives in pieces, with or without its length,
// and ends early if it is cut. It is written by a goroutine of its own.
func streamed(slab *spool.Slab, p []byte, piece int, announced, cut bool) web.Body {
	w, b := slab.New(0)
	if announced {
		w.SetLen(int64(len(p)))
	}
	go func() {
		for len(p) > 0 {
			n := min(piece, len(p))
			_, _ = w.Write(p[:n])
			p = p[n:]
			time.Sleep(time.Microsecond)
			if cut && len(p) < 1000 {
				w.Abort(errors.New("reset"))
				return
			}
		}
		_ = w.Complete()
	}()
	return b
}

// drained is a body that still lies in the network: it can only be drained.
type drained struct {
	r   io.Reader
	n   int64 // -1: length unknown
	err error // at the end, instead of all that was promised
}

func (d *drained) Len() int64                               { return d.n }
func (d *drained) View(int64) ([]byte, web.State)           { panic("View of a body to be drained") }
func (d *drained) File(int64) (uintptr, int64, int64, bool) { return 0, 0, 0, false }
func (d *drained) Watch(int64, func()) func()               { panic("Watch of a body to be drained") }
func (d *drained) Close()                                   {}
func (d *drained) Drain(_ context.Context, w io.Writer) (int64, error) {
	n, err := io.Copy(w, struct{ io.Reader }{d.r})
	if err == nil {
		err = d.err
	}
	return n, err
}

func drain(p []byte, announced bool) *drained {
	d := &drained{r: iotest.HalfReader(bytes.NewReader(p)), n: -1}
	if announced {
		d.n = int64(len(p))
	}
	return d
}

// A body goes from the network straight to its place, in whatever pieces, up
// to exactly the size an object may have, and no byte further.
func TestDrainedBodies(t *testing.T) {
	const most = 96 << 10
	f := func(size int, announced bool, want Outcome) {
		t.Helper()
		bubble(t, func(t *testing.T) {
			c := newCache(t, Options{MaxObject: most})
			body := pattern("/a", size)
			u := &upstream{answer: func(int64, *Object) (*web.Response, error) {
				return web.NewResponse(200, drain(body, announced), "Cache-Control", "max-age=60"), nil
			}}
			get(t, c, q("/a"), u, want, string(body))
			if want == Miss {
				get(t, c, q("/a"), u, Hit, string(body))
				u.wants(t, 1)
			}
		})
	}
	for _, announced := range []bool{true, false} {
		for _, size := range []int{0, 1, 1023, 16 << 10, 16<<10 + 1, 40_000, 64 << 10, most - 1, most} {
			f(size, announced, Miss)
		}
	}
	f(most+1, true, Pass)

	cut := func(name string, d *drained) {
		t.Helper()
		bubble(t, func(t *testing.T) {
			c := newCache(t, Options{MaxObject: most})
			o, _, err := c.Get(context.Background(), q("/a"), func(context.Context, *Object) (*web.Response, error) {
				return web.NewResponse(200, d, "Cache-Control", "max-age=60"), nil
			})
			if err != nil {
				t.Fatal(err)
			}
			resp := o.Response(time.Now())
			o.Release()
			p, err := web.ReadAll(context.Background(), resp.Body, 1<<30)
			resp.Close()
			if !errors.Is(err, web.ErrAborted) || len(p) > most {
				t.Errorf("%s: read %d bytes, %v", name, len(p), err)
			}
			synctest.Wait()
			if _, ok := c.Lookup(q("/a")); ok {
				t.Errorf("%s: it was kept", name)
			}
		})
	}
	cut("too large", drain(make([]byte, most+1), false))
	cut("far too large", drain(make([]byte, 10*most), false))
	cut("reset", &drained{r: bytes.NewReader(make([]byte, 1000)), n: -1, err: errors.New("reset")})
	cut("short", &drained{r: bytes.NewReader(make([]byte, 1000)), n: 2000})
	cut("long", &drained{r: bytes.NewReader(make([]byte, 3000)), n: 2000})
}

// A fill that could not fit even into an empty store does not cost what is kept.
func TestHopelessFillEvictsNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{Bytes: 1 << 20, MaxObject: 1 << 20})
		small := string(make([]byte, 50<<10))
		for i := range 5 {
			get(t, c, q(fmt.Sprint("/", i)), says(200, small, "Cache-Control", "max-age=600"), Miss, small)
		}
		large := string(make([]byte, 1000<<10))
		get(t, c, q("/large"), says(200, large, "Cache-Control", "max-age=600"), Pass, large)
		for i := range 5 {
			get(t, c, q(fmt.Sprint("/", i)), nil, Hit, small)
		}
	})
}

// Whatever is asked for, however large, in whatever order, however many read
// slowly: the node never takes more memory than it was given, every body that
// ends is right, and in the end every byte is accounted for.
func TestBudgetIsNeverExceeded(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		limit := int64(rapid.IntRange(128<<10, 4<<20).Draw(rt, "limit"))
		slab, upstreamSlab := spool.NewSlab(spool.SlabOptions{Poison: true}), spool.NewSlab(spool.SlabOptions{})
		c, err := New(Options{Bytes: limit, Slab: slab, FillTimeout: time.Minute,
			MaxObject: limit / int64(rapid.IntRange(1, 8).Draw(rt, "share"))})
		if err != nil {
			rt.Fatal(err)
		}
		type ask struct {
			key, size, piece       int
			announced, cut, noPeer bool
			cc                     string
			slow, drained          bool
		}
		asks := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) ask {
			return ask{
				key:       rapid.IntRange(0, 40).Draw(rt, "key"),
				size:      rapid.OneOf(rapid.IntRange(0, 5000), rapid.IntRange(0, 200<<10), rapid.IntRange(0, int(limit)*5/4)).Draw(rt, "size"),
				piece:     rapid.IntRange(5000, 100_000).Draw(rt, "piece"),
				announced: rapid.Bool().Draw(rt, "announced"), cut: rapid.IntRange(0, 5).Draw(rt, "cut") == 0,
				noPeer: rapid.Bool().Draw(rt, "noPeer"), drained: rapid.Bool().Draw(rt, "drained"), slow: rapid.IntRange(0, 3).Draw(rt, "slow") == 0,
				cc: rapid.SampledFrom([]string{"max-age=60", "max-age=60", "max-age=0", "no-store", "no-cache"}).Draw(rt, "cc"),
			}
		}), 1, 150).Draw(rt, "asks")

		var peak, wrong atomic.Int64
		check := func() {
			if n := max(slab.InUse(), c.budget.used.Load()); n > limit {
				peak.Store(n)
			}
			if slab.InUse() > c.budget.used.Load()+largestPiece { // the two are read one after the other
				wrong.Add(1)
			}
		}
		var wg sync.WaitGroup
		gate := make(chan struct{}, 24)
		for _, a := range asks {
			gate <- struct{}{}
			wg.Go(func() {
				defer func() { <-gate }()
				key := fmt.Sprint("/key", a.key)
				q := q(key)
				q.NoPeer = a.noPeer
				o, _, err := c.Get(context.Background(), q, func(context.Context, *Object) (*web.Response, error) {
					check()
					var body web.Body = drain(pattern(key, a.size), a.announced)
					if !a.drained {
						body = streamed(upstreamSlab, pattern(key, a.size), a.piece, a.announced, a.cut)
					}
					return web.NewResponse(200, body, "Cache-Control", a.cc), nil
				})
				check()
				if err != nil {
					return
				}
				resp := o.Response(time.Now())
				o.Release()
				if a.slow {
					time.Sleep(time.Millisecond)
				}
				got, _ := web.ReadAll(context.Background(), resp.Body, 1<<30) // cut is fine, wrong is not
				if !bytes.Equal(got, pattern(key, len(got))) {
					wrong.Add(1)
				}
				resp.Close()
				check()
			})
		}
		wg.Wait()
		c.Close()
		if n := peak.Load(); n > 0 {
			rt.Errorf("%d bytes were in use, of %d", n, limit)
		}
		if n := wrong.Load(); n > 0 {
			rt.Errorf("%d bodies were wrong", n)
		}
		if n, m := slab.InUse(), c.budget.used.Load(); n != 0 || m != 0 {
			rt.Errorf("%d bytes in use and %d charged after the end", n, m)
		}
	})
}

// The newest bytes stay, whatever they are: of what does not fit the oldest goes.
func TestYoungIsFirstInFirstOut(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{Bytes: 1 << 20, Young: 400 << 10})
		const size = 20 << 10
		for i := range 100 {
			key := fmt.Sprint("/seg", i)
			get(t, c, q(key), says(200, string(pattern(key, size)), "Cache-Control", "max-age=600"), Miss, string(pattern(key, size)))
			synctest.Wait()
			for j := max(0, i-15); j <= i; j++ { // what was wanted before does not matter
				if o, ok := c.Lookup(q(fmt.Sprint("/seg", j))); ok {
					o.Release()
				} else {
					t.Fatalf("segment %d is gone when %d is the newest", j, i)
				}
			}
			if s := c.Stats(); s.Young.Bytes > 400<<10 || s.Bytes > 1<<20 {
				t.Fatalf("over the share: %+v", s)
			}
		}
	})
}

// Viewers that read slowly keep their bytes even when these are evicted, and
// the budget knows: what then does not fit any more is passed through.
func TestReadersKeepTheirBytesAndTheirCharge(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{Bytes: 1 << 20, MaxObject: 300 << 10})
		const size = 200 << 10
		var reading []*web.Response
		var keys []string
		for i := range 8 {
			key := fmt.Sprint("/seg", i)
			o, how, err := c.Get(context.Background(), q(key), says(200, string(pattern(key, size)), "Cache-Control", "max-age=600").fill)
			if err != nil {
				t.Fatal(err)
			}
			if want := map[bool]Outcome{true: Miss, false: Pass}[i < 4]; how != want {
				t.Errorf("segment %d: %v, want %v: %+v", i, how, want, c.Stats())
			}
			reading, keys = append(reading, o.Response(time.Now())), append(keys, key)
			o.Release()
			synctest.Wait()
		}
		if n := testutil.ToFloat64(c.metrics.rejected[noRoom]); n != 4 {
			t.Errorf("%v fills found no room, want 4", n)
		}
		for i := 2; i < 4; i++ { // the young are not evicted: they are read, and no byte would come of it
			get(t, c, q(keys[i]), nil, Hit, string(pattern(keys[i], size)))
		}
		for i, resp := range reading {
			p, err := web.ReadAll(context.Background(), resp.Body, 1<<30)
			if err != nil || !bytes.Equal(p, pattern(keys[i], size)) {
				t.Errorf("segment %d: %d bytes, %v", i, len(p), err)
			}
			resp.Close()
		}
		get(t, c, q("/new"), says(200, string(pattern("/new", size)), "Cache-Control", "max-age=600"), Miss, string(pattern("/new", size)))
	})
}

// A body of unknown length that outgrows what is left is cut, not kept in
// part, and passed through when it is asked for again.
func TestNoRoomInTheMiddle(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{Bytes: 1 << 20, MaxObject: 1 << 20})
		hold := says(200, string(make([]byte, 600<<10)), "Cache-Control", "max-age=600")
		held, _, err := c.Get(context.Background(), q("/held"), hold.fill)
		if err != nil {
			t.Fatal(err)
		}
		body := pattern("/a", 500<<10)
		u := &upstream{answer: func(int64, *Object) (*web.Response, error) {
			return web.NewResponse(200, streamed(spool.NewSlab(spool.SlabOptions{}), body, 9000, false, false), "Cache-Control", "max-age=600"), nil
		}}
		o, _, err := c.Get(context.Background(), q("/a"), u.fill)
		if err != nil {
			t.Fatal(err)
		}
		resp := o.Response(time.Now())
		o.Release()
		if _, err := web.ReadAll(context.Background(), resp.Body, 1<<30); !errors.Is(err, ErrNoRoom) {
			t.Errorf("read: %v", err)
		}
		resp.Close()
		synctest.Wait()
		get(t, c, q("/a"), u, Pass, string(body))
		held.Release()
	})
}
