package origin

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/internal/cmaf"
)

// What is warned of is known with certainty, and nothing is warned of that is well: an
// operator who is told of troubles that are none does not read of those that are.
func TestTheDoctorSaysWhatIsWrongAndHowToMendIt(t *testing.T) {
	start := time.Date(2026, 11, 25, 20, 0, 0, 0, time.UTC)
	healthy := func(name string) patient {
		p := patient{name: name, format: formatFMP4, rate: 25, tracks: []cmaf.Track{
			{Kind: cmaf.Video, Codec: "avc1.64001f", Width: 1280, Height: 720}, {Kind: cmaf.Audio, Codec: "mp4a.40.2"}}}
		for i := range 6 {
			p.newest = append(p.newest, symptom{timeline: 7, date: start.Add(time.Duration(i) * 2 * time.Second), declared: 2 * time.Second, measured: 2 * time.Second, solo: true, known: true})
		}
		return p
	}
	f := func(want string, target int, change func(a, b *patient), words ...string) {
		t.Helper()
		a, b := healthy("a"), healthy("b")
		if change != nil {
			change(&a, &b)
		}
		var got []string
		for _, w := range diagnose([]patient{a, b}, target) {
			got = append(got, strings.TrimPrefix(w.Rendition+"/"+w.Code, "/"))
			for _, word := range words {
				if !strings.Contains(w.Text, word) {
					t.Errorf("%s does not say %q", w.Text, word)
				}
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%v, want %s", got, want)
		}
	}
	both := func(change func(p *patient)) func(a, b *patient) {
		return func(a, b *patient) { change(a); change(b) }
	}
	f("", 2, nil)
	f("target_duration", 11, nil, "11 s", "-hls_time 6")
	f("a/sample_entry", 2, func(a, _ *patient) { a.tracks[0].Codec = "hev1.1.6.L93.B0" }, "-tag:v hvc1")
	f("a/sample_entry", 2, func(a, _ *patient) { a.tracks[0].Codec = "avc3.64001f" }, "-tag:v avc1")
	f("", 2, func(a, _ *patient) { a.tracks[0].Codec = "hvc1.1.6.L93.B0" })
	f("b/hevc_in_ts", 2, func(_, b *patient) { b.format, b.tracks[0].Codec = formatTS, "hvc1.1.6.L93.B0" }, "-hls_segment_type fmp4 -tag:v hvc1")
	f("b/odd_resolution", 2, func(_, b *patient) { b.tracks[0].Height = 361 }, "1280x361")
	f("b/no_frame_rate", 2, func(_, b *patient) { b.rate = 0 }, "-r 25")
	f("", 2, func(_, b *patient) { b.rate, b.newest = 0, b.newest[:2] }) // it may yet be found out
	f("b/no_key_frame", 2, func(_, b *patient) { b.newest[3].solo = false }, "1 of the newest 6", "-g 50 -keyint_min 50 -hls_time 2")
	f("b/no_key_frame", 2, func(_, b *patient) { b.newest[3].solo, b.tracks[0].FrameRate, b.rate = false, 25, 0 }, "-force_key_frames")
	f("", 2, func(_, b *patient) { b.newest[3].solo, b.newest[3].known = false, false })
	f("b/durations", 2, func(_, b *patient) { b.newest[3].measured = 1400 * time.Millisecond }, "600ms", "1.4s instead of 2s")
	f("", 2, func(_, b *patient) { b.newest[3].measured = 1600 * time.Millisecond })
	f("", 2, func(_, b *patient) { b.newest[3].measured = 0 })
	f("b/captions_untimed", 2, func(_, b *patient) { b.untimed = true }, "X-TIMESTAMP-MAP")
	f("no_audio", 2, both(func(p *patient) { p.tracks = p.tracks[:1] }), "-map 0:a")
	f("", 2, func(a, _ *patient) { a.tracks = a.tracks[:1] }) // the other has it
	f("no_aac", 2, both(func(p *patient) { p.tracks[1].Codec = "ac-3" }), "-c:a aac")
	f("no_aac", 2, both(func(p *patient) { p.tracks[1].Codec = "mp4a.40.34" })) // MP3
	f("", 2, both(func(p *patient) { p.tracks = nil }))                         // nothing is known
	shift := func(by time.Duration) func(a, b *patient) {
		return func(_, b *patient) {
			for i := range b.newest {
				b.newest[i].date = b.newest[i].date.Add(by)
			}
		}
	}
	f("b/unaligned", 2, shift(time.Second), "5 of 5", "n_forced*2")
	f("", 2, shift(100*time.Millisecond))
	f("", 2, func(a, b *patient) { // where a timeline begins, encoders begin with what they have
		shift(time.Second)(a, b)
		for i := range b.newest {
			b.newest[i].timeline++
		}
	})
	f("", 2, shift(time.Minute)) // they have nothing in common yet
	f("", 2, func(a, b *patient) { shift(time.Second)(a, b); b.tracks = b.tracks[1:] })
}

// Real FFmpeg, with the mistakes that everybody makes once: each is told once, with the
// option that mends it, can be seen where operators look, and is told again when it comes
// back.
func TestWhatFFmpegGetsWrongIsToldOnce(t *testing.T) {
	hevc := func(args ...string) string {
		return ffmpeg(t, append([]string{"-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25", "-f", "lavfi", "-i", "sine=440:sample_rate=48000", "-t", "4",
			"-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none:keyint=50:min-keyint=50:scenecut=0", "-c:a", "aac"}, args...)...)
	}
	mp4 := hevc("-f", "hls", "-hls_time", "2", "-hls_list_size", "0", "-hls_segment_type", "fmp4", "-hls_segment_filename", "x%d.m4s", "index.m3u8")
	ts := hevc("-f", "hls", "-hls_time", "2", "-hls_list_size", "0", "-hls_segment_filename", "x%d.ts", "index.m3u8")
	good := ffmpeg(t, append(source(8), "-f", "hls", "-hls_time", "2", "-hls_list_size", "0", "-hls_segment_filename", "x%d.ts", "index.m3u8")...)
	split := ffmpeg(t, append(source(8), "-g", "75", "-keyint_min", "75", "-f", "hls", "-hls_time", "2", "-hls_list_size", "0", "-hls_flags", "split_by_time", "-hls_segment_filename", "x%d.ts", "index.m3u8")...)
	underClock(t, Options{Defaults: Channel{Window: 6 * time.Second}}, func(r *rig) {
		r.put("a/init.mp4", read(t, mp4, "init.mp4"))
		for i := range 2 {
			r.put(fmt.Sprintf("a/x%d.m4s", i), read(t, mp4, fmt.Sprintf("x%d.m4s", i)))
			r.put(fmt.Sprintf("b/x%d.ts", i), read(t, ts, fmt.Sprintf("x%d.ts", i)))
		}
		r.put("a/index.m3u8", list(0, "map=init.mp4", "x0.m4s", "x1.m4s"))
		r.put("b/index.m3u8", list(0, "x0.ts", "x1.ts"))
		for i := range 4 {
			r.put(fmt.Sprintf("c/x%d.ts", i), read(t, split, fmt.Sprintf("x%d.ts", i)))
		}
		r.put("c/index.m3u8", list(0, "x0.ts", "x1.ts", "x2.ts", "x3.ts"))
		time.Sleep(6 * time.Second)
		codes := func() (list []string) {
			for _, w := range r.o.Streams()[0].Warnings {
				list = append(list, w.Rendition+"/"+w.Code)
			}
			return list
		}
		// FFmpeg's MPEG-TS begins 1.4 s later than its fragmented MP4: nobody can switch
		// between the two.
		if got := codes(); !slices.Equal(got, []string{"a/sample_entry", "b/hevc_in_ts", "b/unaligned", "c/no_key_frame", "c/unaligned"}) {
			t.Errorf("%+v", r.o.Streams()[0].Warnings)
		}
		if n := r.metric("weir_origin_warnings", "c"); n != 5 {
			t.Errorf("the gauge says %v", n)
		}
		told := func(code string) int { return strings.Count(r.log.String(), "code="+code) }
		time.Sleep(30 * time.Second)
		for _, code := range []string{"sample_entry", "hevc_in_ts", "no_key_frame"} {
			if n := told(code); n != 1 {
				t.Errorf("%s was told %d times", code, n)
			}
		}
		r.logged("level=WARN", "channel=c", "rendition=a", "-tag:v hvc1")
		// The encoder is mended: the segments that were wrong leave the window.
		push := func(from int, dir string) {
			for i := range 4 {
				r.put(fmt.Sprintf("c/x%d.ts", from+i), read(t, dir, fmt.Sprintf("x%d.ts", i))+fmt.Sprint(from))
				r.put("c/index.m3u8", window("x", from+i+1))
				time.Sleep(2 * time.Second)
			}
			time.Sleep(examineEvery)
		}
		push(4, good)
		push(8, good)
		if got := codes(); slices.Contains(got, "c/no_key_frame") {
			t.Error(got)
		}
		push(12, split)
		if got, n := codes(), told("no_key_frame"); !slices.Contains(got, "c/no_key_frame") || n != 3 { // with the line that it was over
			t.Errorf("%v, told %d times", got, n)
		}
	})
}

// An encoder that does all as it should is left in peace.
func TestAHealthyEncoderIsNotWarnedOf(t *testing.T) {
	t.Parallel()
	s := newStation(t, Options{})
	s.encode(t.Context(), 8, 2, 440, "-master_pl_name", "master.m3u8", "-var_stream_map", "v:0,a:0,name:hi v:1,a:1,name:lo",
		"-hls_segment_filename", s.base+"/ingest/c/%v/seg_%05d.ts", s.base+"/ingest/c/%v/index.m3u8")
	if w := s.o.Streams()[0].Warnings; len(w) > 0 {
		t.Errorf("%+v", w)
	}
	if strings.Contains(s.log.String(), "code=") {
		t.Error(s.log.String())
	}
}
