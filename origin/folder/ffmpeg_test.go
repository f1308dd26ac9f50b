package folder_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"weir/internal/web"
	"weir/origin"
	"weir/origin/folder"
	"weir/playlist"
)

// studio is an origin behind a folder into which real FFmpegs write.
type studio struct {
	*testing.T
	dir string
	o   *origin.Origin
	reg *prometheus.Registry
	log safeBuffer
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func newStudio(t *testing.T) *studio {
	t.Helper()
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		t.Fatal("this test writes with FFmpeg, and there is none: apt-get install ffmpeg, brew install ffmpeg")
	}
	s := &studio{T: t, dir: t.TempDir(), reg: prometheus.NewRegistry()}
	log := slog.New(slog.NewTextHandler(&s.log, nil))
	var err error
	if s.o, err = origin.New(origin.Options{Log: log, Registerer: s.reg}); err != nil {
		t.Fatal(err)
	}
	f, err := folder.New(folder.Options{Dir: s.dir, Ingest: s.o.LocalIngest(), Log: log, Registerer: s.reg})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.o.Run(ctx) })
	wg.Go(func() { _ = f.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		if err := s.o.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			s.log.mu.Lock()
			t.Log(s.log.b.String())
			s.log.mu.Unlock()
		}
	})
	return s
}

// encode starts FFmpeg in real time on test sources; it writes below the channel's directory.
func (s *studio) encode(channel string, seconds float64, args ...string) *exec.Cmd {
	s.Helper()
	dir := filepath.Join(s.dir, channel)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		s.Fatal(err)
	}
	a := []string{"-nostdin", "-hide_banner", "-loglevel", "error", "-re", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25",
		"-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-t", fmt.Sprint(seconds), "-map", "0:v", "-map", "1:a", "-map", "0:v", "-map", "1:a",
		"-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p", "-g", "25", "-keyint_min", "25", "-sc_threshold", "0",
		"-b:v", "300k", "-s:v:1", "160x90", "-c:a", "aac", "-b:a", "48k", "-f", "hls", "-hls_time", "1", "-hls_list_size", "4",
		"-master_pl_name", "master.m3u8", "-var_stream_map", "v:0,a:0,name:hi v:1,a:1,name:lo"}
	cmd := exec.Command("ffmpeg", append(a, args...)...)
	cmd.Dir = dir
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() {
		if s.Failed() && out.Len() > 0 {
			s.Log(out.String())
		}
	})
	return cmd
}

func (s *studio) get(path string) (int, string) {
	s.Helper()
	resp, err := s.o.Viewers().Serve(context.Background(), &web.Request{Method: "GET", Path: path})
	if err != nil {
		resp = web.ErrorResponse(err)
	}
	defer resp.Close()
	p, err := web.ReadAll(context.Background(), resp.Body, 1<<30)
	if err != nil {
		s.Error(err)
	}
	return resp.Status, string(p)
}

func (s *studio) media(channel, name string) *playlist.Media {
	s.Helper()
	status, text := s.get("/live/" + channel + "/" + name + "/index.m3u8")
	m, err := playlist.ParseMedia([]byte(text))
	if status != 200 || err != nil {
		s.Fatalf("%s: %d %v\n%s", name, status, err, text)
	}
	return m
}

// decodes lets FFmpeg decode what lies between two discontinuities, without an error.
func (s *studio) decodes(channel, name string, m []playlist.Segment) {
	s.Helper()
	var file bytes.Buffer
	if x := m[0].Map; x != nil {
		_, p := s.get("/live/" + channel + "/" + name + "/" + x.URI)
		file.WriteString(p)
	}
	for _, seg := range m {
		status, p := s.get("/live/" + channel + "/" + name + "/" + seg.URI)
		if status != 200 {
			s.Errorf("%s: %d", seg.URI, status)
		}
		file.WriteString(p)
	}
	cmd := exec.Command("ffmpeg", "-v", "error", "-xerror", "-i", "pipe:0", "-f", "null", "-")
	cmd.Stdin = &file
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		s.Errorf("%s does not decode: %v %s", name, err, out)
	}
}

func (s *studio) counter(name string) float64 {
	s.Helper()
	n, err := testutil.GatherAndCount(s.reg, name)
	if err != nil {
		s.Fatal(err)
	}
	return float64(n)
}

// What FFmpeg writes with -f hls is a stream without a gap: MPEG-TS and fragmented MP4, with
// and without temp_file, deleting what it lists no more, its renditions in folders of their
// own. It is killed in the middle and started again under the same names: one discontinuity.
func TestFFmpegWritesIntoTheFolder(t *testing.T) {
	t.Parallel()
	s := newStudio(t)
	channels := map[string][]string{
		"ts":     {"-hls_segment_filename", "%v/x%d.ts", "%v/index.m3u8"},
		"tstmp":  {"-hls_flags", "temp_file+delete_segments", "-hls_segment_filename", "%v/x%d.ts", "%v/index.m3u8"},
		"mp4":    {"-hls_segment_type", "fmp4", "-hls_segment_filename", "%v/x%d.m4s", "%v/index.m3u8"},
		"mp4tmp": {"-hls_segment_type", "fmp4", "-hls_flags", "temp_file+delete_segments+program_date_time", "-hls_segment_filename", "%v/x%d.m4s", "%v/index.m3u8"},
	}
	var wg sync.WaitGroup
	for name, args := range channels {
		wg.Go(func() {
			first := s.encode(name, 60, args...)
			time.Sleep(6500 * time.Millisecond)
			_ = first.Process.Kill()
			_ = first.Wait()
			if err := s.encode(name, 4, args...).Wait(); err != nil {
				s.Errorf("%s: %v", name, err)
			}
		})
	}
	wg.Wait()
	time.Sleep(200 * time.Millisecond)
	for name := range channels {
		status, text := s.get("/live/" + name + "/index.m3u8")
		if v, err := playlist.ParseMultivariant([]byte(text)); status != 200 || err != nil || len(v.Variants) != 2 {
			t.Errorf("%s: %d %v %s", name, status, err, text)
		}
		for _, rendition := range []string{"hi", "lo"} {
			m := s.media(name, rendition)
			cut := -1
			for i, seg := range m.Segments {
				if seg.Gap {
					t.Errorf("%s/%s: segment %d is a gap", name, rendition, i)
				}
				if seg.Discontinuity {
					if cut >= 0 {
						t.Errorf("%s/%s: two discontinuities", name, rendition)
					}
					cut = i
				}
			}
			// The first run was killed in its seventh second: five or six segments were whole.
			if cut < 4 || len(m.Segments)-cut != 4 {
				_, text := s.get("/live/" + name + "/" + rendition + "/index.m3u8")
				t.Errorf("%s/%s: %d segments, the discontinuity is before number %d\n%s", name, rendition, len(m.Segments), cut, text)
				continue
			}
			s.decodes(name, rendition, m.Segments[:cut])
			s.decodes(name, rendition, m.Segments[cut:])
		}
	}
	if n := s.counter("weir_origin_gaps_total"); n != 0 {
		t.Errorf("%v kinds of gaps", n)
	}
	if n := s.counter("weir_origin_refusals_total"); n != 0 {
		t.Errorf("%v kinds of refusals", n)
	}
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	for line := range strings.Lines(s.log.b.String()) {
		if strings.Contains(line, "level=WARN") && strings.Contains(line, "folder") {
			t.Error("a warning about the folder: ", line)
		}
	}
}
