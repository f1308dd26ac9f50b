package schedule

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestAPlaylistIsReadForNamesNumbersAndTimes(t *testing.T) {
	l, err := Scan([]byte("#EXTM3U\r\n#EXT-X-TARGETDURATION:4\r\n#EXT-X-MEDIA-SEQUENCE:7\n#EXT-X-DISCONTINUITY-SEQUENCE:3\n" +
		"#EXT-X-MAP:URI=\"init,1.mp4\",BYTERANGE=\"8@0\"\n#EXT-X-KEY:METHOD=AES-128,IV=0x1,URI=\"k\"\n# comment\n" +
		"#EXTINF:3.5,a title, with URI=\"x\"\nseg7.m4s\n#EXT-X-GAP\n#EXTINF:4\nseg8.m4s\n#EXT-X-KEY:METHOD=NONE\n" +
		"#EXT-X-PART:DURATION=1,URI=\"p1\"\n#EXT-X-PART:URI=\"p2\",DURATION=1\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p3\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "listing", fmt.Sprintf("%+v", *l), "{Multivariant:false Variants:[] Target:4s Sequence:7 Discontinuity:3 Skipped:0 End:false "+
		"Segments:[{URI:seg7.m4s Map:init,1.mp4 Key:k Duration:3.5s Gap:false} {URI:seg8.m4s Map:init,1.mp4 Key:k Duration:4s Gap:true}] "+
		"Parts:[p1 p2] Tail:2 Hints:[p3]}")
	expect(t, "next", l.Next(), 9)
}

func TestAMultivariantPlaylistNamesItsRenditions(t *testing.T) {
	l, err := Scan([]byte("#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"x,y\",URI=\"a.m3u8\"\n#EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID=\"c\",NAME=\"n\"\n" +
		"#EXT-X-STREAM-INF:AVERAGE-BANDWIDTH=1,CODECS=\"a,BANDWIDTH=9\",BANDWIDTH=800000\nv.m3u8\n#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=5,URI=\"i.m3u8\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "variants", l.Variants, "[{a.m3u8 0} {v.m3u8 800000} {i.m3u8 5}]")
}

// What a player may put up with is read; what makes no sense at all, or too much,
// is not.
func TestHostilePlaylistsAreNotRead(t *testing.T) {
	f := func(text string, want error) {
		t.Helper()
		begin := time.Now()
		if _, err := Scan([]byte(text)); !errors.Is(err, want) {
			t.Errorf("%.60q: %v, want %v", text, err, want)
		}
		if d := time.Since(begin); d > time.Second {
			t.Errorf("%.60q took %v", text, d)
		}
	}
	const head = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n"
	f("", ErrMalformed)
	f("<html>#EXTM3U", ErrMalformed)
	f("#EXTM3U\n", ErrMalformed)
	f("#EXTM3U\n#EXTINF:2,\na.ts\n", ErrMalformed)
	f(head+"#EXT-X-STREAM-INF:BANDWIDTH=1\nv.m3u8\n", ErrMalformed)
	f("#EXTM3U\n#EXT-X-TARGETDURATION:0\n", ErrMalformed)
	f("#EXTM3U\n#EXT-X-TARGETDURATION:1e300\n", ErrMalformed)
	f("#EXTM3U\n#EXT-X-TARGETDURATION:NaN\n", ErrMalformed)
	f(head+"#EXT-X-MEDIA-SEQUENCE:-1\n", ErrMalformed)
	f(head+"#EXT-X-MEDIA-SEQUENCE:99999999999999999999\n", ErrMalformed)
	f(head+"#EXT-X-MEDIA-SEQUENCE:18446744073709551615\n", ErrMalformed)
	f(head+"#EXTINF:-2,\na.ts\n", ErrMalformed)
	f(head+"#EXTINF:Inf,\na.ts\n", ErrMalformed)
	f(head+"#EXT-X-SKIP:SKIPPED-SEGMENTS=99999999\n", ErrMalformed)
	f(head+"#EXTINF:2,\n"+strings.Repeat("a", 5<<10)+"\n", ErrMalformed)
	f(head+strings.Repeat("#EXTINF:2,\na\n", 100_000), ErrTooLarge)
	f(head+strings.Repeat("#EXT-X-PART:URI=\"a\"\n#EXT-X-PART:URI=\"b\"\n", 2_000), ErrTooLarge)
	f(strings.Repeat("#EXTM3U\n", 2<<20), ErrTooLarge)
	f("#EXTM3U\n"+strings.Repeat("#EXT-X-STREAM-INF:BANDWIDTH=1\nv.m3u8\n", 1_000), ErrTooLarge)
	f(head+strings.Repeat("#EXT-X-KEY:"+strings.Repeat("A=\"", 100)+"\n", 5_000), nil)
	f(head+strings.Repeat("#X\n", 600_000), nil)
	f(head+"stray.ts\n#EXTINF:2,\na.ts\n", nil)
	f("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=99999999999999999999999\nv.m3u8\n", nil)
}
