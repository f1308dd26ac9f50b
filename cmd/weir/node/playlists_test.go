package node

import (
	"compress/gzip"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// An origin that is not weir's keeps a live playlist for a day, and sends it in
// chunks of gzip: over real sockets an edge reads it, unless it is told not to,
// holds who asks early, and lets a playlist through that is too large to be read.
func TestAnEdgeReadsPlaylistsOfAnyOrigin(t *testing.T) {
	var last, lists, early atomic.Int64
	last.Store(14)
	large := "#EXTM3U\n#EXT-X-TARGETDURATION:2\n" + strings.Repeat("#EXTINF:2,\nlarge.ts\n", 200_000)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := last.Load()
		switch r.URL.Path {
		case "/v/index.m3u8":
			lists.Add(1)
			w.Header().Set("Content-Type", "application/vnd.apple.mpegurl")
			w.Header().Set("Content-Encoding", "gzip")
			w.Header().Set("Cache-Control", "max-age=86400")
			z := gzip.NewWriter(w)
			fmt.Fprintf(z, "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:%d\n", n-4)
			for i := n - 4; i <= n; i++ {
				fmt.Fprintf(z, "#EXTINF:2,\nseg%d.ts\n", i)
				_ = z.Flush()
			}
			_ = z.Close()
		case "/v/large.m3u8":
			for rest := large; rest != ""; {
				piece := rest[:min(len(rest), 100_000)]
				rest = rest[len(piece):]
				_, _ = w.Write([]byte(piece))
				w.(http.Flusher).Flush()
			}
		case fmt.Sprintf("/v/seg%d.ts", n+1):
			early.Add(1)
			http.NotFound(w, r)
		default:
			_, _ = w.Write([]byte("bytes of " + r.URL.Path))
		}
	}))
	defer srv.Close()

	e := startEdge(t, edgeConfig(srv.URL))
	at := "http://" + e.Addrs().Viewers
	if code, text := ask(t, "GET", at+"/v/large.m3u8"); code != 200 || text != large {
		t.Errorf("a large playlist: %d, %d bytes of %d", code, len(text), len(large))
	}
	if code, text := ask(t, "GET", at+"/v/index.m3u8", "Accept-Encoding", "identity"); code != 200 || text == "" {
		t.Fatalf("%d %q", code, text)
	}
	time.Sleep(1100 * time.Millisecond)
	done := make(chan string, 1)
	go func() {
		code, text := ask(t, "GET", at+"/v/seg15.ts")
		done <- fmt.Sprint(code, " ", text)
	}()
	for range 100 { // until it is held
		if early.Load() > 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	last.Store(15)
	ask(t, "GET", at+"/v/index.m3u8", "Accept-Encoding", "identity")
	if got := <-done; got != "200 bytes of /v/seg15.ts" || early.Load() != 1 {
		t.Errorf("who asked early got %q, the origin was asked early %d times", got, early.Load())
	}
	if n := lists.Load(); n < 2 {
		t.Errorf("the playlist was asked for %d times: it lives for a day", n)
	}

	c := edgeConfig(srv.URL)
	c.Playlists.Read = false
	e = startEdge(t, c)
	at = "http://" + e.Addrs().Viewers
	ask(t, "GET", at+"/v/index.m3u8", "Accept-Encoding", "identity")
	lists.Store(0)
	time.Sleep(1100 * time.Millisecond)
	ask(t, "GET", at+"/v/index.m3u8", "Accept-Encoding", "identity")
	if code, _ := ask(t, "GET", at+"/v/seg16.ts"); code != 404 || lists.Load() != 0 {
		t.Errorf("without reading: %d, the playlist was asked for %d times more", code, lists.Load())
	}
}
