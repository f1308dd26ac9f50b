package shelf

import (
	"context"
	"encoding/binary"
	"errors"
	"testing"
	"testing/synctest"

	"weir/internal/disk/disktest"
)

// written returns the bytes of a file with three things, a new head and a
// removal in it, done or as it is while it is written.
func written(t testing.TB, done bool) (file []byte) {
	d := disktest.NewFake()
	s, err := New(options(d.FS()))
	if err != nil {
		t.Fatal(err)
	}
	s.Put(item("/a", 1, 1000))
	s.Put(item("/b", 2, 100_000))
	s.Put(item("/c", 3, 0))
	s.Put(item("/gone", 4, 10))
	for s.Usage().Queued > 0 || s.Usage().Objects < 4 {
	}
	f, err := s.Get(context.Background(), "/a", anything)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	s.Put(Item{Key: "/a", Stamp: 9, Len: 1000, Wanted: true, At: f.At, Thing: &thing{meta: []byte("v9"), body: pattern("/a", 1, 1000)}})
	s.Remove("/gone")
	if done {
		shut(t, s)
	} else {
		for s.Usage().Queued > 0 {
		}
		d.Kill(nil)
		_ = s.Close(context.Background())
	}
	_ = d.Edit("/cache/0000000001.shelf", func(p []byte) []byte { file = p; return p })
	return file
}

// check opens a shelf over a file, and wants of each thing what was put or nothing.
func check(t *testing.T, file []byte) (found int) {
	synctest.Test(t, func(t *testing.T) {
		d := disktest.NewFake()
		s := open(t, options(d.FS()))
		shut(t, s)
		fsys := d.FS()
		f, err := fsys.Create("/cache/0000000001.shelf")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = f.Write(file)
		_ = f.Close()
		s = open(t, options(fsys))
		for key, want := range map[string]struct {
			metas   [2]string
			version int
			n       int
		}{"/a": {[2]string{"v1", "v9"}, 1, 1000}, "/b": {[2]string{"v2"}, 2, 100_000}, "/c": {[2]string{"v3"}, 3, 0}, "/gone": {[2]string{"v4"}, 4, 10}} {
			meta, body, err := take(s, key, anything)
			switch {
			case errors.Is(err, ErrMiss), errors.Is(err, ErrBad):
			case err != nil:
				t.Errorf("%s: %v", key, err)
			case meta != want.metas[0] && meta != want.metas[1], string(body) != string(pattern(key, want.version, want.n)):
				t.Errorf("%s: %q and %d bytes were never put", key, meta, len(body))
			default:
				found++
			}
		}
		s.Put(item("/new", 5, 5000)) // it can be gone on with
		s.settle()
		has(t, s, "/new", 5, 5000)
	})
	return found
}

// A disk may give back anything: opening never panics, and no wrong byte is
// ever given out.
func FuzzOpen(f *testing.F) {
	for _, done := range []bool{true, false} {
		file := written(f, done)
		f.Add(file)
		f.Add(file[:len(file)/2])
		f.Add(file[:len(file)-10])
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, file []byte) {
		if len(file) > megabyte {
			t.Skip("long")
		}
		check(t, file)
	})
}

// Each byte of a file may be wrong, and each length may be what is left of it.
func TestAnyByteMayBeWrong(t *testing.T) {
	for _, done := range []bool{true, false} {
		file := written(t, done)
		if n := check(t, file); n != 3 {
			t.Fatalf("done %v: %d things are found in the whole file, want 3", done, n)
		}
		at := func(i int) {
			t.Helper()
			bad := append([]byte(nil), file...)
			bad[i] ^= 1 << (i % 8)
			check(t, bad)
		}
		step := 1
		for i := 0; i < len(file); i += step { // bodies have one rule for all their bytes
			if step = 1; i > 1500 && i < len(file)-500 {
				step = 1999
			}
			at(i)
		}
		for n := 0; n < len(file); n += max(1, len(file)/150) {
			check(t, file[:n])
		}
	}
}

// A footer that lies within its checksum cannot make a body of other bytes.
func TestALyingFooterFindsNothing(t *testing.T) {
	file := written(t, true)
	records := append([]byte(nil), file...)
	off := int(binary.LittleEndian.Uint32(file[len(file)-12:]))
	if binary.LittleEndian.Uint64(file[len(file)-trailerSize:]) != footerMagic {
		t.Fatal("no footer")
	}
	for i := off; i < len(records)-trailerSize; i++ {
		lie := append([]byte(nil), file...)
		lie[i] ^= 0x41
		foot := lie[off : len(lie)-4]
		binary.LittleEndian.PutUint32(lie[len(lie)-4:], sum(foot))
		check(t, lie)
	}
}
