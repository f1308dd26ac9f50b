package edge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/cache"
	"weir/internal/spool"
	"weir/internal/web"
)

// weather is an upstream with a live playlist, its segments and films, in which
// anything may happen to an answer.
type weather struct {
	slab  *spool.Slab
	began time.Time
	lag   time.Duration // how far it is behind
	film  string

	mu   sync.Mutex
	rand *rand.Rand
}

func (w *weather) roll(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rand.IntN(n)
}

func segmentText(n int) string { return strings.Repeat(fmt.Sprintf("segment %d ", n), 2000) }

func (w *weather) Serve(ctx context.Context, req *web.Request) (*web.Response, error) {
	for name := range req.Header.All() {
		if strings.HasPrefix(name.Name, "Weir-") {
			return nil, fmt.Errorf("a field between edges reached an origin: %v", name)
		}
	}
	select {
	case <-time.After([...]time.Duration{0, time.Millisecond, 50 * time.Millisecond, 300 * time.Millisecond, 3 * time.Second}[w.roll(5)]):
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	switch w.roll(12) {
	case 0:
		return answering(503, "not now")(ctx, req)
	case 1:
		return unreachable(ctx, req)
	}
	last := int((time.Since(w.began) - w.lag) / (2 * time.Second))
	var n int
	var resp *web.Response
	switch {
	case strings.HasSuffix(req.Path, ".m3u8"):
		return web.NewResponse(200, w.arrive(windowOf(max(0, last-5), 6)), "Cache-Control", "max-age=1", "Content-Type", "application/vnd.apple.mpegurl"), nil
	case strings.HasPrefix(req.Path, "/film"):
		resp = web.NewResponse(200, web.String(w.film), "ETag", `"f"`, "Cache-Control", "max-age=60", "Accept-Ranges", "bytes", "Content-Type", "video/mp4")
	default:
		if k, _ := fmt.Sscanf(req.Path, "/v/seg%d.ts", &n); k == 0 || n > last {
			return answering(404, "no")(ctx, req)
		}
		resp = web.NewResponse(200, web.String(segmentText(n)), "ETag", fmt.Sprintf(`"%d"`, n), "Cache-Control", "max-age=60", "Accept-Ranges", "bytes")
	}
	resp = web.Select(req, resp)
	if resp.Body != nil && resp.Status < 300 {
		p, err := web.ReadAll(ctx, resp.Body, 1<<30)
		if err != nil {
			return nil, err
		}
		resp.Body.Close()
		resp.Body = w.arrive(string(p))
	}
	return resp, nil
}

// arrive is a body that comes in pieces, and may be cut.
func (w *weather) arrive(text string) web.Body {
	in, out := w.slab.New(int64(len(text)))
	in.SetLen(int64(len(text)))
	pause, cut := time.Duration(w.roll(30))*time.Millisecond, w.roll(6) == 0
	go func() {
		for i := 0; i < len(text); i += 4000 {
			time.Sleep(pause)
			if cut && i > len(text)/2 {
				in.Abort(errors.New("cut"))
				return
			}
			if _, err := in.Write([]byte(text[i:min(i+4000, len(text))])); err != nil {
				return
			}
		}
		_ = in.Complete()
	}()
	return out
}

// Whoever leaves, at whatever moment, of whatever he waits for or reads, leaves
// nothing behind; and whatever anybody has read is true.
func TestViewersMayLeaveAtAnyMoment(t *testing.T) {
	for seed := range uint64(8) {
		synctest.Test(t, func(t *testing.T) {
			slab := spool.NewSlab(spool.SlabOptions{Poison: true})
			origins := make([]web.Handler, 2)
			film := strings.Repeat("0123456789abcdef", 20_000)
			for i := range origins {
				origins[i] = &weather{slab: slab, began: time.Now(), lag: time.Duration(i) * 3 * time.Second, film: film,
					rand: rand.New(rand.NewPCG(seed, uint64(i)))}
			}
			rings, edges := make([]*ring, 3), make([]*Edge, 3)
			for i := range edges {
				self := fmt.Sprintf("e%d", i+1)
				rings[i] = &ring{self: self, owner: func(key string) string { return byHash(3)(self, key) }, peers: map[string]*ringPeer{}}
				a := NewAware(AwareOptions{})
				mine := spool.NewSlab(spool.SlabOptions{Poison: true})
				c, err := cache.New(cache.Options{Bytes: 8 << 20, Slab: mine, Judge: a.Judge})
				if err != nil {
					t.Fatal(err)
				}
				edges[i] = newEdge(t, Options{Node: self, Cache: c, Aware: a, Peers: rings[i], SliceOver: 64 << 10, Slice: 64 << 10}, origins...)
				t.Cleanup(func() {
					for range 100 { // those who leave last
						if mine.InUse() == 0 {
							break
						}
						time.Sleep(100 * time.Millisecond)
					}
					if n := mine.InUse(); n != 0 || a.reading.Load() != 0 || a.holds.count() != 0 || edges[i].held.Load() != 0 {
						t.Errorf("seed %d: %d bytes, %d of playlists, %d holds, %d of slices are left", seed, n, a.reading.Load(), a.holds.count(), edges[i].held.Load())
					}
				})
			}
			for _, r := range rings {
				for i, e := range edges {
					name := fmt.Sprintf("e%d", i+1)
					r.peers[name] = &ringPeer{name, e.PeerHandler()}
				}
			}
			began := time.Now()
			var all sync.WaitGroup
			for i := range 40 { // nobody is given up for good
				all.Go(func() {
					time.Sleep(time.Duration(i) * 3 * time.Second)
					for _, r := range rings {
						r.mu.Lock()
						r.failed = nil
						r.mu.Unlock()
					}
				})
			}
			for v := range 60 {
				all.Go(func() {
					dice := rand.New(rand.NewPCG(seed, uint64(100+v)))
					for range 30 {
						oneViewer(t, edges[dice.IntN(3)], dice, began, film)
						time.Sleep(time.Duration(dice.IntN(4000)) * time.Millisecond)
					}
				})
			}
			all.Wait()
			time.Sleep(2 * time.Minute)
			for _, e := range edges {
				e.relays.mu.Lock()
				if len(e.relays.keys) != 0 {
					t.Errorf("seed %d: relays %v are left", seed, e.relays.keys)
				}
				e.relays.mu.Unlock()
				e.cache.Close()
			}
			time.Sleep(time.Minute)
			if n := slab.InUse(); n != 0 {
				t.Errorf("seed %d: %d bytes of upstream's answers are left", seed, n)
			}
		})
	}
}

// oneViewer asks for something, and leaves at some moment.
func oneViewer(t *testing.T, e *Edge, dice *rand.Rand, began time.Time, film string) {
	ctx, leave := context.WithTimeout(context.Background(), time.Duration(1+dice.IntN(4000))*time.Millisecond)
	defer leave()
	n := int(time.Since(began)/(2*time.Second)) - 3 + dice.IntN(6)
	req, whole := request("GET", "/v/index.m3u8"), ""
	switch dice.IntN(4) {
	case 0, 1:
		req, whole = request("GET", fmt.Sprintf("/v/seg%d.ts", max(0, n))), segmentText(max(0, n))
	case 2:
		req, whole = request("GET", fmt.Sprintf("/film%d.mp4", max(0, n/3))), film
	}
	from := 0
	if whole != "" && dice.IntN(2) == 0 {
		from = dice.IntN(len(whole))
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", from))
	}
	resp, err := e.Serve(ctx, req)
	if err != nil {
		if ctx.Err() == nil {
			t.Errorf("%s: %v", req.Path, err)
		}
		return
	}
	defer resp.Close()
	if resp.Body == nil || resp.Status >= 300 {
		return
	}
	if resp.Status == http.StatusOK {
		from = 0
	}
	var got bytes.Buffer
	_, err = web.Copy(ctx, &got, resp.Body, 0)
	switch {
	case whole == "":
		if err == nil && !strings.HasSuffix(got.String(), ".ts\n") {
			t.Errorf("a playlist that ends with %q", got.String()[max(0, got.Len()-10):])
		}
	case !strings.HasPrefix(whole[from:], got.String()):
		t.Errorf("%s from %d: other bytes", req.Path, from)
	case err == nil && got.Len() != len(whole)-from:
		t.Errorf("%s from %d: %d bytes of %d, and no error", req.Path, from, got.Len(), len(whole)-from)
	}
}
