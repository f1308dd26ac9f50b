package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/bench"
	"weir/playlist"
)

// A watcher reads the playlists of a channel at every node, over and over, as
// an impatient auditor would: it holds each rendition at each node to the
// rules of a live playlist, and keeps every different text for a stricter judge.
type watcher struct {
	dir    string
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu     sync.Mutex
	seen   map[string]bool
	n      int
	broken []string
}

// watch audits the multivariant playlists at urls and all media playlists they
// name, until stop.
func watch(t *testing.T, urls ...string) *watcher {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w := &watcher{dir: t.TempDir(), cancel: cancel, seen: map[string]bool{}}
	for _, url := range urls {
		w.done.Go(func() { w.audit(ctx, url) })
	}
	t.Cleanup(cancel)
	return w
}

func (w *watcher) audit(ctx context.Context, url string) {
	rules := map[string]*bench.Rulebook{}
	for ctx.Err() == nil {
		text, err := get(ctx, url)
		if err == nil {
			w.keep(text)
			m, err := playlist.ParseMultivariant([]byte(text))
			if err != nil {
				w.say("%s: %v", maskedText(url), err)
				return
			}
			for _, v := range m.Variants {
				w.media(ctx, path.Dir(url), v.URI, rules)
			}
		}
		select {
		case <-time.After(400 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

func (w *watcher) media(ctx context.Context, base, uri string, rules map[string]*bench.Rulebook) {
	base = strings.Replace(base, "http:/", "http://", 1) // path.Dir cleaned it
	text, err := get(ctx, base+"/"+uri)
	if err != nil {
		return // an edge under test may be dead just now; players tell if it matters
	}
	w.keep(text)
	m, err := playlist.ParseMedia([]byte(text))
	if err != nil {
		w.say("%s: %v", uri, err)
		return
	}
	if rules[uri] == nil {
		rules[uri] = new(bench.Rulebook)
	}
	for _, b := range rules[uri].Check(m) {
		w.say("%s: %s", uri, b)
	}
}

func (w *watcher) keep(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.seen[text] {
		return
	}
	w.seen[text] = true
	w.n++
	_ = os.WriteFile(filepath.Join(w.dir, fmt.Sprintf("%05d.m3u8", w.n)), []byte(text), 0o644)
}

func (w *watcher) say(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.broken = append(w.broken, fmt.Sprintf(format, args...))
}

// verdict ends the audit: no rule was broken, and hls-parser in strict mode
// accepts every playlist that was seen.
func (w *watcher) verdict(t *testing.T) {
	t.Helper()
	w.cancel()
	w.done.Wait()
	for i, b := range w.broken {
		if i == 10 {
			t.Errorf("and %d more", len(w.broken)-i)
			break
		}
		t.Errorf("broken: %s", b)
	}
	need(t, "node")
	if _, err := os.Stat("judge/node_modules/hls-parser"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("hls-parser is not installed, and CI installs it")
		}
		t.Log("hls-parser is not installed (make node-tools): playlists were held to our own rules only")
		return
	}
	out, err := exec.Command("node", "judge/judge.mjs", w.dir).CombinedOutput()
	if err != nil {
		t.Errorf("hls-parser, strict: %v\n%s", err, out)
	}
	t.Logf("hls-parser, strict: %s", strings.TrimSpace(string(out)))
}
