package edge

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/cache"
	"weir/internal/spool"
	"weir/internal/web"
)

// studio is an upstream with files, whatever they are, that counts by path.
type studio struct {
	mu    sync.Mutex
	files map[string]*web.Response // by path, or path?query
	asked map[string]int
}

func newStudio() *studio {
	return &studio{files: map[string]*web.Response{}, asked: map[string]int{}}
}

// put makes text what path answers, with header fields.
func (s *studio) put(path, text string, pairs ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[path] = web.NewResponse(200, web.String(text), pairs...)
}

// list makes a live playlist of n two-second segments what path answers.
func (s *studio) list(path string, first, n int, pairs ...string) {
	s.put(path, windowOf(first, n), pairs...)
}

func windowOf(first, n int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:%d\n", first)
	for i := range n {
		fmt.Fprintf(&b, "#EXTINF:2,\nseg%d.ts\n", first+i)
	}
	return b.String()
}

// cut makes segments, without any word about how long they may be kept.
func (s *studio) cut(dir string, first, n int, pairs ...string) {
	for i := range n {
		s.put(fmt.Sprintf("%s/seg%d.ts", dir, first+i), fmt.Sprintf("bytes of %d", first+i), pairs...)
	}
}

func (s *studio) drop(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.files, path)
}

func (s *studio) Serve(_ context.Context, req *web.Request) (*web.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	path := req.Path
	if req.Query != "" {
		path += "?" + req.Query
	}
	s.asked[path]++
	f := s.files[path]
	if f == nil {
		f = s.files[req.Path]
	}
	if f == nil {
		return web.NewResponse(404, web.String("no such file\n"), "Cache-Control", "max-age=86400"), nil
	}
	return web.Select(req, &web.Response{Status: f.Status, Header: f.Header.Clone(), Body: f.Body}), nil
}

// count returns how often a path was asked for since the last call.
func (s *studio) count(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.asked[path]
	delete(s.asked, path)
	return n
}

// total returns how often anything was asked for since the last call.
func (s *studio) total() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.asked {
		n += m
	}
	clear(s.asked)
	return n
}

// awareEdge is an edge that reads playlists.
func awareEdge(t *testing.T, ao AwareOptions, o Options, origins ...web.Handler) *Edge {
	t.Helper()
	a := NewAware(ao)
	slab := spool.NewSlab(spool.SlabOptions{Poison: true})
	c, err := cache.New(cache.Options{Bytes: 64 << 20, Slab: slab, Judge: a.Judge})
	if err != nil {
		t.Fatal(err)
	}
	o.Cache, o.Aware = c, a
	t.Cleanup(func() { // after the edge's own
		if n := slab.InUse(); n != 0 {
			t.Errorf("%d bytes were never given back", n)
		}
		if n := a.reading.Load(); n != 0 {
			t.Errorf("%d bytes of playlists are counted as being read", n)
		}
	})
	return newEdge(t, o, origins...)
}

// wait lets time go by.
func wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// says fails unless what is asked for is answered as told.
func says(t *testing.T, e web.Handler, target string, status int, text string, pairs ...string) got {
	t.Helper()
	g := get(t, e, target, pairs...)
	if g.Status != status || text != "" && g.text != text {
		t.Errorf("%s: %d %q, want %d %q", target, g.Status, g.text, status, text)
	}
	return g
}

func want(t *testing.T, what string, got, want any) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}
