package demo

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// A target is where an encoder pushes: the ingest URL of a channel and the
// publisher key to show there.
type target struct{ url, key string }

// An encoder pushes a live channel until ctx is done.
type encoder interface {
	name() string
	push(ctx context.Context, to target) error
}

// findEncoder returns FFmpeg where it is installed and works, the looped clip
// elsewhere.
func findEncoder(ctx context.Context, ffmpeg string, log *slog.Logger) encoder {
	path, err := exec.LookPath(ffmpeg)
	if err != nil {
		return &clip{missing: ffmpeg, log: log}
	}
	// drawtext needs a font and a build with libfreetype; one frame tells.
	probe, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	clock := exec.CommandContext(probe, path, "-v", "error", "-f", "lavfi", "-i", "color=size=64x64:rate=1,"+clockFilter,
		"-frames:v", "1", "-f", "null", "-").Run() == nil
	return &ffmpegEncoder{path: path, clock: clock, log: log}
}

// clockFilter burns the wall clock in; testsrc2 itself shows the stream's time.
const clockFilter = `drawtext=text='%{gmtime\:%H\\\:%M\\\:%S} UTC':fontsize=h/10:fontcolor=white:box=1:boxcolor=black@0.6:boxborderw=6:x=(w-tw)/2:y=h-th-12`

type ffmpegEncoder struct {
	path  string
	clock bool
	log   *slog.Logger
}

func (f *ffmpegEncoder) name() string {
	if f.clock {
		return "FFmpeg, testsrc2 with a burned-in clock"
	}
	return "FFmpeg, testsrc2 (no font for a wall clock)"
}

// args is the three-rendition ladder: keyframes on the same grid, one segment
// per 2 s, every upload over one persistent connection a rendition.
func (f *ffmpegEncoder) args(to target) []string {
	source := "[0:v]"
	if f.clock {
		source += clockFilter + ","
	}
	return []string{"-nostdin", "-hide_banner", "-nostats", "-loglevel", "level+warning",
		"-re", "-f", "lavfi", "-i", "testsrc2=size=640x360:rate=25",
		"-f", "lavfi", "-i", "sine=frequency=330:beep_factor=4:sample_rate=48000",
		"-filter_complex", source + "split=3[v0][b][c];[b]scale=426:240[v1];[c]scale=256:144[v2]",
		"-map", "[v0]", "-map", "1:a", "-map", "[v1]", "-map", "1:a", "-map", "[v2]", "-map", "1:a",
		"-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p",
		"-g", "50", "-keyint_min", "50", "-sc_threshold", "0",
		"-b:v:0", "800k", "-maxrate:v:0", "800k", "-bufsize:v:0", "800k",
		"-b:v:1", "400k", "-maxrate:v:1", "400k", "-bufsize:v:1", "400k",
		"-b:v:2", "200k", "-maxrate:v:2", "200k", "-bufsize:v:2", "200k",
		"-c:a", "aac", "-b:a", "64k", "-ar", "48000", "-ac", "2",
		"-f", "hls", "-hls_time", "2", "-hls_list_size", "6", "-hls_segment_type", "fmp4",
		"-hls_flags", "independent_segments+program_date_time",
		"-master_pl_name", "master.m3u8", "-var_stream_map", "v:0,a:0,name:360p v:1,a:1,name:240p v:2,a:2,name:144p",
		"-method", "PUT", "-http_persistent", "1", "-ignore_io_errors", "1",
		"-headers", "Authorization: Bearer " + to.key + "\r\n",
		"-hls_segment_filename", to.url + "/%v/seg_%05d.m4s", to.url + "/%v/index.m3u8"}
}

// push runs FFmpeg, and runs it again when it ends before ctx does.
func (f *ffmpegEncoder) push(ctx context.Context, to target) error {
	for wait := time.Second; ; wait = min(2*wait, 30*time.Second) {
		started := time.Now()
		err := f.once(ctx, to)
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(started) > time.Minute {
			wait = time.Second
		}
		f.log.Warn("the demo's FFmpeg ended: starting it again", "error", err, "in", wait)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil
		}
	}
}

func (f *ffmpegEncoder) once(ctx context.Context, to target) error {
	cmd := exec.CommandContext(ctx, f.path, f.args(to)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 3 * time.Second
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	last := f.forward(stderr, to.key)
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%w: %s", err, last)
	}
	return nil
}

// forward logs what FFmpeg says, without the key, and returns its last line.
func (f *ffmpegEncoder) forward(r io.Reader, key string) (last string) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 4<<10), 64<<10)
	for lines.Scan() {
		last = strings.ReplaceAll(lines.Text(), key, "***")
		f.log.Debug("ffmpeg", "line", last)
	}
	_, _ = io.Copy(io.Discard, r) // a line too long for the scanner must not block FFmpeg
	return last
}
