package mpegts

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/internal/cmaf"
)

func sample(t testing.TB, name string) []byte {
	t.Helper()
	p, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// The multivariant playlist of a transport stream channel is made of this; a wrong codec
// string is a rendition that no player picks. The samples are FFmpeg 5.1's.
func TestSegmentsSayWhatTheyHold(t *testing.T) {
	f := func(file string, first, last time.Duration, want ...cmaf.Track) {
		t.Helper()
		info, err := Inspect(sample(t, file))
		if err != nil {
			t.Errorf("%s: %v", file, err)
			return
		}
		near := func(a, b time.Duration) bool { return (a - b).Abs() < time.Millisecond }
		if !near(info.FirstPTS, first) || !near(info.LastPTS, last) || !info.StartsIndependent || len(info.Tracks) != len(want) {
			t.Errorf("%s: %+v", file, info)
			return
		}
		for i, got := range info.Tracks {
			w := want[i]
			if got.ID != w.ID || got.Kind != w.Kind || got.Codec != w.Codec || got.Width != w.Width || got.Height != w.Height ||
				got.Timescale != 90000 || got.Language != w.Language || got.Channels != w.Channels || got.SampleRate != w.SampleRate ||
				math.Abs(got.FrameRate-w.FrameRate) > 1e-6 || len(got.Config) == 0 {
				t.Errorf("%s: got %+v\nwant %+v", file, got, w)
			}
		}
	}
	const ms = time.Millisecond
	f("h264-aac.ts", 1480*ms, 1840*ms,
		cmaf.Track{ID: 256, Kind: cmaf.Video, Codec: "avc1.4d400a", Width: 64, Height: 64, FrameRate: 25},
		cmaf.Track{ID: 257, Kind: cmaf.Audio, Codec: "mp4a.40.2", Language: "deu", Channels: 1, SampleRate: 48000})
	f("hevc.ts", 1466733333, 1833766666, cmaf.Track{ID: 256, Kind: cmaf.Video, Codec: "hvc1.1.6.L30.90", Width: 66, Height: 50, FrameRate: 30000.0 / 1001})
	f("aac.ts", 1400*ms, 1762666666, cmaf.Track{ID: 256, Kind: cmaf.Audio, Codec: "mp4a.40.2", Channels: 2, SampleRate: 48000})
	f("ac3.ts", 1400*ms, 1752*ms, cmaf.Track{ID: 256, Kind: cmaf.Audio, Codec: "ac-3", Channels: 1, SampleRate: 48000})
	f("eac3.ts", 1400*ms, 1752*ms, cmaf.Track{ID: 256, Kind: cmaf.Audio, Codec: "ec-3", Channels: 1, SampleRate: 48000})
	f("mp3.ts", 1400*ms, 1760*ms, cmaf.Track{ID: 256, Kind: cmaf.Audio, Codec: "mp4a.40.34", Channels: 1, SampleRate: 48000})
}

// shift moves the presentation times of a stream's packets by n ticks of 90 kHz.
func shift(p []byte, n uint64) []byte {
	p = slices.Clone(p)
	each(p, func(k packet) bool {
		if _, pts, timed := unit(k.payload); k.start && timed {
			pts = (pts + n) % wrap
			b := k.payload[9:14]
			b[0] = b[0]&0xf1 | byte(pts>>30)<<1
			b[1] = byte(pts >> 22)
			b[2] = byte(pts>>15)<<1 | 1
			b[3] = byte(pts >> 7)
			b[4] = byte(pts)<<1 | 1
		}
		return true
	})
	return p
}

// drop leaves out the packets that f picks by their number and content.
func drop(p []byte, f func(i int, k packet) bool) []byte {
	var out []byte
	for i := 0; i+packetSize <= len(p); i += packetSize {
		keep := true
		each(p[i:i+packetSize], func(k packet) bool { keep = !f(i/packetSize, k); return true })
		if keep {
			out = append(out, p[i:i+packetSize]...)
		}
	}
	return out
}

// After 26.5 hours the clock of a stream begins again: a segment in which it does is no
// shorter for it.
func TestAClockThatWrapsGoesOn(t *testing.T) {
	p := sample(t, "h264-aac.ts")
	plain, err := Inspect(p)
	if err != nil {
		t.Fatal(err)
	}
	begin := uint64(1.48 * 90000)
	for _, at := range []uint64{wrap - begin, wrap - begin - 9000, wrap - begin - 18000} {
		info, err := Inspect(shift(p, at))
		if err != nil {
			t.Fatal(err)
		}
		if want := plain.LastPTS - plain.FirstPTS; (info.LastPTS-info.FirstPTS-want).Abs() > time.Microsecond || info.FirstPTS < 0 {
			t.Errorf("from %v to %v, want %v", info.FirstPTS, info.LastPTS, want)
		}
		if info.Tracks[0].FrameRate != 25 {
			t.Errorf("frame rate %v", info.Tracks[0].FrameRate)
		}
	}
}

// Of a segment of many megabytes, the ends are read.
func TestALongSegmentIsReadAtBothEnds(t *testing.T) {
	p := sample(t, "h264-aac.ts")
	null := bytes.Repeat([]byte{0xff}, packetSize)
	copy(null, []byte{syncByte, 0x1f, 0xff, 0x10})
	long := slices.Concat(p, bytes.Repeat(null, 20000), shift(p, 10*90000), []byte("rest"))
	info, err := Inspect(long)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.LastPTS - info.FirstPTS; (got - 10*time.Second - 360*time.Millisecond).Abs() > time.Millisecond {
		t.Errorf("it lasts %v", got)
	}
}

// A player that joins at a segment without a key frame shows grey until the next.
func TestASegmentThatDoesNotStartWithAKeyFrameIsSeen(t *testing.T) {
	p := sample(t, "h264-aac.ts")
	f := func(want bool, p []byte) {
		t.Helper()
		info, err := Inspect(p)
		if err != nil {
			t.Error(err)
			return
		}
		if info.StartsIndependent != want || info.Tracks[0].Codec != "avc1.4d400a" {
			t.Errorf("independent %v, want %v; %+v", info.StartsIndependent, want, info.Tracks[0])
		}
	}
	f(true, p)
	// without its first picture: what comes then is shown later than what follows it
	units := 0
	headless := drop(p, func(_ int, k packet) bool {
		if k.pid == 256 && k.start {
			units++
		}
		return k.pid == 256 && units == 1
	})
	f(false, headless)
	if info, err := Inspect(headless); err != nil || info.FirstPTS < 1500*time.Millisecond || info.LastPTS != 1840*time.Millisecond {
		t.Errorf("%+v, %v", info, err)
	}
	// begun in the middle of its first picture
	first := true
	f(false, drop(p, func(_ int, k packet) bool {
		is := first && k.pid == 256
		first = first && !is
		return is
	}))
	// with the rest of a picture before the first whole one
	var rest []byte
	for i := 0; rest == nil; i += packetSize {
		each(p[i:i+packetSize], func(k packet) bool {
			if k.pid == 256 && !k.start {
				rest = p[i : i+packetSize]
			}
			return true
		})
	}
	f(false, slices.Concat(rest, p))
}

// An upload of something else, or of a broken stream, is refused with the reason.
func TestWhatIsNoTransportStreamIsRefused(t *testing.T) {
	p := sample(t, "h264-aac.ts")
	f := func(want string, p []byte) {
		t.Helper()
		if info, err := Inspect(p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v, %v, want %q", info, err, want)
		}
	}
	f("0 bytes are less than a packet", nil)
	f("no packets of 188 bytes", make([]byte, 1000))
	f("no packets of 188 bytes", append([]byte{syncByte}, make([]byte, 1000)...))
	f("no program map", drop(p, func(_ int, k packet) bool { return k.pid == 0 }))
	f("no program map", drop(p, func(_ int, k packet) bool { return k.pid == 4096 }))
	f("no presentation times", drop(p, func(_ int, k packet) bool { return k.pid == 256 }))
	f("no program map", bytes.Repeat(append([]byte{syncByte, 0, 0, 0x10, 0, 0, 0xb0, 0xff}, make([]byte, packetSize-8)...), 5000))
}

// astits copies what it has of a unit again with each packet: a picture of a megabyte would
// cost a second. Nor may tables that never end.
func TestTheCostIsThatOfTheBytes(t *testing.T) {
	p := sample(t, "h264-aac.ts")
	filler := bytes.Repeat([]byte{0x55}, packetSize)
	var units, tables []byte
	for i := range 6000 {
		copy(filler, []byte{syncByte, 0x01, 0x00, 0x10 | byte(i&15)})
		units = append(units, filler...)
		copy(filler, []byte{syncByte, 0x10, 0x00, 0x10 | byte(i&15)})
		tables = append(tables, filler...)
	}
	f := func(p []byte) {
		t.Helper()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		began := time.Now()
		_, err := Inspect(p)
		took := time.Since(began)
		runtime.ReadMemStats(&after)
		if spent := after.TotalAlloc - before.TotalAlloc; spent > 8<<20 || took > 2*time.Second {
			t.Errorf("%d bytes took %v and %d bytes of memory (%v)", len(p), took, spent, err)
		}
	}
	f(slices.Concat(p[:5*packetSize], units, p))
	f(slices.Concat(p[:2*packetSize], tables, p))
}

func FuzzInspect(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.ts")
	for _, file := range files {
		p := sample(f, filepath.Base(file))
		f.Add(p[:min(len(p), 10*packetSize)])
	}
	f.Add(sample(f, "h264-aac.ts"))
	f.Fuzz(func(t *testing.T, p []byte) {
		info, err := Inspect(p)
		if err != nil {
			return
		}
		if len(info.Tracks) == 0 || len(info.Tracks) > maxTracks || info.LastPTS < info.FirstPTS || info.FirstPTS < 0 {
			t.Errorf("%+v", info)
		}
	})
}

func BenchmarkInspect(b *testing.B) {
	p := sample(b, "h264-aac.ts")
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Inspect(p); err != nil {
			b.Fatal(err)
		}
	}
}
