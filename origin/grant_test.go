package origin

import (
	"fmt"
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
