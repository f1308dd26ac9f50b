package origin

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/internal/mpegts"
	"weir/internal/spool"
	"weir/playlist"
)

const srt = `1
00:00:01,000 --> 00:00:03,000
one

2
00:00:04,500 --> 00:00:06,500
two
`

// shownAt reads at which media time the first cue of a WebVTT segment is shown.
func shownAt(t testing.TB, text string) (time.Duration, bool) {
	t.Helper()
	var h, m, s, ms int
	var ticks int64
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, "X-TIMESTAMP-MAP="); ok {
			if _, err := fmt.Sscanf(rest, "LOCAL:%d:%d:%d.%d,MPEGTS:%d", &h, &m, &s, &ms, &ticks); err != nil {
				t.Fatal(err)
			}
		}
		if before, _, ok := strings.Cut(line, " --> "); ok {
			at, ok := cueTime(before)
			local := time.Duration(h)*time.Hour + time.Duration(m)*time.Minute + time.Duration(s)*time.Second + time.Duration(ms)*time.Millisecond
			return at - local + time.Duration(ticks)*time.Second/90000, ok
		}
	}
	return 0, false
}

// FFmpeg's -f hls with a subtitle stream: its captions come out in time with the pictures,
// though it says nothing of how their times belong together, in MPEG-TS and in fragmented
// MP4; with the language that it was told, and with a name that people can read.
func TestFFmpegsCaptionsAreInTime(t *testing.T) {
	f := func(kind string, args ...string) {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := newStation(t, Options{})
			subs := filepath.Join(t.TempDir(), "subs.srt")
			if err := os.WriteFile(subs, []byte(srt), 0o600); err != nil {
				t.Fatal(err)
			}
			ffmpeg(t, append([]string{"-re", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25", "-f", "lavfi", "-i", "sine=440:sample_rate=48000", "-i", subs,
				"-t", "7", "-map", "0:v", "-map", "1:a", "-map", "2:s", "-c:v", "libx264", "-preset", "ultrafast", "-g", "50", "-b:v", "300k", "-c:a", "aac", "-c:s", "webvtt",
				"-f", "hls", "-hls_time", "2", "-method", "PUT", "-master_pl_name", "master.m3u8", "-var_stream_map", "v:0,a:0,s:0,sgroup:subs,language:ger,name:hi"},
				append(args, s.base+"/ingest/c/%v/index.m3u8")...)...)
			time.Sleep(500 * time.Millisecond)
			m := s.multi()
			if len(m.Renditions) != 1 || len(m.Variants) != 1 || m.Variants[0].Subtitles != m.Renditions[0].GroupID {
				t.Fatal(s.get("/live/c/index.m3u8").body)
			}
			if x := m.Renditions[0]; x.Type != "SUBTITLES" || x.Language != "de" || x.Name != "Deutsch" || !x.Autoselect {
				t.Errorf("%+v", x)
			}
			name := strings.TrimSuffix(m.Renditions[0].URI, "/index.m3u8")
			// The first picture's media time is that of the programme's beginning, and the
			// captions' times are counted from there.
			var first time.Duration
			pictures, words := s.media("hi"), s.media(name)
			if kind == "TS" {
				info, err := mpegts.Inspect([]byte(s.get("/live/c/hi/" + pictures.Segments[0].URI).body))
				if err != nil {
					t.Fatal(err)
				}
				first = info.FirstPTS
			}
			want := []time.Duration{time.Second, 4500 * time.Millisecond}
			for _, seg := range words.Segments {
				text := s.get("/live/c/" + name + "/" + seg.URI)
				if !strings.HasPrefix(text.body, "WEBVTT\n") || text.header.Get("Content-Type") != "text/vtt" {
					t.Error(text)
				}
				at, ok := shownAt(t, text.body)
				if !ok {
					continue
				}
				if off := at - first - want[0]; off.Abs() > 50*time.Millisecond {
					t.Errorf("a caption is shown %v off:\n%s", off, text.body)
				}
				want = want[1:]
			}
			if len(want) > 0 {
				t.Errorf("captions at %v are missing", want)
			}
			if len(words.Segments) != len(pictures.Segments) || discontinuities(words) != 0 {
				t.Error(s.get("/live/c/" + name + "/index.m3u8").body)
			}
		})
	}
	f("TS")
	f("fMP4", "-hls_segment_type", "fmp4")
}

// Captions that say when they are to be shown are nobody's to change; those of an encoder
// that we do not know are published as they are, and so are those for which nothing tells:
// but only when there was time for something to.
func TestCaptionsOfOthersStayAsTheyAre(t *testing.T) {
	dir := ffmpeg(t, append(source(4), "-f", "hls", "-hls_time", "2", "-hls_list_size", "0", "-hls_segment_filename", "x%d.ts", "index.m3u8")...)
	media := read(t, dir, "x0.ts")
	unmapped := "WEBVTT\r\n\r\n01:00:01.250 --> 01:00:03.000\r\none\r\n"
	mapped := "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:900000,LOCAL:00:00:00.000\n\n00:01.000 --> 00:03.000\none\n"
	f := func(what, media, captions, want string, waits bool) {
		t.Helper()
		underClock(t, Options{}, func(r *rig) {
			r.put("v/x0.vtt", captions)
			r.put("v/index.m3u8", list(0, "x0.vtt"))
			if media != "" {
				r.put("x0.ts", media)
				r.put("index.m3u8", list(0, "x0.ts"))
			}
			if a := r.get("/live/c/v/index.m3u8"); (a.status == 404) != waits {
				t.Errorf("%s: %d", what, a.status)
			}
			time.Sleep(4 * time.Second)
			r.is(what, r.shown("v"), want)
		})
	}
	f("mapped", media, mapped, mapped, false)
	f("unmapped", media, unmapped, "WEBVTT\nX-TIMESTAMP-MAP=LOCAL:01:00:01.250,MPEGTS:324238500\n\r\n01:00:01.250 --> 01:00:03.000\r\none\r\n", false)
	f("no cue", media, "WEBVTT", "WEBVTT\nX-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:126000\n", false)
	f("another encoder's", strings.ReplaceAll(media, "FFmpeg", "Others"), unmapped, unmapped, false)
	f("no media", "", unmapped, unmapped, true)
	f("no captions", media, "WEBVTT\n\nnonsense --> nonsense\n", "WEBVTT\n\nnonsense --> nonsense\n", false)
}

// After 26.5 hours the media's clock has begun again, and the cues' has not.
func TestCaptionsGoOnWhenTheMediaClockWraps(t *testing.T) {
	r := newRig(t, Options{})
	c := &channel{o: r.o, cues: cueClock{seen: true, known: true, delay: muxDelay}}
	text := "WEBVTT\n\n26:30:43.000 --> 26:30:45.000\na\n"
	u := &upload{buf: r.slab.NewBuffer([]byte(text))}
	u.probe = look(u.buf)
	x := c.inTime(&rendition{}, u)
	p, _ := x.buf.View(0)
	at, ok := shownAt(t, string(p))
	if want := 26*time.Hour + 30*time.Minute + 43*time.Second + muxDelay - wrap; !ok || (at-want).Abs() > time.Millisecond {
		t.Errorf("shown at %v, want %v:\n%s", at, want, p)
	}
	u.buf.Close()
	x.buf.Close()
	r.close()
}

// The names and languages that menus show.
func TestAlternativesAreNamedForPeople(t *testing.T) {
	f := func(code, tag, name string) {
		t.Helper()
		if gotTag, gotName := language(code); gotTag != tag || gotName != name {
			t.Errorf("%s: %s, %s", code, gotTag, gotName)
		}
	}
	f("eng", "en", "English")
	f("ger", "de", "Deutsch")
	f("deu", "de", "Deutsch")
	f("de-CH", "de-CH", "Deutsch (CH)")
	f("vie", "vi", "Tiếng Việt")
	f("qaa", "qaa", "")
	f("", "", "")
	c := &channel{expected: &expectation{media: map[string]playlist.Rendition{
		"a": {Name: "audio_0", Language: "eng", Default: true},
		"b": {Name: "Director", Language: "eng", Default: true},
		"c": {Name: "subtitle_1", Forced: true},
	}}}
	rs := []*rendition{{name: "a", path: "a"}, {name: "b", path: "b"}, {name: "c", path: "c"}, {name: "d", path: "d"}}
	got := c.alternatives("AUDIO", "g", rs)
	if got[0].Name != "English" || !got[0].Default || got[1].Name != "Director" || got[1].Default || got[2].Name != "c" || got[2].Forced {
		t.Errorf("%+v", got)
	}
	if got = c.alternatives("SUBTITLES", "g", rs[2:]); got[0].Default || !got[0].Forced || got[1].Default {
		t.Errorf("%+v", got)
	}
	c.expected.media["d"] = playlist.Rendition{Name: "Director"}
	if got = c.alternatives("AUDIO", "g", []*rendition{rs[1], rs[3]}); got[1].Name != "Director (d)" {
		t.Errorf("%+v", got)
	}
}

// Whatever a WebVTT segment holds, what is published of it begins as one and loses nothing.
func FuzzCaptions(f *testing.F) {
	for _, s := range []string{"WEBVTT", "WEBVTT\n\n00:01.022 --> 00:03.022\none\n", "WEBVTT\r\nX-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000\r\n\r\n", "WEBVTT\n\n9:9:9.9 --> "} {
		f.Add(s)
	}
	slab := spool.NewSlab(spool.SlabOptions{})
	f.Fuzz(func(t *testing.T, text string) {
		u := &upload{buf: slab.NewBuffer([]byte(text))}
		defer u.buf.Close()
		if u.probe = look(u.buf); u.format != formatVTT {
			return
		}
		c := &channel{o: &Origin{opts: Options{Slab: slab}}, cues: cueClock{seen: true, known: true, delay: muxDelay}}
		x := c.inTime(&rendition{}, u)
		if x == u {
			return
		}
		defer x.buf.Close()
		p, _ := x.buf.View(0)
		first, rest, _ := strings.Cut(string(p), "\n")
		if mapping, rest, ok := strings.Cut(rest, "\n"); !ok || !strings.HasPrefix(mapping, "X-TIMESTAMP-MAP=LOCAL:") || !strings.HasSuffix(text, rest) ||
			!strings.HasPrefix(text, first) || strings.Trim(text[len(first):len(text)-len(rest)], "\r\n") != "" {
			t.Errorf("%q became %q", text, p)
		}
		again := &upload{buf: x.buf}
		if again.probe = look(x.buf); again.captions == nil || !again.captions.mapped || again.captions.first != u.captions.first {
			t.Errorf("%q is read as %+v", p, again.captions)
		}
	})
}
