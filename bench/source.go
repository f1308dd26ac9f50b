package bench

import (
	"bytes"
	"embed"
	"encoding/binary"
	"fmt"
	"time"
)

//go:embed unit/*/unit.ts unit/*/unit.m4s unit/*/init.mp4
var unitFiles embed.FS

// Unit is how long the group of pictures lasts that a [Source] repeats.
const Unit = 400 * time.Millisecond

// A Source makes media of any time and length out of one embedded group of pictures, as
// MPEG-TS and as fragmented MP4: a real decoder configuration, real times, next to no bytes.
// What it hands out is the caller's.
type Source struct {
	ts, mp4, init []byte
	base          [2]time.Duration // media time of the first picture of ts and of mp4
	packets       map[uint16]int   // of ts with a payload, by PID
	scales        map[uint32]uint32
}

// NewSource returns the source of that name: "hi" (96x54 AVC and AAC), "lo" (64x36), "big"
// (128x72), "hevc" (96x54 HEVC and AAC), "mute" (hi without sound) or "sound" (AAC alone).
func NewSource(name string) (*Source, error) {
	s := &Source{packets: map[uint16]int{}}
	for file, p := range map[string]*[]byte{"unit.ts": &s.ts, "unit.m4s": &s.mp4, "init.mp4": &s.init} {
		var err error
		if *p, err = unitFiles.ReadFile("unit/" + name + "/" + file); err != nil {
			return nil, fmt.Errorf("bench: there is no source %q", name)
		}
	}
	first := true
	packets(s.ts, func(p []byte, pid uint16, payload []byte) {
		if len(payload) > 0 {
			s.packets[pid]++
		}
		if stamps := stampsOf(p, payload); pid == firstPID && first && len(stamps) > 0 {
			s.base[0], first = time.Duration(stamp(stamps[0]))*time.Second/90000, false
		}
	})
	s.scales = timescales(s.init)
	first = true
	var track uint32
	boxes(s.mp4, func(kind string, body []byte) {
		switch {
		case kind == "tfhd":
			track = binary.BigEndian.Uint32(body[4:])
		case kind == "tfdt" && first:
			s.base[1], first = time.Duration(baseTime(body))*time.Second/time.Duration(s.scales[track]), false
		}
	})
	return s, nil
}

// Init returns the init segment that goes with [Source.MP4].
func (s *Source) Init() []byte { return bytes.Clone(s.init) }

// TS returns so many units of transport stream that begin at media time at.
func (s *Source) TS(at time.Duration, units int) []byte {
	out := make([]byte, 0, units*len(s.ts))
	for range units {
		unit := bytes.Clone(s.ts)
		s.moveTS(unit, at)
		out = append(out, unit...)
		at += Unit
	}
	return out
}

// MP4 returns so many units of fragmented MP4 that begin at media time at.
func (s *Source) MP4(at time.Duration, units int) []byte {
	var out []byte
	for i := range units {
		out = append(out, s.fragment(at+time.Duration(i)*Unit, i == 0)...)
	}
	return out
}

// fragment is a unit without its index, which would be wrong here; lead keeps its styp.
func (s *Source) fragment(at time.Duration, lead bool) []byte {
	var out []byte
	for p := s.mp4; len(p) >= 8; {
		size := int(binary.BigEndian.Uint32(p))
		if kind := string(p[4:8]); kind == "moof" || kind == "mdat" || kind == "styp" && lead {
			out = append(out, p[:size]...)
		}
		p = p[size:]
	}
	var track uint32
	boxes(out, func(kind string, body []byte) {
		switch kind {
		case "tfhd":
			track = binary.BigEndian.Uint32(body[4:])
		case "tfdt":
			ticks := int64(at-s.base[1])/1e3*int64(s.scales[track])/1e6 + int64(baseTime(body))
			if body[0] == 1 {
				binary.BigEndian.PutUint64(body[4:], uint64(ticks))
			} else {
				binary.BigEndian.PutUint32(body[4:], uint32(ticks))
			}
		}
	})
	return out
}

func baseTime(tfdt []byte) uint64 {
	if tfdt[0] == 1 {
		return binary.BigEndian.Uint64(tfdt[4:])
	}
	return uint64(binary.BigEndian.Uint32(tfdt[4:]))
}

// firstPID is where FFmpeg puts a program's first stream.
const firstPID = 0x100

// moveTS writes the times and continuity counters of the unit that begins at at into p.
func (s *Source) moveTS(p []byte, at time.Duration) {
	by := int64(at-s.base[0]) / 1e3 * 9 / 100 // 90 kHz
	counted := map[uint16]int{}
	nth := int(at / Unit)
	packets(p, func(p []byte, pid uint16, payload []byte) {
		if len(payload) > 0 {
			p[3] = p[3]&0xf0 | byte((nth*s.packets[pid]+counted[pid])%16)
			counted[pid]++
		}
		if p[3]&0x20 != 0 && p[4] >= 7 && p[5]&0x10 != 0 { // PCR
			base := int64(binary.BigEndian.Uint32(p[6:]))<<1 | int64(p[10]>>7)
			base = (base + by) & (1<<33 - 1)
			binary.BigEndian.PutUint32(p[6:], uint32(base>>1))
			p[10] = p[10]&0x7f | byte(base&1)<<7
		}
		for _, at := range stampsOf(p, payload) {
			setStamp(at, (stamp(at)+by)&(1<<33-1))
		}
	})
}

// packets calls f for each transport packet of p, with its PID and payload.
func packets(p []byte, f func(packet []byte, pid uint16, payload []byte)) {
	for ; len(p) >= 188; p = p[188:] {
		packet, from := p[:188], 4
		if packet[3]&0x20 != 0 {
			from += 1 + int(packet[4])
		}
		var payload []byte
		if packet[3]&0x10 != 0 && from < 188 {
			payload = packet[from:]
		}
		f(packet, binary.BigEndian.Uint16(packet[1:])&0x1fff, payload)
	}
}

// stampsOf returns where PTS and DTS stand in a packet that begins a PES, each five bytes.
func stampsOf(packet, payload []byte) (out [][]byte) {
	if packet[1]&0x40 == 0 || len(payload) < 19 || !bytes.HasPrefix(payload, []byte{0, 0, 1}) {
		return nil
	}
	if payload[7]&0x80 != 0 {
		out = append(out, payload[9:14])
	}
	if payload[7]&0x40 != 0 {
		out = append(out, payload[14:19])
	}
	return out
}

func stamp(p []byte) int64 {
	return int64(p[0]>>1&7)<<30 | int64(p[1])<<22 | int64(p[2]>>1)<<15 | int64(p[3])<<7 | int64(p[4]>>1)
}

func setStamp(p []byte, t int64) {
	p[0] = p[0]&0xf1 | byte(t>>30&7)<<1
	p[1], p[2] = byte(t>>22), byte(t>>15&0x7f)<<1|1
	p[3], p[4] = byte(t>>7), byte(t&0x7f)<<1|1
}
