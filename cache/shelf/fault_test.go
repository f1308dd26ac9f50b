package shelf

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"weir/internal/disk/disktest"
)

// A full disk costs what is oldest, then what could have been kept; it is
// written to again when there is room.
func TestAFullDisk(t *testing.T) {
	bubble(t, func(t *testing.T, d *disktest.Fake) {
		d.Full(3*megabyte + 100<<10)
		s := open(t, options(d.FS()))
		const n = 300 << 10
		var closed atomic.Int64
		for i := range 40 {
			it := item(fmt.Sprint("/k", i), 1, n)
			it.Thing.(*thing).closed = &closed
			s.Put(it)
			s.settle()
		}
		for i := range 3 {
			time.Sleep(2 * maxPause)
			s.Put(item(fmt.Sprint("/after", i), 1, n))
			s.settle()
		}
		has(t, s, "/after2", 1, n)
		if closed.Load() != 40 {
			t.Errorf("%d of 40 things were given back", closed.Load())
		}
		d.Full(0)
		time.Sleep(2 * maxPause)
		for i := range 8 {
			s.Put(item(fmt.Sprint("/none", i), 1, n))
			s.settle()
			time.Sleep(2 * maxPause)
		}
		if n := testutil.ToFloat64(s.metrics.faults[faultFull]); n == 0 {
			t.Error("nobody was told")
		}
		d.Room(-1)
		time.Sleep(2 * maxPause)
		s.Put(item("/healed", 1, n))
		s.settle()
		has(t, s, "/healed", 1, n)
	})
}

// KeepFree is left to others.
func TestRoomIsLeftToOthers(t *testing.T) {
	bubble(t, func(t *testing.T, d *disktest.Fake) {
		d.Full(6 * megabyte)
		o := options(d.FS())
		o.KeepFree = 3 * megabyte
		s := open(t, o)
		for i := range 40 {
			s.Put(item(fmt.Sprint("/k", i), 1, 300<<10))
			s.settle()
			if free, _ := o.FS.Free("/cache"); free < o.KeepFree {
				t.Fatalf("%d bytes are free, %d are to be", free, o.KeepFree)
			}
		}
		has(t, s, "/k39", 1, 300<<10)
		if n := testutil.ToFloat64(s.metrics.faults[faultFull]); n != 0 {
			t.Errorf("%v faults", n)
		}
	})
}

// A disk that hangs costs depth only: putting goes on, is counted and is
// bounded, reading gives up in time, and is not tried again at once.
func TestAStalledDisk(t *testing.T) {
	bubble(t, func(t *testing.T, d *disktest.Fake) {
		o := options(d.FS())
		o.QueueBytes = megabyte
		s := open(t, o)
		s.Put(item("/a", 1, 1000))
		s.settle()
		d.Stall(disktest.Write, disktest.Read)
		start := time.Now()
		for i := range 50 {
			s.Put(item(fmt.Sprint("/k", i), 1, 100<<10))
		}
		s.settle()
		if s.Usage().Queued > o.QueueBytes {
			t.Errorf("%d bytes are queued", s.Usage().Queued)
		}
		if n := testutil.ToFloat64(s.metrics.put[putQueue]); n < 35 {
			t.Errorf("%v things were dropped", n)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("putting took %v", took)
		}
		if _, _, err := take(s, "/a", anything); !errors.Is(err, ErrSlow) || time.Since(start) != 2*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if _, _, err := take(s, "/a", anything); !errors.Is(err, ErrBusy) {
			t.Errorf("asked again at once: %v", err)
		}
		d.Resume()
		time.Sleep(time.Minute)
		has(t, s, "/a", 1, 1000)
	})
}

// A disk that fails is left alone for a while, longer each time, and heals.
func TestAFailingDisk(t *testing.T) {
	bubble(t, func(t *testing.T, d *disktest.Fake) {
		s := open(t, options(d.FS()))
		s.Put(item("/a", 1, 1000))
		s.settle()
		d.Fail(disktest.Write, syscall.EIO)
		for i := range 1000 {
			s.Put(item(fmt.Sprint("/k", i), 1, 1000))
			s.settle()
			time.Sleep(time.Second)
		}
		if n := testutil.ToFloat64(s.metrics.faults[faultWrite]); n < 5 || n > 30 {
			t.Errorf("%v tries in 1000 s", n)
		}
		has(t, s, "/a", 1, 1000) // what is there can be read
		s.Remove("/a")
		d.Fail(disktest.Write, nil)
		time.Sleep(2 * maxPause)
		s.Put(item("/b", 1, 1000))
		s.settle()
		has(t, s, "/b", 1, 1000)

		d.Fail(disktest.Read, syscall.EIO)
		if _, _, err := take(s, "/b", anything); !errors.Is(err, syscall.EIO) {
			t.Errorf("%v", err)
		}
		d.Fail(disktest.Read, nil)
		shut(t, s)
		s = open(t, options(d.FS()))
		has(t, s, "/a", 0, 0) // removed while the disk rested
		has(t, s, "/b", 1, 1000)
	})
}

// An end waits for a disk that hangs as long as it is told to, and no longer.
func TestAStalledDiskDoesNotKeepFromEnding(t *testing.T) {
	bubble(t, func(t *testing.T, d *disktest.Fake) {
		s, err := New(options(d.FS()))
		if err != nil {
			t.Fatal(err)
		}
		var closed atomic.Int64
		d.Stall(disktest.Write)
		for i := range 3 {
			it := item(fmt.Sprint("/k", i), 1, 1000)
			it.Thing.(*thing).closed = &closed
			s.Put(it)
			s.settle()
		}
		start := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if err := s.Close(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 2*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if n := closed.Load(); n != 2 { // the third is being written
			t.Errorf("%d of 2 things that waited were given back", n)
		}
		d.Resume()
		s.settle()
		if n := closed.Load(); n != 3 {
			t.Errorf("%d of 3 things were given back", n)
		}
	})
}

// A smaller bound holds from the start.
func TestASmallerBoundHoldsAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, d *disktest.Fake) {
		s := open(t, options(d.FS()))
		for i := range 30 {
			s.Put(item(fmt.Sprint("/k", i), 1, 300<<10))
			s.settle()
		}
		shut(t, s)
		o := options(d.FS())
		o.Max = MinMax
		s = open(t, o)
		if n := s.Usage().Bytes; n > MinMax {
			t.Errorf("%d bytes", n)
		}
		has(t, s, "/k29", 1, 300<<10)
		has(t, s, "/k10", 0, 0)
	})
}
