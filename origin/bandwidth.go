package origin

import "time"

// bandwidth measures a rendition's bit rates from the bytes that are published, over the
// last hour.
type bandwidth struct {
	target time.Duration
	runs   []sized    // the newest segments, at most a run's worth
	hour   [60]minute // by minute of the hour
	latest int64      // minute in which something was published last

	peakSaid, averageSaid stated
}

type sized struct {
	bytes int64
	dur   time.Duration
}

// minute is what was published in one.
type minute struct {
	at    int64 // minutes since 1970
	bytes int64
	dur   time.Duration
	peak  int64 // bits a second
}

// add takes in a segment. The peak is that of HLSbis 4.1: "the largest bit rate of any
// contiguous set of segments whose total duration is between 0.5 and 1.5 times the target
// duration".
func (b *bandwidth) add(bytes int64, dur time.Duration, now time.Time) {
	if dur <= 0 {
		return
	}
	b.latest = max(b.latest, now.Unix()/60)
	m := &b.hour[b.latest%int64(len(b.hour))]
	if m.at != b.latest {
		*m = minute{at: b.latest}
	}
	m.bytes += bytes
	m.dur += dur
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
			m.peak = max(m.peak, rate(size, total))
		}
	}
	if len(b.runs) > 4*maxMissed { // an encoder of tiny segments
		b.runs = append(b.runs[:0], b.runs[1:]...)
	}
}

// cut ends a run: what follows is not contiguous.
func (b *bandwidth) cut() { b.runs = b.runs[:0] }

// measured is the peak and the average of the last hour in which something was published;
// the average is the peak too while no run was long enough for one.
func (b *bandwidth) measured() (peak, average int64) {
	var sum minute
	for i := range b.hour {
		if m := &b.hour[i]; m.at > b.latest-int64(len(b.hour)) {
			sum.bytes += m.bytes
			sum.dur += m.dur
			sum.peak = max(sum.peak, m.peak)
		}
	}
	average = rate(sum.bytes, sum.dur)
	return max(sum.peak, average), average
}

// A stated rate is what the multivariant playlist says.
type stated struct {
	rate    int64
	changed int64 // minute in which it was
}

// patience is for how many minutes a rate that was stated is not lowered: it may come back,
// and each change is one that every edge and every player has to fetch.
const patience = 10

// say returns what is to be stated of a measured rate: what was stated, unless that is below
// the measured one by more than up percent, or above it by more than a third for some time.
func (s *stated) say(measured, up, minute int64) int64 {
	low := measured > s.rate+s.rate*up/100
	high := measured < s.rate*3/4 && minute-s.changed >= patience
	if low || high {
		s.rate, s.changed = roundUp(measured), minute
	}
	return s.rate
}

// restore takes over what was stated before the origin restarted; it weighs as much as ten
// minutes of media.
func (b *bandwidth) restore(peak, average int64, now time.Time) {
	const weight = 10 * time.Minute
	b.latest = now.Unix() / 60
	b.peakSaid, b.averageSaid = stated{peak, b.latest}, stated{average, b.latest}
	b.hour[b.latest%int64(len(b.hour))] = minute{at: b.latest, dur: weight, bytes: average / 8 * int64(weight/time.Second)}
}

// state returns what the multivariant playlist says: "measured peak bit rate < 125 % of
// BANDWIDTH, average < 110 % of AVERAGE-BANDWIDTH" (HLS authoring 9) hold with room to spare,
// in figures that do not move with every segment.
func (b *bandwidth) state() (peak, average int64) {
	peak, average = b.measured()
	peak = b.peakSaid.say(peak, 0, b.latest) // "the peak": a new one is rare
	return peak, min(peak, b.averageSaid.say(average, 5, b.latest))
}

func rate(bytes int64, dur time.Duration) int64 {
	if dur <= 0 {
		return 0
	}
	return int64(float64(bytes) * 8 / dur.Seconds())
}

// roundUp rounds to three figures.
func roundUp(n int64) int64 {
	step := int64(1)
	for n/step >= 1000 {
		step *= 10
	}
	return max(1, (n+step-1)/step*step)
}
