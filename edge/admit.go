package edge

import (
	"sync"
	"time"

	"weir/token"
)

// A ticket is what a viewer was admitted by.
type ticket struct {
	verifier *token.Verifier // nil: nobody was asked for a token
	claims   *token.Claims
}

// admit checks a viewer's token. What the token says is remembered by the
// verifier; time and path are checked each time.
func (e *Edge) admit(q *question) (ticket, error) {
	v := e.opts.Tokens.Load()
	if v == nil {
		return ticket{}, nil
	}
	if q.tokenErr != nil {
		return ticket{}, forbidden(q.tokenErr)
	}
	c, err := v.Check(q.token, time.Now(), q.path)
	if err != nil {
		return ticket{}, forbidden(err)
	}
	return ticket{v, c}, nil
}

// readmit checks again, after a wait, what may have changed: the time and the keys.
func (e *Edge) readmit(t ticket, q *question) error {
	v := e.opts.Tokens.Load()
	if v != t.verifier {
		_, err := e.admit(q)
		return err
	}
	if t.claims == nil {
		return nil
	}
	if err := t.claims.Allows(time.Now(), q.path); err != nil {
		return forbidden(err)
	}
	return nil
}

// A throttle lets one line a second for each reason into the log, and counts
// the others: an audience whose tokens expired all at once fills no disk.
type throttle struct {
	mu   sync.Mutex // guards last
	last map[string]*heldBack
}

type heldBack struct {
	at time.Time
	n  int
}

// allow reports whether to log now, and how many lines were held back before.
func (t *throttle) allow(reason string) (ok bool, heldBackBefore int) {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last == nil {
		t.last = map[string]*heldBack{}
	}
	h := t.last[reason]
	switch {
	case h == nil:
		t.last[reason] = &heldBack{at: now} // reasons are few and fixed
		return true, 0
	case now.Sub(h.at) < time.Second:
		h.n++
		return false, 0
	}
	n := h.n
	h.at, h.n = now, 0
	return true, n
}
