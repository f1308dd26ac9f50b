package wire

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"weir/internal/web"
)

// A sink is where an adapter sends a body's bytes.
type sink interface {
	send(p []byte) error
	flush() error // nothing more is there at the moment
}

var (
	errLonger = errors.New("body is longer than its Content-Length")
	errPanic  = errors.New("panic in a body")
)

// pump sends the whole of b to s while it grows. Its error is nil only if b
// ended complete and, where want is not -1, was want bytes long. A panic in
// the body is an error as well: the bytes so far are out.
func pump(ctx context.Context, r *record, b web.Body, want int64, s sink) (err error) {
	defer func() {
		if v := recover(); v != nil {
			r.caught(v)
			err = errPanic
		}
	}()
	out := &counted{r: r, s: s, want: want}
	if d, ok := b.(web.Drainer); ok {
		if err = s.flush(); err == nil { // the header goes ahead
			_, err = d.Drain(ctx, out)
		}
	} else {
		err = follow(ctx, b, out)
	}
	if err == nil && want >= 0 && r.bytes != want {
		return fmt.Errorf("body ended at %d bytes of %d", r.bytes, want)
	}
	return err
}

func follow(ctx context.Context, b web.Body, out *counted) error {
	off := int64(0)
	for {
		p, st := b.View(off)
		if len(p) == 0 && st == web.Open {
			if err := out.s.flush(); err != nil {
				return err
			}
			var err error
			if p, st, err = web.Await(ctx, b, off); err != nil {
				return err
			}
		}
		if len(p) == 0 {
			if st == web.Aborted {
				return web.AbortReason(b)
			}
			return nil
		}
		if err := out.put(p); err != nil {
			return err
		}
		off += int64(len(p))
	}
}

// counted counts what goes into a sink and keeps it within the length promised.
type counted struct {
	r    *record
	s    sink
	want int64
}

func (c *counted) put(p []byte) error {
	if c.want >= 0 && c.r.bytes+int64(len(p)) > c.want {
		return errLonger
	}
	if err := c.s.send(p); err != nil {
		return err
	}
	c.r.bytes += int64(len(p))
	c.r.acc.meter.sent.Add(int64(len(p)))
	return nil
}

// Write is put and flush: what is drained comes from a network, in the pieces
// in which it should go on.
func (c *counted) Write(p []byte) (int, error) {
	if err := c.put(p); err != nil {
		return 0, err
	}
	return len(p), c.s.flush()
}

// settle looks at a body before the answer's header is sent. One that was
// aborted before its first byte is answered as an error while that is still
// possible. For an HTTP/1.0 client, who knows no chunks, a body of unknown
// length is waited for: it could not tell a cut from the end otherwise.
func settle(ctx func() context.Context, method string, http10 bool, resp *web.Response) *web.Response {
	if resp.Body == nil || method == http.MethodHead { // it is there for its length
		return resp
	}
	if _, ok := resp.Body.(web.Drainer); ok && !(http10 && resp.Body.Len() < 0) {
		return resp
	}
	p, st := resp.Body.View(0)
	if http10 && resp.Body.Len() < 0 {
		for off := int64(len(p)); st == web.Open || len(p) > 0; off += int64(len(p)) {
			var err error
			if p, st, err = web.Await(ctx(), resp.Body, off); err != nil {
				st = web.Aborted
				break
			}
		}
		if st != web.Aborted {
			return resp
		}
		p = nil
	}
	if len(p) > 0 || st != web.Aborted {
		return resp
	}
	err := web.Errorf(http.StatusBadGateway, "the answer was cut off before its first byte")
	err.Reason = "upstream_aborted"
	resp.Body.Close()
	return web.ErrorResponse(err)
}
