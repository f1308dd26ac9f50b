package origin

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"weir/internal/cmaf"
	"weir/playlist"
)

func (r *rig) multi() *playlist.Multivariant {
	r.Helper()
	a := r.get("/live/c/index.m3u8")
	if a.status != 200 {
		r.Fatalf("multivariant playlist: %d %s", a.status, a.body)
	}
	m, err := playlist.ParseMultivariant([]byte(a.body))
	if err != nil {
		r.Fatal(err)
	}
	return m
}

// framesOf fetches the I-frame playlist of a rendition, holds it to the rules, and to the
// media playlist beside it.
func (r *rig) framesOf(name string) *playlist.Media {
	r.Helper()
	path := "/live/c/" + name + "/iframes.m3u8"
	a := r.get(path)
	if a.status != 200 {
		r.Fatalf("GET %s: %d %s", path, a.status, a.body)
	}
	m, err := playlist.ParseMedia([]byte(a.body))
	if err != nil {
		r.Fatalf("%s: %v\n%s", path, err, a.body)
	}
	b := r.books[path]
	if b == nil {
		b = &book{said: map[uint64]said{}}
		r.books[path] = b
	}
	for _, broken := range b.check(m) {
		r.Errorf("%s: %s\n%s", path, broken, a.body)
	}
	beside := r.media(name)
	if !m.IFramesOnly || m.TargetDuration != beside.TargetDuration || m.MediaSequence != beside.MediaSequence ||
		m.DiscontinuitySequence != beside.DiscontinuitySequence || len(m.Segments) != len(beside.Segments) || m.EndList != beside.EndList {
		r.Errorf("%s\nis not in step with\n%s", a.body, r.get("/live/c/"+name+"/index.m3u8").body)
	}
	for i, s := range m.Segments {
		is := beside.Segments[i]
		if s.URI != is.URI || s.Discontinuity != is.Discontinuity || s.Duration != is.Duration || !s.ProgramDateTime.Equal(is.ProgramDateTime) ||
			(s.Map == nil) != (is.Map == nil) || is.Gap && !s.Gap || s.Gap == (s.ByteRange != nil) {
			r.Errorf("%+v is not in step with %+v", s, is)
		}
	}
	return m
}

// A viewer drags the time bar of a live channel and sees one picture a segment, fetched by
// byte range from the very files that are played, in MPEG-TS and in fragmented MP4.
func TestIFramePlaylistsShowOnePictureASegment(t *testing.T) {
	ts := ffmpeg(t, append(source(12), "-f", "hls", "-hls_time", "2", "-hls_list_size", "0", "-hls_segment_filename", "x%d.ts", "index.m3u8")...)
	mp4 := ffmpeg(t, append(source(12), "-f", "hls", "-hls_time", "2", "-hls_list_size", "0", "-hls_segment_type", "fmp4", "-hls_segment_filename", "x%d.m4s", "index.m3u8")...)
	f := func(ext, dir, section string, version int) {
		underClock(t, Options{}, func(r *rig) {
			words := []string(nil)
			if section != "" {
				r.put("init.mp4", section)
				words = []string{"map=init.mp4"}
			}
			for i := range 6 {
				name := fmt.Sprint("x", i, ext)
				words = append(words, name)
				r.put(name, read(t, dir, name))
				r.put("index.m3u8", list(0, words...))
			}
			m := r.framesOf("main")
			if len(m.Segments) != 6 || m.Version != version {
				t.Error(r.get("/live/c/main/iframes.m3u8").body)
			}
			sum := int64(0)
			for _, s := range m.Segments {
				if s.Gap {
					t.Fatal(r.get("/live/c/main/iframes.m3u8").body)
				}
				got := r.get("/live/c/main/"+s.URI, "Range", fmt.Sprintf("bytes=%d-%d", s.ByteRange.Offset, s.ByteRange.Offset+s.ByteRange.Length-1))
				if got.status != 206 || int64(len(got.body)) != s.ByteRange.Length {
					t.Fatalf("%s: %d, %d bytes of %d", s.URI, got.status, len(got.body), s.ByteRange.Length)
				}
				sum += s.ByteRange.Length
				picture := section + got.body
				if section == "" {
					// "located between the start of the resource and the offset of the first
					// I-frame segment in that resource" (HLSbis 4.4.3.6)
					picture = r.get("/live/c/main/" + s.URI).body[:s.ByteRange.Offset] + got.body
				}
				if section != "" {
					// The moof tells of samples that are not in the range: FFmpeg says so, and
					// shows what there is.
					if n := shown(t, picture); n != 1 {
						t.Errorf("%s: %d pictures in the range", s.URI, n)
					}
				} else if n := decodesOnly(t, "a picture", []byte(picture), "-map", "0:v"); n != 1 {
					t.Errorf("%s: %d pictures in the range", s.URI, n)
				}
			}
			// What is told of it, PL-26: the pictures' own codec and rate.
			time.Sleep(2 * time.Second)
			multi := r.multi()
			if len(multi.IFrames) != 1 {
				t.Fatal(r.get("/live/c/index.m3u8").body)
			}
			x := multi.IFrames[0]
			if average := sum * 8 / 12; x.URI != "main/iframes.m3u8" || !strings.HasPrefix(x.Codecs, "avc1.") || strings.Contains(x.Codecs, ",") ||
				x.Width != 320 || x.Height != 180 || x.AverageBandwidth < average*90/100 || x.AverageBandwidth > average*120/100 ||
				x.Bandwidth < x.AverageBandwidth || x.Bandwidth >= multi.Variants[0].Bandwidth {
				t.Errorf("%+v, average %d", x, average)
			}
			// It is compressed and tagged as any playlist.
			plain := r.get("/live/c/main/iframes.m3u8")
			zipped := r.get("/live/c/main/iframes.m3u8", "Accept-Encoding", "gzip")
			if unzip(t, zipped.body) != plain.body || zipped.header.Get("ETag") == plain.header.Get("ETag") {
				t.Error("the gzip coding differs")
			}
			if again := r.get("/live/c/main/iframes.m3u8", "If-None-Match", plain.header.Get("ETag")); again.status != 304 {
				t.Error(again.status)
			}
		})
	}
	f(".ts", ts, "", 4)
	f(".m4s", mp4, read(t, mp4, "init.mp4"), 5)
}

// shown is how many pictures FFmpeg makes of a file, whatever it thinks of it.
func shown(t testing.TB, file string) (n int) {
	t.Helper()
	cmd := exec.Command("ffmpeg", "-v", "fatal", "-i", "pipe:0", "-map", "0:v", "-f", "null", "-", "-progress", "pipe:1")
	cmd.Stdin = strings.NewReader(file)
	out, err := cmd.Output()
	if err != nil {
		t.Error(err)
	}
	for line := range strings.Lines(string(out)) {
		_, _ = fmt.Sscanf(line, "frame=%d", &n)
	}
	return n
}

// What a segment's first key frame shows is what there is at the segment's date, or it is no
// picture of it.
func TestAPictureShowsTheBeginningOfItsSegment(t *testing.T) {
	f := func(at time.Duration, timed, want bool) {
		t.Helper()
		u := &upload{probe: probe{format: formatTS, start: time.Minute, timed: timed, keys: []cmaf.KeyFrame{{At: time.Minute + at, Length: 188}}}}
		if got := keyOf(u).Length > 0; got != want {
			t.Errorf("%v later: %v", at, got)
		}
	}
	f(0, true, true)
	f(80*time.Millisecond, true, true) // behind pictures that are shown before it
	f(time.Second, true, false)
	f(0, false, false)
	f(wrap, true, true)
}

// A picture's number is its segment's: while the window slides over a lost segment, one
// without a key frame and a discontinuity, no number changes its meaning, and what has no
// picture is a gap.
func TestIFramePlaylistsKeepTheirNumbers(t *testing.T) {
	dir := ffmpeg(t, append(source(8), "-f", "hls", "-hls_time", "2", "-hls_list_size", "0", "-hls_segment_filename", "x%d.ts", "index.m3u8")...)
	other := ffmpeg(t, append(source(4), "-s", "160x90", "-f", "hls", "-hls_time", "2", "-hls_list_size", "0", "-hls_segment_filename", "x%d.ts", "index.m3u8")...)
	media := []string{read(t, dir, "x0.ts"), read(t, dir, "x1.ts"), read(t, dir, "x2.ts"), read(t, dir, "x3.ts")}
	underClock(t, Options{Defaults: Channel{Window: 6 * time.Second}}, func(r *rig) {
		if a := r.get("/live/c/main/iframes.m3u8"); a.status != 404 {
			t.Error(a.status)
		}
		step := func(n int, body string) {
			if body != "" {
				r.put(fmt.Sprintf("x%d.ts", n), body)
			}
			r.put("index.m3u8", window("x", n+1))
			time.Sleep(4 * time.Second) // longer than what is held for a lost one
			r.framesOf("main")
		}
		step(0, media[0])
		step(1, media[1])
		step(2, "") // lost
		step(3, media[3])
		if m := r.framesOf("main"); len(m.Segments) != 4 || m.Segments[0].Gap || !m.Segments[2].Gap || m.Segments[3].Gap {
			t.Error(r.get("/live/c/main/iframes.m3u8").body)
		}
		// another encoder, whose first segment begins in the middle of a group of pictures
		second := read(t, other, "x1.ts")
		r.put("x0.ts", second[:3*188]+second[len(second)/188/2*188:])
		r.put("index.m3u8", list(0, "x0.ts"))
		time.Sleep(time.Second)
		r.put("x1.ts", second)
		r.put("index.m3u8", list(0, "x0.ts", "x1.ts"))
		time.Sleep(time.Second)
		m := r.framesOf("main")
		if len(m.Segments) != 6 || !m.Segments[4].Discontinuity || !m.Segments[4].Gap || m.Segments[5].Gap {
			t.Error(r.get("/live/c/main/iframes.m3u8").body)
		}
		for n := 2; n < 9; n++ {
			r.put(fmt.Sprintf("x%d.ts", n), second+fmt.Sprint(n))
			r.put("index.m3u8", window("x", n+1))
			time.Sleep(2 * time.Second)
			r.framesOf("main")
		}
	})
}

// Sound alone has no pictures, and nobody is told of any.
func TestSoundHasNoIFramePlaylist(t *testing.T) {
	dir := ffmpeg(t, "-f", "lavfi", "-i", "sine=440:sample_rate=48000", "-t", "4", "-c:a", "aac", "-f", "hls", "-hls_time", "2", "-hls_list_size", "0", "-hls_segment_filename", "x%d.ts", "index.m3u8")
	underClock(t, Options{}, func(r *rig) {
		r.put("x0.ts", read(t, dir, "x0.ts"))
		r.put("index.m3u8", list(0, "x0.ts"))
		time.Sleep(2 * time.Second)
		if m := r.multi(); len(m.IFrames) != 0 || len(m.Variants) != 1 {
			t.Errorf("%+v", m)
		}
		if a := r.get("/live/c/main/iframes.m3u8"); a.status != 404 || !strings.Contains(a.body, "no_iframes") {
			t.Error(a)
		}
	})
}
