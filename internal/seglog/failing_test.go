package seglog

import (
	"errors"
	"slices"
	"strings"
	"syscall"
	"testing"

	"weir/internal/disk/disktest"
)

// A full disk costs what does not fit, nothing before, and is forgotten once
// there is room.
func TestAFullDiskHeals(t *testing.T) {
	for room := int64(0); room < 4000; room += 50 {
		g := newRig(t, uint64(room))
		g.o.FileBytes = 2000
		g.open()
		g.must(g.entry("hd"), 1900)
		g.disk.Full(room)
		e, f := g.entry("hd"), g.entry("hd")
		e.Promised, f.Promised = true, true
		errA := g.announce(e)
		errB := g.body(e.Key(), 2500)
		for _, err := range []error{errA, errB} {
			if err != nil && !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, ErrNotAnnounced) {
				t.Fatalf("room for %d: %v", room, err)
			}
		}
		if errA != nil && !strings.Contains(errA.Error(), suffix) {
			t.Errorf("the error does not name the file: %v", errA)
		}
		g.disk.Room(-1)
		if errA != nil {
			ok(t, g.announce(e))
		}
		if errB != nil {
			ok(t, g.body(e.Key(), 2500))
		}
		g.must(f, 100)
		ok(t, g.sync())
		g.disk.PowerCut(g.rng)
		g.open() // judges that all is there
		if n := len(g.rec.Entries); n != 3 {
			t.Fatal(n, "entries")
		}
	}
}

// A disk that does not even cut what a failed write left costs a new file, no segment.
func TestAWriteThatCannotBeTakenBackBeginsANewFile(t *testing.T) {
	g := newRig(t, 1)
	g.must(g.entry("hd"), 500)
	e := g.entry("hd")
	e.Promised = true
	ok(t, g.announce(e))
	g.disk.FailSome(disktest.Write, "", 1, syscall.EIO)
	g.disk.FailSome(disktest.Truncate, "", 5, syscall.EIO)
	is(t, g.body(e.Key(), 800), syscall.EIO)
	ok(t, g.body(e.Key(), 800))
	ok(t, g.sync())
	if files := g.log.Files(); len(files) != 2 || !files[0].Sealed || files[1].Sealed {
		t.Errorf("%+v", files)
	}
	g.disk.Fail(disktest.Truncate, nil)
	g.disk.PowerCut(g.rng)
	g.open()
	if len(g.rec.Entries) != 2 || g.rec.Entries[1].Body.File != 2 {
		t.Errorf("%+v", g.rec.Entries)
	}
}

// After a Sync that failed the bytes are as good as gone: the log says which,
// says again what is small, and takes the bodies once more.
func TestAFailedSyncNamesWhatMayBeLost(t *testing.T) {
	g := newRig(t, 1)
	g.must(g.entry("hd"), 500)
	ok(t, g.sync())
	a, b := g.entry("hd"), g.entry("sd")
	g.must(a, 600)
	g.must(b, 700)
	g.disk.FailSome(disktest.Sync, "", 1, syscall.EIO)
	err := g.log.Sync()
	var lost *SyncError
	if !errors.As(err, &lost) || !errors.Is(err, syscall.EIO) || lost.File != 1 || !slices.Equal(lost.Bodies, []Key{a.Key(), b.Key()}) {
		t.Fatalf("%v: %+v", err, lost)
	}
	ref, err := g.log.Body(a.Stream, a.Number, 600, chunks(g.written[a.Key()], 100))
	ok(t, err)
	ok(t, g.log.Sync())
	g.disk.PowerCut(g.rng) // the disk drops what the failed Sync covered
	g.o.FS = g.disk.FS()
	_, rec, err := Open(g.o)
	ok(t, err)
	if len(rec.Entries) != 3 || rec.Entries[1].Body != ref || rec.Entries[1].Key() != a.Key() ||
		rec.Entries[2].Key() != b.Key() || !rec.Entries[2].Promised || !rec.Entries[2].Body.IsZero() {
		t.Errorf("%+v", rec.Entries)
	}
	if len(rec.State) == 0 {
		t.Error("the state is gone")
	}
}

// A Sync does not say that all is well before what a failed one lost is written
// again, though nothing new was written since.
func TestASyncOwesWhatAFailedOneLost(t *testing.T) {
	g := newRig(t, 1)
	e := g.entry("hd")
	g.must(e, 500)
	g.disk.FailSome(disktest.Sync, "", 1, syscall.EIO)
	is(t, g.sync(), syscall.EIO)
	g.disk.Full(10)
	is(t, g.sync(), syscall.ENOSPC)
	g.disk.Room(-1)
	ok(t, g.sync())
	g.disk.PowerCut(g.rng)
	g.open()
	if len(g.rec.Entries) != 1 {
		t.Errorf("%+v", g.rec.Entries)
	}
}

// Of two bodies of one segment the later counts: the earlier was stored again
// because nobody knows how much of it the disk has.
func TestTheBodyThatWasStoredAgainCounts(t *testing.T) {
	g := newRig(t, 1)
	e := g.entry("hd")
	g.must(e, 500)
	g.disk.FailSome(disktest.Sync, "", 1, syscall.EIO)
	is(t, g.sync(), syscall.EIO)
	ok(t, g.body(e.Key(), 500))
	ok(t, g.sync())
	g.disk.Kill(g.rng)
	g.open()
	if got := g.rec.Entries[0].Body.File; got != 2 {
		t.Errorf("its body is in file %d", got)
	}
}

// A disk that cannot be read costs what it does not give, and is not written to.
func TestAFileThatCannotBeReadIsNotCut(t *testing.T) {
	g := newRig(t, 1)
	g.must(g.entry("hd"), 9000)
	ok(t, g.sync())
	g.disk.Kill(g.rng)
	g.disk.Fail(disktest.Read, syscall.EIO)
	o := g.o
	o.FS = g.disk.FS()
	l, rec, err := Open(o)
	ok(t, err)
	if !rec.Missing || len(rec.Entries) != 0 || len(rec.Cut) == 0 || !strings.Contains(rec.Cut[0].Why, "input/output") {
		t.Errorf("%+v, %v", rec.Entries, rec.Cut)
	}
	ok(t, l.Announce(map[string][]byte{"other": []byte("v1")}, nil, nil))
	ok(t, l.Close())
	g.disk.Fail(disktest.Read, nil)
	g.open() // judges that all is there
	if g.rec.Missing || string(g.rec.State["other"]) != "v1" || len(g.rec.Entries) != 1 || g.rec.Entries[0].Body.IsZero() {
		t.Errorf("%+v", g.rec.Entries)
	}
}
