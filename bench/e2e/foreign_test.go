package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/playlist"
)

// An edge before an origin that is not weir's: FFmpeg writes a live channel to
// a folder, nginx serves it and tells caches to keep everything for a day, as
// misconfigured servers do. Players play, each playlist goes on, and nginx is
// asked for each segment once, however many watch. Then the encoder is started
// anew and uses its old names again: viewers get the new bytes, not the old.
func TestAnEdgeBeforeNginxThatLiesAboutLifetimes(t *testing.T) {
	need(t, "ffmpeg", "mpv", "nginx")
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "www/live"), 0o755); err != nil {
		t.Fatal(err)
	}
	port := ports(t, 3)
	server, view, admin := port(), port(), port()
	conf := fmt.Sprintf(`daemon off; master_process off; worker_processes 1; pid %[1]s/pid; error_log stderr crit;
events { worker_connections 256; }
http {
	types { application/vnd.apple.mpegurl m3u8; video/mp2t ts; }
	access_log %[1]s/access.log;
	client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/fcgi; uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi;
	server { listen %[2]s; root %[1]s/www; add_header Cache-Control "max-age=86400"; }
}
`, dir, server)
	if err := os.WriteFile(filepath.Join(dir, "nginx.conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, "nginx", "nginx", "-e", "stderr", "-c", filepath.Join(dir, "nginx.conf"))
	start(t, "edge", weirBinary, "edge", "--listen", view, "--admin", admin, "--origin", "http://"+server)
	encoder := encodeTo(t, filepath.Join(dir, "www/live"))
	url := "http://" + view + "/live/master.m3u8"
	eventually(t, 20*time.Second, "the multivariant playlist", func() error { _, err := get(t.Context(), url); return err })
	eventually(t, 20*time.Second, "three segments", func() error {
		m, err := mediaOf(t, "http://"+view+"/live/240p/index.m3u8")
		if err == nil && len(m.Segments) < 3 {
			err = fmt.Errorf("%d segments", len(m.Segments))
		}
		return err
	})
	w := watch(t, url, url)
	for i, p := range []*process{ffmpegPlays(t, url, 12*time.Second), mpvPlays(t, url, 12*time.Second), mpvPlays(t, url, 12*time.Second)} {
		plays(t, p, 60*time.Second, i == 0)
	}
	w.verdict(t)
	asked := map[string]int{}
	log, err := os.ReadFile(filepath.Join(dir, "access.log"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(log)) {
		if f := strings.Fields(line); len(f) > 8 && f[8] == "200" && strings.HasSuffix(f[6], ".ts") {
			asked[f[6]]++
		}
	}
	for path, n := range asked {
		if n > 1 {
			t.Errorf("nginx sent %s %d times", path, n)
		}
	}
	if len(asked) < 6 {
		t.Errorf("nginx sent %d segments: nobody played", len(asked))
	}

	encoder.kill()
	time.Sleep(time.Second)
	encodeTo(t, filepath.Join(dir, "www/live"))
	media := "http://" + view + "/live/360p/index.m3u8"
	eventually(t, 30*time.Second, "the encoder's new run at the edge", func() error {
		m, err := mediaOf(t, media)
		switch {
		case err != nil:
			return err
		case m.MediaSequence > 2 || len(m.Segments) < 3:
			return fmt.Errorf("still %d segments from %d", len(m.Segments), m.MediaSequence)
		}
		for _, s := range m.Segments[:3] {
			through, err := get(t.Context(), "http://"+view+"/live/360p/"+s.URI)
			if err != nil {
				return err
			}
			file, err := os.ReadFile(filepath.Join(dir, "www/live/360p", s.URI))
			if err != nil {
				return err
			}
			if through != string(file) {
				return errors.New(s.URI + " is of the encoder's former run")
			}
		}
		return nil
	})
}

func mediaOf(t *testing.T, url string) (*playlist.Media, error) {
	t.Helper()
	text, err := get(t.Context(), url)
	if err != nil {
		return nil, err
	}
	return playlist.ParseMedia([]byte(text))
}

// encodeTo runs FFmpeg as a live encoder of two renditions into a folder.
func encodeTo(t *testing.T, dir string) *process {
	t.Helper()
	return start(t, "ffmpeg writing", "ffmpeg", "-nostdin", "-hide_banner", "-nostats", "-loglevel", "level+warning",
		"-re", "-f", "lavfi", "-i", "testsrc2=size=640x360:rate=25", "-f", "lavfi", "-i", "sine=frequency=440:beep_factor=4:sample_rate=48000",
		"-filter_complex", "[0:v]split=2[v0][b];[b]scale=426:240[v1]", "-map", "[v0]", "-map", "1:a", "-map", "[v1]", "-map", "1:a",
		"-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p", "-g", "50", "-keyint_min", "50", "-sc_threshold", "0",
		"-b:v:0", "600k", "-b:v:1", "300k", "-c:a", "aac", "-b:a", "64k",
		"-f", "hls", "-hls_time", "2", "-hls_list_size", "6", "-hls_flags", "independent_segments+delete_segments+temp_file",
		"-master_pl_name", "master.m3u8", "-var_stream_map", "v:0,a:0,name:360p v:1,a:1,name:240p",
		"-hls_segment_filename", dir+"/%v/seg_%05d.ts", dir+"/%v/index.m3u8")
}
