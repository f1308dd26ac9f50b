package origin

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/internal/cmaf"
	"weir/playlist"
)

// ffmpeg runs FFmpeg in a directory of the test's and returns the directory.
func ffmpeg(t testing.TB, args ...string) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command("ffmpeg", append([]string{"-nostdin", "-hide_banner", "-v", "error"}, args...)...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg: %v\n%s", err, out)
	}
	return dir
}

func source(seconds int) []string {
	return []string{"-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25", "-f", "lavfi", "-i", "sine=440:sample_rate=48000",
		"-t", fmt.Sprint(seconds), "-c:v", "libx264", "-preset", "ultrafast", "-g", "50", "-keyint_min", "50", "-sc_threshold", "0", "-bf", "2",
		"-c:a", "aac"}
}

func read(t testing.TB, dir, name string) string {
	t.Helper()
	p, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(p)
}

// decodes lets FFmpeg decode a file, to which a warning is an error, and returns how many
// pictures there were.
func decodes(t testing.TB, what string, file []byte) int {
	t.Helper()
	return decodesOnly(t, what, file)
}

func decodesOnly(t testing.TB, what string, file []byte, args ...string) int {
	t.Helper()
	args = append([]string{"-v", "error", "-xerror", "-i", "pipe:0"}, args...)
	cmd := exec.Command("ffmpeg", append(args, "-f", "null", "-", "-progress", "pipe:1")...)
	cmd.Stdin = bytes.NewReader(file)
	var out, fault bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &fault
	frames := 0
	if err := cmd.Run(); err != nil || fault.Len() > 0 {
		t.Errorf("%s does not decode: %v %s", what, err, fault.String())
	}
	for line := range strings.Lines(out.String()) {
		_, _ = fmt.Sscanf(line, "frame=%d", &frames)
	}
	return frames
}

// PL-04, PL-05: an encoder whose segments are longer than the target duration loses its
// viewers nothing as long as there are key frames within: they come out in pieces, each of
// which plays by itself, and the target duration stays.
func TestASegmentTooLongIsDividedAtItsKeyFrames(t *testing.T) {
	ts := ffmpeg(t, append(source(12), "-f", "hls", "-hls_time", "4", "-hls_list_size", "0", "-hls_segment_filename", "x%d.ts", "index.m3u8")...)
	mp4 := ffmpeg(t, append(source(12), "-f", "mp4", "-movflags", "frag_keyframe+empty_moov+default_base_moof", "a.mp4")...)
	init, chunks := fragments(t, read(t, mp4, "a.mp4"))
	if len(chunks) != 6 {
		t.Fatalf("%d chunks", len(chunks))
	}
	f := func(name, section string, segments []string) {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, Options{Defaults: Channel{TargetDuration: 2 * time.Second}})
			ext, words := ".ts", []string(nil)
			if section != "" {
				r.put("init.mp4", section)
				ext, words = ".m4s", []string{"map=init.mp4"}
			}
			for i, s := range segments {
				r.put(fmt.Sprint("x", i, ext), s)
				words = append(words, fmt.Sprint("x", i, ext, ":4.000000"))
				r.put("index.m3u8", strings.Replace(list(0, words...), "DURATION:2", "DURATION:4", 1))
			}
			m := r.media("main")
			if len(m.Segments) != 6 || m.TargetDuration != 2 || discontinuities(m) != 0 {
				t.Fatal(r.get("/live/c/main/index.m3u8").body)
			}
			var total time.Duration
			frames := 0
			for _, s := range m.Segments {
				total += s.Duration
				body := r.get("/live/c/main/" + s.URI).body
				if section != "" {
					body = section + body
				}
				n := decodes(t, s.URI, []byte(body))
				if frames += n; n != 50 || s.Duration != 2*time.Second || s.Gap {
					t.Errorf("%s lasts %v and has %d pictures", s.URI, s.Duration, n)
				}
			}
			if total != 12*time.Second || frames != 300 {
				t.Errorf("%v, %d pictures", total, frames)
			}
			if n := r.metric("weir_origin_segments_too_long_total", "c", "split"); n != 3 {
				t.Errorf("%v segments were counted as split", n)
			}
			if n := r.metric("weir_origin_gaps_total"); n != 0 {
				t.Errorf("%v gaps", n)
			}
			r.logged("published as a split", "channel=c", "pieces=2", "target_duration")
			if !m.IndependentSegments {
				t.Error("the pieces do not begin with key frames")
			}
			r.close()
		})
	}
	f("TS", "", []string{read(t, ts, "x0.ts"), read(t, ts, "x1.ts"), read(t, ts, "x2.ts")})
	f("fMP4", init, []string{chunks[0] + chunks[1], chunks[2] + chunks[3], chunks[4] + chunks[5]})
}

// fragments takes a fragmented file apart: its init segment, and its moof and mdat pairs.
func fragments(t testing.TB, p string) (init string, chunks []string) {
	t.Helper()
	for start, at := 0, 0; at+8 <= len(p); {
		name := p[at+4 : at+8]
		if name == "moof" && init == "" {
			init, start = p[:at], at
		}
		if at += int(binary.BigEndian.Uint32([]byte(p[at:]))); name == "mdat" {
			chunks = append(chunks, p[start:at])
			start = at
		}
	}
	return init, chunks
}

// A segment that is too long and has one key frame has nothing to be cut at: its place stays
// empty, and the alarm says so.
func TestASegmentWithoutKeyFramesWithinIsAGap(t *testing.T) {
	dir := ffmpeg(t, append(source(8), "-g", "100", "-keyint_min", "100", "-f", "hls", "-hls_time", "4", "-hls_list_size", "0", "-hls_segment_filename", "x%d.ts", "index.m3u8")...)
	r := newRig(t, Options{Defaults: Channel{TargetDuration: 2 * time.Second}})
	r.put("y.ts", "G")
	r.put("x0.ts", read(t, dir, "x0.ts"))
	r.put("index.m3u8", list(0, "y.ts", "x0.ts:4.0"))
	m := r.media("main")
	if len(m.Segments) != 3 || m.Segments[0].Gap || !m.Segments[1].Gap || !m.Segments[2].Gap {
		t.Error(r.get("/live/c/main/index.m3u8").body)
	}
	if n := r.metric("weir_origin_segments_too_long_total", "c", "gap"); n != 1 {
		t.Errorf("%v segments were counted as gaps", n)
	}
	r.close()
}

// Pieces are as few as can be, none is too long, and nothing is lost between them.
func TestPiecesAddUpToTheirSegment(t *testing.T) {
	f := func(dur string, target int, keys string, want string) {
		t.Helper()
		length, err := time.ParseDuration(dur)
		if err != nil {
			t.Fatal(err)
		}
		var list []cmaf.KeyFrame
		for i, k := range strings.Fields(keys) {
			at, err := time.ParseDuration(k)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, cmaf.KeyFrame{At: time.Hour + at, Cut: int64(i+1) * 1000})
		}
		var got []string
		for _, c := range divide(list, time.Hour, length, target) {
			got = append(got, c.dur.String())
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s at %s: %v, want %s", dur, keys, got, want)
		}
	}
	f("4s", 2, "0s 2s", "2s 2s")
	f("4.4s", 2, "0s 2s 4s", "2s 2.4s")
	f("4s", 2, "0s 1s 2s 3s", "2s 2s")
	f("6s", 2, "0s 2s", "")
	f("6s", 2, "0s", "")
	f("6s", 2, "", "")
	f("5s", 2, "0s 1s 4s", "")
	f("5s", 2, "0s 1s 2.6s 4s", "1s 1.6s 2.4s")
	f("3.1s", 2, "0s 1.0000007s 3s", "1s 2.1s")
	f("7s", 3, "1s 4s", "1s 3s 3s") // it does not begin with a key frame
}

// Whatever keys a hostile segment claims to have, pieces are in order and add up.
func FuzzDivide(f *testing.F) {
	f.Add([]byte{0, 20, 40, 60}, uint16(80), uint8(2))
	f.Fuzz(func(t *testing.T, at []byte, tenths uint16, target uint8) {
		var keys []cmaf.KeyFrame
		for i, b := range at {
			keys = append(keys, cmaf.KeyFrame{At: time.Duration(int8(b)) * 100 * time.Millisecond, Cut: int64(i) * int64(b)})
		}
		dur := time.Duration(tenths) * 100 * time.Millisecond
		pieces := divide(keys, 0, dur, int(target))
		var total time.Duration
		for i, c := range pieces {
			if c.from != total || seconds(c.dur) > int(target) || i > 0 && (c.at <= pieces[i-1].at || c.dur <= 0) {
				t.Errorf("%+v", pieces)
			}
			total += c.dur
		}
		if pieces != nil && total != dur || len(pieces) > maxPieces {
			t.Errorf("%d pieces of %v in all, of %v", len(pieces), total, dur)
		}
	})
}

// FFmpeg really pushes segments that are too long: viewers see short ones.
func TestFFmpegPushesSegmentsThatAreTooLong(t *testing.T) {
	t.Parallel()
	s := newStation(t, Options{Defaults: Channel{TargetDuration: 2 * time.Second}})
	s.encode(t.Context(), 8, 1, 440, "-hls_time", "4", s.base+"/ingest/c/index.m3u8")
	time.Sleep(500 * time.Millisecond)
	m := s.media("main")
	if len(m.Segments) != 4 || m.TargetDuration != 2 || discontinuities(m) != 0 {
		t.Error(s.get("/live/c/main/index.m3u8").body)
	}
	s.decode("main")
	s.decodePieces(m)
}

func (s *station) decodePieces(m *playlist.Media) {
	s.Helper()
	for _, seg := range m.Segments {
		if n := decodes(s, seg.URI, []byte(s.get("/live/c/main/"+seg.URI).body)); n != 50 {
			s.Errorf("%s has %d pictures", seg.URI, n)
		}
	}
}
