package origin

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/bench"
)

// An origin that is stopped and started again shows the same pictures under the same numbers,
// states the same rates, and knows how its encoder times captions, which only the beginning
// of a run tells.
func TestPicturesAndCaptionsOutliveARestart(t *testing.T) {
	dir := ffmpeg(t, append(source(20), "-f", "hls", "-hls_time", "2", "-hls_list_size", "0", "-hls_segment_filename", "x%d.ts", "index.m3u8")...)
	disk := t.TempDir()
	captions := func(i int) string { return fmt.Sprintf("WEBVTT\n\n00:%02d.000 --> 00:%02d.900\n%d\n", 2*i, 2*i, i) }
	var before, multi string
	// On a real disk, in real time: numbers are reserved there before they are used.
	await := func(r *rig, what string, ready func() bool) {
		t.Helper()
		for range 250 {
			if ready() {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
		t.Fatal("waited in vain for ", what, r.log.String(), r.get("/live/c/v/index.m3u8").body, r.get("/live/c/main/index.m3u8").body)
	}
	listed := func(r *rig, name string, n int) func() bool {
		return func() bool { return strings.Count(r.get("/live/c/"+name+"/index.m3u8").body, "#EXTINF") >= n }
	}
	run := func(f func(r *rig)) {
		t.Helper()
		r := newRig(t, Options{Store: &Store{Dir: disk, KeepFree: 1}})
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _ = r.o.Run(ctx) })
		f(r)
		stop()
		wg.Wait()
		r.close()
	}
	push := func(r *rig, i int) {
		r.put(fmt.Sprintf("x%d.ts", i), read(t, dir, fmt.Sprintf("x%d.ts", i)))
		r.put("index.m3u8", window("x", i+1))
		r.put(fmt.Sprintf("v/x%d.vtt", i), captions(i))
		r.put("v/index.m3u8", list(i, fmt.Sprintf("x%d.vtt", i)))
	}
	run(func(r *rig) {
		for i := range 5 {
			push(r, i)
		}
		await(r, "pictures", listed(r, "main", 5))
		await(r, "captions", listed(r, "v", 5))
		await(r, "the multivariant playlist", func() bool { return strings.Contains(r.get("/live/c/index.m3u8").body, "SUBTITLES") })
		r.framesOf("main")
		before, multi = r.get("/live/c/main/iframes.m3u8").body, r.get("/live/c/index.m3u8").body
	})
	run(func(r *rig) {
		r.is("pictures", r.get("/live/c/main/iframes.m3u8").body, before)
		r.is("rates", r.get("/live/c/index.m3u8").body, multi)
		push(r, 5)
		await(r, "pictures", listed(r, "main", 6))
		await(r, "captions", listed(r, "v", 6))
		m := r.framesOf("main")
		if len(m.Segments) != 6 || m.Segments[5].Gap {
			t.Error(r.get("/live/c/main/iframes.m3u8").body)
		}
		words := r.media("v")
		if discontinuities(words)+discontinuities(m) != 0 || len(words.Segments) != 6 {
			t.Errorf("nothing changed, and viewers are told of a discontinuity:\n%s", r.get("/live/c/v/index.m3u8").body)
		}
		at, ok := shownAt(t, r.get("/live/c/v/"+words.Segments[len(words.Segments)-1].URI).body)
		if want := 10*time.Second + muxDelay; !ok || at != want {
			t.Errorf("a caption is shown at %v, want %v", at, want)
		}
	})
}

// An encoder that died with the origin, as FFmpeg does on a persistent connection: the
// operator is told by log and metric, after as long as it has to come back, and sees when it
// was heard last. A channel outlives a night without the origin by an hour.
func TestAnEncoderThatDiedWithTheOriginIsMissed(t *testing.T) {
	onDisk(t, 61, Options{Defaults: Channel{TargetDuration: 2 * time.Second, Window: 12 * time.Second}}, func(m *machine) {
		m.run(m.encoder(bench.EncoderOptions{Continuous: true}), 10)
		last := time.Now().Add(-bench.ClipSegment)
		m.halt()
		time.Sleep(8 * time.Hour)
		m.again()
		if got := m.metric("weir_origin_last_publish_timestamp_seconds", "c"); time.Unix(int64(got), 0).Sub(last).Abs() > time.Second {
			t.Errorf("the metric says %v, it was %v", time.Unix(int64(got), 0), last)
		}
		if got := m.o.Streams()[0].LastPush; got.Sub(last).Abs() > time.Second {
			t.Errorf("last push %v, it was %v", got, last)
		}
		time.Sleep(3 * time.Second)
		if strings.Contains(m.log.String(), "stands still") {
			t.Error("its encoder had no time to come back")
		}
		time.Sleep(10 * time.Second)
		m.logged("level=WARN", "channel stands still", "for=8h0m1")
		if a := m.get("/live/c/180p/index.m3u8"); a.status != 200 {
			t.Errorf("its playlist is %d", a.status)
		}
		time.Sleep(55 * time.Minute)
		if a := m.get("/live/c/180p/index.m3u8"); a.status != 200 {
			t.Errorf("its playlist is %d before an hour", a.status)
		}
	})
}
