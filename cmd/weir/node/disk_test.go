package node

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"weir/cmd/weir/config"
)

// An edge is restarted: what its viewers wanted is still there, and the origin
// hears nothing of it, not even that it is gone.
func TestADiskTierOutlivesARestart(t *testing.T) {
	var asked atomic.Int64
	body := strings.Repeat("0123456789abcdef", 20_000)
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.Header().Set("Cache-Control", "max-age=3600")
		w.Header().Set("Last-Modified", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat))
		_, _ = w.Write([]byte(r.URL.Path + body))
	}))
	defer origin.Close()
	cfg := edgeConfig(origin.URL)
	cfg.Cache.Disk.Dir, cfg.Cache.Disk.KeepFree = filepath.Join(t.TempDir(), "cache"), 0
	const n = 40
	wanted := func(e *running) {
		t.Helper()
		for i := range n {
			path := fmt.Sprintf("/vod/seg%d.m4s", i)
			if code, text := ask(t, "GET", "http://"+e.Addrs().Viewers+path); code != 200 || text != path+body {
				t.Fatalf("%s: %d, %d bytes", path, code, len(text))
			}
		}
	}
	e := startEdge(t, cfg)
	wanted(e)
	wanted(e)
	if got := asked.Load(); got != n {
		t.Fatalf("the origin was asked %d times, want %d", got, n)
	}
	e.stop()
	if err := e.wait(t); err != nil {
		t.Fatal(err)
	}
	origin.Close()
	e = startEdge(t, cfg)
	wanted(e)
	_, text := ask(t, "GET", "http://"+e.Addrs().Admin+"/metrics")
	if want := fmt.Sprintf("weir_cache_disk_reads_total{outcome=\"hit\"} %d\n", n); !strings.Contains(text, want) {
		t.Errorf("not in /metrics: %s", want)
	}
}

// A directory that cannot be used is told at the start, by the name of its key,
// and so is one that another edge has.
func TestADiskTierThatCannotBeUsedIsToldAtTheStart(t *testing.T) {
	f := func(name, dir, want string) {
		t.Helper()
		cfg := edgeConfig("http://127.0.0.1:1")
		cfg.Cache.Disk.Dir = dir
		n, err := NewEdge(Options[config.Edge]{Config: cfg})
		if err == nil {
			_ = n.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "cache.disk.dir") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f("a file", file, file)
	f("below a file", filepath.Join(file, "x"), file)
	f("somebody else's", filepath.Dir(file), `"file"`)

	cfg := edgeConfig("http://127.0.0.1:1")
	cfg.Cache.Disk.Dir = filepath.Join(t.TempDir(), "cache")
	startEdge(t, cfg)
	f("another edge's", cfg.Cache.Disk.Dir, "locked by another process")
}
