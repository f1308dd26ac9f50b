package edge

import (
	"slices"
	"testing"
	"time"
)

// refusedBy names what an order refuses.
func refusedBy(o *order) (names []string) {
	for p := range priorities {
		if o.refuses(p) {
			names = append(names, p.String())
		}
	}
	return names
}

// Under a rising load those go who have the least to lose, and those who watch
// are the last; when it falls they come back in the opposite order, one kind at
// a time, each after a while of calm.
func TestPrioritiesGoInOrderAndComeBackInTurns(t *testing.T) {
	var o order
	now, u := time.Unix(1000, 0), Usage{MaxRate: 1000}
	var gone []string
	at := map[string]int{}
	step := func(perSecond int64) load {
		now = now.Add(interval)
		u.Sent += perSecond / int64(time.Second/interval)
		l, _ := o.step(now, u)
		return l
	}
	for rate := int64(0); rate <= 1500; rate += 4 {
		for range 40 { // until the average is there
			l := step(rate)
			for _, name := range refusedBy(&o) {
				if !slices.Contains(gone, name) {
					gone = append(gone, name)
					at[name] = percent(l.rate)
				}
			}
		}
	}
	if want := []string{"prefetch", "rewinding", "joining", "live", "playing"}; !slices.Equal(gone, want) {
		t.Fatalf("refused in the order %v, want %v", gone, want)
	}
	if at["prefetch"] != 70 || at["rewinding"] != 80 || at["joining"] != 90 || at["live"] != 110 || at["playing"] != 130 {
		t.Errorf("refused at %v", at)
	}

	var back []string
	last := now
	for len(back) < len(gone) { // all traffic ends at once
		step(0)
		refused := refusedBy(&o)
		for _, name := range slices.Backward(gone) {
			if !slices.Contains(refused, name) && !slices.Contains(back, name) {
				if d := now.Sub(last); d < calm {
					t.Errorf("%s came back after %v", name, d)
				}
				back, last = append(back, name), now
			}
		}
		if now.Sub(last) > time.Minute {
			t.Fatalf("only %v came back", back)
		}
	}
	if want := []string{"playing", "live", "joining", "rewinding", "prefetch"}; !slices.Equal(back, want) {
		t.Errorf("came back in the order %v, want %v", back, want)
	}
}

// A load that trembles round a threshold does not switch anybody on and off.
func TestAPriorityComesBackOnlyWellBelowWhereItWent(t *testing.T) {
	var o order
	now := time.Unix(1000, 0)
	f := func(requests int64, lasts time.Duration, level int32) {
		t.Helper()
		for end := now.Add(lasts); now.Before(end); {
			now = now.Add(interval)
			o.step(now, Usage{Requests: requests, MaxRequests: 100})
		}
		if n := o.level.Load(); n != level {
			t.Errorf("level %d at %d of 100, want %d", n, requests, level)
		}
	}
	f(89, time.Minute, 2)
	f(90, interval, 3)
	f(81, time.Minute, 3)
	f(79, time.Second, 3) // not yet
	f(81, interval, 3)    // the calm begins anew
	f(79, calm, 3)
	f(79, 2*interval, 2)
	f(79, time.Minute, 2)
	f(10, 3*calm, 0)
	f(95, interval, 3)     // all at once
	f(200, time.Minute, 3) // whoever watches is not the one to refuse for it
}

// Each limit counts by itself, and one that is not set does not.
func TestWhateverRunsOutCounts(t *testing.T) {
	f := func(name string, u Usage, level int32) {
		t.Helper()
		var o order
		o.step(time.Unix(1000, 0), u)
		if n := o.level.Load(); n != level {
			t.Errorf("%s: level %d, want %d", name, n, level)
		}
	}
	f("nothing", Usage{}, 0)
	f("no limits", Usage{Requests: 1 << 40, Sent: 1 << 40, Fills: 1 << 40, Held: 1 << 40}, 0)
	f("requests", Usage{Requests: 95, MaxRequests: 100, MaxFills: 100, MaxHeld: 100, MaxRate: 100}, 3)
	f("fills", Usage{Fills: 95, MaxFills: 100, MaxRequests: 100}, 3)
	f("waiters", Usage{Waiters: 95, MaxWaiters: 100, MaxRequests: 100}, 3)
	f("memory", Usage{Held: 95, MaxHeld: 100, MaxRequests: 100}, 3)
}

// The rate of sending is one over seconds: segments go out in bursts.
func TestBandwidthIsAveraged(t *testing.T) {
	var o order
	now, u := time.Unix(1000, 0), Usage{MaxRate: 1000}
	f := func(perSecond int64, lasts time.Duration) float64 {
		var l load
		for end := now.Add(lasts); now.Before(end); {
			now = now.Add(interval)
			u.Sent += perSecond / int64(time.Second/interval)
			l, _ = o.step(now, u)
		}
		return l.rate
	}
	if r := f(800, 30*time.Second); r < 0.79 || r > 0.81 {
		t.Errorf("800 bytes/s of 1000 are %v", r)
	}
	if r := f(1600, interval); r > 0.95 {
		t.Errorf("a burst of a quarter second counts %v", r)
	}
	if r := f(2000, 10*time.Second); r < 1.9 {
		t.Errorf("twice the bandwidth counts %v", r)
	}
	if f(0, 20*time.Second); o.rate > 1 {
		t.Errorf("%v bytes/s of silence", o.rate)
	}
}

// A burst is no overload: many who begin at once take what a channel has of the
// last seconds, and those who watched before are served meanwhile. What goes on
// is one.
func TestWhoWatchesIsNotRefusedForABurst(t *testing.T) {
	var o order
	now, u := time.Unix(1000, 0), Usage{MaxRate: 1000}
	f := func(perSecond int64, lasts time.Duration, most int32) {
		t.Helper()
		highest := int32(0)
		for end := now.Add(lasts); now.Before(end); {
			now = now.Add(interval)
			u.Sent += perSecond / int64(time.Second/interval)
			o.step(now, u)
			highest = max(highest, o.level.Load())
		}
		if highest != most {
			t.Errorf("level %d under %d for %v, want %d", highest, perSecond, lasts, most)
		}
	}
	f(700, 10*time.Second, 0)
	f(8000, 2*interval, 3)
	f(700, 20*time.Second, 3)
	f(1500, 20*time.Second, 5)
}
