package edge

import (
	"math"
	"time"

	"weir/cache"
)

// quantiles are how long something took lately: a histogram whose buckets grow
// by a fifth, from 1 ms to a minute, and in which what is headHalfLife old
// counts half. The zero value is empty.
type quantiles struct {
	counts [64]float64
	total  float64
	epoch  time.Time // when one more counts as 1
}

const (
	headHalfLife = 5 * time.Minute
	// headEnough is how much must have been seen lately for a quantile to be one.
	headEnough = 20
)

// Playlists and media take their times apart.
const headKinds = 2

func headKind(c cache.Class) int {
	if c == cache.Playlist {
		return 0
	}
	return 1
}

// add takes in one more duration.
func (q *quantiles) add(d time.Duration, now time.Time) {
	w := q.weight(now)
	if w > 1<<30 { // an hour or so of half lives: count anew from here
		for i := range q.counts {
			q.counts[i] /= w
		}
		q.total /= w
		q.epoch, w = now, 1
	}
	if q.epoch.IsZero() {
		q.epoch, w = now, 1
	}
	q.counts[bucketOf(d)] += w
	q.total += w
}

// weight is what one more counts at now, in units of one at epoch: what is old
// is not made less, what is new is made more.
func (q *quantiles) weight(now time.Time) float64 {
	if q.epoch.IsZero() {
		return 1
	}
	return math.Exp2(float64(now.Sub(q.epoch)) / float64(headHalfLife))
}

// at returns the duration that a share p of them did not exceed, rounded up to
// the end of its bucket; false: too few are known lately.
func (q *quantiles) at(p float64, now time.Time) (time.Duration, bool) {
	if q.total/q.weight(now) < headEnough {
		return 0, false
	}
	above := (1 - p) * q.total
	for i := len(q.counts) - 1; i > 0; i-- {
		if above -= q.counts[i]; above < 0 {
			return endOf(i), true
		}
	}
	return endOf(0), true
}

func bucketOf(d time.Duration) int {
	if d <= time.Millisecond {
		return 0
	}
	i := int(math.Ceil(4 * math.Log2(float64(d)/float64(time.Millisecond))))
	return min(max(i, 0), len(quantiles{}.counts)-1)
}

func endOf(i int) time.Duration {
	return time.Duration(math.Exp2(float64(i)/4) * float64(time.Millisecond))
}
