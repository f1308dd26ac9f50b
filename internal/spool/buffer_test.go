package spool

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/iotest"

	"weir/internal/web"
)

func pattern(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i*7 + i>>8)
	}
	return p
}

// Many viewers that follow a segment while it is uploaded all get its bytes,
// whatever sizes it arrives in, and its memory is given back at the end.
func TestManyFollowOneWriter(t *testing.T) {
	s := NewSlab(SlabOptions{Poison: true})
	want := pattern(3 << 20)
	for _, hint := range []int64{0, 100, int64(len(want))} {
		w, b := s.New(hint)
		var wg sync.WaitGroup
		for i := range 16 {
			if !b.TryRef() {
				t.Fatal("no reference on an open buffer")
			}
			wg.Go(func() {
				defer b.Close()
				off := int64(i * 1000)
				got, err := io.ReadAll(web.NewReader(t.Context(), b, off))
				if err != nil || !bytes.Equal(got, want[off:]) {
					t.Errorf("follower %d: %d bytes, %v", i, len(got), err)
				}
			})
		}
		for p := want; len(p) > 0; {
			n := min(len(p), 1+rand.IntN(100_000))
			if _, err := w.Write(p[:n]); err != nil {
				t.Fatal(err)
			}
			p = p[n:]
		}
		if err := w.Complete(); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		b.Close()
		if b.TryRef() {
			t.Error("a reference was had after the last one went")
		}
		if n := s.InUse(); n != 0 {
			t.Errorf("hint %d: %d bytes still in use", hint, n)
		}
	}
}

// Bytes that were stored but not released are seen by nobody.
func TestNothingIsSeenBeforeItsRelease(t *testing.T) {
	w, b := NewSlab(SlabOptions{}).New(0)
	w.Append([]byte("hello world"))
	if p, st := b.View(0); len(p) != 0 || st != web.Open {
		t.Fatalf("saw %q, %v", p, st)
	}
	woken := 0
	b.Watch(3, func() { woken++ })
	w.Release(3)
	if p, _ := b.View(0); string(p) != "hel" {
		t.Errorf("saw %q", p)
	}
	if woken != 0 {
		t.Error("woken without a byte at its offset")
	}
	w.Release(5)
	if p, _ := b.View(3); string(p) != "lo" || woken != 1 {
		t.Errorf("saw %q, woken %d times", p, woken)
	}
	_ = w.Complete()
	if p, st := b.View(5); string(p) != " world" || st != web.Complete {
		t.Errorf("saw %q, %v", p, st)
	}
	if p, st := b.View(11); len(p) != 0 || st != web.Complete {
		t.Errorf("saw %q, %v at the end", p, st)
	}
}

// An upload that was cut is never taken for a whole one, by any reader.
func TestAbortedIsNeverComplete(t *testing.T) {
	w, b := NewSlab(SlabOptions{}).New(0)
	_, _ = w.Write([]byte("half"))
	boom := errors.New("connection reset")
	w.Abort(boom)
	got, err := io.ReadAll(web.NewReader(t.Context(), b, 0))
	if string(got) != "half" || !errors.Is(err, web.ErrAborted) || !errors.Is(err, boom) {
		t.Errorf("read %q, %v", got, err)
	}
	if b.State() != web.Aborted {
		t.Error("state is", b.State())
	}
	if err := w.Complete(); err == nil {
		t.Error("completed after an abort")
	}
	if _, err := w.Write([]byte("x")); err == nil {
		t.Error("wrote after an abort")
	}
}

// A body shorter or longer than its Content-Length is aborted, not served.
func TestAnnouncedLengthIsHeld(t *testing.T) {
	for _, n := range []int{4, 6} {
		w, b := NewSlab(SlabOptions{}).New(5)
		w.SetLen(5)
		_, _ = w.Write(make([]byte, n))
		if err := w.Complete(); !errors.Is(err, ErrLength) || b.State() != web.Aborted {
			t.Errorf("%d bytes of 5: %v, %v", n, err, b.State())
		}
	}
}

// A payload of announced length that comes from a reader lies in one piece.
func TestReadFromFillsOnePiece(t *testing.T) {
	s := NewSlab(SlabOptions{Poison: true})
	want := pattern(700_000)
	for _, r := range []io.Reader{bytes.NewReader(want), iotest.DataErrReader(bytes.NewReader(want)), iotest.OneByteReader(bytes.NewReader(want))} {
		w, b := s.New(int64(len(want)))
		w.SetLen(int64(len(want)))
		if n, err := w.ReadFrom(r); n != int64(len(want)) || err != nil {
			t.Fatal(n, err)
		}
		if err := w.Complete(); err != nil {
			t.Fatal(err)
		}
		if p, st := b.View(0); !bytes.Equal(p, want) || st != web.Complete {
			t.Errorf("one view has %d bytes, %v", len(p), st)
		}
		if c := b.Cost(); c > int64(len(want))*5/4 {
			t.Errorf("%d bytes cost %d", len(want), c)
		}
		b.Close()
	}
	if s.InUse() != 0 {
		t.Error("memory left in use:", s.InUse())
	}
}

// A viewer who leaves takes its watch along, in any order, without harm to others.
func TestWatchersComeAndGo(t *testing.T) {
	w, b := NewSlab(SlabOptions{}).New(0)
	var woken [100]int
	var stops [100]func()
	for i := range stops {
		stops[i] = b.Watch(int64(i), func() { woken[i]++ })
	}
	for _, i := range []int{99, 0, 50, 51, 0} {
		stops[i]()
	}
	_, _ = w.Write(make([]byte, 60))
	stops[70]()
	w.Abort(io.ErrUnexpectedEOF)
	for i, n := range woken {
		want := 1
		switch i {
		case 0, 50, 51, 70, 99:
			want = 0
		}
		if n != want {
			t.Errorf("watcher %d woken %d times, want %d", i, n, want)
		}
	}
}

func TestClassesFit(t *testing.T) {
	for n := 1; n < maxPooled+100; n += 1 + n/97 {
		c, size := class(n)
		if size < n || n > minChunk && size > n*5/4+1 || c > classes {
			t.Fatalf("class(%d) = %d, %d", n, c, size)
		}
		if c2, s2 := class(size); n <= maxPooled && (c2 != c || s2 != size) {
			t.Fatalf("class(%d) = %d, %d but class of its size is %d, %d", n, c, size, c2, s2)
		}
	}
}

func BenchmarkView(b *testing.B) {
	buf := NewSlab(SlabOptions{}).NewBuffer(make([]byte, 2048))
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if p, st := buf.View(0); len(p) != 2048 || st != web.Complete {
				b.Fatal("wrong view")
			}
		}
	})
}
