package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"weir/internal/spool"
	"weir/internal/web"
)

// A clientBody is an answer's body, still in the network. Drain moves it on
// without keeping it; the first View or Watch makes a pump gather it in memory
// for as many followers as there are.
type clientBody struct {
	c      *Client
	in     *http.Response
	start  time.Time
	cancel context.CancelCauseFunc
	length int64 // announced; -1: none

	mu     sync.Mutex
	buf    *spool.Buffer // guarded by mu until set; nil: nobody follows
	used   bool          // guarded by mu; Drain or the pump has it
	closed bool          // guarded by mu
	closer sync.Once
	fate   string // why the transfer failed; "": it did not. Written by the one who reads
}

// Len implements [web.Body].
func (b *clientBody) Len() int64 {
	if buf := b.peek(); buf != nil {
		return buf.Len()
	}
	return b.length
}

func (b *clientBody) peek() *spool.Buffer {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf
}

// View implements [web.Body].
func (b *clientBody) View(off int64) ([]byte, web.State) { return b.follow().View(off) }

// Watch implements [web.Body].
func (b *clientBody) Watch(off int64, wake func()) (stop func()) { return b.follow().Watch(off, wake) }

// File implements [web.Body].
func (b *clientBody) File(int64) (fd uintptr, pos, n int64, ok bool) { return 0, 0, 0, false }

// Err returns why the body was aborted.
func (b *clientBody) Err() error {
	if buf := b.peek(); buf != nil {
		return buf.Err()
	}
	return nil
}

// follow returns the buffer that the body is gathered in.
func (b *clientBody) follow() *spool.Buffer {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.buf != nil {
		return b.buf
	}
	if b.used || b.closed {
		panic("BUG: wire: a body was followed after Drain or Close")
	}
	b.used = true
	var w *spool.Writer
	w, b.buf = b.c.opts.Slab.New(max(b.length, 0))
	if b.length >= 0 {
		w.SetLen(b.length)
	}
	go b.pump(w)
	return b.buf
}

// pump ends with the transfer, which Close ends.
func (b *clientBody) pump(w *spool.Writer) {
	src := b.source()
	_, err := w.ReadFrom(src)
	src.end()
	if err != nil {
		w.Abort(err)
	} else if err := w.Complete(); err != nil {
		b.c.log.Debug("upstream body", "err", err)
	}
	b.finish()
}

// Drain implements [web.Drainer].
func (b *clientBody) Drain(ctx context.Context, w io.Writer) (int64, error) {
	b.mu.Lock()
	if b.used || b.closed {
		b.mu.Unlock()
		panic("BUG: wire: Drain of a body in use")
	}
	b.used = true
	b.mu.Unlock()
	stop := context.AfterFunc(ctx, func() { b.cancel(context.Cause(ctx)) })
	defer stop()
	src := b.source()
	defer src.end()
	n, err := io.Copy(w, src)
	if err == nil && b.length >= 0 && n != b.length {
		err = errors.Join(web.ErrAborted, fmt.Errorf("%d bytes of %d", n, b.length))
	}
	return n, err
}

// Close implements [web.Body]. Whatever has not come yet does not come any
// more, and the connection is given up unless all had come.
func (b *clientBody) Close() {
	b.closer.Do(func() {
		b.mu.Lock()
		b.closed = true
		buf, used := b.buf, b.used
		if !used && b.length != 0 {
			b.fate = "cancelled"
		}
		b.mu.Unlock()
		if !used && b.short() {
			go b.skip() // ends within skipTime
			return
		}
		if buf != nil { // the pump finishes, now at the latest
			b.cancel(errClosed)
			buf.Close()
			return
		}
		b.finish()
	})
}

// discard closes a body that nobody was given. Fate is what the request counts as.
func (b *clientBody) discard(fate string) {
	b.used, b.fate = true, fate
	b.Close()
}

// A body that nobody wants and that is short, as those of errors are, is read
// to its end for the sake of its connection, if it comes at once.
const (
	skipBytes = 16 << 10
	skipTime  = 200 * time.Millisecond
)

func (b *clientBody) short() bool {
	return b.length > 0 && b.length <= skipBytes || b.length < 0 && b.in.StatusCode >= 300
}

func (b *clientBody) skip() {
	late := time.AfterFunc(skipTime, func() { b.cancel(errClosed) })
	_, _ = io.CopyN(io.Discard, b.in.Body, skipBytes+1) // whatever ends it, finish does what is right
	late.Stop()
	b.finish()
}

// finish gives the connection back, or up, and closes the account.
func (b *clientBody) finish() {
	_ = b.in.Body.Close() // before cancel: a body read to its end leaves its connection usable
	b.cancel(errClosed)
	b.c.done()
	b.c.acc.count(b.fate, b.start)
}

// source returns the reader of the transfer. It is used by one goroutine.
func (b *clientBody) source() *source {
	s := &source{b: b, left: b.c.opts.MaxBody}
	s.stall = time.AfterFunc(b.c.opts.StallTimeout, func() { b.cancel(errStalled) })
	return s
}

// A source reads the body off the network. Only a whole one ends with io.EOF;
// any other end is [web.ErrAborted]. Time counts as stalled only while a read
// waits, not while the bytes are passed on.
type source struct {
	b     *clientBody
	left  int64
	stall *time.Timer
}

// Read implements [io.Reader].
func (s *source) Read(p []byte) (int, error) {
	s.stall.Reset(s.b.c.opts.StallTimeout)
	n, err := s.b.in.Body.Read(p)
	s.stall.Stop()
	s.b.c.acc.bytes.Add(float64(n))
	if s.left -= int64(n); s.left < 0 {
		err = errBodyLimit
		n += int(s.left)
	}
	if err == nil || err == io.EOF {
		return n, err
	}
	return n, s.b.aborted(err)
}

func (s *source) end() { s.stall.Stop() }

// aborted says why the transfer ended early.
func (b *clientBody) aborted(err error) error {
	cause := context.Cause(b.in.Request.Context())
	if cause != nil && err != errBodyLimit {
		err = cause
	}
	switch {
	case errors.Is(err, errClosed) || cause != nil && !errors.Is(err, errStalled) && err != errBodyLimit:
		b.fate = "cancelled"
	case errors.Is(err, errStalled):
		b.fate = "upstream_timeout"
		err = b.c.upstream(http.StatusGatewayTimeout, b.fate,
			fmt.Sprintf("did not go on with its answer for %v", b.c.opts.StallTimeout), err)
	case err == errBodyLimit:
		b.fate = "upstream_bad"
		err = b.c.upstream(http.StatusBadGateway, b.fate,
			fmt.Sprintf("answers with more than %d bytes", b.c.opts.MaxBody), err)
	default:
		b.fate = "upstream_cut"
		err = b.c.upstream(http.StatusBadGateway, b.fate, "broke off its answer", err)
	}
	return errors.Join(web.ErrAborted, err)
}

// headBody is the body of an answer to HEAD: a length and no bytes.
type headBody int64

func (b headBody) Len() int64                                   { return int64(b) }
func (headBody) View(int64) ([]byte, web.State)                 { return nil, web.Aborted }
func (headBody) File(int64) (fd uintptr, pos, n int64, ok bool) { return 0, 0, 0, false }
func (headBody) Watch(_ int64, wake func()) (stop func())       { wake(); return func() {} }
func (headBody) Close()                                         {}
