package edge

import (
	"errors"
	"net/http"
	"time"

	"weir/cache"
	"weir/internal/web"
	"weir/token"
)

// Reason codes of refusals that have nothing to do with what was asked.
const (
	reasonAddressRate = "rate_address"
	reasonTokenRate   = "rate_token"
	reasonOverload    = "overload" // and "_" and the priority
)

// enter lets a viewer's request in, or says why not: its client asks too often,
// its token is not good or used too often, or there is no room for its kind.
func (e *Edge) enter(req *web.Request, q *question) (ticket, error) {
	if c := e.opts.Clients; c.LimitsAddresses() {
		if wait := c.Request(c.Who(req.Remote.Addr(), &req.Header), time.Now()); wait > 0 {
			return ticket{}, tooOften(reasonAddressRate, "too many requests from this address", wait)
		}
	}
	t, err := e.admit(q)
	if err != nil {
		return t, err
	}
	if c := e.opts.Clients; t.claims != nil && c.LimitsTokens() {
		if wait := c.Token(tokenID(t.claims, q.token), c.Who(req.Remote.Addr(), &req.Header), time.Now()); wait > 0 {
			return ticket{}, tooOften(reasonTokenRate, "too many requests with this token", wait)
		}
	}
	return t, e.inOrder(req, q, t)
}

// tokenID names whom a token was given to as far as that can be told: by its own
// name, by its subject, and else by itself.
func tokenID(c *token.Claims, text string) string {
	switch {
	case c.ID != "":
		return c.ID
	case c.Subject != "":
		return c.Subject
	}
	return text
}

func tooOften(reason, text string, wait time.Duration) error {
	return &web.Error{Status: http.StatusTooManyRequests, Reason: reason, RetryAfter: wait, Err: errors.New(text)}
}

// demand sets how fast a client must take a segment: a share of the bitrate of its
// rendition. Below that it will never play it.
func (e *Edge) demand(q *question, resp *web.Response) {
	if q.class == cache.Segment && e.opts.MinRate != nil {
		resp.MinRate = e.opts.MinRate(q.path)
	}
}
