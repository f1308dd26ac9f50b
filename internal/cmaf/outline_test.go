package cmaf

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"
	"time"
)

func outline(t testing.TB, p []byte, size int) *Outline {
	t.Helper()
	o := NewOutline()
	for at := 0; at < len(p); at += size {
		if err := o.Write(p[at:min(at+size, len(p))]); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

// A viewer who drags the time bar sees the first picture of each chunk that begins with a key
// frame: its bytes run from the moof to the end of that sample, whichever pieces the upload
// came in, and whenever its init segment did.
func TestKeyFramesOfFragmentsAreWhereTheirSamplesAre(t *testing.T) {
	p := sample(t, "h264-aac.mp4")
	init, err := ParseInit(p)
	if err != nil {
		t.Fatal(err)
	}
	segment := p[1269 : 6447+3270]
	for _, size := range []int{1, 7, 1000, len(segment)} {
		got := outline(t, segment, size).Segment(init)
		if got.Start != 0 || !got.Timed || !got.Independent || got.End != 400*time.Millisecond || got.FrameRate != 25 || len(got.Keys) == 0 {
			t.Errorf("pieces of %d: %+v", size, got)
		}
		for _, k := range got.Keys {
			if string(segment[k.Offset+4:k.Offset+8]) != "moof" || k.Cut > k.Offset {
				t.Errorf("%+v does not begin with a moof", k)
				continue
			}
			// FFmpeg's samples are NAL units behind their length: the last one ends where
			// the range does, and one of them is an IDR slice.
			idr, at := false, k.Offset+int64(binary.BigEndian.Uint32(segment[k.Offset:]))+8
			for at < k.Offset+k.Length {
				idr = idr || segment[at+4]&0x1f == 5
				at += 4 + int64(binary.BigEndian.Uint32(segment[at:]))
			}
			if !idr || at != k.Offset+k.Length {
				t.Errorf("%+v: its last NAL unit ends at %d, IDR %v", k, at, idr)
			}
		}
	}
	if got := outline(t, segment, 100).Segment(nil); got.Timed || got.Keys != nil {
		t.Errorf("without an init: %+v", got)
	}
	chunks := sample(t, "h264-chunks.mp4")
	init, _ = ParseInit(chunks)
	got := outline(t, chunks[790:4084], 10).Segment(init)
	if len(got.Keys) != 1 || got.Keys[0].Offset != 0 || got.End != 400400*time.Microsecond || got.FrameRate < 29.9 || got.FrameRate > 30 {
		t.Errorf("%+v", got)
	}
	if got = outline(t, chunks[2623:4084], 10).Segment(init); got.Independent || len(got.Keys) != 0 || got.Start != 100100*time.Microsecond {
		t.Errorf("%+v", got)
	}
}

// Sound has no pictures to show; its times are told all the same.
func TestSoundHasTimesAndNoKeyFrames(t *testing.T) {
	p := sample(t, "ac3.mp4")
	init, err := ParseInit(p)
	if err != nil {
		t.Fatal(err)
	}
	got := outline(t, p, len(p)).Segment(init)
	if !got.Timed || got.End != 13*32*time.Millisecond || !got.Independent || got.Keys != nil || got.FrameRate != 0 {
		t.Errorf("%+v", got)
	}
}

// The init may be of other tracks than the media, or give them other defaults: what a sample
// does not tell is the init's, what it tells its own.
func TestTheInitFillsInWhatAFragmentLeavesOut(t *testing.T) {
	moof := makeBox("moof", makeBox("traf",
		makeBox("tfhd", []byte{0, 2, 0, 0, 0, 0, 0, 1}),
		makeBox("tfdt", []byte{0, 0, 0, 0, 0, 0, 0, 100}),
		makeBox("trun", []byte{0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 88})))
	p := append(moof, makeBox("mdat", make([]byte, 40))...)
	f := func(d defaults, want Segment) {
		t.Helper()
		init := &Init{Tracks: []Track{{ID: 1, Kind: Video, Timescale: 10}}, defaults: []defaults{d}}
		got := outline(t, p, len(p)).Segment(init)
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%+v\nwant %+v", got, want)
		}
	}
	f(defaults{1, 5, 10, 0}, Segment{Start: 10 * time.Second, Timed: true, End: 12 * time.Second, Independent: true, FrameRate: 2,
		Keys: []KeyFrame{{0, 98, 0, 10 * time.Second}}})
	f(defaults{1, 5, 10, nonSync}, Segment{Start: 10 * time.Second, Timed: true, End: 12 * time.Second, FrameRate: 2})
	f(defaults{1, 5, 0, 0}, Segment{Start: 10 * time.Second, Timed: true, End: 12 * time.Second, Independent: true, FrameRate: 2,
		Keys: []KeyFrame{{0, 0, 0, 10 * time.Second}}}) // no size: where it ends is not known
	f(defaults{1, 5, 1000, 0}, Segment{Start: 10 * time.Second, Timed: true, End: 12 * time.Second, Independent: true, FrameRate: 2,
		Keys: []KeyFrame{{0, 0, 0, 10 * time.Second}}}) // it would end beyond the mdat
}

// A track's samples can be in several runs and fragments: the picture is the first of them.
func TestTheKeyFrameIsTheFirstSampleOfItsTrack(t *testing.T) {
	run := func(offset, flags, size byte) []byte {
		return makeBox("trun", []byte{0, 0, 2, 5, 0, 0, 0, 1, 0, 0, 0, offset, 0, flags, 0, 0, 0, 0, 0, size})
	}
	head := makeBox("tfhd", []byte{0, 2, 0, 0, 0, 0, 0, 1})
	moof := makeBox("moof", makeBox("traf", head, run(200, 0, 5), run(205, 1, 7)), makeBox("traf", head, run(212, 1, 9)))
	p := append(moof, makeBox("mdat", make([]byte, 221-8-len(moof)))...)
	init := &Init{Tracks: []Track{{ID: 1, Kind: Video, Timescale: 10}}, defaults: []defaults{{1, 1, 0, 0}}}
	got := outline(t, p, 10).Segment(init)
	if len(got.Keys) != 1 || got.Keys[0].Length != 205 || !got.Independent {
		t.Errorf("%+v, %d bytes", got, len(p))
	}
}

// 64 MiB of chunks of 16 bytes, or of empty boxes, cost no more than what is looked at.
func TestAnOutlineIsBounded(t *testing.T) {
	moof := makeBox("moof", makeBox("traf", makeBox("tfhd", []byte{0, 0, 0, 0, 0, 0, 0, 1}), makeBox("trun", []byte{0, 0, 0, 0, 0, 0, 0, 1})))
	init := &Init{Tracks: []Track{{ID: 1, Kind: Video, Timescale: 10}}}
	f := func(unit []byte) {
		t.Helper()
		p := bytes.Repeat(unit, (64<<20)/len(unit))
		began := time.Now()
		o := outline(t, p, 1<<20)
		got := o.Segment(init)
		if took := time.Since(began); took > 500*time.Millisecond {
			t.Errorf("took %v", took)
		}
		if !o.full || len(o.chunks) > maxShares || got.End != got.Start {
			t.Errorf("%d chunks, %+v", len(o.chunks), got)
		}
	}
	f(append(makeBox("moof"), makeBox("mdat")...))
	f(append(moof, makeBox("mdat")...))
	f(makeBox("free"))
}

// Whatever the bytes, the pieces they come in change nothing, and a key frame lies in its
// segment.
func FuzzOutline(f *testing.F) {
	for _, name := range []string{"h264-aac.mp4", "h264-chunks.mp4", "hevc.mp4"} {
		f.Add(sample(f, name), 7)
	}
	init, err := ParseInit(sample(f, "h264-aac.mp4"))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, p []byte, size int) {
		if size = size&0xfff + 1; len(p)/size > 1<<12 {
			size = len(p)
		}
		whole, pieces := NewOutline(), NewOutline()
		_ = whole.Write(p)
		for at := 0; at < len(p); at += size {
			_ = pieces.Write(p[at:min(at+size, len(p))])
		}
		got := whole.Segment(init)
		if again := pieces.Segment(init); fmt.Sprint(got) != fmt.Sprint(again) {
			t.Errorf("at once %+v, in pieces of %d %+v", got, size, again)
		}
		end := int64(0)
		for _, k := range got.Keys {
			if k.Cut < end || k.Offset < k.Cut || k.Length < 0 || k.Offset+k.Length > int64(len(p)) {
				t.Errorf("%+v after %d of %d bytes", k, end, len(p))
			}
			end = k.Offset + k.Length
		}
		if got.End < got.Start || got.Start < 0 {
			t.Errorf("%+v", got)
		}
	})
}
