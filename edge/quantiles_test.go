package edge

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

func TestAQuantileIsWhatFewExceed(t *testing.T) {
	now := time.Now()
	f := func(p float64, low, high time.Duration, times ...time.Duration) {
		t.Helper()
		var q quantiles
		for i := range 1000 {
			q.add(times[i%len(times)], now)
		}
		if d, ok := q.at(p, now); !ok || d < low || d > high {
			t.Errorf("p%v is %v, want %v to %v", 100*p, d, low, high)
		}
	}
	const ms = time.Millisecond
	f(0.99, 100*ms, 119*ms, 100*ms)
	f(0.5, 10*ms, 12*ms, 10*ms, 10*ms, 10*ms, 500*ms)
	f(0.99, 500*ms, 595*ms, 10*ms, 10*ms, 10*ms, 500*ms)
	f(0.99, ms, ms, 0)
	f(0.99, 50*time.Second, time.Minute, time.Hour) // and more is as much
	var uniform []time.Duration
	for i := range 1000 {
		uniform = append(uniform, time.Duration(i+1)*ms)
	}
	f(0.99, 990*ms, 1180*ms, uniform...)
	f(0.9, 900*ms, 1075*ms, uniform...)
}

// Each duration falls into the bucket that ends at or above it, by a fifth at most.
func TestBucketsRoundUpByAFifth(t *testing.T) {
	for range 10_000 {
		d := time.Millisecond + rand.N(40*time.Second)
		if end := endOf(bucketOf(d)); end < d-time.Microsecond || float64(end) > 1.19*float64(d)+1000 {
			t.Fatalf("%v ends at %v", d, end)
		}
	}
}

func TestFewTimesAreNoQuantile(t *testing.T) {
	var q quantiles
	now := time.Now()
	if _, ok := q.at(0.99, now); ok {
		t.Error("of nothing")
	}
	for range headEnough - 1 {
		q.add(time.Millisecond, now)
	}
	if _, ok := q.at(0.99, now); ok {
		t.Error("of too few")
	}
	q.add(time.Second, now)
	if d, ok := q.at(0.99, now); !ok || d < time.Second {
		t.Errorf("%v: of few the longest counts", d)
	}
	if _, ok := q.at(0.99, now.Add(headHalfLife)); ok {
		t.Error("what is old counts for ever")
	}
}

// An origin that was slow yesterday is not waited for today as if it still were.
func TestOldTimesAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var q quantiles
		for range 1000 {
			q.add(2*time.Second, time.Now())
		}
		for range 48 * 60 { // two days, longer than the weights can grow
			time.Sleep(time.Minute)
			for range 10 {
				q.add(20*time.Millisecond, time.Now())
			}
		}
		if d, ok := q.at(0.99, time.Now()); !ok || d > 24*time.Millisecond {
			t.Errorf("%v %v", d, ok)
		}
		if q.total > 1<<40 {
			t.Errorf("the weights grow without end: %v", q.total)
		}
	})
}

func TestABucketFillsByTheClockAndIsNeverOverfull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bucket{max: 3, rate: 2}
		takes := func(want int) {
			t.Helper()
			got := 0
			for b.take(time.Now()) {
				got++
			}
			if got != want {
				t.Errorf("%d, want %d", got, want)
			}
		}
		takes(3)
		takes(0)
		time.Sleep(500 * time.Millisecond)
		takes(1)
		time.Sleep(time.Hour)
		takes(3)
		b.earn(0.5)
		takes(0)
		b.earn(0.5)
		takes(1)
		b.earn(100)
		takes(3)
	})
}
