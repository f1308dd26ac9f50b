package disktest

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"testing"

	"weir/internal/disk"
)

// Run holds a file system to what package disk says of it. start returns it and
// an empty directory in it.
func Run(t *testing.T, start func(t *testing.T) (disk.FS, string)) {
	for name, test := range map[string]func(*testing.T, disk.FS, string){
		"AFileGrowsAtItsEnd":                grows,
		"ANewFileReplacesNothing":           replacesNothing,
		"AHoleReadsAsZeros":                 hole,
		"AFileThatIsOpenOutlivesItsName":    outlives,
		"ALinkIsTheSameFile":                linked,
		"ARenameReplacesAFile":              renamed,
		"DirectoriesAreMadeListedRemoved":   directories,
		"ALockIsHeldByOne":                  locked,
		"WhatIsNotThereIsSaidToBeNotThere":  notThere,
		"AFileOpenedToReadIsNotWritten":     readOnly,
		"AClosedFileSaysSo":                 closed,
		"TheDiskTellsItsRoom":               room,
		"AnAppendSeesTheEndThatOthersWrote": shared,
	} {
		t.Run(name, func(t *testing.T) {
			fsys, dir := start(t)
			test(t, fsys, dir)
		})
	}
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func is(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got %v, want %v", err, want)
	}
}

func write(t *testing.T, f disk.File, s string) {
	t.Helper()
	if n, err := f.Write([]byte(s)); n != len(s) || err != nil {
		t.Fatal(n, err)
	}
}

func put(t *testing.T, fsys disk.FS, name, s string) {
	t.Helper()
	f := must(fsys.Create(name))(t)
	write(t, f, s)
	ok(t, f.Sync())
	ok(t, f.Close())
}

func content(t *testing.T, fsys disk.FS, name, want string) {
	t.Helper()
	f := must(fsys.Open(name))(t)
	holds(t, f, want)
	ok(t, f.Close())
}

func holds(t *testing.T, f disk.File, want string) {
	t.Helper()
	if n := must(f.Size())(t); n != int64(len(want)) {
		t.Fatalf("%d bytes, want %d", n, len(want))
	}
	got, err := io.ReadAll(io.NewSectionReader(f, 0, int64(len(want))))
	if err != nil || string(got) != want {
		t.Fatalf("%.40q, %v, want %.40q", got, err, want)
	}
}

func grows(t *testing.T, fsys disk.FS, dir string) {
	name := filepath.Join(dir, "a")
	f := must(fsys.Create(name))(t)
	write(t, f, "hello ")
	write(t, f, "world")
	holds(t, f, "hello world")
	ok(t, f.Truncate(5))
	write(t, f, "!") // at the new end, not where the old one was
	holds(t, f, "hello!")
	ok(t, f.Sync())
	ok(t, f.Close())
	g := must(fsys.Append(name))(t)
	write(t, g, "?")
	holds(t, g, "hello!?")
	p := make([]byte, 9)
	if n, err := g.ReadAt(p, 4); n != 3 || err != io.EOF || string(p[:n]) != "o!?" {
		t.Fatal(n, err)
	}
	if n, err := g.ReadAt(p, 100); n != 0 || err != io.EOF {
		t.Fatal(n, err)
	}
	ok(t, g.Close())
}

func replacesNothing(t *testing.T, fsys disk.FS, dir string) {
	name := filepath.Join(dir, "a")
	put(t, fsys, name, "old")
	_, err := fsys.Create(name)
	is(t, err, fs.ErrExist)
	content(t, fsys, name, "old")
}

func hole(t *testing.T, fsys disk.FS, dir string) {
	f := must(fsys.Create(filepath.Join(dir, "a")))(t)
	write(t, f, "a")
	ok(t, f.Truncate(10_000))
	write(t, f, "b")
	holds(t, f, "a"+string(make([]byte, 9_999))+"b")
	ok(t, f.Close())
}

func outlives(t *testing.T, fsys disk.FS, dir string) {
	name := filepath.Join(dir, "a")
	put(t, fsys, name, "still here")
	f := must(fsys.Open(name))(t)
	ok(t, fsys.Remove(name))
	holds(t, f, "still here")
	ok(t, f.Close())
	_, err := fsys.Open(name)
	is(t, err, fs.ErrNotExist)
}

func linked(t *testing.T, fsys disk.FS, dir string) {
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	put(t, fsys, a, "one")
	ok(t, fsys.Link(a, b))
	is(t, fsys.Link(a, b), fs.ErrExist)
	f := must(fsys.Append(a))(t)
	write(t, f, " two")
	ok(t, f.Close())
	ok(t, fsys.Remove(a))
	content(t, fsys, b, "one two")
	is(t, fsys.Link(a, filepath.Join(dir, "c")), fs.ErrNotExist)
}

func renamed(t *testing.T, fsys disk.FS, dir string) {
	a, b, sub := filepath.Join(dir, "a"), filepath.Join(dir, "b"), filepath.Join(dir, "sub")
	put(t, fsys, a, "new")
	put(t, fsys, b, "old")
	ok(t, fsys.Rename(a, b))
	content(t, fsys, b, "new")
	_, err := fsys.Open(a)
	is(t, err, fs.ErrNotExist)
	ok(t, fsys.MkdirAll(sub))
	ok(t, fsys.Rename(b, filepath.Join(sub, "c")))
	content(t, fsys, filepath.Join(sub, "c"), "new")
	ok(t, fsys.Rename(sub, filepath.Join(dir, "sub2")))
	content(t, fsys, filepath.Join(dir, "sub2", "c"), "new")
	ok(t, fsys.MkdirAll(sub))
	is(t, fsys.Rename(filepath.Join(dir, "sub2"), sub), fs.ErrExist)
}

func directories(t *testing.T, fsys disk.FS, dir string) {
	deep := filepath.Join(dir, "x", "y", "z")
	ok(t, fsys.MkdirAll(deep))
	ok(t, fsys.MkdirAll(deep))
	put(t, fsys, filepath.Join(dir, "x", "f"), "four")
	got := must(fsys.ReadDir(filepath.Join(dir, "x")))(t)
	if len(got) != 2 || got[0] != (disk.Info{Name: "f", Size: 4}) || got[1].Name != "y" || !got[1].Dir {
		t.Fatalf("%+v", got)
	}
	ok(t, fsys.SyncDir(filepath.Join(dir, "x")))
	if err := fsys.RemoveDir(filepath.Join(dir, "x")); err == nil {
		t.Fatal("removed a directory with a file in it")
	}
	if err := fsys.Remove(deep); err == nil {
		t.Fatal("removed a directory as if it were a file")
	}
	if err := fsys.RemoveDir(filepath.Join(dir, "x", "f")); err == nil {
		t.Fatal("removed a file as if it were a directory")
	}
	ok(t, fsys.RemoveDir(deep))
	if err := fsys.MkdirAll(filepath.Join(dir, "x", "f", "g")); err == nil {
		t.Fatal("made a directory in a file")
	}
}

func locked(t *testing.T, fsys disk.FS, dir string) {
	name := filepath.Join(dir, "lock")
	unlock := must(fsys.Lock(name))(t)
	_, err := fsys.Lock(name)
	is(t, err, disk.ErrLocked)
	ok(t, unlock())
	ok(t, must(fsys.Lock(name))(t)())
}

func notThere(t *testing.T, fsys disk.FS, dir string) {
	name := filepath.Join(dir, "none", "a")
	_, err := fsys.Open(name)
	is(t, err, fs.ErrNotExist)
	_, err = fsys.Append(name)
	is(t, err, fs.ErrNotExist)
	_, err = fsys.Create(name)
	is(t, err, fs.ErrNotExist)
	_, err = fsys.ReadDir(name)
	is(t, err, fs.ErrNotExist)
	_, err = fsys.Free(name)
	is(t, err, fs.ErrNotExist)
	_, err = fsys.Lock(name)
	is(t, err, fs.ErrNotExist)
	is(t, fsys.Remove(name), fs.ErrNotExist)
	is(t, fsys.RemoveDir(name), fs.ErrNotExist)
	is(t, fsys.Rename(name, filepath.Join(dir, "b")), fs.ErrNotExist)
	is(t, fsys.SyncDir(name), fs.ErrNotExist)
}

func readOnly(t *testing.T, fsys disk.FS, dir string) {
	name := filepath.Join(dir, "a")
	put(t, fsys, name, "as it was")
	f := must(fsys.Open(name))(t)
	if _, err := f.Write([]byte("x")); err == nil {
		t.Fatal("wrote")
	}
	if err := f.Truncate(0); err == nil {
		t.Fatal("cut")
	}
	holds(t, f, "as it was")
	ok(t, f.Close())
}

func closed(t *testing.T, fsys disk.FS, dir string) {
	f := must(fsys.Create(filepath.Join(dir, "a")))(t)
	ok(t, f.Close())
	_, err := f.Write([]byte("x"))
	is(t, err, fs.ErrClosed)
	_, err = f.ReadAt(make([]byte, 1), 0)
	is(t, err, fs.ErrClosed)
	is(t, f.Sync(), fs.ErrClosed)
	is(t, f.Close(), fs.ErrClosed)
}

func room(t *testing.T, fsys disk.FS, dir string) {
	if n := must(fsys.Free(dir))(t); n == 0 || n < -1 {
		t.Fatal(n, "bytes free")
	}
}

func shared(t *testing.T, fsys disk.FS, dir string) {
	name := filepath.Join(dir, "a")
	f := must(fsys.Create(name))(t)
	g := must(fsys.Append(name))(t)
	r := must(fsys.Open(name))(t)
	var want bytes.Buffer
	for _, s := range []string{"one", "two", "three"} {
		write(t, f, s)
		write(t, g, s)
		want.WriteString(s + s)
		holds(t, r, want.String())
	}
	ok(t, errors.Join(f.Close(), g.Close(), r.Close()))
}
