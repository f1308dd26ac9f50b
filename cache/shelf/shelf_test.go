package shelf

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"weir/internal/disk"
	"weir/internal/disk/disktest"
)

// thing is what tests put.
type thing struct {
	meta, body []byte
	piece      int // how much View gives at once; 0: all
	closed     *atomic.Int64
}

func (t *thing) Meta() []byte { return t.meta }
func (t *thing) View(off int64) []byte {
	p := t.body[off:]
	if t.piece > 0 {
		p = p[:min(len(p), t.piece)]
	}
	return p
}
func (t *thing) Close() {
	if t.closed != nil {
		t.closed.Add(1)
	}
}

// pattern returns n bytes that tell which key and version they belong to.
func pattern(key string, version, n int) []byte {
	p := make([]byte, n)
	rng := rand.NewChaCha8([32]byte(fmt.Appendf(nil, "%-32.32s", fmt.Sprint(version, key))))
	_, _ = rng.Read(p)
	return p
}

func item(key string, version, n int) Item {
	return Item{Key: key, Stamp: uint32(version), Len: int64(n), Wanted: true,
		Thing: &thing{meta: fmt.Append(nil, "v", version), body: pattern(key, version, n)}}
}

const megabyte = 1 << 20

func options(fsys disk.FS) Options {
	return Options{FS: fsys, Dir: "/cache", Max: 8 * megabyte, FileSize: megabyte}
}

func open(t testing.TB, o Options) *Shelf {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shut(t, s) })
	return s
}

func shut(t testing.TB, s *Shelf) {
	t.Helper()
	if err := s.Close(context.Background()); err != nil {
		t.Errorf("close: %v", err)
	}
}

// settle waits until all that is queued was dealt with. Only in a bubble.
func (s *Shelf) settle() { synctest.Wait() }

func anything([]byte) bool { return true }

// take reads what is under key.
func take(s *Shelf, key string, want func([]byte) bool) (meta string, body []byte, err error) {
	f, err := s.Get(context.Background(), key, want)
	if err != nil {
		return "", nil, err
	}
	defer f.Close()
	var b bytes.Buffer
	n, err := f.Drain(context.Background(), &b)
	if err == nil && (n != f.Len || int64(b.Len()) != n) {
		return "", nil, fmt.Errorf("%d bytes of %d, and no error", n, f.Len)
	}
	return string(f.Meta), b.Bytes(), err
}

// has expects a version under key; 0: nothing.
func has(t testing.TB, s *Shelf, key string, version, n int) {
	t.Helper()
	meta, body, err := take(s, key, anything)
	switch {
	case version == 0:
		if !errors.Is(err, ErrMiss) {
			t.Errorf("%s: %q, %d bytes, %v; want nothing", key, meta, len(body), err)
		}
	case err != nil || meta != fmt.Sprint("v", version) || !bytes.Equal(body, pattern(key, version, n)):
		t.Errorf("%s: %q, %d bytes, %v; want version %d of %d bytes", key, meta, len(body), err, version, n)
	}
}

func count(t testing.TB, s *Shelf, p put, want float64) {
	t.Helper()
	if got := testutil.ToFloat64(s.metrics.put[p]); got != want {
		t.Errorf("%v: %v things, want %v", p, got, want)
	}
}

func bubble(t *testing.T, f func(t *testing.T, d *disktest.Fake)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, disktest.NewFake()) })
}

// What was put is there again after a restart, and is what was put.
func TestWhatWasPutIsThereAfterARestart(t *testing.T) {
	sizes := []int{0, 1, blockSize - 1, blockSize, blockSize + 1, chunkSize, chunkSize + 1, 700 << 10}
	f := func(name string, end func(*testing.T, *Shelf, *disktest.Fake)) {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, d *disktest.Fake) {
				s, err := New(options(d.FS()))
				if err != nil {
					t.Fatal(err)
				}
				for i, n := range sizes {
					it := item(fmt.Sprint("/k", i), i+1, n)
					it.Thing.(*thing).piece = 5000 * (i % 3)
					if !s.Put(it) {
						t.Fatal("not taken")
					}
				}
				s.settle()
				for i, n := range sizes {
					has(t, s, fmt.Sprint("/k", i), i+1, n)
				}
				end(t, s, d)
				s = open(t, options(d.FS()))
				for i, n := range sizes {
					has(t, s, fmt.Sprint("/k", i), i+1, n)
				}
				has(t, s, "/other", 0, 0)
			})
		})
	}
	f("after an orderly end", func(t *testing.T, s *Shelf, _ *disktest.Fake) { shut(t, s) })
	f("after a crash", func(t *testing.T, s *Shelf, d *disktest.Fake) {
		d.Kill(rand.New(rand.NewPCG(1, 2)))
		_ = s.Close(context.Background())
	})
}

// A newer version takes the place of an older one, variants stand side by side,
// and a version that lies there is not written twice.
func TestVersionsAndVariants(t *testing.T) {
	bubble(t, func(t *testing.T, d *disktest.Fake) {
		s := open(t, options(d.FS()))
		s.Put(item("/a", 1, 1000))
		s.Put(item("/a", 1, 1000))
		s.settle()
		count(t, s, putNew, 1)
		count(t, s, putKept, 1)
		s.Put(item("/a", 2, 2000))
		other := item("/a", 7, 500)
		other.Sub = 9
		s.Put(other)
		s.settle()
		f := func() {
			t.Helper()
			for meta, n := range map[string]int{"v2": 2000, "v7": 500} {
				got, body, err := take(s, "/a", func(p []byte) bool { return string(p) == meta })
				if err != nil || got != meta || len(body) != n {
					t.Errorf("%s: %q, %d bytes, %v", meta, got, len(body), err)
				}
			}
			if _, _, err := take(s, "/a", func(p []byte) bool { return string(p) == "v1" }); !errors.Is(err, ErrMiss) {
				t.Errorf("the old version: %v", err)
			}
		}
		f()
		shut(t, s)
		s = open(t, options(d.FS()))
		f()
	})
}

// A 304 renews what is said of a thing; its body stays where it is.
func TestANewHeadDoesNotWriteTheBodyAgain(t *testing.T) {
	bubble(t, func(t *testing.T, d *disktest.Fake) {
		s := open(t, options(d.FS()))
		const n = 400 << 10
		s.Put(item("/a", 1, n))
		s.settle()
		f, err := s.Get(context.Background(), "/a", anything)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		before := s.Usage().Bytes
		renewed := Item{Key: "/a", Stamp: 2, Len: n, Wanted: true, At: f.At,
			Thing: &thing{meta: []byte("new head"), body: pattern("/a", 1, n)}}
		s.Put(renewed)
		s.settle()
		count(t, s, putHead, 1)
		if grew := s.Usage().Bytes - before; grew > 4<<10 {
			t.Errorf("%d bytes were written", grew)
		}
		check := func() {
			t.Helper()
			meta, body, err := take(s, "/a", anything)
			if err != nil || meta != "new head" || !bytes.Equal(body, pattern("/a", 1, n)) {
				t.Errorf("%q, %d bytes, %v", meta, len(body), err)
			}
		}
		check()
		shut(t, s)
		s = open(t, options(d.FS()))
		check()
	})
}

// A purge holds after a restart and after a crash, wherever the thing was.
func TestWhatWasRemovedStaysAway(t *testing.T) {
	bubble(t, func(t *testing.T, d *disktest.Fake) {
		s, err := New(options(d.FS()))
		if err != nil {
			t.Fatal(err)
		}
		s.Put(item("/written", 1, 1000))
		s.Put(item("/stays", 1, 1000))
		s.settle()
		d.Stall(disktest.Write)
		s.Put(item("/being written", 1, 1000))
		s.settle()
		s.Put(item("/queued", 1, 1000))
		for _, key := range []string{"/written", "/being written", "/queued", "/unknown"} {
			s.Remove(key)
		}
		d.Resume()
		s.settle()
		gone := func() {
			t.Helper()
			has(t, s, "/stays", 1, 1000)
			for _, key := range []string{"/written", "/being written", "/queued"} {
				has(t, s, key, 0, 0)
			}
		}
		gone()
		d.Kill(rand.New(rand.NewPCG(1, 2)))
		_ = s.Close(context.Background())
		s = open(t, options(d.FS()))
		gone()
		s.Put(item("/written", 3, 1000))
		s.settle()
		has(t, s, "/written", 3, 1000)
	})
}

// A disk that cannot be read is not taken for somebody else's directory.
func TestAFormatThatCannotBeRead(t *testing.T) {
	bubble(t, func(t *testing.T, d *disktest.Fake) {
		s, err := New(options(d.FS()))
		if err != nil {
			t.Fatal(err)
		}
		shut(t, s)
		broken := errors.New("broken")
		d.FailSome(disktest.Read, "FORMAT", 1, broken)
		if _, err := New(options(d.FS())); !errors.Is(err, broken) || errors.Is(err, ErrForeign) {
			t.Errorf("%v", err)
		}
		open(t, options(d.FS()))
	})
}

// A purge while the disk rests after an error is written down at the end.
func TestAPurgeWhileTheDiskRests(t *testing.T) {
	bubble(t, func(t *testing.T, d *disktest.Fake) {
		s, err := New(options(d.FS()))
		if err != nil {
			t.Fatal(err)
		}
		s.Put(item("/a", 1, 1000))
		s.settle()
		d.FailSome(disktest.Write, "", 1, errors.New("broken"))
		s.Put(item("/b", 1, 1000))
		s.settle()
		s.Remove("/a")
		s.settle()
		shut(t, s)
		s = open(t, options(d.FS()))
		has(t, s, "/a", 0, 0)
	})
}

// A purge reaches what is not found any more and still stands on the disk: a
// restart would bring it back.
func TestAPurgeReachesWhatWasForgotten(t *testing.T) {
	bubble(t, func(t *testing.T, d *disktest.Fake) {
		s, err := New(options(d.FS()))
		if err != nil {
			t.Fatal(err)
		}
		s.Put(item("/forgotten", 1, 1000))
		s.Put(item("/bad", 1, 1000))
		s.settle()
		s.Forget("/forgotten")
		d.FailSome(disktest.Read, "", 1, errors.New("broken"))
		if _, _, err := take(s, "/bad", anything); err == nil {
			t.Error("read from a broken disk")
		}
		d.Stall(disktest.Write)
		s.Put(item("/being written", 1, 1000))
		s.settle()
		s.Forget("/being written")
		d.Resume()
		s.settle()
		for _, key := range []string{"/forgotten", "/bad", "/being written"} {
			s.Remove(key)
		}
		s.settle()
		if n := len(s.index.forgotten); n != 0 {
			t.Errorf("%d are remembered", n)
		}
		shut(t, s)
		s = open(t, options(d.FS()))
		for _, key := range []string{"/forgotten", "/bad", "/being written"} {
			has(t, s, key, 0, 0)
		}
		s.Put(item("/forgotten", 2, 1000))
		s.settle()
		s.Forget("/forgotten")
		for i := range 40 { // until its file is gone
			s.Put(item(fmt.Sprint("/", i), 1, 900<<10))
			s.settle()
		}
		if n := len(s.index.forgotten); n != 0 {
			t.Errorf("%d of files that are gone are remembered", n)
		}
	})
}

// What is wanted once is not worth a write.
func TestWhatIsWantedOnceIsNotWritten(t *testing.T) {
	bubble(t, func(t *testing.T, d *disktest.Fake) {
		s := open(t, options(d.FS()))
		once := item("/a", 1, 1000)
		once.Wanted = false
		if s.Put(once) {
			t.Error("taken at first sight")
		}
		if !s.Put(once) {
			t.Error("not taken the second time")
		}
		s.settle()
		has(t, s, "/a", 1, 1000)
	})
}

// The files never take more than they may; the oldest goes, with what is in it,
// and what is put again in time stays.
func TestTheOldestFileGoes(t *testing.T) {
	bubble(t, func(t *testing.T, d *disktest.Fake) {
		o := options(d.FS())
		s := open(t, o)
		const n = 200 << 10
		for i := range 200 {
			s.Put(item(fmt.Sprint("/k", i), 1, n))
			s.Put(item("/hot", 1, n))
			s.settle()
			if u := s.Usage(); u.Bytes > o.Max {
				t.Fatalf("%d bytes of %d", u.Bytes, o.Max)
			}
			has(t, s, fmt.Sprint("/k", i), 1, n)
		}
		has(t, s, "/k0", 0, 0)
		has(t, s, "/hot", 1, n)
		if moved := testutil.ToFloat64(s.metrics.put[putNew]) - 200; moved < 3 || moved > 20 {
			t.Errorf("the hot one was written %v times", moved)
		}
		if n := d.Handles(); n > 12 {
			t.Errorf("%d files are open", n)
		}
		if s.Usage().Objects > 45 {
			t.Errorf("%d objects", s.Usage().Objects)
		}
	})
}

// A file that goes while it is read is read to its end.
func TestAReadOutlivesItsFile(t *testing.T) {
	bubble(t, func(t *testing.T, d *disktest.Fake) {
		s := open(t, options(d.FS()))
		const n = 900 << 10
		s.Put(item("/a", 1, n))
		s.settle()
		f, err := s.Get(context.Background(), "/a", anything)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 20 {
			s.Put(item(fmt.Sprint("/k", i), 1, n))
			s.settle()
		}
		var b bytes.Buffer
		if _, err := f.Drain(context.Background(), &b); err != nil || !bytes.Equal(b.Bytes(), pattern("/a", 1, n)) {
			t.Errorf("%d bytes, %v", b.Len(), err)
		}
		f.Close()
		has(t, s, "/a", 0, 0)
	})
}

// Two processes never share a directory, and what is not ours is not touched.
func TestADirectoryThatIsNotOurs(t *testing.T) {
	bubble(t, func(t *testing.T, d *disktest.Fake) {
		s := open(t, options(d.FS()))
		if _, err := New(options(d.FS())); !errors.Is(err, disk.ErrLocked) {
			t.Errorf("a second shelf: %v", err)
		}
		s.Put(item("/a", 1, 1000))
		s.settle()
		shut(t, s)
		if err := d.Edit("/cache/"+formatFile, func([]byte) []byte { return []byte(marker + "0\n") }); err != nil {
			t.Fatal(err)
		}
		s = open(t, options(d.FS()))
		if u := s.Usage(); u.Objects != 0 || u.Files != 0 {
			t.Errorf("another form: %+v", u)
		}
		foreign := d.FS()
		if err := foreign.MkdirAll("/letters"); err != nil {
			t.Fatal(err)
		}
		if _, err := foreign.Create("/letters/one.txt"); err != nil {
			t.Fatal(err)
		}
		o := options(d.FS())
		o.Dir = "/letters"
		if _, err := New(o); !errors.Is(err, ErrForeign) {
			t.Errorf("another's directory: %v", err)
		}
	})
}

// On the real file system nobody else can read what is kept.
func TestFilesArePrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	s := open(t, Options{FS: disk.Private(), Dir: dir, Max: 8 * megabyte})
	s.Put(item("/a", 1, 1000))
	for s.Usage().Objects == 0 {
		time.Sleep(time.Millisecond)
	}
	private(t, dir)
	has(t, s, "/a", 1, 1000)
}

// A thing larger than the queue is written too, as long as it is alone.
func TestOneThingMayAlwaysWait(t *testing.T) {
	bubble(t, func(t *testing.T, d *disktest.Fake) {
		o := options(d.FS())
		o.QueueBytes = 1000
		s := open(t, o)
		if !s.Put(item("/large", 1, 5000)) || s.Put(item("/next", 1, 5000)) {
			t.Error("one of two is to be taken")
		}
		s.settle()
		has(t, s, "/large", 1, 5000)
		if !s.Await(context.Background(), 5000) {
			t.Error("the queue is empty")
		}
	})
}
