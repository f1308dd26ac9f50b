package origin

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// The sound, the captions or the pictures of a channel go while the rest goes on: viewers are
// not offered what nobody makes any more, a group without members is named by nobody, those
// who are there are told, and all of it comes back with its encoder.
func TestADeadRenditionLeavesItsGroup(t *testing.T) {
	const count = 30
	low := []string{"-f", "lavfi", "-i", "testsrc2=size=64x36:rate=5", "-f", "lavfi", "-i", "sine=440:sample_rate=48000", "-t", fmt.Sprint(2 * count)}
	hls := []string{"-f", "hls", "-hls_time", "2", "-hls_list_size", "0", "-hls_segment_filename", "x%d.ts", "index.m3u8"}
	pictures := ffmpeg(t, slices.Concat(low, []string{"-map", "0:v", "-c:v", "libx264", "-preset", "ultrafast", "-g", "10"}, hls)...)
	sound := ffmpeg(t, slices.Concat(low, []string{"-map", "1:a", "-c:a", "aac", "-b:a", "32k"}, hls)...)
	underClock(t, Options{}, func(r *rig) {
		captions := func(i int) string {
			return fmt.Sprintf("WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:126000,LOCAL:00:00:00.000\n\n%02d:%02d.000 --> %02d:%02d.500\n%d\n", i*2/60, i*2%60, i*2/60, i*2%60, i)
		}
		push := func(i int, names ...string) {
			for _, name := range names {
				file := fmt.Sprintf("x%d.ts", i)
				switch name {
				case "en", "de":
					r.put(name+"/"+file, read(t, sound, file))
				case "subs":
					file = fmt.Sprintf("x%d.vtt", i)
					r.put(name+"/"+file, captions(i))
				default:
					r.put(name+"/"+file, read(t, pictures, file))
				}
				r.put(name+"/index.m3u8", strings.ReplaceAll(window("x", i+1), ".ts", file[strings.IndexByte(file, '.'):]))
			}
			time.Sleep(2 * time.Second)
		}
		says := func() string {
			m := r.multi()
			var out []string
			for _, x := range m.Renditions {
				out = append(out, x.GroupID+":"+strings.TrimSuffix(x.URI, "/index.m3u8"))
			}
			for _, v := range m.Variants {
				out = append(out, fmt.Sprintf("%s[%s %s %s]", strings.TrimSuffix(v.URI, "/index.m3u8"), v.Audio, v.Subtitles, v.Codecs[strings.LastIndexByte(v.Codecs, ',')+1:]))
			}
			for _, x := range m.IFrames {
				out = append(out, x.URI)
			}
			return strings.Join(out, " ")
		}
		all := []string{"hi", "lo", "de", "en", "subs"}
		r.put("master.m3u8", "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"g\",NAME=\"audio_0\",LANGUAGE=\"eng\",DEFAULT=YES,URI=\"en/index.m3u8\"\n"+
			"#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"g\",NAME=\"audio_1\",LANGUAGE=\"ger\",URI=\"de/index.m3u8\"\n"+
			"#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"s\",NAME=\"subtitle_0\",URI=\"subs/index.m3u8\"\n"+
			"#EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO=\"g\",SUBTITLES=\"s\"\nhi/index.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO=\"g\",SUBTITLES=\"s\"\nlo/index.m3u8\n")
		i := 0
		for ; i < 4; i++ {
			push(i, all...)
		}
		whole := says()
		if !strings.HasPrefix(whole, "audio:en audio:de subs:subs ") || strings.Count(whole, "[audio subs mp4a.40.2]") != 2 || strings.Count(whole, "iframes.m3u8") != 2 {
			t.Error(whole)
		}
		for ; i < 24; i++ { // the window's worth and more
			push(i, "hi", "en")
		}
		r.is("pictures and one language", says(), "audio:en hi[audio  mp4a.40.2] hi/iframes.m3u8")
		for _, gone := range []string{"lo/index.m3u8", "lo/iframes.m3u8", "de/index.m3u8", "subs/index.m3u8"} {
			if a := r.get("/live/c/" + gone); a.status != 410 {
				t.Errorf("%s is %d", gone, a.status)
			}
		}
		push(i, all...) // all are back
		push(i+1, all...)
		r.is("all are back", says(), whole)
	})
}
