package disktest

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"syscall"
	"testing"
	"testing/synctest"
)

func rng(seed int) *rand.Rand { return rand.New(rand.NewPCG(uint64(seed), 1)) }

func fresh(t *testing.T) *Fake {
	d := NewFake()
	ok(t, d.FS().MkdirAll("/d"))
	return d
}

func read(t *testing.T, d *Fake, name string) string {
	t.Helper()
	f, err := d.FS().Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "none"
	}
	ok(t, err)
	defer f.Close()
	p := make([]byte, must(f.Size())(t))
	_, _ = f.ReadAt(p, 0)
	return string(p)
}

// A power cut keeps what was synced, and over many of them loses all else that
// a program might have counted on.
func TestAPowerCutForgetsWhatWasNotSynced(t *testing.T) {
	seen := map[string]int{}
	big := bytes.Repeat([]byte("x"), 3*page)
	for seed := range 300 {
		d := fresh(t)
		v := d.FS()
		f := must(v.Create("/d/kept"))(t)
		write(t, f, "durable")
		ok(t, f.Sync())
		ok(t, v.SyncDir("/d"))
		write(t, f, string(big))
		g := must(v.Create("/d/unnamed"))(t)
		write(t, g, "synced")
		ok(t, g.Sync())
		ok(t, v.Rename("/d/unnamed", "/d/renamed"))
		d.PowerCut(rng(seed))

		if _, err := f.Write([]byte("x")); !errors.Is(err, ErrDead) {
			t.Fatal("an old handle wrote:", err)
		}
		if _, err := v.Open("/d/kept"); !errors.Is(err, ErrDead) {
			t.Fatal("an old process read:", err)
		}
		got := read(t, d, "/d/kept")
		if len(got) < 7 || got[:7] != "durable" {
			t.Fatalf("seed %d: synced bytes are %.10q", seed, got)
		}
		switch rest := got[7:]; {
		case rest == "":
			seen["nothing more"]++
		case rest == string(big[:len(rest)]):
			seen["a part"]++
		default:
			seen["holes"]++
		}
		for _, name := range []string{"unnamed", "renamed"} {
			switch s := read(t, d, "/d/"+name); s {
			case "none":
				seen["no "+name]++
			case "synced":
				seen[name]++
			default:
				t.Fatalf("seed %d: %s holds %q", seed, name, s)
			}
		}
	}
	for _, want := range []string{"a part", "holes", "no unnamed", "unnamed", "no renamed", "renamed"} {
		if seen[want] == 0 {
			t.Errorf("never seen: %s (%v)", want, seen)
		}
	}
}

// A truncation that was not synced may come undone; one that was does not.
func TestATruncationIsDurableAfterASync(t *testing.T) {
	seen := map[string]bool{}
	for seed := range 200 {
		d := fresh(t)
		put(t, d.FS(), "/d/a", "0123456789")
		ok(t, d.FS().SyncDir("/d"))
		f := must(d.FS().Append("/d/a"))(t)
		ok(t, f.Truncate(4))
		if seed%2 == 0 {
			ok(t, f.Sync())
		}
		write(t, f, "new")
		d.PowerCut(rng(seed))
		got := read(t, d, "/d/a")
		if got[:4] != "0123" || seed%2 == 0 && len(got) > 7 {
			t.Fatalf("seed %d: %q", seed, got)
		}
		seen[got] = true
	}
	if !seen["0123456789"] || !seen["0123new"] {
		t.Errorf("never seen: undone and done (%v)", seen)
	}
}

// When a process is killed the page cache stays, and a write in flight is cut.
func TestAKillCutsTheWriteInFlight(t *testing.T) {
	lens := map[int]bool{}
	for seed := range 50 {
		synctest.Test(t, func(t *testing.T) {
			d := fresh(t)
			f := must(d.FS().Create("/d/a"))(t)
			write(t, f, "whole.")
			d.Stall()
			done := make(chan error)
			go func() {
				_, err := f.Write([]byte("in flight"))
				done <- err
			}()
			synctest.Wait()
			if d.Blocked(Write) != 1 {
				t.Error(d.Blocked(Write), "writes are blocked")
			}
			d.Kill(rng(seed))
			got := read(t, d, "/d/a") // at once: nothing arrives later
			if err := <-done; !errors.Is(err, ErrDead) {
				t.Error(err)
			}
			if got != read(t, d, "/d/a") || got != "whole.in flight"[:len(got)] || len(got) < 6 {
				t.Errorf("left %q", got)
			}
			lens[len(got)] = true
		})
	}
	if len(lens) < 5 {
		t.Error("cut always at the same bytes:", lens)
	}
}

// The process can be made to die at any byte.
func TestAFuseCutsAtTheByte(t *testing.T) {
	d := fresh(t)
	f := must(d.FS().Create("/d/a"))(t)
	d.KillAfter(8)
	write(t, f, "01234")
	if n, err := f.Write([]byte("56789")); n != 3 || !errors.Is(err, ErrDead) {
		t.Error(n, err)
	}
	is(t, d.FS().Remove("/d/a"), ErrDead)
	d.Kill(rng(1))
	if got := read(t, d, "/d/a"); got != "01234567" {
		t.Errorf("%q", got)
	}
}

// A stalled disk holds up what changes it, and nothing that reads.
func TestAStalledDiskBlocksUntilItResumes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := fresh(t)
		v := d.FS()
		put(t, v, "/d/a", "there")
		f := must(v.Append("/d/a"))(t)
		d.Stall()
		done := make(chan error, 3)
		go func() { done <- f.Sync() }()
		go func() { _, err := f.Write([]byte("!")); done <- err }()
		go func() { _, err := v.Create("/d/b"); done <- err }()
		synctest.Wait()
		if d.Blocked(Sync) != 1 || d.Blocked(Write) != 1 || d.Blocked(Create) != 1 || len(done) != 0 {
			t.Error("not blocked")
		}
		content(t, v, "/d/a", "there")
		d.Resume()
		for range 3 {
			ok(t, <-done)
		}
		content(t, v, "/d/a", "there!")
		if d.Blocked(Sync) != 0 || d.Calls(Create) != 2 {
			t.Error(d.Blocked(Sync), d.Calls(Create))
		}
	})
}

// A full disk takes what fits, and more once something was removed.
func TestAFullDiskTakesWhatFits(t *testing.T) {
	d := fresh(t)
	put(t, d.FS(), "/d/old", "12345678")
	f := must(d.FS().Create("/d/a"))(t)
	d.Full(3)
	n, err := f.Write([]byte("hello"))
	is(t, err, syscall.ENOSPC)
	if n != 3 {
		t.Error(n)
	}
	ok(t, d.FS().Remove("/d/old"))
	write(t, f, "lo")
	if n := must(d.FS().Free("/d"))(t); n != 6 {
		t.Error(n, "bytes free")
	}
	d.Room(-1)
	write(t, f, " world, at last")
}

// What a failed Sync dropped is gone after a power cut, whatever the next one says.
func TestAFailedSyncIsNotRepaired(t *testing.T) {
	d := fresh(t)
	f := must(d.FS().Create("/d/a"))(t)
	ok(t, d.FS().SyncDir("/d"))
	write(t, f, "good")
	ok(t, f.Sync())
	write(t, f, "lost")
	d.FailSome(Sync, "/a", 1, syscall.EIO)
	is(t, f.Sync(), syscall.EIO)
	write(t, f, "more")
	ok(t, f.Sync())
	holds(t, f, "goodlostmore")
	d.PowerCut(rng(1))
	if got := read(t, d, "/d/a"); got != "good\x00\x00\x00\x00more" {
		t.Errorf("%q", got)
	}
}

// Chosen calls fail as chosen.
func TestChosenCallsFail(t *testing.T) {
	d := fresh(t)
	put(t, d.FS(), "/d/a", "x")
	boom := errors.New("boom")
	d.Fail(Read, boom)
	f := must(d.FS().Open("/d/a"))(t)
	_, err := f.ReadAt(make([]byte, 1), 0)
	is(t, err, boom)
	d.Fail(Read, nil)
	content(t, d.FS(), "/d/a", "x")
	d.FailSome(Create, "b", 1, boom)
	put(t, d.FS(), "/d/c", "x")
	_, err = d.FS().Create("/d/b")
	is(t, err, boom)
	put(t, d.FS(), "/d/b", "x")
	d.Fail(Write, boom)
	g := must(d.FS().Append("/d/b"))(t)
	if n, err := g.Write([]byte("1234")); n != 2 || !errors.Is(err, boom) {
		t.Error(n, err)
	}
	ok(t, errors.Join(f.Close(), g.Close()))
	if d.Handles() != 0 {
		t.Error(d.Handles(), "files are open")
	}
}

// A rename from one directory into another is durable when either is synced, and whole.
func TestARenameIsWhole(t *testing.T) {
	for seed := range 40 {
		d := fresh(t)
		ok(t, d.FS().MkdirAll("/e"))
		put(t, d.FS(), "/d/a", "x")
		ok(t, d.FS().SyncDir("/d"))
		ok(t, d.FS().Rename("/d/a", "/e/b"))
		if seed%2 == 0 {
			ok(t, d.FS().SyncDir([]string{"/d", "/e"}[seed/2%2]))
		}
		d.PowerCut(rng(seed))
		a, b := read(t, d, "/d/a"), read(t, d, "/e/b")
		if (a == "x") == (b == "x") || seed%2 == 0 && b != "x" {
			t.Fatalf("seed %d: %q, %q", seed, a, b)
		}
	}
}
