package origin

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/internal/wire"
	"weir/playlist"
)

// station is an origin that takes in a real FFmpeg over a real connection.
type station struct {
	*rig
	base string // of ingest: http://host:port
}

func newStation(t *testing.T, o Options) *station {
	t.Helper()
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		t.Fatal("this test pushes with FFmpeg, and there is none: apt-get install ffmpeg, brew install ffmpeg")
	}
	r := newRig(t, o)
	n, err := wire.NewNet(wire.NetOptions{Handler: r.o.Ingest(), BeforeBody: r.o.BeforeBody, BadPath: 403, Name: "ingest", Log: slog.New(slog.NewTextHandler(r.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = r.o.Run(ctx) }()
	go func() { _ = n.Serve(ln) }()
	t.Cleanup(func() {
		cancel()
		<-done
		ctx, stop := context.WithTimeout(context.Background(), 5*time.Second)
		defer stop()
		_ = n.Shutdown(ctx)
		r.close()
		if t.Failed() {
			t.Log(r.log.String())
		}
	})
	return &station{r, "http://" + ln.Addr().String()}
}

// encode runs FFmpeg on test sources in real time, with three renditions where a
// var_stream_map is among args, and returns when it ended.
func (s *station) encode(ctx context.Context, seconds float64, renditions int, freq int, args ...string) {
	s.Helper()
	a := []string{"-nostdin", "-hide_banner", "-loglevel", "warning", "-re",
		"-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25", "-f", "lavfi", "-i", fmt.Sprintf("sine=frequency=%d:sample_rate=48000", freq),
		"-t", fmt.Sprint(seconds)}
	split := fmt.Sprintf("[0:v]split=%d", renditions)
	for i := range renditions {
		split += fmt.Sprintf("[s%d]", i)
	}
	for i := range renditions {
		split += fmt.Sprintf(";[s%d]scale=%d:%d[v%d]", i, 320/(i+1)/2*2, 180/(i+1)/2*2, i)
	}
	a = append(a, "-filter_complex", split)
	for i := range renditions {
		a = append(a, "-map", fmt.Sprintf("[v%d]", i), "-map", "1:a", fmt.Sprintf("-b:v:%d", i), fmt.Sprintf("%dk", 300/(i+1)))
	}
	a = append(a, "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p", "-g", "25", "-keyint_min", "25",
		"-sc_threshold", "0", "-force_key_frames", "expr:gte(t,n_forced*1)", "-c:a", "aac", "-b:a", "48k", "-ac", "2",
		"-f", "hls", "-hls_time", "1", "-hls_list_size", "5", "-method", "PUT")
	cmd := exec.CommandContext(ctx, "ffmpeg", append(a, args...)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil && ctx.Err() == nil {
		s.Errorf("ffmpeg: %v\n%s", err, out.String())
	}
}

func (s *station) variants() []playlist.Variant {
	s.Helper()
	a := s.get("/live/c/index.m3u8")
	if a.status != 200 {
		s.Fatalf("multivariant playlist: %d %s", a.status, a.body)
	}
	m, err := playlist.ParseMultivariant([]byte(a.body))
	if err != nil {
		s.Fatal(err)
	}
	return m.Variants
}

// dump writes all that a rendition lists into one file and lets FFmpeg decode it.
func (s *station) decode(name string) {
	s.Helper()
	var file bytes.Buffer
	var last string
	for _, seg := range s.media(name).Segments {
		if seg.Map != nil && seg.Map.URI != last {
			last = seg.Map.URI
			file.WriteString(s.get("/live/c/" + name + "/" + last).body)
		}
		file.WriteString(s.get("/live/c/" + name + "/" + seg.URI).body)
	}
	cmd := exec.Command("ffmpeg", "-v", "error", "-xerror", "-i", "pipe:0", "-f", "null", "-")
	cmd.Stdin = &file
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		s.Errorf("%s does not decode: %v %s", name, err, out)
	}
}

// The three renditions that FFmpeg pushes with var_stream_map come out, as MPEG-TS and as
// fragmented MP4, over one connection each and over one for each file, through the auth that
// it can do; it is stopped and started again under the same names.
func TestFFmpegPushesThreeRenditions(t *testing.T) {
	keys := func() []Publisher {
		return []Publisher{{Name: "studio", Secret: "s3cret", Channels: []string{"c*"}}}
	}
	f := func(name string, fmp4, persistent bool, auth func(base string) (url string, args []string)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStation(t, Options{Publishers: keys})
			url, args := auth(s.base)
			ext := "ts"
			if fmp4 {
				ext = "m4s"
				args = append(args, "-hls_segment_type", "fmp4")
			}
			if persistent {
				args = append(args, "-http_persistent", "1")
			}
			args = append(args, "-master_pl_name", "master.m3u8", "-var_stream_map", "v:0,a:0,name:hi v:1,a:1,name:mid v:2,a:2,name:lo",
				"-hls_segment_filename", url+"/%v/seg_%05d."+ext, url+"/%v/index.m3u8")
			s.encode(t.Context(), 5, 3, 440, args...)
			s.encode(t.Context(), 3.5, 3, 660, args...)
			time.Sleep(time.Second) // what is still on its way, FFmpeg does not wait for
			var first *playlist.Media
			for _, name := range []string{"hi", "mid", "lo"} {
				m := s.media(name)
				if first == nil {
					first = m
				}
				if len(m.Segments) != 9 || discontinuities(m) != 1 || !m.Segments[5].Discontinuity || m.EndList || !m.IndependentSegments {
					t.Errorf("%s: %s", name, s.get("/live/c/"+name+"/index.m3u8").body)
				}
				if m.DiscontinuitySequence != first.DiscontinuitySequence || !m.Segments[5].ProgramDateTime.Equal(first.Segments[5].ProgramDateTime) {
					t.Errorf("%s is not in step: %v, %v", name, m.Segments[5].ProgramDateTime, first.Segments[5].ProgramDateTime)
				}
			}
			if n := s.metric("weir_origin_gaps_total"); n != 0 {
				t.Errorf("%v gaps", n)
			}
			v := s.variants()
			if len(v) != 3 || v[0].URI != "hi/index.m3u8" || v[0].Width != 320 || v[0].Height != 180 || v[0].FrameRate != 25 ||
				!strings.HasPrefix(v[0].Codecs, "avc1.42c0") || !strings.HasSuffix(v[0].Codecs, ",mp4a.40.2") {
				t.Errorf("variants: %+v", v)
			}
			for _, v := range v {
				if v.AverageBandwidth < 50_000 || v.Bandwidth < v.AverageBandwidth || v.Bandwidth > 3_000_000 {
					t.Errorf("%s: %d, %d", v.URI, v.Bandwidth, v.AverageBandwidth)
				}
			}
			s.decodeParts("hi")
			if strings.Contains(s.log.String(), "s3cret") {
				t.Error("the key is in the log")
			}
		})
	}
	inPath := func(base string) (string, []string) { return base + "/ingest/k/s3cret/c", nil }
	bearer := func(base string) (string, []string) {
		return base + "/ingest/c", []string{"-headers", "Authorization: Bearer s3cret\r\n"}
	}
	basic := func(base string) (string, []string) {
		return strings.Replace(base, "//", "//x:s3cret@", 1) + "/ingest/c", nil
	}
	f("TS, a connection each, key in path", false, false, inPath)
	f("TS, persistent, basic", false, true, basic)
	f("fMP4, a connection each, basic", true, false, basic)
	f("fMP4, persistent, bearer", true, true, bearer)
}

// decodeParts decodes what lies between discontinuities, each by itself.
func (s *station) decodeParts(name string) {
	s.Helper()
	m := s.media(name)
	for len(m.Segments) > 0 {
		n := 1 + slices.IndexFunc(m.Segments[1:], func(s playlist.Segment) bool { return s.Discontinuity })
		if n == 0 {
			n = len(m.Segments)
		}
		var file bytes.Buffer
		if x := m.Segments[0].Map; x != nil {
			file.WriteString(s.get("/live/c/" + name + "/" + x.URI).body)
		}
		for _, seg := range m.Segments[:n] {
			file.WriteString(s.get("/live/c/" + name + "/" + seg.URI).body)
		}
		cmd := exec.Command("ffmpeg", "-v", "error", "-xerror", "-i", "pipe:0", "-f", "null", "-")
		cmd.Stdin = &file
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			s.Errorf("%s does not decode: %v %s", name, err, out)
		}
		m.Segments = m.Segments[n:]
	}
}

// One rendition, sound and picture apart, a rate-limited network: each comes out.
func TestFFmpegPushesOneRendition(t *testing.T) {
	t.Parallel()
	s := newStation(t, Options{})
	s.encode(t.Context(), 3, 1, 440, s.base+"/ingest/c/index.m3u8")
	time.Sleep(500 * time.Millisecond)
	if m := s.media("main"); len(m.Segments) != 3 {
		t.Errorf("%d segments", len(m.Segments))
	}
	if v := s.variants(); len(v) != 1 || v[0].URI != "main/index.m3u8" || v[0].Width != 320 {
		t.Errorf("%+v", v)
	}
	// append_list reads back what was pushed and goes on with names and numbers.
	s.encode(t.Context(), 3, 1, 440, "-hls_flags", "append_list+omit_endlist+discont_start+program_date_time+delete_segments", s.base+"/ingest/c/index.m3u8")
	time.Sleep(500 * time.Millisecond)
	if m := s.media("main"); len(m.Segments) != 6 || discontinuities(m) != 1 || !m.Segments[3].Discontinuity {
		t.Errorf("after append_list:\n%s", s.get("/live/c/main/index.m3u8").body)
	}
}

// Renditions of sound beside pictures without any are their alternatives.
func TestFFmpegPushesSoundApart(t *testing.T) {
	t.Parallel()
	s := newStation(t, Options{})
	s.encode(t.Context(), 3, 2, 440, "-hls_segment_type", "fmp4", "-master_pl_name", "master.m3u8",
		"-var_stream_map", "v:0,agroup:a,name:hi v:1,agroup:a,name:lo a:0,agroup:a,name:en,language:eng,default:yes a:1,agroup:a,name:de,language:ger",
		"-hls_segment_filename", s.base+"/ingest/c/%v/seg_%05d.m4s", s.base+"/ingest/c/%v/index.m3u8")
	time.Sleep(500 * time.Millisecond)
	a := s.get("/live/c/index.m3u8")
	m, err := playlist.ParseMultivariant([]byte(a.body))
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Variants) != 2 || len(m.Renditions) != 2 || m.Variants[0].Audio != m.Renditions[0].GroupID ||
		m.Renditions[0].URI != "en/index.m3u8" || m.Renditions[0].Channels != "2" || !m.Renditions[0].Default || m.Renditions[0].Language == "" {
		t.Error(a.body)
	}
	if v := m.Variants[0]; !strings.HasSuffix(v.Codecs, ",mp4a.40.2") || v.Width != 320 {
		t.Error(a.body)
	}
	s.decode("en")
}
