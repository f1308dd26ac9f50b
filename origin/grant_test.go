package origin

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"weir/bench"
	"weir/internal/disk/disktest"
)

// A reservation that is on its way to the disk may be what a successor finds, long after: what
// is used meanwhile by the one before it must be within both. An encoder that pushes faster
// than it plays, while Sync hangs and Write does not, uses all that it may.
func TestAReservationOnItsWayBindsToo(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			onDisk(t, seed, Options{Defaults: Channel{Window: 2 * time.Minute, DVR: time.Hour}}, func(m *machine) {
				e := m.encoder(bench.EncoderOptions{Continuous: true, Rungs: 1})
				m.run(e, 10)
				m.disk.Stall(disktest.Sync)
				m.run(e, 1)
				for range 100 {
					_ = e.Step(m.Context())
				}
				time.Sleep(20*time.Second + time.Duration(seed)*171*time.Millisecond)
				synctest.Wait()
				m.watch("180p")
				top := m.top["180p"]
				m.disk.Kill(m.rng)
				m.disk.Resume()
				m.halt()
				m.again()
				r := (*(*m.o.channels.Load())["c"].byName.Load())["180p"]
				if next := r.next + r.fill; next <= top {
					t.Errorf("%d was used, and the next is %d", top, next)
				}
			})
		})
	}
}

// Whatever is missing on disk, and however often the origin dies before the disk has taken
// anything: what one life uses the next ones do not.
func TestALeapIsBeyondTheLeapBefore(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	start := time.Date(2026, 11, 25, 20, 0, 0, 0, time.UTC)
	for range 2000 {
		onDisk := grant{until: 1000, at: start, wait: grantWait, pace: time.Duration(1+rng.IntN(3000)) * time.Millisecond}
		now, used := start, uint64(1000)
		for range 4 {
			now = now.Add(time.Duration(rng.IntN(20_000)) * time.Millisecond)
			r := &rendition{next: 1000, grant: onDisk}
			r.leap(now)
			if r.next < used {
				t.Fatalf("%v: %d was used, and the next is %d", onDisk, used-1, r.next)
			}
			now = now.Add(time.Duration(rng.IntN(20_000)) * time.Millisecond)
			used = max(used, r.ceiling(now))
		}
	}
}

// Lost time that is too much to list becomes a discontinuity, and that fills places: they are
// reserved as well.
func TestNumbersForWhatIsTooMuchToList(t *testing.T) {
	c := &channel{lines: timelines{opened: true, latest: timeline{number: 9}}}
	r := &rendition{rule: &rule{target: 2}, placed: true, timeline: 3}
	if n := c.numbersFor(r, followsLoss, time.Hour); n != 6 {
		t.Errorf("%d numbers are reserved for 6 places", n)
	}
}
