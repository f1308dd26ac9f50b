package web

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"testing/synctest"
)

// growing is a body whose end is not there yet; the test adds to p.
type growing struct {
	p     []byte
	total int64
	state State
	err   error
	wakes []func()
}

func (g *growing) Len() int64 { return g.total }
func (g *growing) View(off int64) ([]byte, State) {
	if off >= int64(len(g.p)) {
		return nil, g.state
	}
	return g.p[off:], g.state
}
func (g *growing) File(int64) (uintptr, int64, int64, bool) { return 7, 100, 50, true }
func (g *growing) Watch(off int64, wake func()) func() {
	if p, st := g.View(off); len(p) > 0 || st != Open {
		wake()
		return func() {}
	}
	g.wakes = append(g.wakes, wake)
	return func() {}
}
func (g *growing) Close()     {}
func (g *growing) Err() error { return g.err }

func TestASectionIsItsBytesOnly(t *testing.T) {
	s := Section(String("0123456789"), 2, 3)
	if p, st := s.View(0); string(p) != "234" || st != Complete || s.Len() != 3 {
		t.Errorf("%q %v %d", p, st, s.Len())
	}
	if p, st := s.View(1); string(p) != "34" || st != Complete {
		t.Errorf("%q %v", p, st)
	}
	if p, st := s.View(3); p != nil || st != Complete {
		t.Errorf("%q %v", p, st)
	}
	woken := false
	s.Watch(3, func() { woken = true })
	if !woken {
		t.Error("watching past the end of a section waits for ever")
	}
}

// A body that ends short of what a section promised must read as broken: a
// client that was promised 10 bytes takes 5 and an end for a whole answer.
func TestASectionOfAShortBodyIsAborted(t *testing.T) {
	s := Section(String("01234"), 2, 10)
	if p, st := s.View(0); string(p) != "234" || st == Complete {
		t.Errorf("%q %v", p, st)
	}
	if _, st := s.View(3); st != Aborted {
		t.Errorf("%v", st)
	}
	if _, err := ReadAll(context.Background(), s, 100); !errors.Is(err, ErrAborted) {
		t.Errorf("%v", err)
	}
}

func TestASectionOfAFileStaysInside(t *testing.T) {
	s := Section(&growing{total: 50, p: make([]byte, 50)}, 10, 5)
	if fd, pos, n, ok := s.File(2); fd != 7 || pos != 100 || n != 3 || !ok {
		t.Errorf("%d %d %d %v", fd, pos, n, ok)
	}
	if _, _, _, ok := s.File(5); ok {
		t.Error("a file past the end")
	}
}

func TestAwaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		start := time.Now()
		if _, _, err := Await(ctx, &growing{total: -1}, 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if d := time.Since(start); d != time.Second {
			t.Errorf("after %v", d)
		}
	})
}

func TestAnAbortedBodyIsNeverAWholeOne(t *testing.T) {
	why := errors.New("the encoder went away")
	g := &growing{total: -1, p: []byte("half"), state: Aborted, err: why}
	var got bytes.Buffer
	n, err := Copy(context.Background(), &got, g, 0)
	if n != 4 || got.String() != "half" || !errors.Is(err, ErrAborted) || !errors.Is(err, why) {
		t.Errorf("%d %q %v", n, got.String(), err)
	}
	if p, err := io.ReadAll(NewReader(context.Background(), g, 1)); string(p) != "alf" || !errors.Is(err, ErrAborted) {
		t.Errorf("%q %v", p, err)
	}
}

func TestReadAllHasALimit(t *testing.T) {
	if _, err := ReadAll(context.Background(), String("12345"), 4); !errors.Is(err, ErrTooLarge) {
		t.Error(err)
	}
	if p, err := ReadAll(context.Background(), String("12345"), 5); err != nil || string(p) != "12345" {
		t.Error(string(p), err)
	}
}

type drainer struct {
	growing
	drained int
}

func (d *drainer) Drain(_ context.Context, w io.Writer) (int64, error) {
	d.drained++
	return io.Copy(w, strings.NewReader("drained"))
}

func TestCopyDrainsWhatLiesInTheNetwork(t *testing.T) {
	d := &drainer{}
	var got bytes.Buffer
	if n, err := Copy(context.Background(), &got, d, 0); n != 7 || err != nil || d.drained != 1 || got.String() != "drained" {
		t.Error(n, err, got.String())
	}
}

// A viewer who asks for the end of a film that is too large to be kept must not
// make the node gather the whole film in memory: what lies in the network is
// drained past what he does not want, and no further than what he does.
func TestASectionOfWhatLiesInTheNetworkIsDrained(t *testing.T) {
	ctx := context.Background()
	f := func(off, n int64, want string, ok bool) {
		t.Helper()
		d := &drainer{}
		s, is := Section(d, off, n).(Drainer)
		if !is {
			t.Fatal("the section has to be gathered")
		}
		var got bytes.Buffer
		m, err := s.Drain(ctx, &got)
		if got.String() != want || m != int64(len(want)) || (err == nil) != ok || err != nil && !errors.Is(err, ErrAborted) {
			t.Errorf("%d bytes from %d: %d %q %v", n, off, m, got.String(), err)
		}
	}
	f(0, 7, "drained", true)
	f(0, 1, "d", true)
	f(2, 3, "ain", true)
	f(6, 1, "d", true)
	f(2, 9, "ained", false) // less came than was promised
	f(9, 2, "", false)

	d := &drainer{}
	var got bytes.Buffer
	if n, err := Copy(ctx, &got, d, 5); n != 2 || err != nil || d.drained != 1 || got.String() != "ed" {
		t.Error(n, err, got.String())
	}
	for _, b := range []Body{&drainer{}, String("drained")} {
		if _, err := Copy(ctx, &got, b, 8); !errors.Is(err, ErrAborted) {
			t.Errorf("a body that ends before its rest begins: %v", err)
		}
		if n, err := Copy(ctx, &got, b, 7); n != 0 || err != nil {
			t.Errorf("a body that ends where its rest begins: %d %v", n, err)
		}
	}
	refused := errors.New("no room")
	s := Section(&drainer{}, 1, 3).(Drainer)
	if _, err := s.Drain(ctx, writerFunc(func([]byte) (int, error) { return 0, refused })); !errors.Is(err, refused) {
		t.Errorf("what the taker says is lost: %v", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
