package origin

import (
	"crypto/sha256"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/bench"
	"weir/playlist"
)

// A list that slides has no EXT-X-PLAYLIST-TYPE: a player would take it for one that only
// grows, and seek to where nothing is any more.
func TestPL15ASlidingListHasNoType(t *testing.T) {
	inBoth(t, Options{}, func(s *show, e *encoder) {
		e.step(25)
		e.restart(time.Hour)
		e.step(5)
		s.each(func(x *reader, v version) {
			if strings.Contains(v.answer.body, "PLAYLIST-TYPE") {
				t.Error(v.answer.body)
			}
		})
	})
}

// A decoder that is given other media than it was set up for fails: a new codec, resolution or
// clock is told by a discontinuity, and fragmented MP4 brings its own EXT-X-MAP.
func TestPL17ANewEncoderIsTold(t *testing.T) {
	f := func(what string, ts bool, newMap bool, change func(e *encoder)) {
		t.Helper()
		onShow(t, Options{}, func(s *show) {
			e := s.encoder(bench.FeedOptions{TS: ts})
			e.step(5)
			e.restart(7 * time.Hour)
			change(e)
			s.pass(2 * time.Second)
			e.step(5)
			for _, x := range s.readers {
				v := x.versions[len(x.versions)-1]
				if len(v.Segments) != 10 || !v.Segments[5].Discontinuity || discontinuities(v.Media) != 1 {
					t.Errorf("%s, TS %v: %s\n%s", what, ts, x.name, v.answer.body)
					continue
				}
				if ts {
					continue
				}
				_, after, _ := strings.Cut(v.answer.body, "#EXT-X-DISCONTINUITY\n")
				before, _, _ := strings.Cut(after, "#EXTINF")
				if !strings.Contains(before, "#EXT-X-MAP:") {
					t.Errorf("%s: no EXT-X-MAP behind the discontinuity:\n%s", what, v.answer.body)
				}
				if other := v.Segments[4].Map.URI != v.Segments[5].Map.URI; x.name == "hi" && other != newMap {
					t.Errorf("%s: another EXT-X-MAP: %v", what, other)
				}
			}
			s.counted(nil, 2)
		})
	}
	use := func(source string) func(e *encoder) { return func(e *encoder) { e.ok(e.Use(0, source)) } }
	for _, ts := range []bool{true, false} {
		f("the same, with a new clock", ts, false, func(*encoder) {})
		f("another resolution", ts, true, use("big"))
		f("another codec", ts, true, use("hevc"))
		f("a track less", ts, true, use("mute"))
	}
}

// A decoder of fragmented MP4 cannot begin without its EXT-X-MAP.
func TestPL18TheMapIsThere(t *testing.T) {
	onShow(t, Options{}, func(s *show) {
		e := s.encoder(bench.FeedOptions{})
		e.step(20)
		e.ok(e.Use(0, "big"))
		e.restart(time.Hour)
		e.step(20)
		s.each(func(x *reader, v version) {
			if at := strings.Index(v.answer.body, "#EXT-X-MAP:"); at < 0 || at > strings.Index(v.answer.body, "#EXTINF") {
				t.Error(v.answer.body)
			}
			for _, seg := range v.Segments {
				if seg.Map == nil {
					t.Fatal("a segment without an EXT-X-MAP")
				}
			}
			a := s.get("/live/c/" + x.name + "/" + v.Segments[len(v.Segments)-1].Map.URI)
			if a.status == 200 {
				s.is("type", a.header.Get("Content-Type"), "video/mp4")
			}
		})
		x := s.readers[0].versions[len(s.readers[0].versions)-1]
		a := s.get("/live/c/hi/" + x.Segments[0].Map.URI)
		if a.status != 200 || s.labels[sha256.Sum256([]byte(a.body))] != "init" {
			t.Errorf("the map: %d", a.status)
		}
	})
}

// However many ask while it changes, each gets one version of a playlist, whole.
func TestPL24UpdatesAreAtomic(t *testing.T) {
	const readers, each = 20, 500
	r := newRig(t, Options{Defaults: Channel{Window: 20 * time.Second}})
	defer r.close()
	f, err := bench.NewFeed(bench.FeedOptions{Ingest: r.o.Ingest(), Channel: "c", TS: true, Rungs: []bench.Rung{{Path: "hi", Source: "hi"}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Step(t.Context()); err != nil {
		t.Fatal(err)
	}
	var wg, push sync.WaitGroup
	stop := make(chan struct{})
	var versions atomic.Int64
	versions.Store(1)
	push.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if err := f.Step(t.Context()); err != nil {
				t.Error(err)
				return
			}
			versions.Add(1)
			time.Sleep(5 * time.Millisecond)
		}
	})
	var mu sync.Mutex
	texts := map[string]bool{}
	for i := range readers {
		wg.Go(func() {
			for n := 0; n < each || versions.Load() < 10; n++ { // however slow the machine
				var body string
				if i%2 == 0 {
					body = r.get("/live/c/hi/index.m3u8").body
				} else {
					body = unzip(t, r.get("/live/c/hi/index.m3u8", "Accept-Encoding", "gzip").body)
				}
				mu.Lock()
				texts[body] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	close(stop)
	push.Wait()
	if n := int(versions.Load()); len(texts) > n || len(texts) < 5 {
		t.Errorf("%d different texts of %d versions were seen", len(texts), n)
	}
	ends := map[uint64]string{}
	for text := range texts {
		m, err := playlist.ParseMedia([]byte(text))
		if err != nil || !strings.HasSuffix(text, ".ts\n") {
			t.Fatalf("%v\n%s", err, text)
		}
		end := m.MediaSequence + uint64(len(m.Segments))
		if other, ok := ends[end]; ok {
			t.Errorf("two texts end with segment %d:\n%s\n%s", end-1, other, text)
		}
		ends[end] = text
		for i, seg := range m.Segments { // mixed from two versions it would not be in order
			if want := fmt.Sprintf("-%d.ts", m.MediaSequence+uint64(i)); !strings.HasSuffix(seg.URI, want) {
				t.Errorf("%s stands where segment %s belongs", seg.URI, want)
			}
		}
	}
	if n := r.metric("weir_origin_renderings_total"); n > float64(versions.Load())+2 {
		t.Errorf("%v renderings of %d versions", n, versions.Load())
	}
}

// A player switches between variants at any moment: target duration, type and discontinuity
// numbers are the same in all, also when one lost a segment, a whole run or its beginning.
// (Every reader of these rows holds the variants together at each poll.)
func TestPL25VariantsAreInStep(t *testing.T) {
	inBoth(t, Options{}, func(s *show, e *encoder) {
		e.step(4)
		for run := range 4 {
			e.restart(time.Duration(run+1) * time.Hour)
			s.pass(time.Second)
			e.step(2)
			c := e.Cut(5)
			e.pushTo(run%2, c) // the other's media are lost
			e.tell(c)
			s.pass(segment2s)
			e.step(2)
		}
		e.restart(50 * time.Hour) // one rendition is not there in this run
		s.pass(time.Second)
		for range 2 {
			c := e.Cut(5)
			e.pushTo(0, c)
			e.ok(e.List(e.ctx, 0, c, false))
			s.pass(segment2s)
		}
		e.restart(80 * time.Hour)
		s.pass(time.Second)
		e.step(6)
		a, b := s.readers[0].versions, s.readers[1].versions
		hi, lo := a[len(a)-1], b[len(b)-1]
		if x, y := hi.DiscontinuitySequence+uint64(discontinuities(hi.Media)), lo.DiscontinuitySequence+uint64(discontinuities(lo.Media)); x != y {
			t.Errorf("hi is on %d, lo on %d:\n%s\n%s", x, y, hi.answer.body, lo.answer.body)
		}
		s.each(func(x *reader, v version) {
			if v.TargetDuration != 2 || v.Type != "" || strings.Contains(v.answer.body, "SERVER-CONTROL") != strings.Contains(a[0].answer.body, "SERVER-CONTROL") {
				t.Error(v.answer.body)
			}
		})
	})
}

// A player chooses by what the multivariant playlist says.
func TestPL26VariantsAreDescribed(t *testing.T) {
	inBoth(t, Options{}, func(s *show, e *encoder) {
		e.step(8)
		body := s.get("/live/c/index.m3u8").body
		infs := regexp.MustCompile(`(?m)^#EXT-X-STREAM-INF:(.*)\n(.*)$`).FindAllStringSubmatch(body, -1)
		if len(infs) != 2 {
			t.Fatal(body)
		}
		for i, x := range infs {
			for _, want := range []string{`\bBANDWIDTH=[1-9]\d*`, `AVERAGE-BANDWIDTH=[1-9]\d*`, `CODECS="avc1\.[0-9a-fA-F]{6},mp4a\.40\.2"`,
				`RESOLUTION=` + []string{"96x54", "64x36"}[i] + `\b`, `FRAME-RATE=25\.000`} {
				if !regexp.MustCompile(want).MatchString(x[1]) {
					t.Errorf("%s: no %s", x[1], want)
				}
			}
			s.is("URI", x[2], []string{"hi", "lo"}[i]+"/index.m3u8")
		}
	})
}

// A player that was told too little stalls, one that was told too much plays less than it
// could: over five minutes of an uneven encoder the peak stays below 125 % of BANDWIDTH and the
// average below 110 % of AVERAGE-BANDWIDTH.
func TestPL27BitRatesAreWhatIsMeasured(t *testing.T) {
	onShow(t, Options{Defaults: Channel{Window: 10 * time.Minute}}, func(s *show) {
		e := s.encoder(bench.FeedOptions{TS: true})
		var told []playlist.Variant
		for i := range 150 {
			e.Fill(int64(100_000 + i*7919%150_000))
			e.step(1)
			if i >= 5 {
				m, err := playlist.ParseMultivariant([]byte(s.get("/live/c/index.m3u8").body))
				if err != nil {
					t.Fatal(err)
				}
				told = m.Variants
			}
		}
		x := s.readers[0].versions[len(s.readers[0].versions)-1]
		var sizes []float64
		for _, seg := range x.Segments {
			sizes = append(sizes, float64(len(s.get("/live/c/hi/"+seg.URI).body))*8)
		}
		var peak, average float64
		for _, n := range sizes {
			average += n / (2 * float64(len(sizes)))
			peak = max(peak, n/2) // a run lasts 1.5 target durations and half a second at most: one segment
		}
		if len(sizes) != 150 || len(told) != 2 {
			t.Fatalf("%d segments, %d variants", len(sizes), len(told))
		}
		if v := told[0]; peak >= 1.25*float64(v.Bandwidth) || average >= 1.1*float64(v.AverageBandwidth) ||
			float64(v.Bandwidth) > 1.25*peak || float64(v.AverageBandwidth) > 1.1*average {
			t.Errorf("measured peak %.0f, average %.0f; told %d, %d", peak, average, v.Bandwidth, v.AverageBandwidth)
		}
	})
}
