package node

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// The origin is down: an operator says for how long viewers go on with what they
// were shown, whatever the origin had allowed.
func TestStaleKeysBoundWhatIsShownWhileTheOriginIsDown(t *testing.T) {
	var down atomic.Bool
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Cache-Control", "max-age=1, stale-if-error=600")
		_, _ = w.Write([]byte("#EXTM3U\n"))
	}))
	defer origin.Close()
	lenient, strict := edgeConfig(origin.URL), edgeConfig(origin.URL)
	strict.Cache.Stale.PlaylistsOnError = 0
	edges := []*running{startEdge(t, lenient), startEdge(t, strict)}
	for _, e := range edges {
		if code, _ := ask(t, "GET", "http://"+e.Addrs().Viewers+"/live/a.m3u8"); code != 200 {
			t.Fatal(code)
		}
	}
	down.Store(true)
	time.Sleep(1100 * time.Millisecond)
	for i, want := range []int{200, 503} {
		if code, _ := ask(t, "GET", "http://"+edges[i].Addrs().Viewers+"/live/a.m3u8"); code != want {
			t.Errorf("edge %d: %d, want %d", i, code, want)
		}
	}
}

// More viewers want one object than an operator lets wait for it: the others
// are told when to come back, and another object is served.
func TestWaitingKeysBoundWhoWaitsForOneObject(t *testing.T) {
	release := make(chan struct{})
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "slow.m4s") {
			<-release
		}
		w.Header().Set("Cache-Control", "max-age=60")
		_, _ = w.Write([]byte("media"))
	}))
	defer origin.Close()
	cfg := edgeConfig(origin.URL)
	cfg.Cache.Waiting.PerObject = 16
	e := startEdge(t, cfg)
	base := "http://" + e.Addrs().Viewers
	codes := make(chan int, 30)
	for range 30 {
		go func() {
			code, _, err := try("GET", base+"/live/slow.m4s")
			if err != nil {
				code = -1
			}
			codes <- code
		}()
	}
	got := map[int]int{}
	for range 30 - 16 {
		got[<-codes]++
	}
	if code, _ := ask(t, "GET", base+"/live/other.m4s"); code != 200 {
		t.Errorf("another object: %d", code)
	}
	_, page := ask(t, "GET", "http://"+e.Addrs().Admin+"/metrics")
	if want := fmt.Sprintf("weir_cache_rejected_total{reason=%q} 14", "followers"); !strings.Contains(page, want) {
		t.Errorf("/metrics lacks %s", want)
	}
	close(release)
	for range 16 {
		got[<-codes]++
	}
	if got[503] != 14 || got[200] != 16 {
		t.Errorf("answers: %v", got)
	}
}
