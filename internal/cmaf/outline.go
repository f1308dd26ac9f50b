package cmaf

import (
	"math"
	"time"
)

// maxShares bounds an Outline: tracks of chunks, each counted. A minute of chunks of one
// frame at 60 frames a second has 3600.
const (
	maxShares = 4096
	maxBoxes  = 16 * maxShares // looked at
)

// KeyFrame is a picture that a decoder can start with, and where it is in its segment.
type KeyFrame struct {
	// Offset and Length are of the bytes that show it, given the initialization section:
	// an I-frame media segment (HLSbis 4.4.3.6). Length is 0 where they are not known.
	Offset, Length int64
	// Cut is where a segment can be cut so that what follows begins with it.
	Cut int64
	// At is its time: that of decoding in MP4, of presentation in a transport stream,
	// like the segment's Start.
	At time.Duration
}

// Segment is what is known of the times of a media segment.
type Segment struct {
	Start time.Duration // media time of the first sample of the leading track
	Timed bool          // Start is known
	// End is where the last sample ends, Start where that is not known: sound alone in a
	// transport stream, fragments that are cut short or more than are looked at.
	End time.Duration
	// Independent says that a decoder can start with the first sample.
	Independent bool
	FrameRate   float64 // in frames a second, not rounded; 0: not told, or no video
	Keys        []KeyFrame
}

// Outline gathers what the fragments of a media segment say by themselves, as the bytes flow
// by. It is made when the bytes are there; the init segment that completes it may come
// later. It holds at most some 300 KB, whatever the segment. It is for one goroutine.
type Outline struct {
	scan   Scanner
	chunks []outlined
	shares int
	boxes  int
	full   bool
	err    error
}

type outlined struct {
	start, moof, end int64
	shares           []share
}

// NewOutline starts at a box boundary.
func NewOutline() *Outline {
	o := &Outline{}
	o.scan.outline = o
	return o
}

// Write takes the next bytes. An error is final, and what was seen before it stays. More
// chunks than an Outline holds are no error: they are not looked at.
func (o *Outline) Write(p []byte) error {
	if o.full || o.err != nil {
		return o.err
	}
	_, o.err = o.scan.Write(p)
	return o.err
}

func (o *Outline) box() {
	if o.boxes++; o.boxes > maxBoxes {
		o.full = true
	}
}

func (o *Outline) add(c outlined) {
	if o.shares += len(c.shares) + 1; o.shares > maxShares {
		o.full = true
		return
	}
	o.chunks = append(o.chunks, c)
}

// Segment completes the outline by what the init segment says.
func (o *Outline) Segment(init *Init) Segment {
	var s Segment
	lead := o.leading(init)
	if lead == nil || lead.Timescale == 0 {
		return s
	}
	var last Timing
	var samples, ticks uint64
	for i := range o.chunks {
		c := &o.chunks[i]
		for j := range c.shares {
			x := &c.shares[j]
			if x.track != lead.ID {
				continue
			}
			t := x.timing(init)
			at, ok := mediaTime(t.BaseTime, lead.Timescale)
			if i == 0 {
				s.Start, s.Timed = at, ok
			}
			if ok && t.Independent && lead.Kind == Video {
				s.Keys = append(s.Keys, c.key(x, init, at))
			}
			last = t
			samples += uint64(t.Samples)
			ticks += t.Duration
		}
	}
	s.End = s.Start
	if !o.full && o.err == nil && o.scan.Boundary() && last.Duration < math.MaxUint64-last.BaseTime {
		if end, ok := mediaTime(last.BaseTime+last.Duration, lead.Timescale); ok && end > s.Start {
			s.End = end
		}
	}
	if lead.Kind == Video {
		s.FrameRate = frameRate(float64(samples)*float64(lead.Timescale), float64(ticks))
	}
	s.Independent = init.startsIndependent(o.chunks[0].shares)
	return s
}

// leading is the track whose times speak for the segment: video, or the first there is.
func (o *Outline) leading(init *Init) (lead *Track) {
	if init == nil || len(o.chunks) == 0 {
		return nil
	}
	for i := range init.Tracks {
		t := &init.Tracks[i]
		for j := range o.chunks[0].shares {
			if o.chunks[0].shares[j].track == t.ID && (lead == nil || t.Kind == Video && lead.Kind != Video) {
				lead = t
			}
		}
	}
	return lead
}

// key is the chunk's first picture, whose bytes run from the moof to its own end: whatever
// lies before it in the mdat comes with it.
func (c *outlined) key(x *share, init *Init, at time.Duration) KeyFrame {
	k := KeyFrame{Offset: c.moof, Cut: c.start, At: at}
	size := int64(x.first.size)
	if !x.first.sized {
		size = int64(init.defaultsOf(x.track).size)
	}
	if end := c.moof + x.first.at + size; x.first.at > 0 && size > 0 && x.first.at <= c.end-c.moof && end <= c.end {
		k.Length = end - c.moof
	}
	return k
}

// mediaTime converts ticks; a time beyond what a Duration holds (292 years) is none.
func mediaTime(ticks uint64, scale uint32) (time.Duration, bool) {
	sec, rest := ticks/uint64(scale), ticks%uint64(scale)
	if sec > math.MaxInt64/uint64(time.Second)-1 {
		return 0, false
	}
	return time.Duration(sec)*time.Second + time.Duration(rest*uint64(time.Second)/uint64(scale)), true
}
