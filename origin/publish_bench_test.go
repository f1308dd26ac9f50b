package origin

import (
	"context"
	"slices"
	"strconv"
	"testing"
	"time"

	"weir/bench"
	"weir/internal/disk/disktest"
	"weir/internal/web"
	"weir/playlist"
)

// BenchmarkPublishLatency measures, inside one process, from the last byte of a segment's and
// its playlist's upload to where a viewer who waits holds the new playlist: in memory, with a
// disk, and with one that has stalled.
func BenchmarkPublishLatency(b *testing.B) {
	b.Run("memory", func(b *testing.B) { publishLatency(b, nil, 0, func() {}) })
	b.Run("disk", func(b *testing.B) { publishLatency(b, &Store{Dir: b.TempDir()}, 0, func() {}) })
	b.Run("stalled", func(b *testing.B) {
		d := disktest.NewFake()
		// In real time: beyond what is reserved numbers are used as the clock allows.
		publishLatency(b, &Store{Dir: "/data", FS: d.FS(), KeepFree: 1}, 2*time.Second, func() { d.Stall(); b.Cleanup(d.Resume) })
	})
}

func publishLatency(b *testing.B, store *Store, pause time.Duration, begun func()) {
	r := newRig(b, Options{Defaults: Channel{Window: 20 * time.Second}, Memory: 8 << 30, Store: store})
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = r.o.Run(ctx) }()
	defer func() { stop(); <-done; _ = r.o.Close() }()
	f, err := bench.NewFeed(bench.FeedOptions{Ingest: r.o.Ingest(), Channel: "c", TS: true, Pad: 500_000, Rungs: []bench.Rung{{Path: "hi", Source: "hi"}}})
	if err != nil {
		b.Fatal(err)
	}
	if err := f.Step(ctx); err != nil {
		b.Fatal(err)
	}
	view := func(query string) (*playlist.Media, error) {
		resp, err := r.o.Viewers().Serve(ctx, &web.Request{Method: "GET", Path: "/live/c/hi/index.m3u8", Query: query})
		if err != nil {
			return nil, err
		}
		defer resp.Close()
		text, err := web.ReadAll(ctx, resp.Body, 1<<20)
		if err != nil {
			return nil, err
		}
		return playlist.ParseMedia(text)
	}
	var m *playlist.Media
	for end := time.Now().Add(10 * time.Second); m == nil || len(m.Segments) == 0; m, err = view("") {
		if time.Sleep(5 * time.Millisecond); time.Now().After(end) {
			b.Fatal("nothing is published: ", err)
		}
	}
	begun()
	next := m.MediaSequence + uint64(len(m.Segments))
	var took []time.Duration
	for b.Loop() {
		seen := make(chan time.Time, 1)
		go func() {
			if _, err := view("_HLS_msn=" + strconv.FormatUint(next, 10)); err != nil {
				b.Error(err)
			}
			seen <- time.Now()
		}()
		c := f.Cut(5)
		if err := f.Media(ctx, 0, c); err != nil {
			b.Fatal(err)
		}
		last := time.Now()
		if err := f.List(ctx, 0, c, false); err != nil {
			b.Fatal(err)
		}
		took = append(took, (<-seen).Sub(last))
		next++
		time.Sleep(pause)
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-us")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
}

// What a channel costs is what it holds: its memory stays within 1.3 times the bytes that
// viewers may still ask for, and gives back what they may not.
func TestAChannelCostsItsWindow(t *testing.T) {
	f := func(what string, size func(i int) int64) {
		t.Helper()
		underClock(t, Options{Defaults: Channel{Window: 30 * time.Second, Retention: 31 * time.Second}}, func(r *rig) {
			e, err := bench.NewFeed(bench.FeedOptions{Ingest: r.o.Ingest(), Channel: "c", TS: true})
			if err != nil {
				t.Fatal(err)
			}
			worst, lean := 0.0, 0.0
			pushed := map[string]int64{}
			for i := range 120 {
				e.Fill(size(i))
				if err := e.Step(t.Context()); err != nil {
					t.Fatal(err)
				}
				var listed, held int64
				for _, name := range []string{"hi", "lo"} {
					m, err := playlist.ParseMedia([]byte(r.get("/live/c/" + name + "/index.m3u8").body))
					if err != nil {
						t.Fatal(err)
					}
					for _, s := range m.Segments {
						p := "/live/c/" + name + "/" + s.URI
						if pushed[p] == 0 {
							pushed[p] = int64(len(r.get(p).body))
						}
						listed += pushed[p]
					}
				}
				for p, n := range pushed {
					if r.get(p, "Range", "bytes=0-0").status != 206 {
						delete(pushed, p)
						continue
					}
					held += n
				}
				if i > 60 { // what stays fetchable is full
					in := float64(r.slab.InUse())
					worst, lean = max(worst, in/float64(held)), max(lean, in/float64(listed))
				}
				time.Sleep(2 * time.Second)
			}
			t.Logf("%s: memory is at most %.2f times what can be fetched, %.2f times what is listed", what, worst, lean)
			if worst > 1.3 {
				t.Errorf("%s: memory is %.2f times the bytes that can be fetched", what, worst)
			}
		})
	}
	f("segments of 60 kB", func(int) int64 { return 60_000 })
	f("segments of 500 kB", func(int) int64 { return 500_000 })
	f("segments of 5 kB to 1.5 MB", func(i int) int64 { return int64(i*7919%150) * 10_000 })
	f("segments of 2 MB and a packet", func(int) int64 { return 2<<20 + 188 })
}
