package mpegts

const (
	packetSize = 188
	syncByte   = 0x47
)

// packet is a transport packet (ISO 13818-1 2.4.3.2).
type packet struct {
	pid     uint16
	start   bool // payload_unit_start_indicator
	random  bool // random_access_indicator
	payload []byte
}

// each calls f for each whole packet in p that is in its place, until f says no.
func each(p []byte, f func(packet) bool) {
	for ; len(p) >= packetSize; p = p[packetSize:] {
		b := p[:packetSize]
		if b[0] != syncByte || b[1]&0x80 != 0 { // transport_error_indicator
			continue
		}
		k := packet{pid: uint16(b[1]&0x1f)<<8 | uint16(b[2]), start: b[1]&0x40 != 0}
		body := b[4:]
		if b[3]&0x20 != 0 { // adaptation field
			n := int(body[0])
			if n >= len(body) {
				continue
			}
			k.random = n > 0 && body[1]&0x40 != 0
			body = body[1+n:]
		}
		if b[3]&0x10 == 0 { // no payload
			continue
		}
		if k.payload = body; !f(k) {
			return
		}
	}
}

// unit reads a PES packet (2.4.3.6) from its beginning: its payload as far as it is there,
// and its presentation time in ticks of 90 kHz.
func unit(p []byte) (payload []byte, pts uint64, timed bool) {
	if len(p) < 9 || p[0] != 0 || p[1] != 0 || p[2] != 1 || p[6]>>6 != 2 {
		return nil, 0, false
	}
	if p[7]&0x80 != 0 && p[8] >= 5 && len(p) >= 14 {
		pts = uint64(p[9]>>1&7)<<30 | uint64(p[10])<<22 | uint64(p[11]>>1)<<15 | uint64(p[12])<<7 | uint64(p[13]>>1)
		timed = true
	}
	if n := 9 + int(p[8]); n < len(p) {
		payload = p[n:]
	}
	return payload, pts, timed
}
