package mpegts

import (
	"bytes"
	"slices"
	"testing"
)

func split(p []byte, size int, cuts ...int64) [][]byte {
	pieces := make([][]byte, len(cuts)+1)
	s := NewSplitter(cuts, func(i int, b []byte) { pieces[i] = append(pieces[i], b...) })
	for at := 0; at < len(p); at += size {
		s.Write(p[at:min(at+size, len(p))])
	}
	return pieces
}

// A piece of a segment is a segment: a player that begins with it finds the tables, the key
// frame, and whole units of all tracks.
func TestAPieceIsASegment(t *testing.T) {
	p := sample(t, "h264-aac.ts")
	keys := scan(t, p, len(p)).Keys
	for _, size := range []int{1, 188, 1000, len(p)} {
		pieces := split(p, size, keys[1].Cut)
		total := 0
		for i, piece := range pieces {
			info, err := Inspect(piece)
			if err != nil || !info.StartsIndependent || len(info.Tracks) != 2 || info.FirstPTS != keys[i].At {
				t.Errorf("piece %d: %+v, %v", i, info, err)
			}
			total += len(piece)
		}
		if want := len(p) + 2*packetSize; total != want {
			t.Errorf("%d bytes in the pieces, want %d", total, want)
		}
		if !bytes.Equal(pieces[1][:packetSize], p[packetSize:2*packetSize]) && pieces[1][1]&0x1f != 0 {
			t.Error("the second piece does not begin with the association table")
		}
	}
}

// Multiplexers other than FFmpeg mix the packets of units: the end of a unit of sound that
// lies behind the cut is not lost, and not the beginning of the next piece.
func TestAUnitIsNeverCut(t *testing.T) {
	p := sample(t, "h264-aac.ts")
	keys := scan(t, p, len(p)).Keys
	cut := keys[1].Cut
	end := bytes.Repeat([]byte{0xff}, packetSize) // of a unit of sound that began before
	copy(end, []byte{syncByte, 1, 1, 0x1f})
	begin := bytes.Clone(end)
	copy(begin, []byte{syncByte, 0x41, 1, 0x1e, 0, 0, 1, 0xc0, 0, 0, 0x80, 0, 0})
	behind := cut + packetSize // the key frame's first packet
	rest := slices.Concat(p[:cut], begin, p[cut:behind], end, p[behind:])
	moved := scan(t, rest, len(rest)).Keys[1].Cut
	pieces := split(rest, 1000, moved)
	if !bytes.HasSuffix(pieces[0], end) {
		t.Error("the end of the unit is not in its piece")
	}
	each(pieces[1], func(k packet) bool {
		if k.pid == 257 && !k.start {
			t.Error("the second piece has the middle of a unit before its beginning")
		}
		return k.pid != 257
	})
}

// Each packet is in exactly one piece, whatever they hold and wherever the cuts are.
func FuzzSplit(f *testing.F) {
	p := sample(f, "h264-aac.ts")
	f.Add(p, int64(6204), int64(9000), 100)
	f.Add(p, int64(0), int64(1<<40), 1)
	f.Fuzz(func(t *testing.T, p []byte, a, b int64, size int) {
		if size = size&0xfff + 1; len(p)/size > 1<<12 {
			size = max(1, len(p))
		}
		cuts := []int64{max(0, a), max(0, b)}
		slices.Sort(cuts)
		var total int
		pieces := make([]int, 3)
		s := NewSplitter(cuts, func(i int, b []byte) {
			pieces[i] += len(b)
			total += len(b)
		})
		for at := 0; at < len(p); at += size {
			s.Write(p[at:min(at+size, len(p))])
		}
		whole := len(p) / packetSize * packetSize
		if total < whole || total > whole+2*maxTableSize*packetSize*(maxMaps+1) || total%packetSize != 0 {
			t.Errorf("%d bytes of %d in pieces %v", total, len(p), pieces)
		}
		if len(s.order) > maxMaps+1 {
			t.Errorf("%d tables", len(s.order))
		}
	})
}
