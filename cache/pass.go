package cache

import (
	"context"
	"io"

	"weir/internal/web"
)

// passBody returns upstream's body as it is, for one asker: the fill's context
// ends when it is closed.
func passBody(b web.Body, cancel context.CancelCauseFunc) web.Body {
	p := passed{b, cancel}
	if d, ok := b.(web.Drainer); ok {
		return &passedDrainer{p, d}
	}
	return &p
}

type passed struct {
	web.Body
	cancel context.CancelCauseFunc
}

func (p *passed) Close() {
	p.Body.Close()
	p.cancel(nil)
}

// Err returns why the body was aborted, if it says.
func (p *passed) Err() error {
	if e, ok := p.Body.(interface{ Err() error }); ok {
		return e.Err()
	}
	return nil
}

// passedDrainer lets the bytes run from upstream to the asker without ever
// being gathered in memory.
type passedDrainer struct {
	passed
	from web.Drainer
}

// Drain implements [web.Drainer].
func (p *passedDrainer) Drain(ctx context.Context, w io.Writer) (int64, error) {
	return p.from.Drain(ctx, w)
}
