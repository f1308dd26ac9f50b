package mpegts

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"weir/internal/cmaf"
)

func scan(t testing.TB, p []byte, size int) cmaf.Segment {
	t.Helper()
	info, err := Inspect(p)
	if err != nil {
		t.Fatal(err)
	}
	s := NewScanner(info)
	for at := 0; at < len(p); at += size {
		s.Write(p[at:min(at+size, len(p))])
	}
	return s.Segment(info)
}

// quiet clears the random access flags, as an encoder does that does not set them.
func quiet(p []byte) []byte {
	p = bytes.Clone(p)
	for i := 0; i+packetSize <= len(p); i += packetSize {
		if p[i+3]&0x20 != 0 && p[i+4] > 0 {
			p[i+5] &^= 0x40
		}
	}
	return p
}

// A viewer who drags the time bar sees the key frame's own packets, from the first to the
// last of them, whichever pieces the upload came in and whether or not it is flagged.
func TestKeyFramesAreWhereTheirPacketsAre(t *testing.T) {
	f := func(file string, pid uint16, end time.Duration, want ...time.Duration) {
		t.Helper()
		for _, p := range [][]byte{sample(t, file), quiet(sample(t, file))} {
			for _, size := range []int{1, 100, 188, 1000, len(p)} {
				got := scan(t, p, size)
				if len(got.Keys) != len(want) || (got.End-end).Abs() > time.Millisecond || !got.Timed || !got.Independent {
					t.Errorf("%s in pieces of %d: %+v", file, size, got)
					continue
				}
				for i, k := range got.Keys {
					if (k.At-want[i]).Abs() > time.Millisecond || k.Offset%packetSize != 0 || k.Length%packetSize != 0 || k.Cut != k.Offset {
						t.Errorf("%s: %+v, want %v", file, k, want[i])
					}
					starts, first, last := 0, uint16(0), uint16(0)
					each(p[k.Offset:k.Offset+k.Length], func(x packet) bool {
						if x.pid == pid && x.start {
							starts++
						}
						if last = x.pid; first == 0 {
							first = x.pid
						}
						return true
					})
					if starts != 1 || first != pid || last != pid {
						t.Errorf("%s: %+v begins %d units, from %d to %d", file, k, starts, first, last)
					}
				}
			}
		}
	}
	const ms = time.Millisecond
	f("h264-aac.ts", 256, 1880*ms, 1480*ms, 1680*ms)
	f("hevc.ts", 256, 1867100*time.Microsecond, 1466733333)
	f("aac.ts", 256, 1400*ms)
}

// Where decoding can begin, but only recovers picture by picture, there is nothing to show at
// once: flags say the same of both, slices do not.
func TestARecoveryPointIsAKeyFrameOnlyOfIntraSlices(t *testing.T) {
	f := func(slice string, want int) {
		t.Helper()
		// The slices are IDR (type 5) of I (slice_type 7), flagged as random access.
		p := bytes.ReplaceAll(sample(t, "h264-aac.ts"), []byte("\x00\x00\x01\x65\x88"), []byte("\x00\x00\x01"+slice))
		if got := scan(t, p, 100).Keys; len(got) != want {
			t.Errorf("%x: %+v", slice, got)
		}
	}
	f("\x65\x88", 2)
	f("\x41\x88", 2) // not IDR, but all slices are I
	f("\x41\xb0", 2) // this one is
	f("\x41\x98", 0) // P
	f("\x41\x9c", 0) // B
	f("\x41\x48", 0) // the first slice is missing
}

// A clock that begins again within the segment makes no key frame one of yesterday.
func TestKeyFramesAfterAWrapComeAfterThoseBefore(t *testing.T) {
	p := sample(t, "h264-aac.ts")
	begin := uint64(1.48 * 90000)
	// The same segment twice, the second time a second later, around the wrap.
	twice := append(shift(p, wrap-begin-45000), shift(p, wrap-begin+45000)...)
	got := scan(t, twice, 500)
	if len(got.Keys) != 4 || (got.Keys[2].At-got.Keys[0].At-time.Second).Abs() > time.Millisecond || (got.End-got.Start-1400*time.Millisecond).Abs() > time.Millisecond {
		t.Errorf("%+v", got)
	}
}

// Whatever the bytes, the pieces they come in change nothing, and key frames lie in their
// segment, one after the other.
func FuzzScanner(f *testing.F) {
	for _, name := range []string{"h264-aac.ts", "hevc.ts", "aac.ts"} {
		f.Add(sample(f, name), 100)
	}
	f.Fuzz(func(t *testing.T, p []byte, size int) {
		info, err := Inspect(p)
		if err != nil {
			info = &Info{Tracks: []cmaf.Track{{ID: 256, Kind: cmaf.Video, Codec: "avc1"}}}
		}
		if size = size&0xfff + 1; len(p)/size > 1<<12 {
			size = len(p)
		}
		whole, pieces := NewScanner(info), NewScanner(info)
		whole.Write(p)
		for at := 0; at < len(p); at += size {
			pieces.Write(p[at:min(at+size, len(p))])
		}
		got := whole.Segment(info)
		if again := pieces.Segment(info); fmt.Sprint(got) != fmt.Sprint(again) {
			t.Errorf("at once %+v, in pieces of %d %+v", got, size, again)
		}
		end := int64(0)
		for _, k := range got.Keys {
			if k.Offset < end || k.Length < packetSize || k.Offset+k.Length > int64(len(p)) {
				t.Errorf("%+v after %d of %d bytes", k, end, len(p))
			}
			end = k.Offset + k.Length
		}
		if got.End < got.Start {
			t.Errorf("%+v", got)
		}
	})
}

// A segment of 6 s at 8 Mbit/s is 6 MB; it is looked at once, when its last byte is there.
func BenchmarkKeyFrames(b *testing.B) {
	p := bytes.Repeat(sample(b, "h264-aac.ts"), 1000)
	info, err := Inspect(p)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for b.Loop() {
		s := NewScanner(info)
		s.Write(p)
		s.Segment(info)
	}
}
