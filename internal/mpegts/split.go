package mpegts

import "slices"

// Bounds of what is put before a piece.
const (
	maxMaps      = 8 // program map tables
	maxTableSize = 8 // packets of a table
)

// A Splitter divides a segment into pieces that each play by themselves, as its bytes flow
// by. A piece begins with copies of the program tables that were in force, which is what
// repeated packets with the same continuity counter are (ISO 13818-1 2.4.3.3), and each unit
// stays whole: what of a unit of another track comes after the cut goes into the piece that
// the unit began in. It is for one goroutine.
type Splitter struct {
	cuts   []int64 // where pieces after the first begin, ascending
	out    func(piece int, p []byte)
	pos    int64
	now    int              // the piece that units which begin go into
	units  map[uint16]int   // the piece that the present unit of a track is in
	tables map[uint16]table // those that are in force
	order  []uint16         // of tables: the association table, then the maps
	part   [packetSize]byte
	have   int
}

type table []byte // packets

// NewSplitter returns a Splitter for cuts that a Scanner found ([cmaf.KeyFrame].Cut), in
// ascending order. out takes the bytes of the pieces, which are counted from 0; what it is
// given is valid until it returns. Less than a packet at the segment's end is left out.
func NewSplitter(cuts []int64, out func(piece int, p []byte)) *Splitter {
	return &Splitter{cuts: cuts, out: out, units: map[uint16]int{}, tables: map[uint16]table{0: nil}, order: []uint16{0}}
}

// Write takes the next bytes of the segment.
func (s *Splitter) Write(p []byte) {
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

func (s *Splitter) packet(b []byte) {
	for s.now < len(s.cuts) && s.pos >= s.cuts[s.now] {
		s.now++
		for _, pid := range s.order {
			if t := s.tables[pid]; len(t) > 0 {
				s.out(s.now, t)
			}
		}
	}
	s.pos += packetSize
	if b[0] != syncByte || b[1]&0x80 != 0 {
		s.out(s.now, b)
		return
	}
	pid, start := uint16(b[1]&0x1f)<<8|uint16(b[2]), b[1]&0x40 != 0
	if start {
		s.units[pid] = s.now
	}
	piece, ok := s.units[pid]
	if !ok {
		piece = s.now
	}
	s.out(piece, b)
	if t, ok := s.tables[pid]; ok {
		s.keep(pid, t, b, start)
	}
}

// keep remembers a table's packets.
func (s *Splitter) keep(pid uint16, t table, b []byte, start bool) {
	switch {
	case start:
		t = append(t[:0], b...)
	case len(t) == 0 || len(t) >= maxTableSize*packetSize:
		return
	default:
		t = append(t, b...)
	}
	s.tables[pid] = t
	if pid != 0 || !start {
		return
	}
	for _, pid := range mapsOf(b) {
		if _, ok := s.tables[pid]; !ok && len(s.order) <= maxMaps {
			s.tables[pid] = nil
			s.order = append(s.order, pid)
		}
	}
}

// mapsOf reads where the program maps are from the first packet of a program association
// section (ISO 13818-1 2.4.4.3).
func mapsOf(b []byte) (pids []uint16) {
	each(b, func(k packet) bool {
		p := k.payload
		if len(p) == 0 || int(p[0])+9 > len(p) {
			return true
		}
		p = p[1+int(p[0]):] // pointer_field
		if len(p) < 8 || p[0] != 0 {
			return true
		}
		n := int(p[1]&0xf)<<8 | int(p[2])
		if n = min(n+3-4, len(p)); n < 8 { // less the CRC
			return true
		}
		for p = p[8:n]; len(p) >= 4; p = p[4:] {
			if pid := uint16(p[2]&0x1f)<<8 | uint16(p[3]); p[0]|p[1] != 0 && pid != 0 && !slices.Contains(pids, pid) {
				pids = append(pids, pid)
			}
		}
		return true
	})
	return pids
}
