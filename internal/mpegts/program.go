package mpegts

import (
	"bytes"
	"context"
	"errors"

	"github.com/asticode/go-astits"

	"weir/internal/cmaf"
)

// track is an elementary stream while it is being found out about.
type track struct {
	pid         uint16
	stream      stream
	track       cmaf.Track
	described   bool
	independent bool   // the first unit is a key frame
	cut         bool   // the segment begins in the middle of a unit
	units       int    // that have been looked at
	buf         []byte // of the unit being collected
	random      bool   // random access is flagged on it
}

// stream is the coding of an elementary stream, as far as it makes a difference here.
type stream uint8

const (
	other stream = iota
	h264
	h265
	mpeg2
	adts
	latm
	mpegAudio
	ac3
	eac3
	opus
)

// maxTables bounds the packets that table sections are read from: astits copies what it has
// of a section again with each packet.
const maxTables = 64

// programMap finds the program map with astits, which sees no other packets: with media, it
// would copy each access unit once for every packet of it.
func programMap(p []byte) ([]*track, error) {
	maps := map[uint16]bool{}
	passed := 0
	dmx := astits.NewDemuxer(context.Background(), bytes.NewReader(p),
		astits.DemuxerOptPacketSize(packetSize),
		astits.DemuxerOptPacketSkipper(func(k *astits.Packet) bool {
			if k.Header.PID != 0 && !maps[k.Header.PID] || passed == maxTables {
				return true
			}
			passed++
			return false
		}))
	for failed := 0; failed < maxTables; {
		d, err := dmx.NextData()
		switch {
		case errors.Is(err, astits.ErrNoMorePackets):
			return nil, errors.New("no program map")
		case err != nil:
			failed++
		case d == nil:
		case d.PAT != nil:
			for _, program := range d.PAT.Programs {
				if program.ProgramNumber != 0 && len(maps) < maxTables { // 0 is the network's
					maps[program.ProgramMapID] = true
				}
			}
		case d.PMT != nil:
			return tracksOf(d.PMT), nil
		}
	}
	return nil, errors.New("no readable program map")
}

func tracksOf(pmt *astits.PMTData) []*track {
	var tracks []*track
	for _, es := range pmt.ElementaryStreams {
		t := &track{pid: es.ElementaryPID, track: cmaf.Track{ID: uint32(es.ElementaryPID), Timescale: 90000}}
		t.stream, t.track.Kind, t.track.Codec = streamOf(es)
		if t.stream == other || len(tracks) == maxTracks {
			continue
		}
		for _, d := range es.ElementaryStreamDescriptors {
			if l := d.ISO639LanguageAndAudioType; l != nil && len(l.Language) == 3 && isLower(l.Language) && string(l.Language) != "und" {
				t.track.Language = string(l.Language)
			}
		}
		tracks = append(tracks, t)
	}
	return tracks
}

func isLower(p []byte) bool {
	for _, c := range p {
		if c < 'a' || c > 'z' {
			return false
		}
	}
	return true
}

// streamOf tells the coding by stream_type (ISO 13818-1 table 2-34) or, for private data, by
// its descriptors. The codec string is what is known without looking at the media.
func streamOf(es *astits.PMTElementaryStream) (stream, string, string) {
	switch es.StreamType {
	case astits.StreamTypeH264Video:
		return h264, cmaf.Video, "avc1"
	case astits.StreamTypeH265Video:
		return h265, cmaf.Video, "hvc1"
	case astits.StreamTypeMPEG1Video, astits.StreamTypeMPEG2Video:
		return mpeg2, cmaf.Video, "mp4v.61"
	case astits.StreamTypeADTS:
		return adts, cmaf.Audio, "mp4a.40.2"
	case astits.StreamTypeAACLATMAudio:
		return latm, cmaf.Audio, "mp4a.40.2"
	case astits.StreamTypeMPEG1Audio, astits.StreamTypeMPEG2Audio:
		return mpegAudio, cmaf.Audio, "mp4a.40.34"
	case astits.StreamTypeAC3Audio:
		return ac3, cmaf.Audio, "ac-3"
	case astits.StreamTypeEAC3Audio:
		return eac3, cmaf.Audio, "ec-3"
	case astits.StreamTypePrivateData:
		for _, d := range es.ElementaryStreamDescriptors {
			switch {
			case d.AC3 != nil:
				return ac3, cmaf.Audio, "ac-3"
			case d.EnhancedAC3 != nil:
				return eac3, cmaf.Audio, "ec-3"
			case d.Registration == nil:
			case d.Registration.FormatIdentifier == 0x4f707573: // "Opus"
				return opus, cmaf.Audio, "Opus"
			case d.Registration.FormatIdentifier == 0x41432d33: // "AC-3"
				return ac3, cmaf.Audio, "ac-3"
			case d.Registration.FormatIdentifier == 0x45414333: // "EAC3"
				return eac3, cmaf.Audio, "ec-3"
			case d.Registration.FormatIdentifier == 0x48455643: // "HEVC"
				return h265, cmaf.Video, "hvc1"
			}
		}
	}
	return other, "", ""
}
