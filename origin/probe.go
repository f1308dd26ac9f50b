package origin

import (
	"bytes"
	"context"
	"encoding/binary"
	"path"
	"slices"
	"strings"
	"time"

	"weir/internal/cmaf"
	"weir/internal/mpegts"
	"weir/internal/spool"
	"weir/internal/web"
)

// format is what the bytes of a pushed file are.
type format uint8

const (
	formatOther format = iota
	formatTS
	formatInit // ftyp and moov without media
	formatFMP4
	formatAAC
	formatMP3
	formatVTT
)

// Ext is the ending of the names under which we publish the format; pushed is the path it
// came under, which decides where the bytes do not.
func (f format) ext(pushed string) string {
	switch f {
	case formatTS:
		return ".ts"
	case formatInit:
		return ".mp4"
	case formatFMP4:
		return ".m4s"
	case formatAAC:
		return ".aac"
	case formatMP3:
		return ".mp3"
	case formatVTT:
		return ".vtt"
	}
	return path.Ext(pushed)
}

// contentType follows HLS authoring 10.4. video: there is a video track, or nobody knows.
func contentType(ext string, video bool) string {
	switch ext {
	case ".ts", ".m2ts", ".mts":
		return "video/mp2t"
	case ".m4s", ".cmfv", ".cmfa", ".m4v", ".m4a", ".mp4", ".init", ".header":
		switch {
		case !video || ext == ".m4a" || ext == ".cmfa":
			return "audio/mp4"
		case ext == ".m4s" || ext == ".cmfv":
			return "video/iso.segment"
		}
		return "video/mp4"
	case ".aac":
		return "audio/aac"
	case ".mp3":
		return "audio/mpeg"
	case ".ac3":
		return "audio/ac3"
	case ".ec3":
		return "audio/eac3"
	case ".vtt", ".webvtt":
		return "text/vtt"
	}
	return "application/octet-stream"
}

// mediaName reports whether a file of this name can be media that we publish.
func mediaName(p string) bool {
	return contentType(strings.ToLower(path.Ext(p)), true) != "application/octet-stream"
}

// probe is what the bytes of an upload say of themselves.
type probe struct {
	format format
	tracks []cmaf.Track // of an init or a transport stream
	init   *cmaf.Init
	// Media time of the first sample, and of the end of the last; timed is false where
	// the former is not known, end is start where the latter is not. What fragments say
	// is complete only with their init: see complete.
	start, end  time.Duration
	timed       bool
	independent bool    // a decoder can start with it
	rate        float64 // frames a second, 0 where fragments do not tell
	keys        []cmaf.KeyFrame
	outline     *cmaf.Outline // what fragments say, until it is complete
	captions    *captions     // of WebVTT; nil: they cannot be told
	lavf        bool          // FFmpeg made it
}

// complete adds to what fragments say of themselves what their init does, once. It looks at
// no bytes: they were looked at when the upload ended, under nobody's lock.
func (p *probe) complete(init *cmaf.Init) {
	if p.outline == nil {
		return
	}
	p.tell(p.outline.Segment(init))
	p.outline = nil
}

func (p *probe) tell(s cmaf.Segment) {
	p.start, p.end, p.timed, p.independent, p.rate, p.keys = s.Start, s.End, s.Timed, s.Independent, s.FrameRate, s.Keys
}

const probeEnd = 1 << 20 / 188 * 188 // how much of either end of a transport stream is looked at

// look probes a complete payload. It copies at most two mebibytes.
func look(b *spool.Buffer) probe {
	head, _ := b.View(0)
	switch f := sniff(head); f {
	case formatTS:
		info, err := mpegts.Inspect(ends(b, head))
		if err != nil {
			return probe{format: f}
		}
		for i := range info.Tracks {
			info.Tracks[i].Config = bytes.Clone(info.Tracks[i].Config) // the payload's memory is not ours to keep
		}
		// FFmpeg names itself as the provider of the service.
		p, keys := probe{format: f, tracks: info.Tracks, lavf: bytes.Contains(head[:min(len(head), 7*188)], []byte("FFmpeg"))}, mpegts.NewScanner(info)
		views(b, func(v []byte) bool { keys.Write(v); return true })
		p.tell(keys.Segment(info))
		return p
	case formatInit:
		p, err := web.ReadAll(context.Background(), b, 4<<20)
		if err != nil {
			return probe{format: f}
		}
		init, err := cmaf.ParseInit(p)
		if err != nil {
			return probe{format: f}
		}
		return probe{format: f, init: init, tracks: init.Tracks}
	case formatFMP4:
		o := cmaf.NewOutline()
		views(b, func(v []byte) bool { return o.Write(v) == nil })
		return probe{format: f, outline: o}
	case formatVTT:
		p := probe{format: f, independent: true}
		if says, ok := readCaptions(b); ok {
			p.captions = &says
		}
		return p
	case formatAAC, formatMP3:
		return probe{format: f, independent: true}
	default:
		return probe{format: f}
	}
}

// views calls f for each piece of a complete payload, until f says no.
func views(b *spool.Buffer, f func([]byte) bool) {
	for off := int64(0); ; {
		v, _ := b.View(off)
		if len(v) == 0 || !f(v) {
			return
		}
		off += int64(len(v))
	}
}

// ends returns the payload in one piece, or its two ends where it is large.
func ends(b *spool.Buffer, head []byte) []byte {
	size := b.Size()
	if int64(len(head)) == size {
		return head
	}
	if size <= 2*probeEnd {
		p, _ := web.ReadAll(context.Background(), b, size)
		return p
	}
	tail := size - size%188 - probeEnd
	p := make([]byte, 0, 2*probeEnd)
	for _, off := range []int64{0, tail} {
		for want := len(p) + probeEnd; len(p) < want; {
			v, _ := b.View(off)
			if len(v) == 0 {
				return p
			}
			v = v[:min(len(v), want-len(p))]
			p = append(p, v...)
			off += int64(len(v))
		}
	}
	return p
}

func sniff(p []byte) format {
	switch {
	case len(p) > 188 && p[0] == 0x47 && p[188] == 0x47, len(p) == 188 && p[0] == 0x47:
		return formatTS
	case len(p) >= 8 && slices.Contains([]string{"ftyp", "styp", "moof", "sidx", "prft", "emsg", "moov"}, string(p[4:8])):
		return sniffMP4(p)
	case bytes.HasPrefix(p, []byte("ID3")), len(p) >= 2 && p[0] == 0xff && p[1]&0xf6 == 0xf0:
		return formatAAC
	case len(p) >= 2 && p[0] == 0xff && p[1]&0xe0 == 0xe0:
		return formatMP3
	case bytes.HasPrefix(p, []byte("WEBVTT")), bytes.HasPrefix(p, []byte("\xef\xbb\xbfWEBVTT")):
		return formatVTT
	}
	return formatOther
}

// sniffMP4 walks the boxes: a moov before any moof makes an init.
func sniffMP4(p []byte) format {
	for off := 0; len(p)-off >= 8; {
		size := int(binary.BigEndian.Uint32(p[off:]))
		switch string(p[off+4 : off+8]) {
		case "moov":
			return formatInit
		case "moof", "mdat":
			return formatFMP4
		}
		if size < 8 || size > len(p)-off {
			break
		}
		off += size
	}
	return formatFMP4
}

// sameTracks reports whether a decoder of a can go on with b. Strict compares the decoder
// configuration byte for byte; otherwise what both are known to be, so that parameter sets
// repeated in the stream, or seen in one segment and not in the next, change nothing.
func sameTracks(a, b []cmaf.Track, strict bool) bool {
	for _, x := range a {
		i := slices.IndexFunc(b, func(y cmaf.Track) bool { return y.Kind == x.Kind && (y.ID == x.ID || !strict) })
		if i < 0 {
			if strict && len(b) > 0 {
				return false
			}
			continue
		}
		y := b[i]
		switch {
		case x.Codec != y.Codec && x.Codec != "" && y.Codec != "",
			x.Width != y.Width && x.Width > 0 && y.Width > 0,
			x.Height != y.Height && x.Height > 0 && y.Height > 0,
			x.SampleRate != y.SampleRate && x.SampleRate > 0 && y.SampleRate > 0,
			x.Channels != y.Channels && x.Channels > 0 && y.Channels > 0,
			strict && !bytes.Equal(x.Config, y.Config) && len(x.Config) > 0 && len(y.Config) > 0:
			return false
		}
	}
	return !strict || len(a) == 0 || len(b) == 0 || len(a) == len(b)
}

// initProbe is what the bytes of an init segment say.
func initProbe(raw []byte) probe {
	init, err := cmaf.ParseInit(raw)
	if err != nil {
		return probe{format: formatInit}
	}
	return probe{format: formatInit, init: init, tracks: init.Tracks}
}
