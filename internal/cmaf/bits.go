package cmaf

// bitReader reads a NAL unit's payload or another bit string. Past the end bits are 0 and
// the reader is bad; every loop over it has its own bound.
type bitReader struct {
	p   []byte
	pos int // in bits
	bad bool
}

// unescape drops the emulation prevention bytes of a NAL unit (ITU-T H.264 7.4.1).
func unescape(p []byte) []byte {
	out := make([]byte, 0, len(p))
	zeros := 0
	for _, c := range p {
		if zeros >= 2 && c == 3 {
			zeros = 0
			continue
		}
		if c == 0 {
			zeros++
		} else {
			zeros = 0
		}
		out = append(out, c)
	}
	return out
}

func (r *bitReader) bit() uint32 {
	if r.pos>>3 >= len(r.p) {
		r.bad = true
		return 0
	}
	b := r.p[r.pos>>3] >> (7 - r.pos&7) & 1
	r.pos++
	return uint32(b)
}

func (r *bitReader) flag() bool { return r.bit() == 1 }

// bits reads up to 32 bits.
func (r *bitReader) bits(n int) uint32 {
	var v uint32
	for ; n > 0; n-- {
		v = v<<1 | r.bit()
	}
	return v
}

func (r *bitReader) skip(n int) {
	if r.pos += n; r.pos > 8*len(r.p) {
		r.bad = true
	}
}

// ue reads an Exp-Golomb code of at most most; more is bad.
func (r *bitReader) ue(most uint32) uint32 {
	zeros := 0
	for r.bit() == 0 {
		if zeros++; zeros > 31 || r.bad {
			r.bad = true
			return 0
		}
	}
	v := uint32(1)<<zeros - 1 + r.bits(zeros)
	if v > most {
		r.bad = true
		return 0
	}
	return v
}

const anyValue = 1<<32 - 2

// AudioConfig reads an AudioSpecificConfig (ISO 14496-3 1.6.2.1): the audio object type,
// which is the last part of mp4a.40.x, and the rate in Hz and number of channels, 0 where
// they are not told.
func AudioConfig(p []byte) (object, rate, channels int) {
	r := bitReader{p: p}
	if object = int(r.bits(5)); object == 31 {
		object = 32 + int(r.bits(6))
	}
	if i := r.bits(4); i == 15 {
		rate = int(r.bits(24))
	} else {
		rate = SampleRate(int(i))
	}
	if i := r.bits(4); i == 7 {
		channels = 8
	} else if i < 7 {
		channels = int(i)
	}
	if r.bad {
		return object, 0, 0
	}
	return object, rate, channels
}

// SampleRate is the rate in Hz of a sampling frequency index (ISO 14496-3 table 1.18), 0
// for one that is reserved.
func SampleRate(index int) int {
	rates := [...]int{96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350}
	if index < 0 || index >= len(rates) {
		return 0
	}
	return rates[index]
}
