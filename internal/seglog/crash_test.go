package seglog

import (
	"errors"
	"fmt"
	"slices"
	"syscall"
	"testing"

	"weir/internal/disk/disktest"
)

// A viewer who holds a playlist of before the crash finds every segment in it
// again, whole, or as a gap; never another one, never a part of one. Hundreds of
// lives of a log end by kill -9 at a random byte or by a power cut.
func TestWhatWasSyncedSurvivesEveryCrash(t *testing.T) {
	lives := 0
	for seed := range uint64(300) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			g := newRig(t, seed)
			for range 4 {
				g.live()
				lives++
				if g.rng.IntN(2) == 0 {
					g.disk.Kill(g.rng)
				} else {
					g.disk.PowerCut(g.rng)
				}
				g.disk.Room(-1)
				g.disk.Fail(disktest.Sync, nil)
				g.open()
				g.settle()
			}
			if err := g.log.Close(); err != nil {
				t.Fatal(err)
			}
			if n := g.disk.Handles(); n != 0 {
				t.Errorf("%d files are still open", n)
			}
			g.open()
			if !g.rec.Clean {
				t.Errorf("closed, and not clean: %v", g.rec.Cut)
			}
		})
	}
	if lives < 1200 {
		t.Error(lives, "lives")
	}
}

// live does what an origin does, in random order, until it dies or is done.
func (g *rig) live() {
	if g.rng.IntN(2) == 0 {
		g.disk.KillAfter(int64(g.rng.IntN(60_000)))
	}
	var waiting []Key
	for range 5 + g.rng.IntN(60) {
		waiting, g.redo = append(waiting, g.redo...), nil // as an origin that has them in memory
		var err error
		switch r := g.rng.IntN(20); {
		case r < 6:
			es := []Entry{g.entry("hd"), g.entry("sd")}[:1+g.rng.IntN(2)]
			if err = g.announce(es...); err == nil {
				for _, e := range es {
					if e.Promised {
						waiting = append(waiting, e.Key())
					}
				}
			}
		case r < 14 && len(waiting) > 0:
			i := g.rng.IntN(len(waiting))
			err = g.body(waiting[i], g.rng.IntN(9000))
			if err == nil || errors.Is(err, ErrNotAnnounced) {
				waiting, err = slices.Delete(waiting, i, i+1), nil
			}
		case r < 17:
			err = g.sync()
		case r == 17:
			if g.rng.IntN(2) == 0 {
				g.disk.Full(int64(g.rng.IntN(3000)))
			} else {
				g.disk.Room(-1)
			}
		case r == 18 && g.rng.IntN(3) == 0:
			g.disk.FailSome(disktest.Sync, "", 1, syscall.EIO)
			g.lies = true
		case r == 19 && g.rng.IntN(3) == 0:
			if files := g.log.Files(); len(files) > 2 {
				err = g.log.Remove(files[0].ID)
				g.removed[files[0].ID] = true
			}
		}
		switch {
		case errors.Is(err, disktest.ErrDead):
			return
		case err == nil, errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EIO):
		default:
			g.t.Fatal(err)
		}
	}
}
