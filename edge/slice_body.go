package edge

import (
	"context"
	"io"
	"sync"
	"time"

	"weir/cache"
	"weir/internal/web"
)

// slicedBody is the part of an object in slices that a viewer wants: n bytes
// from off on. It is a [web.Sectioner]: of what a viewer reads at his own pace
// only the slice under way, and the next, are held for him.
type slicedBody struct {
	e      *Edge
	of     *object
	off, n int64

	first *askedSlice // asked for already, by prime; nil: not
	mu    sync.Mutex  // guards views
	views map[int64]*viewedSlice
}

// Len implements [web.Body].
func (b *slicedBody) Len() int64 { return b.n }

// File implements [web.Body].
func (b *slicedBody) File(int64) (fd uintptr, pos, n int64, ok bool) { return 0, 0, 0, false }

// Section implements [web.Sectioner].
func (b *slicedBody) Section(off, n int64) web.Body {
	return &slicedBody{e: b.e, of: b.of, off: b.off + off, n: n}
}

// Close implements [web.Body].
func (b *slicedBody) Close() {
	if b.first != nil {
		b.first.drop()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, v := range b.views {
		v.drop()
	}
}

// prime waits until it is known that the body can begin, while an error can
// still be an answer.
func (b *slicedBody) prime(ctx context.Context) error {
	if b.n == 0 {
		return nil
	}
	a := b.ask(b.off)
	err := a.wait(ctx)
	if err != nil {
		a.drop()
		return err
	}
	b.first = a
	return nil
}

// maxSliceTries is how often in a row a slice is asked for that does not come,
// with pauses longer than the cache remembers a failure.
const (
	maxSliceTries  = 5
	sliceTryPeriod = time.Second
)

// Drain implements [web.Drainer].
func (b *slicedBody) Drain(ctx context.Context, w io.Writer) (int64, error) {
	sink := &sinkWriter{w: w}
	next := b.first
	b.first = nil
	defer func() {
		if next != nil {
			next.drop()
		}
	}()
	done, try := int64(0), 0
	for done < b.n {
		if next == nil {
			next = b.ask(b.off + done)
		}
		now := next
		next = nil
		n, err := b.send(ctx, sink, now, done, func(at int64) { next = b.ask(at) })
		done += n
		switch {
		case err == nil:
			try = 0
			continue
		case ctx.Err() != nil || sink.err != nil:
			return done, err
		case ofVersion(err):
			b.e.outdated(b.of, err)
			return done, err
		case n > 0:
			try = 0
		}
		if try++; try > maxSliceTries {
			return done, err
		}
		if next != nil {
			next.drop()
			next = nil
		}
		if err := pause(ctx, sliceTryPeriod); err != nil {
			return done, err
		}
	}
	return done, nil
}

// send writes what the slice a has of the body from offset done on, or a piece
// of it. Half way it calls ahead with where the next slice begins, if that is
// wanted too: who reads on finds it there, who stops reading has not had it
// fetched.
func (b *slicedBody) send(ctx context.Context, w io.Writer, a *askedSlice, done int64, ahead func(at int64)) (int64, error) {
	defer a.drop()
	if err := a.wait(ctx); err != nil {
		return 0, err
	}
	at := b.off + done
	n := min(a.part.last+1-at, b.n-done)
	body := a.body()
	if _, ok := body.(web.Drainer); !ok { // else it passes through, and nothing is held
		hold := n
		if done+n < b.n {
			hold += b.e.opts.Slice // the next
		}
		defer b.e.held.Add(-hold)
		if b.e.held.Add(hold) > b.e.opts.SliceHeld {
			return b.sendPiece(ctx, w, a, body, at-a.part.first, n)
		}
	}
	body = web.Section(body, at-a.part.first, n)
	defer body.Close()
	if done+n == b.n {
		return web.Copy(ctx, w, body, 0)
	}
	half := &halfway{w: w, left: n / 2, reached: func() { ahead(at + n) }}
	return web.Copy(ctx, half, body, 0)
}

// pieces of slices are copied into these.
var pieces = sync.Pool{New: func() any { return new([64 << 10]byte) }}

// sendPiece writes what is there of the n bytes of a slice from off on, at most
// one piece, and holds nothing of the slice while the viewer takes his time.
func (b *slicedBody) sendPiece(ctx context.Context, w io.Writer, a *askedSlice, body web.Body, off, n int64) (int64, error) {
	buf := pieces.Get().(*[64 << 10]byte)
	defer pieces.Put(buf)
	p, st, err := web.Await(ctx, body, off)
	copied := copy(buf[:min(n, int64(len(buf)))], p)
	if err == nil && copied == 0 {
		if err = web.AbortReason(body); st == web.Complete {
			err = web.ErrAborted // shorter than a slice is
		}
	}
	body.Close()
	a.drop()
	if err != nil {
		return 0, err
	}
	written, err := w.Write(buf[:copied])
	return int64(written), err
}

// halfway calls reached once, before the byte behind the first left ones is written.
type halfway struct {
	w       io.Writer
	left    int64
	reached func()
}

// Write implements [io.Writer].
func (h *halfway) Write(p []byte) (int, error) {
	if h.reached != nil && int64(len(p)) > h.left {
		n, err := h.w.Write(p[:h.left])
		if err != nil {
			return n, err
		}
		h.reached()
		h.reached = nil
		m, err := h.w.Write(p[n:])
		return n + m, err
	}
	h.left -= int64(len(p))
	return h.w.Write(p)
}

// An askedSlice is a slice that the cache was asked for.
type askedSlice struct {
	part   part
	ready  chan struct{} // closed when got or err is set
	cancel func()

	mu      sync.Mutex // guards the rest until ready is closed
	got     *cache.Object
	err     error
	dropped bool
}

// ask asks for the slice that the object's byte at is in.
func (b *slicedBody) ask(at int64) *askedSlice {
	a := &askedSlice{part: b.of.part(at, b.e.opts.Slice), ready: make(chan struct{})}
	cq, f := b.e.sliceFill(b.of, a.part)
	a.cancel = b.e.cache.Ask(cq, f.runSlice, func(o *cache.Object, _ cache.Outcome, err error) {
		a.mu.Lock()
		late := a.dropped
		if !late {
			a.got, a.err = o, err
		}
		a.mu.Unlock()
		close(a.ready)
		if late && o != nil {
			o.Release()
		}
	})
	return a
}

// wait waits for the head of the slice. Its body may still be arriving.
func (a *askedSlice) wait(ctx context.Context) error {
	select {
	case <-a.ready:
		return a.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// body returns the bytes of a slice that was waited for, once; the caller
// closes it.
func (a *askedSlice) body() web.Body { return a.got.Response(time.Now()).Body }

// drop says that the slice is not wanted any more. It may be called twice.
func (a *askedSlice) drop() {
	a.mu.Lock()
	dropped, got := a.dropped, a.got
	a.dropped = true
	a.mu.Unlock()
	if dropped {
		return
	}
	a.cancel()
	if got != nil {
		got.Release()
	}
}
