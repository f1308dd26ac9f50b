package origin

import (
	"bytes"
	"fmt"
	"net/http"
	"time"

	"weir/internal/web"
	"weir/playlist"
)

const (
	maxListed = 8192            // segments of a pushed playlist that are looked at: the last ones
	maxTarget = 60              // seconds of the largest EXT-X-TARGETDURATION taken in
	maxLength = 5 * time.Minute // duration of the longest segment that is taken for one
)

// An entry is a segment as a pushed playlist tells of it: what is expected.
type entry struct {
	seq     uint64        // the encoder's media sequence number
	path    string        // inside the channel
	mapPath string        // of the init segment; "": none
	dur     time.Duration // what the encoder says it lasts
	pdt     time.Time     // when the encoder says it begins; zero: it does not
	clock   time.Time     // likewise, or as it follows from what it says of those before
	disc    bool          // the encoder says that it does not continue the one before
	gap     bool          // the encoder, or a hole in what it told, says that there is no media
	listed  time.Time     // when we were told
	init    *upload       // what mapPath meant then; nil: not there yet
}

// understood is what a pushed playlist tells: one of the two, or nothing.
type understood struct {
	master *expectation
	media  *pushed
}

// understand reads a playlist pushed at path. What tells nothing yet is no error.
func understand(channel, path string, text []byte, now time.Time) (x understood, err error) {
	kind, err := kindOf(channel, path, text)
	if err != nil {
		return x, err
	}
	switch kind {
	case playlist.KindMultivariant:
		x.master, err = readMaster(channel, path, text)
	case playlist.KindMedia:
		x.media, err = readPushed(channel, path, text, now)
	}
	return x, err
}

// pushed is a media playlist that an encoder pushed. It is material to judge.
type pushed struct {
	entries []entry // never empty
	target  int     // seconds: EXT-X-TARGETDURATION, or the longest segment where that is more
	end     bool
	at      time.Time // of arrival
	turn    int       // of the intake it was told
	ranges  []playlist.DateRange
}

func (p *pushed) first() uint64 { return p.entries[0].seq }
func (p *pushed) last() *entry  { return &p.entries[len(p.entries)-1] }

// readPushed parses a media playlist pushed at path. nil without an error: it lists nothing.
func readPushed(channel, path string, text []byte, now time.Time) (*pushed, error) {
	m, err := playlist.ParseMedia(text)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, reasonPlaylist, "channel %s: %s: %w", channel, path, err)
	}
	if m.TargetDuration > maxTarget {
		return nil, refuse(http.StatusBadRequest, reasonPlaylist, "channel %s: %s: EXT-X-TARGETDURATION is %d s, at most %d are taken (encoder option -hls_time)", channel, path, m.TargetDuration, maxTarget)
	}
	p := &pushed{target: m.TargetDuration, end: m.EndList, at: now, ranges: m.DateRanges}
	skip := max(0, len(m.Segments)-maxListed)
	var mapURI, mapPath string
	var clock time.Time
	for i := range m.Segments {
		s := &m.Segments[i]
		e := entry{
			seq: m.MediaSequence + uint64(i), dur: s.Duration, pdt: s.ProgramDateTime,
			disc: s.Discontinuity, gap: s.Gap, listed: now,
		}
		if !s.ProgramDateTime.IsZero() || s.Discontinuity {
			clock = s.ProgramDateTime
		}
		if e.clock = clock; !clock.IsZero() {
			clock = clock.Add(s.Duration)
		}
		if err := supported(s); err != nil {
			return nil, refuse(http.StatusUnsupportedMediaType, reasonUnsupported, "channel %s: %s: segment %d %w", channel, path, e.seq, err)
		}
		if e.path, err = resolve(channel, path, s.URI); err != nil {
			return nil, refuse(http.StatusBadRequest, reasonOutside, "channel %s: %s: URI %s %w", channel, path, quote(s.URI), err)
		}
		if s.Map != nil {
			if s.Map.URI != mapURI {
				mapURI = s.Map.URI
				if mapPath, err = resolve(channel, path, mapURI); err != nil {
					return nil, refuse(http.StatusBadRequest, reasonOutside, "channel %s: %s: EXT-X-MAP URI %s %w", channel, path, quote(mapURI), err)
				}
			}
			e.mapPath = mapPath
		}
		if i >= skip {
			p.entries = append(p.entries, e)
			p.target = max(p.target, seconds(e.dur))
		}
	}
	if len(p.entries) == 0 {
		return nil, nil
	}
	p.target = max(1, min(p.target, maxTarget))
	return p, nil
}

// supported names what cannot be published as it is said.
func supported(s *playlist.Segment) error {
	switch {
	case s.ByteRange != nil || s.Map != nil && s.Map.ByteRange != nil:
		return fmt.Errorf("is a byte range: push a file for each segment (encoder option -hls_flags single_file off)")
	case s.Key != nil:
		return fmt.Errorf("is encrypted: push media in the clear")
	case s.Duration < 0 || s.Duration > maxLength:
		return fmt.Errorf("lasts %v: at most %v is taken", s.Duration, maxLength)
	}
	return nil
}

// seconds rounds a duration as HLS does for the comparison with the target duration.
func seconds(d time.Duration) int { return int(d.Round(time.Second) / time.Second) }

// expectation is what a pushed multivariant playlist tells: which media playlists will
// come, and what no byte of them says.
type expectation struct {
	paths []string // of media playlists, as far as they lie in the channel
	media map[string]playlist.Rendition
}

// readMaster parses a multivariant playlist pushed at path. FFmpeg writes one without a
// single variant when it knows no bit rates: that expects nothing.
func readMaster(channel, path string, text []byte) (*expectation, error) {
	m, err := playlist.ParseMultivariant(text)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, reasonPlaylist, "channel %s: %s: %w", channel, path, err)
	}
	x := &expectation{media: map[string]playlist.Rendition{}}
	add := func(uri string) (string, error) {
		p, err := resolve(channel, path, uri)
		if err != nil {
			return "", refuse(http.StatusBadRequest, reasonOutside, "channel %s: %s: URI %s %w", channel, path, quote(uri), err)
		}
		if len(x.paths) < maxRenditions {
			x.paths = append(x.paths, p)
		}
		return p, nil
	}
	for i := range m.Variants {
		if _, err := add(m.Variants[i].URI); err != nil {
			return nil, err
		}
	}
	for i := range m.Renditions {
		r := m.Renditions[i]
		if r.URI == "" {
			continue
		}
		p, err := add(r.URI)
		if err != nil {
			return nil, err
		}
		x.media[p] = r
	}
	return x, nil
}

// kindOf tells what a pushed playlist is. One that says nothing yet is neither, and no error.
func kindOf(channel, path string, text []byte) (string, error) {
	if kind := playlist.Kind(text); kind != "" {
		return kind, nil
	}
	if bytes.HasPrefix(text, []byte("#EXTM3U")) {
		for line := range bytes.Lines(text) {
			line = bytes.TrimSpace(line)
			if len(line) > 0 && !bytes.HasPrefix(line, []byte("#EXTM3U")) && !bytes.HasPrefix(line, []byte("#EXT-X-VERSION")) {
				return "", garbage(channel, path)
			}
		}
		return "", nil
	}
	return "", garbage(channel, path)
}

func garbage(channel, path string) *web.Error {
	return refuse(http.StatusBadRequest, reasonPlaylist, "channel %s: %s: this is no playlist", channel, path)
}
