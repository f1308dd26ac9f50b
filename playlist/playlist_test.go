package playlist

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// diffModels compares two playlists, less the version, which rises to what is needed.
func diffModels(a, b renderer) string {
	return cmp.Diff(a, b, cmpopts.EquateEmpty(),
		cmpopts.IgnoreFields(Media{}, "Version"), cmpopts.IgnoreFields(Multivariant{}, "Version"))
}

// A viewer's player keeps the segment it has by its number: numbers must not move when the
// window is cut in the middle of a run of segments with the same map and key.
func TestAWindowCutAnywhereStillSaysItsMapAndKey(t *testing.T) {
	section, key := &Map{URI: "i.mp4"}, &Key{Method: "AES-128", URI: "k"}
	m := Media{TargetDuration: 2, MediaSequence: 41, Segments: []Segment{
		{URI: "41.m4s", Duration: 2 * time.Second, Map: section, Key: key, Bitrate: 700},
		{URI: "42.m4s", Duration: 2 * time.Second, Map: section, Key: key, Bitrate: 700},
	}}
	m.Segments = m.Segments[1:]
	m.MediaSequence++
	want := `#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:2
#EXT-X-MEDIA-SEQUENCE:42
#EXT-X-MAP:URI="i.mp4"
#EXT-X-KEY:METHOD=AES-128,URI="k"
#EXT-X-BITRATE:700
#EXTINF:2.000,
42.m4s
`
	if got := string(m.Append(nil)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// A version too low breaks strict players, one too high shuts out old ones (HLSbis 8).
func TestTheVersionIsTheLeastThatIsNeeded(t *testing.T) {
	f := func(want int, m Media) {
		t.Helper()
		text := string(m.Append(nil))
		line := fmt.Sprintf("#EXT-X-VERSION:%d\n", want)
		if want == 1 && strings.Contains(text, "VERSION") || want > 1 && strings.Count(text, line) != 1 {
			t.Errorf("want version %d:\n%s", want, text)
		}
	}
	segment := func(s Segment) []Segment { s.URI, s.Duration = "a", time.Second; return []Segment{s} }
	f(1, Media{})
	f(3, Media{Segments: segment(Segment{})})
	f(3, Media{Segments: segment(Segment{Gap: true, Bitrate: 1, Discontinuity: true, ProgramDateTime: time.Now()})})
	f(3, Media{Segments: segment(Segment{Key: &Key{Method: "AES-128", URI: "k", IV: "0x1"}})})
	f(4, Media{Segments: segment(Segment{ByteRange: &ByteRange{1, 0}})})
	f(4, Media{IFramesOnly: true, Segments: segment(Segment{})})
	f(5, Media{Segments: segment(Segment{Key: &Key{Method: "SAMPLE-AES", URI: "k"}})})
	f(5, Media{Segments: segment(Segment{Key: &Key{Method: "AES-128", URI: "k", KeyFormat: "identity"}})})
	f(5, Media{IFramesOnly: true, Segments: segment(Segment{Map: &Map{URI: "i"}})})
	f(6, Media{Segments: segment(Segment{Map: &Map{URI: "i"}})})
	f(9, Media{Version: 9, Segments: segment(Segment{Map: &Map{URI: "i"}})})

	captions := Multivariant{Renditions: []Rendition{{Type: "CLOSED-CAPTIONS", GroupID: "c", Name: "c", InstreamID: "SERVICE3"}}}
	if text := string(captions.Append(nil)); !strings.Contains(text, "#EXT-X-VERSION:7\n") {
		t.Errorf("want version 7:\n%s", text)
	}
}

// Rounding up, as grafov does, would change TARGETDURATION under a running player.
func TestTheTargetDurationIsRoundedNotCeiled(t *testing.T) {
	f := func(want int, target int, longest time.Duration) {
		t.Helper()
		m := Media{TargetDuration: target, Segments: []Segment{{URI: "a", Duration: longest}}}
		if text := string(m.Append(nil)); !strings.Contains(text, fmt.Sprintf("#EXT-X-TARGETDURATION:%d\n", want)) {
			t.Errorf("want %d:\n%s", want, text)
		}
		got, err := ParseMedia(m.Append(nil))
		if err != nil || got.TargetDuration != want {
			t.Errorf("parsed %d, %v, want %d", got.TargetDuration, err, want)
		}
	}
	f(6, 6, 6006*time.Millisecond)
	f(6, 0, 6006*time.Millisecond)
	f(7, 0, 6500*time.Millisecond)
	f(1, 0, 40*time.Millisecond)
}

// Drift of half a millisecond a segment is a second off after an hour.
func TestDurationsKeepTheirMicroseconds(t *testing.T) {
	f := func(want string, d time.Duration) {
		t.Helper()
		if got := string(appendSeconds(nil, d)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	f("2.000", 2*time.Second)
	f("2.100", 2100*time.Millisecond)
	f("2.002", 2002*time.Millisecond)
	f("0.0333", 33300*time.Microsecond)
	f("1.001001", 1001001*time.Microsecond)
	f("0.000001", 600*time.Nanosecond)
	f("0.000", 400*time.Nanosecond)
	f("0.000", -time.Second)
	f("86400.000", 24*time.Hour)
}

// A file name from outside must not be able to add a tag, close a quote, or hide a segment.
func TestNoURIAndNoTextCanLeaveItsPlace(t *testing.T) {
	evil := []string{"a\n#EXT-X-ENDLIST\n", `a",X="b`, "a\r", "#EXT-X-ENDLIST", "", " a ", "\xff\x00", "a\u0085b", "{$v}", "\ufeff"}
	for _, s := range evil {
		m := Media{TargetDuration: 2, Type: PlaylistType(s), Segments: []Segment{
			{URI: s, Duration: time.Second, Title: s, Map: &Map{URI: s}, Key: &Key{Method: "AES-128" + s, URI: s, IV: "0x1", KeyFormat: s}},
			{URI: "next", Duration: time.Second},
		}}
		text := m.Append(nil)
		got, err := ParseMedia(text)
		if err != nil {
			t.Errorf("%q: %v\n%s", s, err, text)
			continue
		}
		if len(got.Segments) != 2 || got.EndList || got.Segments[1].URI != "next" {
			t.Errorf("%q changed the playlist:\n%s", s, text)
		}
		multi := Multivariant{
			Variants:   []Variant{{URI: "v" + s, Codecs: s, Audio: s, Name: s, VideoRange: s, ClosedCaptions: s, Subtitles: s}},
			Renditions: []Rendition{{Type: "AUDIO", GroupID: "g" + s, Name: s, Language: s, URI: s, Channels: s}},
		}
		text = multi.Append(nil)
		if got, err := ParseMultivariant(text); err != nil || len(got.Variants) != 1 || len(got.Renditions) != 1 {
			t.Errorf("%q: %v\n%s", s, err, text)
		}
	}
}

// A segment whose media were lost before they had a name still has its number.
func TestASegmentWithoutURIIsAGap(t *testing.T) {
	m := Media{TargetDuration: 2, Segments: []Segment{{Duration: 2 * time.Second}, {URI: "b", Duration: 2 * time.Second}}}
	got, err := ParseMedia(m.Append(nil))
	if err != nil || len(got.Segments) != 2 || !got.Segments[0].Gap || got.Segments[1].Gap {
		t.Errorf("%v, %v", got, err)
	}
}

// Ten megabytes of anything cost a look at their length; what is within the limits costs
// no more than its size.
func TestHugePlaylistsAreRefusedWithTheReason(t *testing.T) {
	f := func(want string, p []byte) {
		t.Helper()
		began := time.Now()
		_, err := ParseMedia(p)
		_, err2 := ParseMultivariant(p)
		if err == nil || err2 == nil || !strings.Contains(err.Error()+err2.Error(), want) {
			t.Errorf("errors %v and %v, want %q", err, err2, want)
		}
		if d := time.Since(began); d > 5*time.Second {
			t.Errorf("took %v", d)
		}
	}
	f("playlist too large: 10485760 bytes, at most 524288 are read", bytes.Repeat([]byte("#"), 10<<20))
	f("line 2 has 500000 bytes, at most 16384 are read", []byte("#EXTM3U\n"+strings.Repeat("a", 500000)))
	f("no EXT-X-TARGETDURATION", []byte("#EXTM3U\n"+strings.Repeat("\n", 500000)))
	f("attributes", []byte("#EXTM3U\n#EXT-X-MAP:"+manyAttributes()))
	if _, err := ParseMedia(make([]byte, MaxBytes+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("%v is not ErrTooLarge", err)
	}
	if _, err := ParseMedia([]byte("#EXTM3U\n#EXT-X-SKIP:SKIPPED-SEGMENTS=1\n")); !errors.Is(err, ErrDelta) {
		t.Errorf("%v is not ErrDelta", err)
	}
}

func manyAttributes() string {
	var b strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&b, "A%d=1,", i)
	}
	return b.String()
}

// grafov panics on more than we know of; an origin with a hundred channels must not end for
// one playlist.
func TestAPanicOfTheParserIsAnError(t *testing.T) {
	err := decode(func() error { return []error{}[len(t.Name())] })
	if err == nil || !strings.Contains(err.Error(), "the parser panicked") {
		t.Errorf("%v", err)
	}
}

// 24 KB of renditions and variants had grafov allocate 300 MB.
func TestTheCubicMasterIsRefused(t *testing.T) {
	cubic := func(n int) []byte {
		b := []byte("#EXTM3U\n")
		for i := range n {
			b = fmt.Appendf(b, "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"n%d\",URI=\"u\"\n", i)
		}
		for range n {
			b = append(b, "#EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO=\"a\"\nu\n"...)
		}
		return b
	}
	_, err := ParseMultivariant(cubic(200))
	if err == nil || !strings.Contains(err.Error(), "at most 128 are read") {
		t.Errorf("%v", err)
	}
	p := cubic(128)
	if got := testing.AllocsPerRun(1, func() {
		if _, err := ParseMultivariant(p); err != nil {
			t.Error(err)
		}
	}); got > 10000 {
		t.Errorf("%v allocations for %d bytes", got, len(p))
	}
	if _, err := ParseMultivariant(cubic(300)); err == nil ||
		!strings.Contains(err.Error(), "line 258 has one of renditions too many") {
		t.Errorf("%v", err)
	}
}

// grafov keeps 32 bits of a bandwidth, which 8K video is about to need.
func TestBandwidthsBeyond32BitsAreKept(t *testing.T) {
	m := Multivariant{Variants: []Variant{{URI: "a", Bandwidth: 5e9, AverageBandwidth: 45e8}}}
	got, err := ParseMultivariant(m.Append(nil))
	if err != nil || got.Variants[0].Bandwidth != 5e9 || got.Variants[0].AverageBandwidth != 45e8 {
		t.Errorf("%+v, %v", got, err)
	}
}

// The longest window that fits is read in order and in full: grafov's ring turns over at its
// capacity.
func TestManySegmentsKeepTheirOrder(t *testing.T) {
	m := Media{TargetDuration: 2}
	for i := range 9000 {
		m.Segments = append(m.Segments, Segment{URI: fmt.Sprintf("s%d.ts", i), Duration: 2 * time.Second})
	}
	text := m.Append(nil)
	got, err := ParseMedia(text)
	if err != nil {
		t.Fatal(err)
	}
	if diff := diffModels(&m, got); diff != "" {
		t.Error(diff)
	}
}

// The origin renders on each segment, for each rendition: nothing may be left for the
// garbage collector.
func TestRenderingAllocatesNothing(t *testing.T) {
	m, v := sampleMedia(600), sampleMultivariant()
	dst := make([]byte, 0, 1<<20)
	if n := testing.AllocsPerRun(10, func() { m.Append(dst); v.Append(dst) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func sampleMedia(n int) *Media {
	section := &Map{URI: "init.mp4"}
	m := &Media{TargetDuration: 2, MediaSequence: 1000, EmitDiscontinuitySequence: true}
	at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for i := range n {
		m.Segments = append(m.Segments, Segment{
			URI: fmt.Sprintf("s%d.m4s", i), Duration: 2002 * time.Millisecond, Map: section, ProgramDateTime: at,
			Discontinuity: i == n/2, Gap: i == n/3,
		})
		at = at.Add(2002 * time.Millisecond)
	}
	return m
}

func sampleMultivariant() *Multivariant {
	return &Multivariant{
		IndependentSegments: true,
		Renditions: []Rendition{
			{Type: "AUDIO", GroupID: "a", Name: "English", Language: "en", URI: "a/index.m3u8", Channels: "2", Default: true, Autoselect: true},
		},
		Variants: []Variant{
			{URI: "hi/index.m3u8", Bandwidth: 2500000, AverageBandwidth: 2200000, Codecs: "avc1.64001f,mp4a.40.2", Width: 1280, Height: 720, FrameRate: 29.97, Audio: "a"},
			{URI: "lo/index.m3u8", Bandwidth: 600000, AverageBandwidth: 500000, Codecs: "avc1.42c01e,mp4a.40.2", Width: 640, Height: 360, FrameRate: 30000.0 / 1001, Audio: "a"},
		},
		IFrames: []IFrameVariant{
			{URI: "hi/iframes.m3u8", Bandwidth: 180000, AverageBandwidth: 150000, Codecs: "avc1.64001f", Width: 1280, Height: 720, VideoRange: "SDR"},
		},
	}
}

func BenchmarkAppend(b *testing.B) {
	m := sampleMedia(600)
	dst := m.Append(nil)
	b.SetBytes(int64(len(dst)))
	b.ReportAllocs()
	for b.Loop() {
		dst = m.Append(dst[:0])
	}
}

func BenchmarkParseMedia(b *testing.B) {
	p := sampleMedia(15).Append(nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseMedia(p); err != nil {
			b.Fatal(err)
		}
	}
}
