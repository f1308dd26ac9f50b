package mpegts

import (
	"math"
	"slices"
	"time"

	"weir/internal/cmaf"
)

// wrap is where presentation times begin again: 33 bits of 90 kHz.
const wrap = 1 << 33

// clock gathers the presentation times of one track, relative to the first.
type clock struct {
	pid         uint16
	known       bool
	first       uint64
	lowest      int64
	highest     int64
	times       []int64 // those at the head, for the frame rate
	headScanned bool
}

func (c *clock) scan(p []byte) {
	each(p, func(k packet) bool {
		if k.pid != c.pid || !k.start {
			return true
		}
		_, pts, timed := unit(k.payload)
		if !timed {
			return true
		}
		c.take(pts, true)
		return true
	})
	c.headScanned = true
}

// take adds a time.
func (c *clock) take(pts uint64, timed bool) {
	if !timed {
		return
	}
	if !c.known {
		c.known, c.first = true, pts
	}
	// The nearest way round: a difference of more than half the clock is a wrap.
	d := int64((pts - c.first) % wrap)
	if d >= wrap/2 {
		d -= wrap
	}
	c.lowest, c.highest = min(c.lowest, d), max(c.highest, d)
	if !c.headScanned {
		c.times = append(c.times, d)
	}
}

// span is the lowest and the highest time.
func (c *clock) span() (first, last time.Duration) {
	low := (int64(c.first) + c.lowest + wrap) % wrap
	return ticks(low), ticks(low + c.highest - c.lowest)
}

// ticks turns 90 kHz into a duration, without overflow up to twice the clock.
func ticks(n int64) time.Duration { return time.Duration(n * 100000 / 9) }

// frameRate is what the parameter sets tell if the times do not contradict it, and what the
// times tell otherwise.
func (c *clock) frameRate(told float64, pid uint16) float64 {
	if pid != c.pid || len(c.times) < 3 {
		return told
	}
	slices.Sort(c.times)
	var gaps []int64
	for i := 1; i < len(c.times); i++ {
		if d := c.times[i] - c.times[i-1]; d > 0 {
			gaps = append(gaps, d)
		}
	}
	if len(gaps) == 0 {
		return told
	}
	slices.Sort(gaps)
	measured := 90000 / float64(gaps[len(gaps)/2])
	switch {
	case told > 0 && math.Abs(measured-told) < told/100:
		return told
	case measured > 1000:
		return told
	}
	return cmaf.CommonFrameRate(measured)
}
