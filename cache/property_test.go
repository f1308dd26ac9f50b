package cache

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/internal/web"
)

// chaos is an upstream and an audience that do whatever may happen, by a seed.
type chaos struct {
	t *testing.T
	c *Cache

	mu      sync.Mutex // guards what follows
	rnd     *rand.Rand
	fills   int
	air     map[string]int // fills whose head is not known yet, by key
	private map[string]int // how many got the answer of a fill that was for one
}

func (x *chaos) n(n int) int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.rnd.IntN(n)
}

func (x *chaos) pause(most time.Duration) time.Duration {
	return time.Duration(x.n(int(most/time.Millisecond)))*time.Millisecond + time.Millisecond
}

// simple says of a key that its answers are the same for all, and that nobody
// invalidates it: upstream never sees two questions for it at once.
func simple(key string) bool { return strings.HasPrefix(key, "/simple") }

// fill answers a question in one of many ways.
func (x *chaos) fill(query Query) Fill {
	return func(ctx context.Context, prior *Object) (*web.Response, error) {
		key := query.Key
		x.mu.Lock()
		x.fills++
		id := x.fills
		if x.air[key]++; simple(key) && x.air[key] > 1 {
			x.t.Errorf("two fills for %s are in the air", key)
		}
		x.mu.Unlock()
		defer func() {
			x.mu.Lock()
			x.air[key]--
			x.mu.Unlock()
		}()
		select {
		case <-time.After(x.pause(3 * time.Second)):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		head := []string{"Cache-Control", []string{"max-age=0", "max-age=1", "max-age=2, stale-while-revalidate=3", "max-age=3, stale-if-error=9", "no-cache", "max-age=60"}[x.n(6)]}
		if x.n(2) == 0 {
			head = append(head, "ETag", x.tag(query))
		}
		if !simple(key) && x.n(3) > 0 {
			head = append(head, "Vary", "X")
		}
		what := x.n(20)
		switch {
		case what == 0:
			return nil, web.Errorf(502, "refused")
		case what == 1:
			return web.NewResponse(503, web.String("busy")), nil
		case what == 2:
			return web.NewResponse(404, web.String("none")), nil
		case what == 3:
			panic("chaos")
		case what == 4:
			<-ctx.Done()
			return nil, context.Cause(ctx)
		case what < 9 && prior != nil:
			// Also one that was not asked about, which is not to be believed.
			return web.NewResponse(304, nil, "ETag", x.tag(query), "Cache-Control", "max-age=2"), nil
		case what < 11 && !simple(key):
			return web.NewResponse(200, web.String(x.text(query, id, "private")), "Cache-Control", "private"), nil
		}
		return web.NewResponse(200, x.body(ctx, query, id), head...), nil
	}
}

// tag returns one of the few entity tags that an answer to query may have.
func (x *chaos) tag(query Query) string {
	return []string{"", "", "W/"}[x.n(3)] + fmt.Sprintf(`"%s%d"`, query.Header.Get("X"), x.n(3))
}

func (x *chaos) text(query Query, id int, kind string) string {
	return fmt.Sprintf("%s %s %s %d %s.", query.Key, query.Header.Get("X"), kind, id, strings.Repeat("-", x.n(3000)))
}

// body returns one that is there, or comes bit by bit, or is cut.
func (x *chaos) body(ctx context.Context, query Query, id int) web.Body {
	text := x.text(query, id, "public")
	how := x.n(3)
	if how == 0 {
		return web.String(text)
	}
	w, b := x.c.opts.Slab.New(0)
	if x.n(2) == 0 {
		w.SetLen(int64(len(text)))
	}
	cut := len(text) + 1
	if how == 1 {
		cut = x.n(len(text))
	}
	go func() {
		for i := 0; i < len(text); i += 500 {
			select {
			case <-time.After(x.pause(500 * time.Millisecond)):
			case <-ctx.Done():
				w.Abort(context.Cause(ctx))
				return
			}
			if i+500 > cut {
				w.Abort(errors.New("cut"))
				return
			}
			_, _ = w.Write([]byte(text[i:min(len(text), i+500)]))
		}
		_ = w.Complete()
	}()
	return b
}

// asker asks for one thing, once, and may leave before or after it is answered.
func (x *chaos) asker() {
	time.Sleep(x.pause(12 * time.Second))
	query := q([]string{"/simple1", "/simple2", "/a", "/b"}[x.n(4)], "X", fmt.Sprint(x.n(3)))
	query.Class = Class(x.n(int(classes)))
	if simple(query.Key) {
		query = q(query.Key)
	} else {
		query.NoPeer = x.n(4) == 0
	}
	query.Wait = x.pause(8 * time.Second)
	start, told := time.Now(), 0
	ready := make(chan *Object, 2)
	cancel := x.c.Ask(query, x.fill(query), func(o *Object, how Outcome, err error) {
		if (o == nil) == (err == nil) {
			x.t.Errorf("%s: told %v and %v", query.Key, o, err)
		}
		told++
		ready <- o
	})
	leaves := time.After(time.Hour)
	if x.n(3) == 0 {
		leaves = time.After(x.pause(4 * time.Second))
	}
	var o *Object
	select {
	case o = <-ready:
	case <-leaves:
		cancel()
		select {
		case o = <-ready: // it was on its way
		default:
			time.Sleep(20 * time.Second)
			if told != 0 {
				x.t.Errorf("%s: told after it was cancelled", query.Key)
			}
			return
		}
	}
	if took := time.Since(start); took > query.Wait+grain {
		x.t.Errorf("%s: waited %v, allowed were %v", query.Key, took, query.Wait)
	}
	x.look(query, o)
	time.Sleep(20 * time.Second)
	cancel()
	if told != 1 {
		x.t.Errorf("%s: told %d times", query.Key, told)
	}
}

// look reads an answer, or lets go of it.
func (x *chaos) look(query Query, o *Object) {
	if o == nil {
		return
	}
	if x.n(4) == 0 {
		time.Sleep(x.pause(2 * time.Second))
		o.Release()
		return
	}
	if o.Status() != 200 {
		o.Release()
		return
	}
	resp := o.Response(time.Now())
	o.Release()
	defer resp.Close()
	p, err := web.ReadAll(context.Background(), resp.Body, 1<<20)
	text := string(p)
	if err != nil {
		if !errors.Is(err, web.ErrAborted) {
			x.t.Errorf("%s: %v", query.Key, err)
		}
		return
	}
	if f := strings.Fields(text); !strings.HasPrefix(text, query.Key+" ") || !strings.HasSuffix(text, ".") ||
		strings.Contains(resp.Get("Vary"), "X") && f[1] != query.Header.Get("X") {
		x.t.Errorf("%s for %q read %q", query.Key, query.Header.Get("X"), text)
	}
	if strings.Contains(text, "private") {
		x.mu.Lock()
		defer x.mu.Unlock()
		if x.private[text]++; x.private[text] > 1 {
			x.t.Errorf("a private answer went to two")
		}
	}
}

// meddler changes what is kept while all that goes on.
func (x *chaos) meddler() {
	for range 20 {
		time.Sleep(x.pause(time.Second))
		query := q([]string{"/a", "/b"}[x.n(2)], "X", fmt.Sprint(x.n(3)))
		switch x.n(3) {
		case 0:
			x.c.Invalidate(query.Key)
		case 1:
			x.c.Evict(query.Key)
		case 2:
			x.c.Refresh(query, web.NewResponse(200, nil, "ETag", x.tag(query), "Cache-Control", "max-age=2", "Vary", "X"), -1, time.Now())
		}
	}
}

// Whatever happens in whatever order, everybody is answered once, within his
// time, with a whole answer that is for him or one that is cut visibly;
// upstream sees one question at a time, and nothing is left in the end.
func TestWhateverHappensEverybodyIsAnsweredOnce(t *testing.T) {
	seeds := 500
	if testing.Short() {
		seeds = 20
	}
	for seed := range seeds {
		bubble(t, func(t *testing.T) {
			c := newCache(t, Options{FillTimeout: 4 * time.Second, WaitTimeout: 6 * time.Second, MaxFollowers: 8, MaxWaiters: 20, Retries: 1 + seed%2})
			x := &chaos{t: t, c: c, rnd: rand.New(rand.NewPCG(uint64(seed), 4)), air: map[string]int{}, private: map[string]int{}}
			var all sync.WaitGroup
			for range 80 {
				all.Go(x.asker)
			}
			all.Go(x.meddler)
			all.Wait()
			if s := c.Stats(); s.Waiters != 0 || s.Parked != 0 || s.InAir != 0 {
				t.Errorf("left over: %+v", s)
			}
			if t.Failed() {
				t.Logf("seed %d", seed)
			}
		})
		if t.Failed() {
			return
		}
	}
}
