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

// A Sectioner is a Drainer that can begin anywhere: Section returns the Body of
// the n bytes that start at off, which lives on its own and brings nothing else
// in. Both are to be closed.
type Sectioner interface {
	Drainer
	Section(off, n int64) Body
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
// is [ErrAborted], wrapped in what the body knows of the reason, and so is one
// that ends before off. It does not close b.
func Copy(ctx context.Context, w io.Writer, b Body, off int64) (int64, error) {
	if d, ok := b.(Drainer); ok {
		if off == 0 {
			return d.Drain(ctx, w)
		}
		if s, ok := b.(Sectioner); ok && off <= b.Len() {
			rest := s.Section(off, b.Len()-off)
			defer rest.Close()
			return Copy(ctx, w, rest, 0)
		}
		cut := &cutter{w: w, skip: off, left: math.MaxInt64}
		_, err := d.Drain(ctx, cut)
		if err == nil && cut.skip > 0 {
			err = ErrAborted
		}
		return cut.done, err
	}
	start := off
	for {
		p, st, err := Await(ctx, b, off)
		if err != nil {
			return off - start, err
		}
		if len(p) == 0 {
			if st == Complete && off == start && off > 0 {
				if p, _ := b.View(off - 1); len(p) == 0 {
					st = Aborted // it ended before off
				}
			}
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
