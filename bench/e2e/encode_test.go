package e2e

import (
	"testing"
)

// How FFmpeg pushes, in the ways operators do.
const (
	fmp4       = "fmp4"
	transport  = "mpegts"
	persistent = "1"
	separate   = "0"
)

// encode runs FFmpeg as a live encoder of three renditions, aligned and two
// seconds a segment, that pushes to a channel of the house, with more options of its muxer.
func (h *house) encode(t *testing.T, channel, kind, connections string, more ...string) *process {
	t.Helper()
	ext := map[string]string{fmp4: "m4s", transport: "ts"}[kind]
	to := h.ingest + "/ingest/" + channel
	args := []string{"-nostdin", "-hide_banner", "-nostats", "-loglevel", "level+warning",
		"-re", "-f", "lavfi", "-i", "testsrc2=size=640x360:rate=25", "-f", "lavfi", "-i", "sine=frequency=440:beep_factor=4:sample_rate=48000",
		"-filter_complex", "[0:v]split=3[v0][b][c];[b]scale=426:240[v1];[c]scale=256:144[v2]",
		"-map", "[v0]", "-map", "1:a", "-map", "[v1]", "-map", "1:a", "-map", "[v2]", "-map", "1:a",
		"-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p", "-g", "50", "-keyint_min", "50", "-sc_threshold", "0",
		"-b:v:0", "600k", "-maxrate:v:0", "600k", "-bufsize:v:0", "600k",
		"-b:v:1", "300k", "-maxrate:v:1", "300k", "-bufsize:v:1", "300k",
		"-b:v:2", "150k", "-maxrate:v:2", "150k", "-bufsize:v:2", "150k",
		"-c:a", "aac", "-b:a", "64k", "-ac", "2",
		"-f", "hls", "-hls_time", "2", "-hls_list_size", "6", "-hls_segment_type", kind,
		"-hls_flags", "independent_segments+program_date_time+delete_segments", "-master_pl_name", "master.m3u8",
		"-var_stream_map", "v:0,a:0,name:360p v:1,a:1,name:240p v:2,a:2,name:144p",
		"-method", "PUT", "-http_persistent", connections, "-headers", "Authorization: Bearer " + publishKey + "\r\n"}
	args = append(append(args, more...), "-hls_segment_filename", to+"/%v/seg_%05d."+ext, to+"/%v/index.m3u8")
	return start(t, "ffmpeg pushing "+channel, "ffmpeg", args...)
}
