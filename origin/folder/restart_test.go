package folder_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/origin"
	"weir/origin/folder"
)

// An origin that keeps what it publishes is started again while an encoder writes on: what
// the folder still holds is published already, and is not published twice.
func TestAnOriginStartedAgainTakesNothingTwice(t *testing.T) {
	t.Parallel()
	dir, data := t.TempDir(), t.TempDir()
	s := &studio{T: t, dir: dir}
	log := slog.New(slog.NewTextHandler(&s.log, nil))
	start := func() (stop func()) {
		var err error
		if s.o, err = origin.New(origin.Options{Log: log, Store: &origin.Store{Dir: data}}); err != nil {
			t.Fatal(err)
		}
		f, err := folder.New(folder.Options{Dir: dir, Ingest: s.o.LocalIngest(), Published: s.o.LastPublished, Log: log})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		watching, stopWatching := context.WithCancel(ctx)
		var of, ff sync.WaitGroup
		of.Go(func() { _ = s.o.Run(ctx) })
		ff.Go(func() { _ = f.Run(watching) })
		return func() { // as a node does: the folder first
			stopWatching()
			ff.Wait()
			cancel()
			of.Wait()
			if err := s.o.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	write := func(name, text string) {
		t.Helper()
		p := filepath.Join(dir, "c", name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p+".tmp", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(p+".tmp", p); err != nil {
			t.Fatal(err)
		}
	}
	step := func(i int) {
		t.Helper()
		write(fmt.Sprintf("x%d.ts", i), fmt.Sprintf("segment %d", i))
		first := max(0, i-4)
		text := fmt.Sprintf("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:%d\n", first)
		for j := first; j <= i; j++ {
			text += fmt.Sprintf("#EXTINF:1.0,\nx%d.ts\n", j)
		}
		write("index.m3u8", text)
	}
	shown := func() string {
		t.Helper()
		status, _ := s.get("/live/c/main/index.m3u8")
		if status != 200 {
			return fmt.Sprint(status)
		}
		var out []string
		for _, seg := range s.media("c", "main").Segments {
			_, body := s.get("/live/c/main/" + seg.URI)
			word := strings.TrimPrefix(body, "segment ")
			if seg.Gap {
				word = "-"
			}
			if seg.Discontinuity {
				word = "|" + word
			}
			out = append(out, word)
		}
		return strings.Join(out, " ")
	}
	until := func(want string) {
		t.Helper()
		for end := time.Now().Add(8 * time.Second); shown() != want; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("shown %q, want %q\n%s", shown(), want, s.log.b.String())
			}
		}
	}
	stop := start()
	for i := range 6 {
		step(i)
		time.Sleep(100 * time.Millisecond)
	}
	until("0 1 2 3 4 5")
	time.Sleep(time.Second) // on disk
	stop()
	stop = start()
	defer func() { stop() }()
	time.Sleep(300 * time.Millisecond)
	until("0 1 2 3 4 5")
	stop()
	step(6) // while nobody looks
	stop = start()
	step(7)
	for end := time.Now().Add(8 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		// Bytes without times prove no continuation, so that a window may begin anew here.
		got := shown()
		if strings.HasSuffix(got, "6 7") {
			if strings.Contains(got, "-") || strings.Count(got, "5") > 1 || strings.HasPrefix(got, "2") {
				t.Errorf("shown %q", got)
			}
			break
		}
		if time.Now().After(end) {
			t.Fatalf("shown %q", got)
		}
	}
}
