package origin

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Pictures in two qualities, sound in two languages and captions, as docs/ffmpeg.md has them
// pushed: viewers choose from what there is, by names that they can read, and drag the time
// bar over the pictures.
func TestFFmpegPushesSoundAndCaptionsApart(t *testing.T) {
	f := func(kind string, args ...string) {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := newStation(t, Options{})
			subs := filepath.Join(t.TempDir(), "subs.srt")
			if err := os.WriteFile(subs, []byte(srt), 0o600); err != nil {
				t.Fatal(err)
			}
			ffmpeg(t, append([]string{"-re", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25", "-f", "lavfi", "-i", "sine=440:sample_rate=48000", "-f", "lavfi", "-i", "sine=660:sample_rate=48000", "-i", subs,
				"-t", "10", "-filter_complex", "[0:v]split=2[a][b];[b]scale=160:90[v1];[a]null[v0]", "-map", "[v0]", "-map", "[v1]", "-map", "1:a", "-map", "2:a", "-map", "3:s",
				"-c:v", "libx264", "-preset", "ultrafast", "-g", "50", "-keyint_min", "50", "-sc_threshold", "0", "-b:v:0", "300k", "-b:v:1", "100k", "-c:a", "aac", "-b:a", "48k", "-c:s", "webvtt",
				"-f", "hls", "-hls_time", "2", "-method", "PUT", "-master_pl_name", "master.m3u8",
				"-var_stream_map", "v:0,agroup:a,s:0,sgroup:subs,language:eng,name:720p v:1,agroup:a,name:480p a:0,agroup:a,name:en,language:eng,default:yes a:1,agroup:a,name:de,language:ger"},
				append(args, s.base+"/ingest/c/%v/index.m3u8")...)...)
			time.Sleep(500 * time.Millisecond)
			m, text := s.multi(), s.get("/live/c/index.m3u8").body
			if len(m.Variants) != 2 || len(m.Renditions) != 3 || len(m.IFrames) != 2 {
				t.Fatal(text)
			}
			for i, want := range []struct{ kind, uri, name, language string }{
				{"AUDIO", "en/index.m3u8", "English", "en"}, {"AUDIO", "de/index.m3u8", "Deutsch", "de"}, {"SUBTITLES", "720p~index_vtt/index.m3u8", "English", "en"},
			} {
				if x := m.Renditions[i]; x.Type != want.kind || x.URI != want.uri || x.Name != want.name || x.Language != want.language || x.Default && i == 1 {
					t.Errorf("%+v, want %+v", x, want)
				}
			}
			for i, v := range m.Variants {
				if v.Audio != m.Renditions[0].GroupID || v.Subtitles != m.Renditions[2].GroupID || !strings.HasSuffix(v.Codecs, ",mp4a.40.2") ||
					!strings.HasPrefix(m.IFrames[i].URI, strings.TrimSuffix(v.URI, "index.m3u8")) {
					t.Error(text)
				}
			}
			for _, name := range []string{"720p", "480p"} {
				for _, seg := range s.framesOf(name).Segments {
					if seg.Gap {
						t.Errorf("%s has no picture", seg.URI)
					}
				}
			}
			if w := s.o.Streams()[0].Warnings; len(w) > 0 {
				t.Errorf("%+v", w)
			}
			if n := s.metric("weir_origin_gaps_total") + s.metric("weir_origin_discontinuities_total"); n != 0 {
				t.Errorf("%v gaps and discontinuities", n)
			}
		})
	}
	f("TS")
	f("fMP4", "-hls_segment_type", "fmp4")
}
