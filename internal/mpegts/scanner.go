package mpegts

import (
	"bytes"
	"time"

	"weir/internal/cmaf"
)

// Bounds of a Scanner.
const (
	maxKeys = 1024 // key frames of a segment that are noted
	noted   = 8    // bytes of a NAL unit, its mark included, that tell what it is
)

// A Scanner finds the key frames of a segment as its bytes flow by: it looks at the header of
// every packet, and at media only as far as they tell what a picture is. It holds no media.
// It is for one goroutine.
type Scanner struct {
	pid    uint16
	stream stream
	video  bool

	pos  int64 // of the next packet
	part [packetSize]byte
	have int // bytes of part that are there

	keys    []cmaf.KeyFrame
	key     cmaf.KeyFrame // the picture under way
	state   verdict
	random  bool // random access is flagged on it
	sets    bool // there was a sequence parameter set in it
	last    int64
	timed   bool
	clock   clock
	pending [noted + packetSize]byte // what of the picture was not looked at yet
	left    int
	units   int
}

// verdict is what is known of the picture under way.
type verdict uint8

const (
	outside verdict = iota // none has begun
	asking                 // its first slice has not come
	isKey
	isNone
)

// NewScanner returns a Scanner for a segment of which Inspect says what info does.
func NewScanner(info *Info) *Scanner {
	s := &Scanner{}
	for _, t := range info.Tracks {
		if t.Kind == cmaf.Video {
			s.pid, s.stream, s.video = uint16(t.ID), streamOfCodec(t.Codec), true
			break
		}
	}
	if !s.video && len(info.Tracks) > 0 {
		s.pid = uint16(info.Tracks[0].ID)
	}
	s.clock.headScanned = true
	return s
}

// streamOfCodec tells a video coding from its codec string.
func streamOfCodec(codec string) stream {
	switch {
	case len(codec) >= 4 && codec[:4] == "avc1":
		return h264
	case len(codec) >= 4 && codec[:4] == "hvc1":
		return h265
	case codec == "mp4v.61":
		return mpeg2
	}
	return other
}

// Write takes the next bytes of the segment. Packets that are not in their place are passed
// over.
func (s *Scanner) Write(p []byte) {
	if s.have > 0 {
		n := copy(s.part[s.have:], p)
		p = p[n:]
		if s.have += n; s.have < packetSize {
			return
		}
		s.packet(s.part[:])
		s.have = 0
	}
	for ; len(p) >= packetSize; p = p[packetSize:] {
		s.packet(p[:packetSize])
	}
	s.have = copy(s.part[:], p)
}

// Segment says what was found, once all bytes were written; info is what Inspect said.
func (s *Scanner) Segment(info *Info) cmaf.Segment {
	s.end()
	is := cmaf.Segment{Start: info.FirstPTS, End: info.FirstPTS, Timed: len(info.Tracks) > 0, Independent: info.StartsIndependent, Keys: s.keys}
	if !s.clock.known {
		return is
	}
	first, last := s.clock.span()
	// Times of the whole segment, not only of its ends: but they must be the same clock. A
	// unit of sound is many frames, and how many it does not say.
	if frame := s.frame(info, last-first); s.video && first == info.FirstPTS {
		is.End = last + frame
	}
	for i := range is.Keys {
		// A clock that wraps goes on, as in Info.
		if k := &is.Keys[i]; k.At < first {
			k.At += ticks(wrap)
		}
	}
	return is
}

// frame is how long a picture lasts, or what they last on average.
func (s *Scanner) frame(info *Info, span time.Duration) time.Duration {
	for _, t := range info.Tracks {
		if t.Kind == cmaf.Video && t.FrameRate > 1 {
			return time.Duration(float64(time.Second) / t.FrameRate)
		}
	}
	if s.units < 2 {
		return 0
	}
	return span / time.Duration(s.units-1)
}

func (s *Scanner) packet(b []byte) {
	at := s.pos
	s.pos += packetSize
	if b[0] != syncByte || uint16(b[1]&0x1f)<<8|uint16(b[2]) != s.pid || b[1]&0x80 != 0 || b[3]&0x10 == 0 {
		return
	}
	body, random := b[4:], false
	if b[3]&0x20 != 0 { // adaptation field
		n := int(body[0])
		if n >= len(body) {
			return
		}
		random = n > 0 && body[1]&0x40 != 0
		body = body[1+n:]
	}
	if b[1]&0x40 != 0 { // payload_unit_start_indicator
		s.end()
		s.begin(body, random, at)
	} else if s.state == asking {
		s.look(body)
	}
	s.last = at + packetSize
}

// begin starts a picture with its first packet.
func (s *Scanner) begin(p []byte, random bool, at int64) {
	payload, pts, timed := unit(p)
	s.clock.take(pts, timed)
	if timed {
		s.units++
	}
	if s.timed = timed; !s.video || len(s.keys) == maxKeys {
		s.state = outside
		return
	}
	s.state, s.random, s.sets, s.left = asking, random, false, 0
	s.key = cmaf.KeyFrame{Offset: at, Cut: at, At: ticks(int64(pts))}
	s.look(payload)
}

// end closes the picture under way: it runs to its last packet.
func (s *Scanner) end() {
	if s.state == isKey && s.timed {
		s.key.Length = s.last - s.key.Offset
		s.keys = append(s.keys, s.key)
	}
	s.state = outside
}

// look searches the next bytes of a picture for what tells its kind, which lies in the first
// few of each NAL unit or header; what a packet ends in the middle of is looked at again.
func (s *Scanner) look(p []byte) {
	n := s.left + copy(s.pending[s.left:], p)
	b := s.pending[:n]
	for s.state == asking {
		i := bytes.Index(b, mark[:])
		if i < 0 {
			b = b[max(0, len(b)-2):]
			break
		}
		if b = b[i:]; len(b) < noted {
			break
		}
		s.state = s.judge(b[3:noted])
		b = b[3:]
	}
	s.left = copy(s.pending[:], b)
}

var mark = [3]byte{0, 0, 1}

// judge tells by the first bytes of a NAL unit, or what follows a start code of MPEG-2,
// whether the picture shows itself without any other.
func (s *Scanner) judge(n []byte) verdict {
	switch s.stream {
	case h264, h265:
		switch classify(s.stream, n) {
		case sequence:
			s.sets = true
		case keySlice:
			return isKey
		case slice:
			// A recovery point can be all of intra slices: an open group of pictures.
			if s.stream == h264 && (s.random || s.sets) && intra(n[1:]) {
				return isKey
			}
			return isNone
		}
	case mpeg2:
		switch {
		case n[0] == 0xb3: // sequence header
			s.sets = true
		case n[0] == 0 && n[2]>>3&7 == 1 && s.sets: // picture header: picture_coding_type I
			return isKey
		case n[0] == 0:
			return isNone
		}
	default:
		return isNone
	}
	return asking
}

// intra reads a slice header of H.264 (7.3.3): whether slice_type says that all slices of
// the picture, or this one, are I.
func intra(p []byte) bool {
	bits := uint32(p[0])<<24 | uint32(p[1])<<16 | uint32(p[2])<<8 | uint32(p[3])
	if bits>>31 == 0 { // first_mb_in_slice is not 0: the picture's first slice was lost
		return false
	}
	switch bits = bits << 1; {
	case bits>>29 == 0b011: // ue(2)
		return true
	case bits>>25 == 0b0001000: // ue(7)
		return true
	}
	return false
}
