package schedule

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// FuzzObserve tells a Book whatever comes: three renditions, in versions that the
// input is cut into. Nothing panics, everything stays counted, what is listed is
// not given up, and what was newest is never followed by less than it at once.
func FuzzObserve(f *testing.F) {
	f.Add(window(10, 5)+"\x00"+window(11, 5)+"\x00"+window(9, 2), uint16(2000))
	f.Add(window(10, 3, "#EXT-X-PART:URI=\"p1\"\n#EXT-X-PRELOAD-HINT:URI=\"p2\"\n")+"\x00"+window(10, 3, "#EXT-X-PART:URI=\"p2\"\n#EXT-X-ENDLIST\n"), uint16(100))
	f.Add(window(1, 4)+"\x00\x00\x00#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:2\n#EXT-X-SKIP:SKIPPED-SEGMENTS=2\n#EXTINF:1,\nx\n", uint16(5))
	f.Add("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MAP:URI=\"i\"\n#EXT-X-KEY:URI=\"i\"\n#EXTINF:1,\ni\n#EXTINF:1,\ni\n#EXT-X-GAP\n#EXTINF:1,\ni\n\x00"+window(0, 2), uint16(60000))
	f.Add("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nindex.m3u8\n", uint16(1))
	f.Fuzz(func(t *testing.T, text string, step uint16) {
		b := New(Options{Bytes: 64 << 10, Renditions: 2})
		now := start
		for i, version := range strings.Split(text, "\x00") {
			now = now.Add(time.Duration(step) * time.Millisecond)
			l, err := Scan([]byte(version))
			if err != nil {
				continue
			}
			if l.Multivariant {
				b.Variants(l, under("/v/"), now)
				continue
			}
			id := fmt.Sprintf("/v/%d", i%7/3)
			var was mark
			if r := b.renditions[id]; r != nil {
				was = r.mark
			}
			rep := b.Observe(Version{ID: id, Listing: l, Now: now, Key: under("/v/"), Copy: version, CopyBytes: int64(len(version))})
			consistent(t, b)
			for _, key := range rep.Expired {
				if b.Lists(key) {
					t.Fatalf("%q is given up, and listed", key)
				}
			}
			if r := b.renditions[id]; r != nil && rep.Verdict == Same && r.mark.next < was.next || rep.Verdict == Newer && r.mark.next < was.next {
				t.Fatalf("%v went back from %+v to %+v", rep.Verdict, was, r.mark)
			}
			for _, key := range append(rep.New, rep.Before...) {
				b.Due(key, now)
				b.Impossible(key, now)
				b.Answered(key, step%2 == 0, int64(step), now)
				b.Limit("", key, now)
				b.Rate(key)
			}
		}
		for _, r := range b.renditions {
			b.drop(r)
		}
		for len(b.leaving) > 0 {
			b.forget(b.leaving[0])
		}
		if b.bytes != 0 || len(b.objects) != 0 {
			t.Fatalf("%d bytes and %d objects are left of nothing", b.bytes, len(b.objects))
		}
	})
}
