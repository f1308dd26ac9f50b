package node

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/cmd/weir/config"
)

// A film that is larger than anything the cache keeps, from a plain file
// server, through two edges of a cluster over real sockets: viewers at
// different places get its bytes, and the origin sends each of them once.
func TestAFilmIsKeptInSlices(t *testing.T) {
	film := make([]byte, 5<<20+12345)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(film)
	var whole, parts, sent atomic.Int64
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Header.Get("Range") == "" {
			whole.Add(1)
		} else {
			parts.Add(1)
			var from, to int64
			_, _ = fmt.Sscanf(req.Header.Get("Range"), "bytes=%d-%d", &from, &to)
			sent.Add(to - from + 1)
		}
		w.Header().Set("ETag", `"v1"`)
		w.Header().Set("Cache-Control", "max-age=600")
		http.ServeContent(w, req, "film.mp4", time.Time{}, bytes.NewReader(film))
	}))
	defer origin.Close()
	var edges []*running
	for range 2 {
		c := edgeConfig(origin.URL)
		c.Cache.MaxObject, c.Cache.SliceOver, c.Cache.Slice = 1*config.MiB, 32*config.MiB, 256*config.KiB
		c.Cluster.Secret = "abcdefghijklmnop"
		if len(edges) > 0 {
			c.Cluster.Join = []string{edges[0].Addrs().Gossip}
		}
		edges = append(edges, startEdge(t, c))
	}
	for _, e := range edges {
		eventually(t, "two members", func() bool {
			code, body, err := try("GET", "http://"+e.Addrs().Admin+"/-/ready")
			return err == nil && code == 200 && strings.Contains(body, `"members": 2`)
		})
	}
	var all sync.WaitGroup
	for i := range 12 {
		all.Go(func() {
			from := i * 400_000
			code, got, err := try("GET", "http://"+edges[i%2].Addrs().Viewers+"/film.mp4", "Range", fmt.Sprintf("bytes=%d-", from), "Accept-Encoding", "identity")
			if code != 206 || got != string(film[from:]) || err != nil {
				t.Errorf("from %d: %d, %d bytes, %v", from, code, len(got), err)
			}
		})
	}
	all.Wait()
	if code, got := ask(t, "GET", "http://"+edges[0].Addrs().Viewers+"/film.mp4"); code != 200 || got != string(film) {
		t.Errorf("the whole: %d, %d bytes", code, len(got))
	}
	// 21 slices, of which the first comes with the question for the whole. Both
	// edges may ask for that before either knows that it is large.
	if whole.Load() > 2 || parts.Load() < 20 || parts.Load() > 22 || sent.Load() > int64(len(film))+512<<10 {
		t.Errorf("the origin was asked for the whole %d times, for %d slices, and sent %d bytes of those", whole.Load(), parts.Load(), sent.Load())
	}
	if n := edges[0].counter(t, "weir_edge_slices_total", "result", "ok"); n < 10 {
		t.Errorf("%v slices are counted", n)
	}
}
