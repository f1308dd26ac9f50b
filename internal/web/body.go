package web

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
)

// State says how far a [Body] is.
type State uint8

// The states of a Body. Complete and Aborted are final.
const (
	Open     State = iota // more may come
	Complete              // all of it is there
	Aborted               // it ended before its end: never to be taken for complete
)

func (s State) String() string { return [...]string{"open", "complete", "aborted"}[s] }

// ErrAborted says that a body ended before its end.
var ErrAborted = errors.New("body aborted before its end")

// A Body is a payload that may still be growing. Many readers may share one;
// all methods are safe for concurrent use.
type Body interface {
	// Len returns the length in bytes of the whole payload, or -1 while it is
	// not known. It may be known before all the bytes are there.
	Len() int64

	// View returns bytes from offset off on, without a copy: as many as lie in
	// one piece, at least one unless there is none at off (yet). They are valid
	// until Close and must not be changed. Where there are none the state says
	// why: Open means watch, Complete means off is the end, Aborted means that
	// the rest never comes. With bytes, the state is that of the whole Body.
	View(off int64) ([]byte, State)

	// File returns the open file that holds the bytes from off on: n of them at
	// position pos, for sendfile. ok is false where there is no such file.
	File(off int64) (fd uintptr, pos, n int64, ok bool)

	// Watch calls wake once, as soon as View(off) would return bytes or a final
	// state: at once, from within Watch, if it would already. Wake must not
	// block nor call back into the Body. Stop withdraws the call; a wake under
	// way may still arrive afterwards.
	Watch(off int64, wake func()) (stop func())

	// Close gives the caller's hold on the bytes back. It is called exactly
	// once for each Body received: after the last byte left, or when the
	// receiver died.
	Close()
}

// A Drainer is a Body that has not been taken in yet: its bytes still lie in
// the network. Drain moves all of them to w, front to back, and keeps none,
// where View and Watch would first gather them in memory. It returns how many
// bytes w got; the error is nil only if that was the whole payload. After
// Drain only Close may be called, and before it neither View nor Watch.
type Drainer interface {
	Body
	Drain(ctx context.Context, w io.Writer) (n int64, err error)
}

// Bytes returns a complete Body of b, which must not change any more.
func Bytes(b []byte) Body { return bytesBody(b) }

// String returns a complete Body of s.
func String(s string) Body { return bytesBody(s) }

type bytesBody []byte

func (b bytesBody) Len() int64 { return int64(len(b)) }
func (b bytesBody) View(off int64) ([]byte, State) {
	if off >= int64(len(b)) {
		return nil, Complete
	}
	return b[off:], Complete
}
func (b bytesBody) File(int64) (uintptr, int64, int64, bool) { return 0, 0, 0, false }
func (b bytesBody) Watch(_ int64, wake func()) (stop func()) { wake(); return func() {} }
func (b bytesBody) Close()                                   {}
func (b bytesBody) WriteTo(w io.Writer) (int64, error)       { n, err := w.Write(b); return int64(n), err }

// Await is View that waits: it returns once there are bytes at off, or a final
// state, or ctx is done.
func Await(ctx context.Context, b Body, off int64) ([]byte, State, error) {
	for {
		p, st := b.View(off)
		if len(p) > 0 || st != Open {
			return p, st, nil
		}
		ready := make(chan struct{})
		stop := b.Watch(off, func() { close(ready) })
		select {
		case <-ready:
		case <-ctx.Done():
			stop()
			return nil, Open, context.Cause(ctx)
		}
	}
}

// Copy writes b from off on to w as the bytes arrive, and returns how many it
// wrote. The error is nil only if the whole rest was written: an aborted body
// is [ErrAborted], wrapped in what the body knows of the reason. It does not
// close b.
func Copy(ctx context.Context, w io.Writer, b Body, off int64) (int64, error) {
	if d, ok := b.(Drainer); ok {
		if off == 0 {
			return d.Drain(ctx, w)
		}
		cut := &cutter{w: w, skip: off, left: math.MaxInt64}
		_, err := d.Drain(ctx, cut)
		return cut.done, err
	}
	start := off
	for {
		p, st, err := Await(ctx, b, off)
		if err != nil {
			return off - start, err
		}
		if len(p) == 0 {
			if st == Aborted {
				return off - start, AbortReason(b)
			}
			return off - start, nil
		}
		n, err := w.Write(p)
		off += int64(n)
		if err != nil {
			return off - start, err
		}
	}
}

// AbortReason returns why b was aborted, as an error that is [ErrAborted].
func AbortReason(b Body) error {
	if e, ok := b.(interface{ Err() error }); ok {
		if err := e.Err(); err != nil {
			return errors.Join(ErrAborted, err)
		}
	}
	return ErrAborted
}

// ErrTooLarge says that a payload has more bytes than its reader allows.
var ErrTooLarge = errors.New("payload too large")

// ReadAll waits for the end of b and returns a copy of all its bytes, at most
// limit; more is [ErrTooLarge]. It does not close b.
func ReadAll(ctx context.Context, b Body, limit int64) ([]byte, error) {
	var buf bytes.Buffer
	_, err := Copy(ctx, &limitWriter{&buf, limit}, b, 0)
	return buf.Bytes(), err
}

type limitWriter struct {
	w    io.Writer
	left int64
}

func (l *limitWriter) Write(p []byte) (int, error) {
	if int64(len(p)) > l.left {
		return 0, ErrTooLarge
	}
	l.left -= int64(len(p))
	return l.w.Write(p)
}

// Section returns the Body of the n bytes of b that start at off. It takes b
// over: closing the section closes b. The section's length is n even while b
// still grows; if b turns out shorter the section is aborted. That of a
// [Drainer] is one too: what comes before it is read and thrown away, what
// comes after it is not read.
func Section(b Body, off, n int64) Body {
	if d, ok := b.(Drainer); ok {
		return &drainedSection{section{b, off, n}, d}
	}
	return &section{b, off, n}
}

type section struct {
	b      Body
	off, n int64
}

func (s *section) Len() int64 { return s.n }

func (s *section) View(off int64) ([]byte, State) {
	left := s.n - off
	if left <= 0 {
		return nil, Complete
	}
	p, st := s.b.View(s.off + off)
	switch {
	case int64(len(p)) >= left:
		return p[:left], Complete
	case len(p) == 0 && st == Complete:
		return nil, Aborted // b ended short of what the section promised
	case st == Complete && len(p) > 0:
		return p, Open // the rest lies in another piece
	}
	return p, st
}

func (s *section) File(off int64) (fd uintptr, pos, n int64, ok bool) {
	if off >= s.n {
		return 0, 0, 0, false
	}
	fd, pos, n, ok = s.b.File(s.off + off)
	return fd, pos, min(n, s.n-off), ok
}

func (s *section) Watch(off int64, wake func()) (stop func()) {
	if off >= s.n {
		wake()
		return func() {}
	}
	return s.b.Watch(s.off+off, wake)
}

func (s *section) Close()     { s.b.Close() }
func (s *section) Err() error { return AbortReason(s.b) }

type drainedSection struct {
	section
	from Drainer
}

// Drain implements [Drainer].
func (s *drainedSection) Drain(ctx context.Context, w io.Writer) (int64, error) {
	cut := &cutter{w: w, skip: s.off, left: s.n}
	_, err := s.from.Drain(ctx, cut)
	switch {
	case cut.left == 0:
		return s.n, nil
	case err == nil:
		err = ErrAborted // it ended short of what the section promised
	}
	return cut.done, err
}

// cutter writes on what comes after skip bytes, and no more than left.
type cutter struct {
	w                io.Writer
	skip, left, done int64
}

var errPastEnd = errors.New("past the end of the section")

func (c *cutter) Write(p []byte) (int, error) {
	skipped := min(c.skip, int64(len(p)))
	c.skip -= skipped
	want := p[skipped:]
	want = want[:min(int64(len(want)), c.left)]
	if len(want) > 0 {
		n, err := c.w.Write(want)
		c.left -= int64(n)
		c.done += int64(n)
		if err != nil {
			return int(skipped) + n, err
		}
	}
	if c.left == 0 {
		return int(skipped) + len(want), errPastEnd // the rest need not come
	}
	return len(p), nil
}
