package cmaf

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
)

// Parts of low latency are cut where chunks end, as they come in, in pieces of any size.
func TestChunksAreFoundHoweverTheBytesArrive(t *testing.T) {
	p := sample(t, "h264-chunks.mp4")
	want := []Chunk{
		{790, 1833, []Timing{{1, 0, 3003, 3, true}}, true},
		{2623, 628, []Timing{{1, 3003, 3003, 3, false}}, false},
		{3251, 387, []Timing{{1, 6006, 3003, 3, false}}, false},
		{3638, 446, []Timing{{1, 9009, 3003, 3, false}}, false},
	}
	for _, size := range []int{1, 2, 7, 100, 1000, len(p)} {
		s := NewScanner(nil)
		var got []Chunk
		for at := 0; at < len(p); at += size {
			chunks, err := s.Write(p[at:min(at+size, len(p))])
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range chunks {
				if end := c.Offset + c.Size; end > int64(at+size) || end <= int64(at) {
					t.Errorf("pieces of %d: a chunk that ends at %d was told of at %d", size, end, at)
				}
			}
			got = append(got, chunks...)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("pieces of %d: got %+v", size, got)
		}
		if !s.Boundary() || s.Init() == nil {
			t.Error("the end is not seen as one")
		}
	}
}

// A chunk takes with it the boxes before its moof: styp, prft, sidx, emsg.
func TestWhatPrecedesAChunkBelongsToIt(t *testing.T) {
	moof := makeBox("moof", makeBox("traf", makeBox("tfhd", []byte{0, 0, 0, 0, 0, 0, 0, 1})))
	lead := bytes.Join([][]byte{makeBox("styp"), makeBox("prft", make([]byte, 20))}, nil)
	one := bytes.Join([][]byte{lead, moof, makeBox("mdat", make([]byte, 5))}, nil)
	large := append([]byte{0, 0, 0, 1, 'm', 'd', 'a', 't', 0, 0, 0, 0, 0, 0, 0, 18}, 1, 2)
	stream := bytes.Join([][]byte{one, one, moof, large, makeBox("mfra")}, nil)
	s := NewScanner(nil)
	got, err := s.Write(stream)
	n := int64(len(one))
	if err != nil || len(got) != 3 || got[0].Offset != 0 || got[0].Size != n || got[1].Offset != n || got[2].Offset != 2*n ||
		got[2].Size != int64(len(moof)+len(large)) {
		t.Errorf("%+v, %v", got, err)
	}
}

// What FFmpeg's -f hls fmp4 and cmaf pushes say of times and key frames.
func TestSegmentsSayTheirTimes(t *testing.T) {
	whole := sample(t, "h264-aac.mp4")
	init, err := ParseInit(whole)
	if err != nil {
		t.Fatal(err)
	}
	got, err := InspectSegment(whole[1269:6447+3270], init)
	want := SegmentInfo{
		Tracks:  []Timing{{1, 0, 5120, 10, true}, {2, 0, 20224, 20, true}},
		Samples: 30, Chunks: 2, StartsIndependent: true, FrameRate: 25,
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	// the middle of a group of pictures
	chunks := sample(t, "h264-chunks.mp4")
	init, _ = ParseInit(chunks)
	got, err = InspectSegment(chunks[2623:2623+628], init)
	if err != nil || got.StartsIndependent || got.Tracks[0].BaseTime != 3003 || math.Abs(got.FrameRate-30000.0/1001) > 1e-9 {
		t.Errorf("got %+v, %v", got, err)
	}
	// audio alone can start anywhere
	got, err = InspectSegment(sample(t, "ac3.mp4"), nil)
	if err != nil || !got.StartsIndependent || got.FrameRate != 0 || got.Tracks[0].Duration != 13*1536 {
		t.Errorf("got %+v, %v", got, err)
	}
}

// A segment that was cut is never taken for one that was not, wherever it was cut.
func TestACutSegmentIsAnError(t *testing.T) {
	p := sample(t, "h264-chunks.mp4")
	ends := map[int]bool{2623: true, 3251: true, 3638: true, 4084: true, len(p): true}
	for n := range p {
		if _, err := InspectSegment(p[:n], nil); (err == nil) != ends[n] {
			t.Errorf("cut at %d: %v", n, err)
		}
	}
}

// A hostile publisher costs no memory and is told where it went wrong.
func TestHostileStreamsAreRefused(t *testing.T) {
	run := func(flags byte, fields ...byte) []byte {
		return makeBox("moof", makeBox("traf", makeBox("tfhd", []byte{0, 0, 0, 0, 0, 0, 0, 1}), makeBox("trun", []byte{0, 0, flags, 0}, fields)))
	}
	f := func(want string, p []byte) {
		t.Helper()
		s := NewScanner(nil)
		_, err := s.Write(p)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		if _, again := s.Write([]byte{0}); again != err {
			t.Errorf("after %v came %v", err, again)
		}
	}
	f(`byte 0: "\x00\x10\x00\x00" is no type of a box`, []byte("G@\x11\x10\x00\x10\x00\x00"))
	f("byte 0: moof of 2147483647 bytes, at most 1048576 are read", []byte{0x7f, 0xff, 0xff, 0xff, 'm', 'o', 'o', 'f'})
	f("byte 0: moov of", []byte{0x7f, 0xff, 0xff, 0xff, 'm', 'o', 'o', 'v'})
	f("byte 0: box \"free\" of 18446744073709551615 bytes", []byte("\x00\x00\x00\x01free\xff\xff\xff\xff\xff\xff\xff\xff"))
	f("byte 0: box \"free\" of 7 bytes", []byte("\x00\x00\x00\x07free"))
	f("byte 0: box \"free\" of 8 bytes", []byte("\x00\x00\x00\x01free\x00\x00\x00\x00\x00\x00\x00\x08"))
	f("runs to the end", []byte("\x00\x00\x00\x00mdat"))
	f("not fragmented", makeBox("mdat", []byte{1}))
	f("moof without mdat", append(makeBox("moof"), makeBox("moof")...))
	f("moof: traf: traf without track", makeBox("moof", makeBox("traf")))
	f("moof: traf: trun: 4294967295 samples, at most 1048576 are read", run(1, 0xff, 0xff, 0xff, 0xff))
	f("moof: traf: trun: box is cut short", run(1, 0, 0, 0, 9, 0, 0, 0, 1))
	f("moof: \"traf\": box is cut short", makeBox("moof", []byte{0, 0, 1, 0, 't', 'r', 'a', 'f'}))
}

// An init of its own, later in the stream (FFmpeg's fifo muxer reconnects with one), counts.
func TestALaterInitReplacesTheFirst(t *testing.T) {
	s := NewScanner(nil)
	for _, name := range []string{"h264-chunks.mp4", "h264-aac.mp4"} {
		p := sample(t, name)
		p = p[:bytes.Index(p, []byte("mfra"))-4]
		if _, err := s.Write(p); err != nil {
			t.Fatal(name, err)
		}
	}
	if len(s.Init().Tracks) != 2 {
		t.Errorf("%+v", s.Init())
	}
}

// The rates that players and people know.
func TestFrameRatesAreTheCommonOnes(t *testing.T) {
	f := func(want, f float64) {
		t.Helper()
		if got := CommonFrameRate(f); math.Abs(got-want) > 1e-9 {
			t.Errorf("%v became %v, want %v", f, got, want)
		}
	}
	f(25, 25)
	f(30000.0/1001, 29.97)
	f(30, 29.999)
	f(24000.0/1001, 23.976)
	f(24, 24)
	f(60000.0/1001, 59.9402)
	f(15, 15)
	f(12.5, 12.5)
	f(0, 0)
}

func FuzzScanner(f *testing.F) {
	for _, name := range []string{"h264-aac.mp4", "h264-chunks.mp4", "opus.mp4"} {
		f.Add(sample(f, name), 7)
	}
	f.Add([]byte("\x00\x00\x00\x00mdat"), 1)
	f.Fuzz(func(t *testing.T, p []byte, size int) {
		if size = size&0xfff + 1; len(p)/size > 1<<12 {
			size = len(p)
		}
		whole, pieces := NewScanner(nil), NewScanner(nil)
		want, wantErr := whole.Write(p)
		var got []Chunk
		var gotErr error
		for at := 0; at < len(p) && gotErr == nil; at += size {
			var chunks []Chunk
			chunks, gotErr = pieces.Write(p[at:min(at+size, len(p))])
			got = append(got, chunks...)
		}
		if fmt.Sprint(want, wantErr) != fmt.Sprint(got, gotErr) {
			t.Errorf("at once %v %v, in pieces of %d %v %v", want, wantErr, size, got, gotErr)
		}
		var end int64
		for _, c := range want {
			if c.Offset < end || c.Size <= 0 || c.Offset+c.Size > int64(len(p)) || len(c.Tracks) > maxTracks {
				t.Errorf("%+v after %d of %d", c, end, len(p))
			}
			end = c.Offset + c.Size
		}
		_, _ = InspectSegment(p, whole.Init())
	})
}

func BenchmarkScanner(b *testing.B) {
	p := sample(b, "h264-aac.mp4")
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := NewScanner(nil).Write(p); err != nil {
			b.Fatal(err)
		}
	}
}
