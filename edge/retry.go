package edge

import "time"

// What may be asked of an origin because another could not answer, or because
// it broke off itself: as much as it answers, and of what it does not answer
// at most retryRate a second and a share of its requests. A healthy origin
// takes over from a sick one without a bound, and no sick one is finished off
// by being asked everything twice.
const (
	retryBurst = 10
	retryRate  = 2.0 // a second
	retryShare = 0.1
)

// A bucket holds tokens: it starts full, and fills by rate.
type bucket struct {
	max, rate float64
	spent     float64 // of max
	at        time.Time
}

// take takes a token if there is one.
func (b *bucket) take(now time.Time) bool {
	if !b.at.IsZero() {
		b.earn(b.rate * now.Sub(b.at).Seconds())
	}
	b.at = now
	if b.spent > b.max-1 {
		return false
	}
	b.spent++
	return true
}

func (b *bucket) earn(n float64) { b.spent = max(0, b.spent-n) }

// asked says that an origin is asked as the first choice.
func (o *origins) asked(name string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.of(name).retries.earn(retryShare)
}

// mayRetry reports whether an origin may be asked for what another did not
// answer. Whoever it answers gives that back by retried.
func (o *origins) mayRetry(name string, now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.of(name).retries.take(now)
}

// retried says that a retry was answered.
func (o *origins) retried(name string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.of(name).retries.earn(1)
}
