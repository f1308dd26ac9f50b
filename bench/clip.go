package bench

import (
	"embed"
	"encoding/binary"
	"fmt"
	"time"
)

//go:embed clip/*/*.m4s clip/*/*.mp4
var clipFiles embed.FS

// The embedded clip: how it was made stands in clip/README.md.
const (
	clipSegments = 4
	// ClipSegment is how long each segment of the embedded clip lasts.
	ClipSegment = 2 * time.Second
)

// A rung is one rendition of the clip.
type rung struct {
	name                  string
	width, height, maxBps int
}

var clipRungs = [...]rung{{"180p", 320, 180, 180_000}, {"144p", 256, 144, 125_000}, {"90p", 160, 90, 85_000}}

func clipInit(r rung) ([]byte, error) { return clipFiles.ReadFile("clip/" + r.name + "/init.mp4") }

// clipMedia returns segment n of the endless clip. Timestamps start again with
// each loop, as they do when a file is played over and over, unless continuous
// is set.
func clipMedia(r rung, n int, continuous bool) ([]byte, error) {
	p, err := clipFiles.ReadFile(fmt.Sprintf("clip/%s/%d.m4s", r.name, n%clipSegments))
	if err != nil || !continuous || n < clipSegments {
		return p, err
	}
	init, err := clipInit(r)
	if err != nil {
		return nil, err
	}
	p = append([]byte(nil), p...) // the embedded bytes are read-only
	shift(p, timescales(init), uint64(n/clipSegments)*uint64(clipSegments*ClipSegment/time.Second))
	return p, nil
}

// shift moves the decode times in the fragments of p by so many seconds, in
// place. It knows the boxes FFmpeg writes and is for the embedded clip alone.
func shift(p []byte, scales map[uint32]uint32, seconds uint64) {
	var track uint32
	boxes(p, func(kind string, body []byte) {
		switch kind {
		case "tfhd":
			track = binary.BigEndian.Uint32(body[4:])
		case "tfdt":
			by := seconds * uint64(scales[track])
			if body[0] == 1 {
				binary.BigEndian.PutUint64(body[4:], binary.BigEndian.Uint64(body[4:])+by)
			} else {
				binary.BigEndian.PutUint32(body[4:], binary.BigEndian.Uint32(body[4:])+uint32(by))
			}
		}
	})
}

// timescales returns the ticks a second of each track of an init segment.
func timescales(init []byte) map[uint32]uint32 {
	scales, track := map[uint32]uint32{}, uint32(0)
	boxes(init, func(kind string, body []byte) {
		at := 12 // version 0: after the creation and modification times
		if len(body) > 0 && body[0] == 1 {
			at = 20
		}
		switch kind {
		case "tkhd":
			track = binary.BigEndian.Uint32(body[at:])
		case "mdhd":
			scales[track] = binary.BigEndian.Uint32(body[at:])
		}
	})
	return scales
}

// boxes calls f for each box of p that holds no other, in order.
func boxes(p []byte, f func(kind string, body []byte)) {
	for len(p) >= 8 {
		size := int(binary.BigEndian.Uint32(p))
		if size < 8 || size > len(p) {
			return
		}
		switch kind := string(p[4:8]); kind {
		case "moov", "trak", "mdia", "moof", "traf":
			boxes(p[8:size], f)
		default:
			f(kind, p[8:size])
		}
		p = p[size:]
	}
}
