package origin

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"weir/internal/web"
	"weir/playlist"
)

// Whatever a pushed playlist holds, reading it ends: with an error that names the channel and
// is the sender's fault, or with entries that lie in the channel, in bounded number, whose
// numbers follow one another and whose durations are those of segments.
func FuzzPushedPlaylist(f *testing.F) {
	for _, text := range []string{
		list(0, "x0.ts", "!", "x1.ts:3.5", "END"),
		list(7, "map=init.mp4", "a/x.m4s", "map=../c/i2.mp4", "../c/y.m4s?token=x#y"),
		list(0, "../../etc/passwd", "http://evil.example/x.ts", "//evil/x.ts", "/ingest/c/x.ts", "/ingest/d/x.ts", "x%2e%2e%2fy.ts", "a%00b.ts"),
		strings.Replace(list(18446744073709551, "x.ts", "y.ts"), "SEQUENCE:18446744073709551", "SEQUENCE:18446744073709551615", 1),
		strings.Replace(list(0, "x.ts:1e300", "y.ts:-1"), "TARGETDURATION:2", "TARGETDURATION:99999999999999999999", 1),
		"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n#EXT-X-BYTERANGE:1@2\n#EXT-X-GAP\n#EXTINF:2,\nx.ts\n",
		"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\na/index.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=1\n../../x.m3u8\n",
		"#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"en\",URI=\"en.m3u8\"\n#EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO=\"a\"\nv.m3u8\n",
		"#EXTM3U\n#EXT-X-VERSION:3\n", "", "<html>", "\xef\xbb\xbf#EXTM3U\r\n",
		"#EXTM3U\n#EXT-X-TARGETDURATION:2\n" + strings.Repeat("#EXTINF:1,\nx.ts\n", 9000),
	} {
		f.Add("index.m3u8", []byte(text))
		f.Add("a/b/v.m3u8", []byte(text))
	}
	f.Fuzz(func(t *testing.T, from string, text []byte) {
		in, err := parseLocal("/ingest/c/" + from)
		if err != nil || len(text) > playlist.MaxBytes {
			return
		}
		now := time.Unix(1_700_000_000, 0)
		x, err := understand("c", in.path, text, now)
		if err != nil {
			if s := web.StatusOf(err); s != 400 && s != 415 || web.ReasonOf(err) == "" || !strings.Contains(err.Error(), "channel c") {
				t.Fatalf("%v", err)
			}
			return
		}
		within := func(p string) {
			t.Helper()
			again, err := parseLocal("/ingest/c/" + p)
			if err != nil || again.path != p {
				t.Fatalf("%q is no path of the channel: %v", p, err)
			}
		}
		switch {
		case x.master != nil && x.media != nil:
			t.Fatal("it is two things at once")
		case x.master != nil:
			if len(x.master.paths) > maxRenditions {
				t.Fatalf("%d renditions are expected", len(x.master.paths))
			}
			for _, p := range x.master.paths {
				within(p)
			}
			for p := range x.master.media {
				within(p)
			}
		case x.media != nil:
			checkPushed(t, x.media, within, now)
		}
	})
}

func checkPushed(t *testing.T, p *pushed, within func(string), now time.Time) {
	t.Helper()
	if n := len(p.entries); n == 0 || n > maxListed {
		t.Fatalf("%d entries", n)
	}
	if p.target < 1 || p.target > maxTarget {
		t.Fatalf("target duration %d", p.target)
	}
	for i, e := range p.entries {
		within(e.path)
		if e.mapPath != "" {
			within(e.mapPath)
		}
		if e.seq != p.first()+uint64(i) || e.seq < p.first() {
			t.Fatalf("entry %d has number %d, the first %d", i, e.seq, p.first())
		}
		if e.dur < 0 || e.dur > maxLength || !e.listed.Equal(now) {
			t.Fatalf("entry %d: %v, listed %v", i, e.dur, e.listed)
		}
	}
	// What was read is taken in whole by an intake that knows nothing else.
	w := newWorld(t)
	steps, _ := w.in.offer(p, w)
	if len(w.in.queue) > maxQueue || len(steps) > len(p.entries)+maxMissed {
		t.Fatal(fmt.Sprint(len(w.in.queue), " wait, ", len(steps), " steps"))
	}
}
