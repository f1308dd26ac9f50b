package origin

import "time"

// bandwidth measures a rendition's bit rates from the bytes that are published.
type bandwidth struct {
	target time.Duration
	runs   []sized // the newest segments, at most a run's worth
	peak   int64   // bits a second
	bytes  int64
	time   time.Duration
}

type sized struct {
	bytes int64
	dur   time.Duration
}

// add takes in a segment. The peak is that of HLSbis 4.1: "the largest bit rate of any
// contiguous set of segments whose total duration is between 0.5 and 1.5 times the target
// duration". It is never taken back: BANDWIDTH is a promise.
func (b *bandwidth) add(bytes int64, dur time.Duration) {
	if dur <= 0 {
		return
	}
	b.bytes += bytes
	b.time += dur
	b.runs = append(b.runs, sized{bytes, dur})
	var size int64
	var total time.Duration
	longest := b.target*3/2 + time.Second/2
	for i := len(b.runs) - 1; i >= 0; i-- {
		size += b.runs[i].bytes
		total += b.runs[i].dur
		if total > longest {
			b.runs = append(b.runs[:0], b.runs[i+1:]...)
			break
		}
		if total >= b.target/2 {
			b.peak = max(b.peak, rate(size, total))
		}
	}
	if len(b.runs) > 4*maxMissed { // an encoder of tiny segments
		b.runs = append(b.runs[:0], b.runs[1:]...)
	}
}

// cut ends a run: what follows is not contiguous.
func (b *bandwidth) cut() { b.runs = b.runs[:0] }

// average is over all that was published.
func (b *bandwidth) average() int64 { return rate(b.bytes, b.time) }

// highest is the peak, or the average while no run was long enough.
func (b *bandwidth) highest() int64 { return max(b.peak, b.average()) }

func rate(bytes int64, dur time.Duration) int64 {
	if dur <= 0 {
		return 0
	}
	return int64(float64(bytes) * 8 / dur.Seconds())
}

// roundUp rounds to three figures, so that a published rate does not move with every segment.
func roundUp(n int64) int64 {
	step := int64(1)
	for n/step >= 1000 {
		step *= 10
	}
	return max(1, (n+step-1)/step*step)
}
