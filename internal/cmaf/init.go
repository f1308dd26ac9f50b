package cmaf

import (
	"errors"
	"fmt"
)

// defaults are what a trex box says of samples that say nothing themselves.
type defaults struct{ trackID, duration, size, flags uint32 }

// ParseInit reads an init segment: ftyp, moov and what else stands before the first
// fragment. A moov of more than 1 MiB or with more than 64 tracks is refused.
func ParseInit(p []byte) (*Init, error) {
	for rest := p; len(rest) >= 8; {
		b, r, err := next(rest)
		if err != nil {
			return nil, fmt.Errorf("init segment: %w", err)
		}
		switch b.name {
		case "moov":
			init, err := parseMoov(b.body)
			if err != nil {
				return nil, fmt.Errorf("init segment: %w", err)
			}
			return init, nil
		case "moof", "mdat":
			return nil, fmt.Errorf("init segment: %s before moov", b.name)
		}
		rest = r
	}
	return nil, errors.New("init segment: no moov")
}

func parseMoov(p []byte) (*Init, error) {
	if len(p) > maxInit {
		return nil, fmt.Errorf("moov of %d bytes, at most %d are read", len(p), maxInit)
	}
	init := &Init{}
	err := each(p, func(b box) error {
		switch b.name {
		case "trak":
			if len(init.Tracks) == maxTracks {
				return fmt.Errorf("more than %d tracks", maxTracks)
			}
			t, err := parseTrak(b.body)
			if err != nil {
				return err
			}
			if init.Track(t.ID) != nil {
				return fmt.Errorf("track %d again", t.ID)
			}
			init.Tracks = append(init.Tracks, t)
		case "mvex":
			return each(b.body, init.parseTrex)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(init.Tracks) == 0 {
		return nil, errors.New("moov without tracks")
	}
	return init, nil
}

// parseTrex reads ISO 14496-12 8.8.3.
func (i *Init) parseTrex(b box) error {
	if b.name != "trex" {
		return nil
	}
	if len(i.defaults) == maxTracks {
		return fmt.Errorf("more than %d of them", maxTracks)
	}
	f := fields{p: b.body}
	f.full()
	d := defaults{trackID: f.u32()}
	f.skip(4) // default_sample_description_index
	d.duration = f.u32()
	d.size = f.u32()
	d.flags = f.u32()
	i.defaults = append(i.defaults, d)
	return f.err()
}

func (i *Init) defaultsOf(id uint32) defaults {
	if i != nil {
		for _, d := range i.defaults {
			if d.trackID == id {
				return d
			}
		}
	}
	return defaults{}
}

func parseTrak(p []byte) (Track, error) {
	var t Track
	var stsd []byte
	err := each(p, func(b box) error {
		switch b.name {
		case "tkhd": // 8.3.2
			f := fields{p: b.body}
			if version, _ := f.full(); version == 1 {
				f.skip(16)
			} else {
				f.skip(8)
			}
			t.ID = f.u32()
			return f.err()
		case "mdia":
			return each(b.body, func(b box) error { return t.parseMdia(b, &stsd) })
		}
		return nil
	})
	switch {
	case err != nil:
		return t, err
	case t.ID == 0:
		return t, errors.New("no track id")
	case t.Timescale == 0:
		return t, fmt.Errorf("track %d has no timescale", t.ID)
	case stsd == nil:
		return t, fmt.Errorf("track %d has no sample description", t.ID)
	}
	if err := t.describe(stsd); err != nil {
		return t, fmt.Errorf("track %d: %w", t.ID, err)
	}
	return t, nil
}

func (t *Track) parseMdia(b box, stsd *[]byte) error {
	f := fields{p: b.body}
	switch b.name {
	case "mdhd": // 8.4.2
		if version, _ := f.full(); version == 1 {
			f.skip(16)
			t.Timescale = f.u32()
			f.skip(8)
		} else {
			f.skip(8)
			t.Timescale = f.u32()
			f.skip(4)
		}
		// "the language code for this media": three letters of five bits each.
		if code := f.u16(); code != 0 && code != 0x7fff {
			l := []byte{byte(code>>10&31) + 0x60, byte(code>>5&31) + 0x60, byte(code&31) + 0x60}
			if isLower(l) && string(l) != "und" {
				t.Language = string(l)
			}
		}
	case "hdlr": // 8.4.3
		f.skip(8)
		switch string(f.take(4)) {
		case "vide":
			t.Kind = Video
		case "soun":
			t.Kind = Audio
		case "subt", "text", "sbtl", "clcp":
			t.Kind = Text
		}
	case "minf":
		return each(b.body, func(b box) error {
			if b.name != "stbl" {
				return nil
			}
			return each(b.body, func(b box) error {
				if b.name == "stsd" {
					*stsd = b.body
				}
				return nil
			})
		})
	}
	return f.err()
}

func isLower(p []byte) bool {
	for _, c := range p {
		if c < 'a' || c > 'z' {
			return false
		}
	}
	return true
}
