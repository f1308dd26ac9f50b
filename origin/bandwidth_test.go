package origin

import (
	"math/rand/v2"
	"testing"
	"time"
)

// PL-27: what is stated is true within what validators allow, at every segment of hours of
// an encoder whose rate moves; and it changes so rarely that players are not troubled.
func TestStatedRatesAreTrueAndKeepStill(t *testing.T) {
	const segment = 6 * time.Second
	b := bandwidth{target: segment}
	now := time.Date(2026, 11, 25, 20, 0, 0, 0, time.UTC)
	random := rand.New(rand.NewPCG(1, 2))
	var changes, peakSaid, averageSaid int64
	publish := func(hours float64, mean float64) {
		t.Helper()
		changes = 0
		for range int(hours * float64(time.Hour/segment)) {
			bytes := int64(mean * (0.6 + 0.8*random.Float64()) * segment.Seconds() / 8)
			b.add(bytes, segment, now)
			now = now.Add(segment)
			peak, average := b.state()
			if peak != peakSaid || average != averageSaid {
				changes++
			}
			peakSaid, averageSaid = peak, average
			isPeak, isAverage := b.measured()
			if isPeak*100 >= peak*125 || isAverage*100 >= average*110 || average > peak {
				t.Fatalf("stated %d and %d, measured %d and %d", peak, average, isPeak, isAverage)
			}
		}
	}
	publish(0.2, 4e6)
	if changes > 12 {
		t.Errorf("%d changes in the first minutes", changes)
	}
	publish(4, 4e6)
	if changes > 2 {
		t.Errorf("%d changes in hours of the same", changes)
	}
	if peakSaid < 5e6 || peakSaid > 6.2e6 || averageSaid < 3.7e6 || averageSaid > 4.6e6 {
		t.Errorf("stated %d, %d", peakSaid, averageSaid)
	}
	publish(2, 1e6) // the operator turned it down: an hour later it is not promised any more
	if changes > 8 || peakSaid > 1.9e6 || averageSaid > 1.4e6 {
		t.Errorf("%d changes, stated %d, %d", changes, peakSaid, averageSaid)
	}
	publish(1, 8e6)
	if changes > 40 || peakSaid < 9e6 || averageSaid < 7e6 {
		t.Errorf("%d changes, stated %d, %d", changes, peakSaid, averageSaid)
	}
}

// A channel that was silent for a day states what it was measured at when it was not.
func TestRatesOutliveASilence(t *testing.T) {
	b := bandwidth{target: 2 * time.Second}
	now := time.Unix(1.8e9, 0)
	b.add(500_000, 2*time.Second, now)
	before, average := b.state()
	if before != 2_000_000 || average != 2_000_000 {
		t.Errorf("%d, %d", before, average)
	}
	b.add(500_000, 2*time.Second, now.Add(24*time.Hour))
	if after, _ := b.state(); after != before {
		t.Errorf("%d became %d", before, after)
	}
	// A clock that goes back is none of the encoder's rate.
	b.add(500_000, 2*time.Second, now)
	if peak, average := b.measured(); peak != 2_000_000 || average != 2_000_000 {
		t.Errorf("%d, %d", peak, average)
	}
}
