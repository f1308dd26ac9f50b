package edge

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"sync"

	"weir/edge/schedule"
	"weir/internal/web"
)

// maxReading bounds the bytes of all playlists that are being read at once. What
// would be more is passed on unread.
const maxReading = 64 << 20

// whole reads an answer's body, if it is no longer than a playlist may be, and
// closes it. If it is, it returns no bytes, and the answer with all of its body.
func (a *Aware) whole(ctx context.Context, resp *web.Response) ([]byte, *web.Response, error) {
	if resp.Body.Len() > schedule.MaxBytes {
		return nil, resp, nil
	}
	buf := &gathered{a: a}
	if d, ok := resp.Body.(web.Drainer); ok {
		return a.drained(ctx, resp, d, buf)
	}
	defer buf.giveBack()
	_, err := web.Copy(ctx, buf, resp.Body, 0)
	if errors.Is(err, errTooLong) {
		return nil, resp, nil // it can be read again
	}
	resp.Body.Close()
	if err != nil {
		return nil, nil, err
	}
	return buf.p, resp, nil
}

var errTooLong = errors.New("longer than a playlist may be")

// gathered is what was read of a body.
type gathered struct {
	a     *Aware
	p     []byte
	taken int64 // of Aware.reading
}

func (g *gathered) Write(p []byte) (int, error) {
	if len(g.p)+len(p) > schedule.MaxBytes {
		return 0, errTooLong
	}
	if more := int64(len(g.p)+len(p)) - g.taken; more > 0 {
		more = max(more, min(g.taken, 256<<10))
		if g.a.reading.Add(more) > maxReading {
			g.a.reading.Add(-more)
			return 0, errTooLong
		}
		g.taken += more
	}
	g.p = append(g.p, p...)
	return len(p), nil
}

func (g *gathered) giveBack() {
	g.a.reading.Add(-g.taken)
	g.taken = 0
}

// drained is whole for a body that can be read once, from front to back. If it
// turns out too long the reading pauses until somebody wants the rest.
func (a *Aware) drained(ctx context.Context, resp *web.Response, d web.Drainer, buf *gathered) ([]byte, *web.Response, error) {
	t := &tooLong{Drainer: d, buf: buf, full: make(chan struct{}), sink: make(chan sink, 1), done: make(chan struct{})}
	t.ctx, t.cancel = context.WithCancelCause(ctx)
	go func() {
		defer close(t.done)
		_, t.err = d.Drain(t.ctx, t)
	}()
	select {
	case <-t.full:
		resp.Body = t
		return nil, resp, nil
	case <-t.done:
	}
	select {
	case <-t.full: // it ended while it was full: cut
		resp.Body = t
		return nil, resp, nil
	default:
	}
	t.Close()
	if t.err != nil {
		return nil, nil, t.err
	}
	return buf.p, resp, nil
}

// tooLong is a body of which the beginning was read, and the rest is to come.
type tooLong struct {
	web.Drainer
	ctx    context.Context // of the reading
	cancel context.CancelCauseFunc
	buf    *gathered
	once   sync.Once
	full   chan struct{} // closed when buf took all it may
	sink   chan sink     // where the rest goes
	done   chan struct{} // closed when the reading has ended
	err    error         // of the reading; read after done

	to *sink // used by the reading alone
}

type sink struct {
	w io.Writer
	n int64
}

// Write implements [io.Writer] for the reading.
func (t *tooLong) Write(p []byte) (int, error) {
	if t.to == nil {
		if n, err := t.buf.Write(p); err == nil {
			return n, nil
		}
		close(t.full)
		select {
		case s := <-t.sink:
			t.to = &s
		case <-t.ctx.Done():
			return 0, context.Cause(t.ctx)
		}
		if err := t.to.write(t.buf.p); err != nil {
			return 0, err
		}
		t.buf.giveBack()
		t.buf.p = nil
	}
	if err := t.to.write(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (s *sink) write(p []byte) error {
	n, err := s.w.Write(p)
	s.n += int64(n)
	return err
}

// Drain implements [web.Drainer]: it lets the reading go on into w.
func (t *tooLong) Drain(ctx context.Context, w io.Writer) (int64, error) {
	t.sink <- sink{w: w}
	stop := context.AfterFunc(ctx, func() { t.cancel(context.Cause(ctx)) })
	defer stop()
	<-t.done
	if t.to == nil {
		return 0, t.err
	}
	return t.to.n, t.err
}

// Err returns why the body was aborted, if it says.
func (t *tooLong) Err() error { return web.AbortReason(t.Drainer) }

// Close implements [web.Body]: the reading ends.
func (t *tooLong) Close() {
	t.once.Do(func() {
		t.cancel(web.ErrAborted)
		<-t.done
		t.buf.giveBack()
		t.Drainer.Close()
	})
}

// gunzipMost unpacks p, up to most bytes.
func gunzipMost(p []byte, most int64) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(p))
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(r, most+1))
	if err == nil && int64(len(text)) > most {
		err = web.ErrTooLarge
	}
	return text, err
}
