package cmaf

import "fmt"

// Chunk is a moof and its mdat.
type Chunk struct {
	// Offset is where the chunk begins in the stream: at the first box after the chunk
	// before, so that styp, prft, sidx and emsg belong to the chunk they precede. A moov
	// and what is before it belong to none.
	Offset int64
	// Size runs to the end of the mdat.
	Size   int64
	Tracks []Timing
	// Independent says that a decoder can start here: the first video sample is a sync
	// sample, or there is no video.
	Independent bool
}

// Scanner finds the chunks of a stream as its bytes flow by. It holds the boxes that it has
// to read (moov and moof, each up to 1 MiB), never media. It is for one goroutine.
type Scanner struct {
	init  *Init
	buf   []byte // of the box being collected, or of its header
	need  int    // bytes of it, 0 while the header is incomplete
	name  string
	head  int
	skip  int64 // bytes of the present box still to pass by
	pos   int64 // of the next byte in the stream
	start int64 // of the next chunk
	open  bool  // a moof waits for its mdat
	moof  int64 // where the moof of the present chunk is
	now   []share
	err   error

	outline *Outline // takes the chunks, where there is one
}

// NewScanner starts at a box boundary. init is that of the tracks; a moov in the stream
// replaces it. With neither, durations and sync flags that only an init tells are 0 and
// true.
func NewScanner(init *Init) *Scanner { return &Scanner{init: init} }

// Init is the init segment in use, nil before there is one.
func (s *Scanner) Init() *Init { return s.init }

// Boundary says that the bytes so far end with a box.
func (s *Scanner) Boundary() bool { return s.err == nil && len(s.buf) == 0 && s.skip == 0 && !s.open }

// Write takes the next bytes and returns the chunks that they complete. An error is final:
// what follows cannot be told apart any more.
func (s *Scanner) Write(p []byte) (chunks []Chunk, err error) {
	for len(p) > 0 && s.err == nil {
		if s.outline != nil && s.outline.full {
			return nil, nil
		}
		if s.skip > 0 {
			n := min(s.skip, int64(len(p)))
			p = p[n:]
			s.skip -= n
			s.pos += n
			if s.skip == 0 {
				chunks = s.end(chunks)
			}
			continue
		}
		n := 1 // headers come byte by byte: they are few
		if s.need > 0 {
			n = min(s.need-len(s.buf), len(p))
		}
		s.buf = append(s.buf, p[:n]...)
		p = p[n:]
		s.pos += int64(n)
		if s.need > 0 && len(s.buf) == s.need {
			s.err = s.read()
		} else if s.need == 0 {
			chunks, s.err = s.begin(chunks)
		}
	}
	return chunks, s.err
}

// begin looks whether the header is complete, and decides what to do with the box.
func (s *Scanner) begin(chunks []Chunk) ([]Chunk, error) {
	at := s.pos - int64(len(s.buf))
	name, head, size, ok, err := header(s.buf)
	if err != nil {
		return chunks, fmt.Errorf("byte %d: %w", at, err)
	}
	if !ok {
		return chunks, nil
	}
	if size == 0 {
		return chunks, fmt.Errorf("byte %d: %s runs to the end of a stream that has none", at, name)
	}
	if s.outline != nil {
		s.outline.box()
	}
	s.name, s.head = name, head
	switch name {
	case "moov", "moof":
		if size > maxMoof {
			return chunks, fmt.Errorf("byte %d: %s of %d bytes, at most %d are read", at, name, size, maxMoof)
		}
		if name == "moof" && s.open {
			return chunks, fmt.Errorf("byte %d: moof after a moof without mdat", at)
		}
		if s.need = int(size); s.need > len(s.buf) {
			return chunks, nil
		}
		return chunks, s.read()
	case "mdat":
		if !s.open {
			return chunks, fmt.Errorf("byte %d: mdat without moof: the stream is not fragmented", at)
		}
	}
	s.skip = size - int64(len(s.buf))
	s.buf = s.buf[:0]
	if s.skip == 0 {
		chunks = s.end(chunks)
	}
	return chunks, nil
}

// read takes in the moov or moof that has been collected.
func (s *Scanner) read() error {
	at, body := s.pos-int64(len(s.buf)), s.buf[s.head:]
	var err error
	if s.name == "moov" {
		var init *Init
		if init, err = parseMoov(body); err == nil {
			s.init, s.start = init, s.pos
		}
	} else {
		s.now, err = parseMoof(body, at)
		s.open, s.moof = true, at
	}
	s.buf, s.need = s.buf[:0], 0
	if err != nil {
		return fmt.Errorf("byte %d: %s: %w", at, s.name, err)
	}
	return nil
}

// end is called when a box has passed by.
func (s *Scanner) end(chunks []Chunk) []Chunk {
	if s.name != "mdat" {
		return chunks
	}
	if s.outline != nil {
		s.outline.add(outlined{s.start, s.moof, s.pos, s.now})
	} else {
		c := Chunk{Offset: s.start, Size: s.pos - s.start}
		for i := range s.now {
			c.Tracks = append(c.Tracks, s.now[i].timing(s.init))
		}
		c.Independent = s.init.independent(c.Tracks)
		chunks = append(chunks, c)
	}
	s.open, s.now, s.start = false, nil, s.pos
	return chunks
}

// independent says whether the first video samples are sync samples; without an init, that
// all first samples are.
func (i *Init) startsIndependent(shares []share) bool {
	for j := range shares {
		if !i.independent([]Timing{shares[j].timing(i)}) {
			return false
		}
	}
	return true
}

func (i *Init) independent(tracks []Timing) bool {
	for _, t := range tracks {
		if known := i.Track(t.TrackID); !t.Independent && (known == nil || known.Kind == Video) {
			return false
		}
	}
	return true
}
