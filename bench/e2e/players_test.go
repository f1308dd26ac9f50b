package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// ffmpegPlays starts FFmpeg as a player that decodes everything in real time
// and stops at the first error.
func ffmpegPlays(t *testing.T, url string, length time.Duration) *process {
	t.Helper()
	return ffmpegPlayer(t, url, length, "-xerror")
}

// ffmpegEndures is ffmpegPlays that goes on after an error: FFmpeg's HLS
// demuxer lets the continuity counters of transport streams run across a
// discontinuity, and calls the first packet after it corrupt.
func ffmpegEndures(t *testing.T, url string, length time.Duration) *process {
	t.Helper()
	return ffmpegPlayer(t, url, length)
}

func ffmpegPlayer(t *testing.T, url string, length time.Duration, options ...string) *process {
	t.Helper()
	args := append([]string{"-nostdin", "-v", "error"}, options...)
	return start(t, "ffmpeg playing", "ffmpeg", append(args, "-re", "-i", url,
		"-t", fmt.Sprint(length.Seconds()), "-map", "0:v:0", "-map", "0:a:0", "-f", "null", "-")...)
}

// mpvPlays starts mpv as a player without a screen.
func mpvPlays(t *testing.T, url string, length time.Duration) *process {
	t.Helper()
	return start(t, "mpv", "mpv", "--no-config", "--vo=null", "--ao=null", "--msg-level=all=warn", "--hls-bitrate=max",
		fmt.Sprintf("--length=%v", length.Seconds()), url)
}

// plays waits for a player to end and fails the test if it met an error.
func plays(t *testing.T, p *process, bound time.Duration, quiet bool) {
	t.Helper()
	code := p.wait(bound)
	said := strings.TrimSpace(maskedText(p.tail(4000)))
	if code != 0 || quiet && said != "" {
		t.Errorf("%s: exit code %d, said:\n%s", p.name, code, said)
	}
}
