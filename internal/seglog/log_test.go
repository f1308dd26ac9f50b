package seglog

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"weir/internal/disk"
	"weir/internal/disk/disktest"
)

// must stores an entry and its body.
func (g *rig) must(e Entry, n int) {
	g.t.Helper()
	e.Promised = true
	ok(g.t, g.announce(e))
	ok(g.t, g.body(e.Key(), n))
}

func (g *rig) read(ref Ref) string {
	g.t.Helper()
	var b bytes.Buffer
	ok(g.t, g.log.ReadBody(ref, &b))
	return b.String()
}

// A log that was closed has all, says so, and goes on behind it.
func TestACleanCloseComesBackClean(t *testing.T) {
	g := newRig(t, 1)
	if !g.rec.Clean {
		t.Error("an empty directory is not clean")
	}
	want := Entry{
		Stream: "hd/öä", Number: math.MaxUint64, Date: noon, Duration: 4004 * time.Millisecond, Blob: "init",
		Meta: []byte{0, 1, 2}, Promised: true,
	}
	gap := Entry{Stream: "sd", Date: time.Time{}}
	ok(t, g.log.Announce(map[string][]byte{"a": []byte("1"), "b": []byte("2")}, []Entry{want, gap}, map[string][]byte{"init": []byte("moov")}))
	ref, err := g.log.Body(want.Stream, want.Number, 5, chunks([]byte("hello"), 2))
	ok(t, err)
	ok(t, g.log.Announce(map[string][]byte{"a": nil}, nil, nil))
	if got := g.read(ref); got != "hello" {
		t.Errorf("read %q", got)
	}
	ok(t, g.log.Close())
	is(t, g.log.Announce(nil, nil, nil), ErrClosed)
	is(t, g.log.ReadBody(ref, discard{}), ErrClosed)

	for range 3 { // a start that writes nothing changes nothing
		l, rec, err := Open(g.o)
		ok(t, err)
		want.Body = ref
		if !rec.Clean || len(rec.Entries) != 2 || fmt.Sprintf("%+v", rec.Entries) != fmt.Sprintf("%+v", []Entry{want, gap}) {
			t.Fatalf("clean %v: %+v, want %+v", rec.Clean, rec.Entries, want)
		}
		if len(rec.State) != 1 || string(rec.State["b"]) != "2" || string(rec.Blobs["init"]) != "moov" || len(rec.Cut) != 0 {
			t.Fatalf("%q %q %v", rec.State, rec.Blobs, rec.Cut)
		}
		ok(t, l.Close())
	}
	if n := len(g.names()); n != 1 {
		t.Error(n, "files")
	}
	if g.disk.Handles() != 0 {
		t.Error(g.disk.Handles(), "files are open")
	}
}

// A publisher's segment that came in half is a gap after a restart.
func TestABodyThatIsNotWholeIsNone(t *testing.T) {
	g := newRig(t, 1)
	e := g.entry("hd")
	e.Promised = true
	ok(t, g.announce(e))
	for _, n := range []int{4, 6} {
		_, err := g.log.Body("hd", e.Number, int64(n), chunks([]byte("hello"), 2))
		is(t, err, ErrShort)
	}
	_, err := g.log.Body("sd", e.Number, 5, chunks([]byte("hello"), 2))
	is(t, err, ErrNotAnnounced)
	ok(t, g.sync())
	// Killed at each byte of the write of the body.
	for n := int64(0); ; n++ {
		if n > 400 {
			t.Fatal("it never became whole")
		}
		g.disk.KillAfter(n)
		err := g.body(e.Key(), 50)
		g.disk.Kill(g.rng)
		g.open()
		g.settle()
		got := g.rec.Entries[len(g.rec.Entries)-1]
		if got.Key() != e.Key() || !got.Promised || err == nil && got.Body.IsZero() || n < 100 && !got.Body.IsZero() {
			t.Fatalf("killed after %d bytes (%v): %+v", n, err, got)
		}
		if err == nil {
			return
		}
		// The next life announces another: the first will never have its body.
		is(t, g.body(e.Key(), 50), ErrNotAnnounced)
		e = g.entry("hd")
		e.Promised = true
		ok(t, g.announce(e))
		ok(t, g.sync())
	}
}

// Files are cut by size and by media time; each can do without the older ones.
func TestEachFileStandsAlone(t *testing.T) {
	g := newRig(t, 1)
	g.o.FileBytes, g.o.FileAge = 5000, 30*time.Second
	g.open()
	for range 20 {
		e := g.entry("hd")
		e.Blob = "init-hd"
		g.blobs["init-hd"] = []byte("moov of hd")
		g.must(e, 400)
	}
	ok(t, g.sync())
	files := g.log.Files()
	if len(files) < 4 {
		t.Fatalf("%+v", files)
	}
	for i, f := range files {
		if f.Sealed != (i < len(files)-1) || f.Last.Sub(f.First) > 30*time.Second || f.Entries == 0 || f.Bytes > 9000 {
			t.Errorf("%+v", f)
		}
	}
	if err := g.log.Remove(files[1].ID); err == nil {
		t.Error("removed one that is not the oldest")
	}
	old := g.refs()[0]
	for _, f := range files[:len(files)-1] {
		ok(t, g.log.Remove(f.ID))
		g.removed[f.ID] = true
	}
	if err := g.log.Remove(files[len(files)-1].ID); err == nil {
		t.Error("removed the file that is written")
	}
	is(t, g.log.ReadBody(old, discard{}), ErrGone)
	g.disk.Kill(g.rng)
	g.open()
	if len(g.rec.State) == 0 || string(g.rec.Blobs["init-hd"]) != "moov of hd" || len(g.rec.Entries) != files[len(files)-1].Entries {
		t.Errorf("%q, %q, %d entries", g.rec.State, g.rec.Blobs, len(g.rec.Entries))
	}
}

// refs returns where the bodies are, as another reader sees it.
func (g *rig) refs() (out []Ref) {
	_, rec, err := Read(Options{FS: g.disk.FS(), Dir: g.o.Dir})
	ok(g.t, err)
	for _, e := range rec.Entries {
		if !e.Body.IsZero() {
			out = append(out, e.Body)
		}
	}
	return out
}

// A body that comes after its file was filled finds its announcement said again.
func TestALateBodyHasItsEntryInTheSameFile(t *testing.T) {
	g := newRig(t, 1)
	g.o.FileBytes = 1500
	g.open()
	late, never := g.entry("hd"), g.entry("hd")
	late.Promised, never.Promised = true, true
	ok(t, g.announce(late))
	ok(t, g.announce(never))
	g.must(g.entry("hd"), 1500)
	g.must(g.entry("hd"), 100) // a new file
	ok(t, g.body(late.Key(), 300))
	ok(t, g.log.Remove(1))
	g.must(g.entry("hd"), 1500)
	g.must(g.entry("hd"), 100) // and another
	is(t, g.body(never.Key(), 10), ErrNotAnnounced)
	ok(t, g.sync())
	g.removed[1] = true
	g.disk.Kill(g.rng)
	g.open()
	if e := g.rec.Entries[0]; e.Key() != late.Key() || e.Body.File != 2 {
		t.Errorf("%+v", e)
	}
}

// A finished programme becomes an asset of links, and outlives its channel's files.
func TestAnAssetIsMadeOfLinks(t *testing.T) {
	g := newRig(t, 1)
	for range 10 {
		g.must(g.entry("hd"), 6000)
	}
	var ids []uint64
	for _, f := range g.log.Files() {
		ids = append(ids, f.ID)
	}
	is(t, g.log.LinkTo("/data/vod/x", []uint64{99}), ErrGone)
	g.disk.FailSome(disktest.Link, "", 1, syscall.EMLINK)
	is(t, g.log.LinkTo("/data/vod/x", ids), syscall.EMLINK)
	_, err := g.disk.FS().ReadDir("/data/vod/x")
	is(t, err, fs.ErrNotExist)
	ok(t, g.log.LinkTo("/data/vod/x", ids))
	is(t, g.log.LinkTo("/data/vod/x", ids), fs.ErrExist)
	g.must(g.entry("hd"), 100) // the newest was sealed: a new one
	if files := g.log.Files(); len(files) != len(ids)+1 {
		t.Errorf("%+v", files)
	}
	for _, id := range ids {
		ok(t, g.log.Remove(id))
	}
	g.disk.PowerCut(g.rng)
	rd, rec, err := Read(Options{FS: g.disk.FS(), Dir: "/data/vod/x"})
	ok(t, err)
	if len(rec.Entries) != 10 || len(rec.Cut) != 0 || rec.Unverified+rec.Verified != 0 {
		t.Fatalf("%d entries, %v", len(rec.Entries), rec.Cut)
	}
	for _, e := range rec.Entries {
		g.reads(rd, e)
	}
	ok(t, rd.Close())
	if g.disk.Handles() != 0 {
		t.Error(g.disk.Handles(), "files are open")
	}
}

// What is not ours is not touched; what a newer build wrote is not guessed at.
func TestStrangersAreLeftAlone(t *testing.T) {
	g := newRig(t, 1)
	g.must(g.entry("hd"), 100)
	ok(t, g.log.Close())
	put := func(name, s string) {
		f, err := g.disk.FS().Create(filepath.Join(g.o.Dir, name))
		ok(t, err)
		_, err = f.Write([]byte(s))
		ok(t, errors.Join(err, f.Close()))
	}
	put("lock", "")
	put("7.weirlog", "seven")
	put(fileName(5), "")
	put(fileName(6), "what is this")
	put(fileName(1<<63), "beyond all ids")
	g.open()
	if len(g.rec.Cut) != 5 || len(g.rec.Entries) != 1 || !g.rec.Clean || len(g.log.Files()) != 1 {
		t.Errorf("%v, %+v", g.rec.Cut, g.log.Files())
	}
	g.must(g.entry("hd"), 100)
	if files := g.log.Files(); files[1].ID != 7 {
		t.Errorf("%+v", files)
	}
	ok(t, g.log.Close())
	if n := len(g.names()); n != 7 {
		t.Error(n, "files: one was taken away")
	}
	p := appendPreamble(nil, 1)
	p[7] = 2
	p = appendRecord(p[:preambleSize-4], header{}, nil)[:preambleSize-4]
	put(fileName(9), string(le32(p, sum(p))))
	_, _, err := Open(g.o)
	is(t, err, ErrVersion)
	if n := len(g.names()); n != 8 {
		t.Error(n, "files: one was taken away")
	}
}

func le32(p []byte, v uint32) []byte { return append(p, byte(v), byte(v>>8), byte(v>>16), byte(v>>24)) }

// Nothing is stored that could not be recovered.
func TestLimitsAreHeld(t *testing.T) {
	g := newRig(t, 1)
	big := make([]byte, MaxState+1)
	is(t, g.log.Announce(map[string][]byte{"a": big}, nil, nil), ErrTooLarge)
	ok(t, g.log.Announce(map[string][]byte{"a": big[:MaxState/2]}, nil, nil))
	is(t, g.log.Announce(map[string][]byte{"b": big[:MaxState/2]}, nil, nil), ErrTooLarge)
	ok(t, g.log.Announce(map[string][]byte{"a": []byte("1"), "b": big[:MaxState/2]}, nil, nil))
	is(t, g.log.Announce(nil, []Entry{{Meta: big[:MaxMeta+1]}}, nil), ErrTooLarge)
	is(t, g.log.Announce(nil, []Entry{{Stream: string(big[:MaxName+1])}}, nil), ErrTooLarge)
	is(t, g.log.Announce(nil, make([]Entry, 100_000), nil), ErrTooLarge)
	is(t, g.log.Announce(nil, []Entry{{Blob: "x"}}, map[string][]byte{"x": make([]byte, MaxBlob+1)}), ErrTooLarge)
	if err := g.log.Announce(nil, []Entry{{Blob: "x"}}, nil); err == nil {
		t.Error("an entry without its blob was taken")
	}
	for i := range MaxBlobs / MaxBlob {
		name := fmt.Sprint(i)
		err := g.log.Announce(nil, []Entry{{Stream: "s", Number: uint64(i), Blob: name}}, map[string][]byte{name: big[:MaxBlob]})
		if i < MaxBlobs/MaxBlob-1 {
			ok(t, err)
		} else {
			is(t, err, ErrTooLarge) // the names count too
		}
	}
	if err := g.log.Announce(nil, []Entry{{Blob: "1"}}, map[string][]byte{"1": []byte("other")}); err == nil {
		t.Error("a blob was changed")
	}
}

// Viewers read, from any file, while the log is written and its oldest files go.
func TestReadersDoNotDisturbTheWriter(t *testing.T) {
	g := newRig(t, 1)
	g.o.Handles = 2
	g.open()
	var mu sync.Mutex
	refs := map[Ref][]byte{}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				mu.Lock()
				var ref Ref
				var want []byte
				for ref, want = range refs {
					break
				}
				mu.Unlock()
				var b bytes.Buffer
				switch err := g.log.ReadBody(ref, &b); {
				case errors.Is(err, ErrGone):
				case err != nil:
					t.Error(err)
				case !bytes.Equal(b.Bytes(), want):
					t.Error("other bytes")
				}
				g.log.Files()
			}
		})
	}
	for range 300 {
		e := g.entry("hd")
		e.Promised = true
		ok(t, g.announce(e))
		p := g.bytes(1000 + g.rng.IntN(3000))
		ref, err := g.log.Body(e.Stream, e.Number, int64(len(p)), chunks(p, 700))
		ok(t, err)
		mu.Lock()
		refs[ref] = p
		mu.Unlock()
		if files := g.log.Files(); len(files) > 6 {
			ok(t, g.log.Remove(files[0].ID))
		}
	}
	close(stop)
	wg.Wait()
	ok(t, g.log.Close())
	if n := g.disk.Handles(); n != 0 {
		t.Error(n, "files are open")
	}
}

// Of more entries than there is room for the newest are recovered; of numbers
// that come twice, the first.
func TestRecoveryIsBounded(t *testing.T) {
	g := newRig(t, 1)
	for i := range uint64(100) {
		ok(t, g.log.Announce(nil, []Entry{{Stream: "hd", Number: i, Duration: 1}, {Stream: "hd", Number: i, Duration: 2}}, nil))
	}
	ok(t, g.log.Close())
	_, rec, err := Read(g.o)
	ok(t, err)
	if rec.Duplicates != 100 || len(rec.Entries) != 100 || rec.Entries[7].Duration != 1 {
		t.Errorf("%d duplicates, %d entries", rec.Duplicates, len(rec.Entries))
	}
	r, err := recoverBounded(g.o, 40)
	ok(t, err)
	got := r.finish().Entries
	if len(got) > 40 || len(got) < 35 || got[len(got)-1].Number != 99 || len(r.out.Cut) == 0 {
		t.Errorf("%d entries, %v", len(got), r.out.Cut)
	}
}

// An open log holds up nobody while the disk stalls, but the one who writes.
func TestAStalledDiskHoldsUpTheWriterOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, 1)
		g.must(g.entry("hd"), 1000)
		ref := g.refs()[0]
		g.disk.Stall()
		done := make(chan error)
		go func() { done <- g.log.Sync() }()
		synctest.Wait()
		if g.disk.Blocked(disktest.Sync) != 1 || len(g.read(ref)) != 1000 || len(g.log.Files()) != 1 {
			t.Error("a reader was held up, or the writer was not")
		}
		g.disk.Resume()
		ok(t, <-done)
	})
}

// The same on the file system that operators have.
func TestTheLogOnARealDisk(t *testing.T) {
	o := Options{FS: disk.OS(), Dir: filepath.Join(t.TempDir(), "live", "news"), FileBytes: 100_000}
	l, _, err := Open(o)
	ok(t, err)
	want := map[Key][]byte{}
	for i := range uint64(50) {
		e := Entry{Stream: "hd", Number: i, Date: noon, Blob: "init", Promised: true}
		ok(t, l.Announce(map[string][]byte{"n": fmt.Append(nil, i)}, []Entry{e}, map[string][]byte{"init": []byte("moov")}))
		p := bytes.Repeat([]byte{byte(i)}, 10_000)
		_, err := l.Body("hd", i, int64(len(p)), chunks(p, 4096))
		ok(t, err)
		want[e.Key()] = p
		ok(t, l.Sync())
	}
	asset := filepath.Join(filepath.Dir(filepath.Dir(o.Dir)), "vod", "x")
	ok(t, l.LinkTo(asset, []uint64{1, 2, 3, 4, 5, 6}[:len(l.Files())]))
	ok(t, l.Close())
	for _, dir := range []string{o.Dir, asset} {
		r, rec, err := Read(Options{FS: o.FS, Dir: dir})
		ok(t, err)
		if len(rec.Entries) != 50 || string(rec.State["n"]) != "49" || len(rec.Cut) != 0 {
			t.Fatalf("%s: %d entries, %q, %v", dir, len(rec.Entries), rec.State, rec.Cut)
		}
		for _, e := range rec.Entries {
			var b bytes.Buffer
			ok(t, r.ReadBody(e.Body, &b))
			if !bytes.Equal(b.Bytes(), want[e.Key()]) {
				t.Error("other bytes")
			}
		}
		ok(t, r.Close())
	}
}
