package origin

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"weir/bench"
	"weir/internal/disk/disktest"
)

// A file that cannot be removed once is tried again: otherwise none that is newer could go
// either, and the disk would fill up for ever.
func TestARemovalThatFailsIsTriedAgain(t *testing.T) {
	onDisk(t, 41, Options{Defaults: Channel{Window: 12 * time.Second, Retention: 12 * time.Second, DVR: time.Minute}}, func(m *machine) {
		e := m.encoder(bench.EncoderOptions{Continuous: true})
		m.run(e, 60)
		m.disk.Fail(disktest.Remove, errors.New("input/output error"))
		m.run(e, 60)
		m.logged("level=WARN", "cannot be removed")
		m.disk.Fail(disktest.Remove, nil)
		m.run(e, 30)
		if first := (*m.o.channels.Load())["c"].vault.disk.Load().Files()[0]; time.Since(first.Last) > 3*time.Minute {
			t.Errorf("a file from %v is never removed\n%s", first.Last, m.log)
		}
	})
}

// Retention works on the disk, and publishing does not wait for it: where a disk stalls, what
// an encoder lost becomes a gap as soon as ever.
func TestRetentionOfAStalledDiskHoldsNobodyUp(t *testing.T) {
	onDisk(t, 42, Options{Defaults: Channel{Window: 12 * time.Second, DVR: time.Minute}}, func(m *machine) {
		e := m.encoder(bench.EncoderOptions{Continuous: true})
		m.run(e, 20)
		if _, err := m.o.MakeAsset(m.Context(), AssetRequest{Asset: "final", Channel: "c"}); err != nil {
			t.Fatal(err)
		}
		if err := m.o.RemoveAsset("final"); err != nil {
			t.Fatal(err)
		}
		m.disk.Stall()
		m.run(e, 30) // its files are due
		last := m.top["180p"]
		e.Skip() // lost: only the origin's clock says so
		time.Sleep(bench.ClipSegment)
		_ = e.Step(m.Context())
		time.Sleep(10 * time.Second)
		m.watch("180p")
		if m.top["180p"] <= last {
			t.Error("the origin's clock waits for the disk")
		}
		began := time.Now()
		m.halt()
		if took := time.Since(began); took > 2*finishAfter {
			t.Errorf("it took %v to end", took)
		}
		m.disk.Resume()
		synctest.Wait()
		m.again()
	})
}

// However little room there is, what left a playlist can be fetched for its Availability
// Duration: who has the playlist was promised so (P13).
func TestWantOfRoomSparesWhatJustLeftThePlaylist(t *testing.T) {
	f := func(store Store, c Channel) {
		t.Helper()
		c.Window, c.Retention, c.DVR = 12*time.Second, 12*time.Second, time.Hour
		onDisk(t, 43, Options{Store: &store, Defaults: c}, func(m *machine) {
			e := m.encoder(bench.EncoderOptions{Continuous: true})
			left := map[string]time.Time{} // when a segment was listed last
			for range 60 {
				m.run(e, 1)
				for _, s := range m.watch("180p").Segments {
					left[s.URI] = time.Now()
				}
				for uri, at := range left {
					if a := m.get("/live/c/180p/" + uri); time.Since(at) < 12*time.Second && a.status != 200 {
						t.Fatalf("%s left the playlist %v ago and is %d %s", uri, time.Since(at), a.status, a.body)
					}
				}
			}
			if files := (*m.o.channels.Load())["c"].vault.disk.Load().Files(); len(files) > 12 {
				t.Errorf("%d files are left", len(files))
			}
		})
	}
	f(Store{}, Channel{DVRMax: 1})
	f(Store{KeepFree: 1 << 50}, Channel{})
}
