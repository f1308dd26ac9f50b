package origin

import (
	"errors"
	"strings"
	"testing"
	"time"

	"weir/bench"
	"weir/internal/disk/disktest"
	"weir/playlist"
)

// A disk that stalls holds up nobody who publishes: each segment is listed at once, the
// operator is told that the disk is behind, and when it goes on all of it becomes durable.
func TestAStalledDiskHoldsNobodyUp(t *testing.T) {
	onDisk(t, 31, Options{Defaults: Channel{Window: 12 * time.Second, DVR: 5 * time.Minute}}, func(m *machine) {
		e := m.encoder(bench.EncoderOptions{Continuous: true})
		m.run(e, 5)
		m.disk.Stall()
		last := m.top["180p"]
		for i := range uint64(40) {
			m.run(e, 1)
			if m.top["180p"] != last+i+1 {
				t.Fatalf("segment %d of a stalled disk is not listed", i)
			}
		}
		if s := m.o.StoreStatus(); s.State != StoreSlow || s.Behind < time.Minute || s.Queue == 0 {
			t.Errorf("%+v", s)
		}
		if n := m.metric("weir_store_state", "slow"); n != 1 {
			t.Error("the state in the metrics is not slow")
		}
		m.disk.Resume()
		m.run(e, 1)
		if s := m.o.StoreStatus(); s.State != StoreOK || s.Queue != 0 {
			t.Errorf("%+v", s)
		}
		m.run(e, 10)
		p := m.past(at(time.Now().Add(-100*time.Second), time.Now().Add(-30*time.Second)))
		if got := sketch(p); strings.Contains(got, "-") || strings.Contains(got, "|") {
			t.Errorf("kept: %s", got)
		}
	})
}

// A disk that is full costs depth and nothing else, says so, and is used again when there is
// room; a disk that fails likewise.
func TestAFullOrFailingDiskCostsDepthOnly(t *testing.T) {
	f := func(want StoreState, breaks, heals func(m *machine)) {
		t.Helper()
		onDisk(t, 32, Options{Defaults: Channel{Window: 12 * time.Second, DVR: 5 * time.Minute}}, func(m *machine) {
			e := m.encoder(bench.EncoderOptions{Continuous: true})
			m.run(e, 10)
			breaks(m)
			before := m.top["180p"]
			m.run(e, 20)
			if m.top["180p"] != before+20 {
				m.Errorf("%d segments were listed of 20", m.top["180p"]-before)
			}
			if s := m.o.StoreStatus(); s.State != want || s.Err == nil || s.Worst != "c" {
				m.Errorf("%+v, want %s", s, want)
			}
			m.logged("level=ERROR", "channel=c", "live goes on")
			heals(m)
			m.run(e, 5)
			if s := m.o.StoreStatus(); s.State != StoreOK {
				m.Errorf("healed: %+v", s)
			}
			m.logged("channel=c", "again")
			m.run(e, 20)
			if got := sketch(m.past(at(time.Now().Add(-30*time.Second), time.Now().Add(-15*time.Second)))); strings.Contains(got, "-") {
				m.Errorf("kept after it healed: %s", got)
			}
		})
	}
	f(StoreFull, func(m *machine) { m.disk.Full(1000) }, func(m *machine) { m.disk.Room(-1) })
	broken := errors.New("input/output error")
	f(StoreFailing, func(m *machine) { m.disk.Fail(disktest.Sync, broken) }, func(m *machine) { m.disk.Fail(disktest.Sync, nil) })
	f(StoreFailing, func(m *machine) { m.disk.Fail(disktest.Write, broken) }, func(m *machine) { m.disk.Fail(disktest.Write, nil) })
}

// When the disk was stalled for so long that more waits than memory may hold, the oldest media
// are given up for DVR, counted, and shown as gaps there; live is untouched.
func TestWhatADiskCannotTakeInTimeIsGivenUp(t *testing.T) {
	onDisk(t, 33, Options{Memory: 16 << 20, Defaults: Channel{Window: 12 * time.Second, DVR: time.Hour}}, func(m *machine) {
		e := m.encoder(bench.EncoderOptions{Continuous: true})
		m.run(e, 10)
		from := time.Now()
		m.disk.Stall()
		for range 150 {
			m.run(e, 1)
			if n := m.slab.InUse(); n > 14<<20 {
				t.Fatalf("%d bytes are held", n)
			}
		}
		lost := m.metric("weir_store_lost_total")
		if lost == 0 {
			t.Error("nothing was counted as lost")
		}
		m.disk.Resume()
		m.run(e, 10)
		got := sketch(m.past(at(from.Add(-8*time.Second), from.Add(5*time.Minute-10*time.Second))))
		if n := strings.Count(got, "-"); n == 0 || n > 150 || strings.Contains(got, "|") {
			t.Errorf("kept: %s", got)
		}
	})
}

// Two origins on one directory would write over each other: the second says so and ends.
func TestOneOriginADirectory(t *testing.T) {
	onDisk(t, 34, Options{}, func(m *machine) {
		_, err := New(Options{OpenIngest: true, Store: &Store{FS: m.disk.FS(), Dir: "/data"}})
		if err == nil || !strings.Contains(err.Error(), "/data") || !strings.Contains(err.Error(), "another origin") {
			t.Error(err)
		}
	})
}

// Bytes are bounded for a channel and in all: the oldest go, and nothing lists them.
func TestTheDiskHasItsBounds(t *testing.T) {
	f := func(store Store, c Channel, why string) {
		t.Helper()
		c.Window, c.DVR = 12*time.Second, time.Hour
		onDisk(t, 35, Options{Store: &store, Defaults: c}, func(m *machine) {
			e := m.encoder(bench.EncoderOptions{Continuous: true})
			if store.KeepFree > 0 {
				m.disk.Full(20 << 20)
			}
			m.run(e, 30)
			from := m.watch("180p").Segments[0].ProgramDateTime
			m.run(e, 250)
			if n := m.onDisk(); n > 20<<20 {
				m.Errorf("%s: %d bytes on disk", why, n)
			}
			if n := m.metric("weir_store_removed_bytes_total", why); n == 0 {
				m.Errorf("%s: nothing was removed", why)
			}
			if a := m.get("/live/c/" + at(from, from.Add(10*time.Second)) + "/180p/index.m3u8"); a.status != 404 {
				m.Errorf("%s: what was removed is listed: %d", why, a.status)
			}
			m.past(at(time.Now().Add(-time.Minute), time.Now().Add(-30*time.Second)))
		})
	}
	f(Store{}, Channel{DVRMax: 16 << 20}, "channel")
	f(Store{Max: 16 << 20}, Channel{}, "total")
	f(Store{KeepFree: 6 << 20}, Channel{DVRMax: 64 << 20}, "free") // of a disk of 20 MiB
}

// A disk that never has the room that is to be left alone is told of at the start, not by
// viewers who find no past.
func TestADiskThatIsTooSmallIsTold(t *testing.T) {
	onDisk(t, 37, Options{Store: &Store{KeepFree: 1 << 50}}, func(m *machine) {
		m.logged("level=WARN", "store.keep_free", "keep_free_MiB=1073741824")
	})
	onDisk(t, 38, Options{}, func(m *machine) {
		if strings.Contains(m.log.String(), "keep_free") {
			t.Error(m.log)
		}
	})
}

// With a disk, what a channel costs in memory is its window, however deep its DVR is.
func TestAChannelWithADiskCostsItsWindow(t *testing.T) {
	onDisk(t, 36, Options{Defaults: Channel{Window: 30 * time.Second, DVR: time.Hour}}, func(m *machine) {
		e, err := bench.NewFeed(bench.FeedOptions{Ingest: m.o.Ingest(), Channel: "c", TS: true})
		if err != nil {
			t.Fatal(err)
		}
		worst := 0.0
		for i := range 200 {
			e.Fill(int64(200_000 + i*7919%150*4000))
			if err := e.Step(m.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Second)
			var listed int64
			for _, name := range []string{"hi", "lo"} {
				p, err := playlist.ParseMedia([]byte(m.get("/live/c/" + name + "/index.m3u8").body))
				if err != nil {
					t.Fatal(err)
				}
				for _, s := range p.Segments {
					listed += int64(len(m.get("/live/c/" + name + "/" + s.URI).body))
				}
			}
			if i > 30 {
				worst = max(worst, float64(m.slab.InUse())/float64(listed))
			}
		}
		t.Logf("memory is at most %.2f times what is listed", worst)
		if worst > 1.3 {
			t.Errorf("memory is %.2f times the bytes of the window", worst)
		}
	})
}
