package mpegts

import (
	"bytes"

	"weir/internal/cmaf"
)

// collect puts access units together until each track is described, or p ends.
func collect(p []byte, tracks []*track) {
	missing := make(map[uint16]*track, len(tracks))
	for _, t := range tracks {
		missing[t.pid] = t
	}
	each(p, func(k packet) bool {
		t := missing[k.pid]
		switch {
		case t == nil:
			return true
		case k.start:
			if t.describe(); t.described {
				delete(missing, k.pid)
				return len(missing) > 0
			}
			t.buf, t.random = append(t.buf[:0], k.payload...), k.random
		case len(t.buf) > 0 && len(t.buf) < maxUnit:
			t.buf = append(t.buf, k.payload...)
		case t.units == 0 && len(t.buf) == 0:
			t.cut = true
		}
		return true
	})
	for _, t := range missing {
		t.describe()
	}
}

// describe looks at the unit that was collected, if there is one.
func (t *track) describe() {
	if len(t.buf) == 0 {
		return
	}
	payload, _, _ := unit(t.buf)
	switch t.stream {
	case h264, h265:
		t.described = t.picture(payload)
	case mpeg2:
		// A sequence header comes with each key frame that one can start at.
		t.independent = t.units == 0 && !t.cut && bytes.Contains(payload, []byte{0, 0, 1, 0xb3})
		t.described = true
	case adts:
		t.described = t.adts(payload)
	case ac3, eac3:
		t.described = t.dolby(payload)
	case mpegAudio:
		t.described = t.mpegAudio(payload)
	default:
		t.described = true
	}
	t.units++
}

// picture looks through the NAL units before and with the first slice. Only the first
// picture can make the segment one that starts with a key frame.
func (t *track) picture(p []byte) bool {
	var sps, sets []byte
	nals(p, func(n []byte) bool {
		switch what := classify(t.stream, n); what {
		case parameters, sequence:
			if what == sequence && sps == nil {
				sps = n
			}
			sets = append(sets, n...)
			return true
		case keySlice, slice:
			if t.units == 0 && !t.cut {
				// A recovery point that is flagged as random access is as good.
				t.independent = sps != nil && (what == keySlice || t.random)
			}
			return false
		}
		return true
	})
	if sps == nil {
		return false
	}
	parse := cmaf.H264
	if t.stream == h265 {
		parse = cmaf.H265
	}
	codec, w, h, fps, err := parse(sps)
	if err != nil {
		return false
	}
	t.track.Codec, t.track.Width, t.track.Height, t.track.FrameRate, t.track.Config = codec, w, h, fps, sets
	return true
}

// content is what a NAL unit is to us.
type content uint8

const (
	nothing content = iota
	parameters
	sequence
	slice
	keySlice
)

// classify reads a NAL unit's type (H.264 table 7-1, H.265 table 7-1).
func classify(s stream, n []byte) content {
	if s == h265 {
		switch kind := n[0] >> 1 & 0x3f; {
		case kind == 33:
			return sequence
		case kind == 32 || kind == 34:
			return parameters
		case kind >= 16 && kind <= 23:
			return keySlice
		case kind < 32:
			return slice
		}
		return nothing
	}
	switch n[0] & 0x1f {
	case 7:
		return sequence
	case 8:
		return parameters
	case 5:
		return keySlice
	case 1, 2, 3, 4:
		return slice
	}
	return nothing
}

// nals calls f for each NAL unit of a byte stream (H.264 annex B), until f says no.
func nals(p []byte, f func([]byte) bool) {
	mark := []byte{0, 0, 1}
	at := bytes.Index(p, mark)
	for at >= 0 {
		p = p[at+3:]
		at = bytes.Index(p, mark)
		n := p
		if at >= 0 {
			n = p[:at]
		}
		if n = bytes.TrimRight(n, "\x00"); len(n) > 0 && !f(n) {
			return
		}
	}
}
