package mpegts

import (
	"fmt"

	"weir/internal/cmaf"
)

// maxSync is how far into a unit the first audio frame is searched.
const maxSync = 8 << 10

// adts finds the first ADTS frame (ISO 14496-3 1.A.2.2).
func (t *track) adts(p []byte) bool {
	for i := 0; i+7 <= len(p) && i < maxSync; i++ {
		if p[i] != 0xff || p[i+1]&0xf6 != 0xf0 {
			continue
		}
		rate := cmaf.SampleRate(int(p[i+2] >> 2 & 15))
		if rate == 0 {
			continue
		}
		channels := int(p[i+2]&1)<<2 | int(p[i+3]>>6)
		if channels == 7 {
			channels = 8
		}
		object := p[i+2]>>6 + 1
		t.track.Codec = fmt.Sprintf("mp4a.40.%d", object)
		t.track.SampleRate, t.track.Channels = rate, channels
		t.track.Config = []byte{object, p[i+2] >> 2 & 15, byte(channels)}
		return true
	}
	return false
}

// dolby finds the first AC-3 or E-AC-3 frame (ETSI TS 102 366 4.3, E.1.2).
func (t *track) dolby(p []byte) bool {
	rates := [...]int{48000, 44100, 32000, 0}
	channels := [...]int{2, 1, 2, 3, 3, 4, 4, 5} // by acmod
	for i := 0; i+8 <= len(p) && i < maxSync; i++ {
		if p[i] != 0x0b || p[i+1] != 0x77 {
			continue
		}
		var rate, mode, low int
		if p[i+5]>>3 <= 10 { // bsid: AC-3
			rate, mode = rates[p[i+4]>>6], int(p[i+6]>>5)
			// lfeon stands behind up to three fields of two bits that depend on acmod.
			at := 3
			if mode&1 != 0 && mode != 1 {
				at += 2
			}
			if mode&4 != 0 {
				at += 2
			}
			if mode == 2 {
				at += 2
			}
			low = int(uint16(p[i+6])<<8|uint16(p[i+7])) >> (15 - at) & 1
			t.track.Codec = "ac-3"
		} else {
			if rate = rates[p[i+4]>>6]; rate == 0 { // fscod2: half the rate
				rate = rates[p[i+4]>>4&3] / 2
			}
			mode, low = int(p[i+4]>>1&7), int(p[i+4]&1)
			t.track.Codec = "ec-3"
		}
		if rate == 0 {
			continue
		}
		t.track.SampleRate, t.track.Channels = rate, channels[mode]+low
		t.track.Config = []byte(fmt.Sprintf("%s %d %d.%d", t.track.Codec, rate, mode, low))
		return true
	}
	return false
}

// mpegAudio finds the first MPEG-1 or MPEG-2 audio frame (ISO 11172-3 2.4.1.3). The codec
// strings are those of the audio object types Layer-2 and Layer-3.
func (t *track) mpegAudio(p []byte) bool {
	rates := [...]int{44100, 48000, 32000}
	for i := 0; i+4 <= len(p) && i < maxSync; i++ {
		version, layer, rate := p[i+1]>>3&3, p[i+1]>>1&3, p[i+2]>>2&3
		if p[i] != 0xff || p[i+1]&0xe0 != 0xe0 || version == 1 || layer == 0 || rate == 3 || p[i+2]>>4 == 15 {
			continue
		}
		t.track.SampleRate = rates[rate]
		switch version {
		case 2: // MPEG-2
			t.track.SampleRate /= 2
		case 0: // MPEG-2.5
			t.track.SampleRate /= 4
		}
		if t.track.Channels = 2; p[i+3]>>6 == 3 {
			t.track.Channels = 1
		}
		object := map[byte]int{1: 34, 2: 33, 3: 32}[layer]
		t.track.Codec = fmt.Sprintf("mp4a.40.%d", object)
		t.track.Config = []byte{byte(object), version, rate, byte(t.track.Channels)}
		return true
	}
	return false
}
