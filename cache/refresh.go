package cache

import (
	"net/http"
	"time"

	"weir/internal/web"
)

// Refresh learns from an answer to HEAD, asked for with q's header at the time
// given, that passed by: length is what its Content-Length says, -1 if nothing.
// What is kept as the answer to such a GET is renewed if its validators and
// length are those of resp, and dropped if they are not (RFC 9111 section
// 4.3.5). It reports whether it was renewed, and leaves resp alone.
func (c *Cache) Refresh(q Query, resp *web.Response, length int64, asked time.Time) bool {
	if resp.Status != http.StatusOK || c.closed.Load() {
		return false
	}
	if q.Header == nil {
		q.Header = &noHeader
	}
	s := c.shard(c.hash(q.Key))
	s.mu.RLock()
	old := s.find(q.Key, q.Header)
	if old == nil || old.stored.status != http.StatusOK || old.stored.body.State() != web.Complete {
		s.mu.RUnlock()
		return false
	}
	old.stored.body.ref()
	variant := len(old.variant)
	s.mu.RUnlock()
	defer old.stored.body.Close()

	if !sameAs(&old.stored, resp, length) {
		c.reject(old)
		return false
	}
	a := answer{resp: resp, asked: asked, received: time.Now()}
	a.resp = &web.Response{Status: old.stored.Status(), Header: merged(old.stored.Header(), a), Body: web.Bytes(nil)}
	c.judge(q, &a)
	if !a.may.Store {
		c.reject(old)
		return false
	}
	by := c.newKept(q.Key, old.id, variant, a, old.stored.body)
	if !c.reserve(int64(by.overhead)) {
		return false
	}
	s.mu.Lock()
	if c.closed.Load() { // what is kept is being given up
		s.mu.Unlock()
		c.budget.give(int64(by.overhead))
		return false
	}
	displaced, renewed := c.renewAll(s, []renewal{{old, by, a.vary}})
	s.mu.Unlock()
	for _, k := range displaced {
		c.discard(k)
	}
	return renewed > 0
}

// sameAs reports whether an answer to HEAD is about what is kept: "if the
// stored response and HEAD response have matching values for any received
// validator fields (ETag and Last-Modified) and, if the HEAD response has a
// Content-Length header field, the value of Content-Length matches that of the
// stored response".
func sameAs(o *Object, resp *web.Response, length int64) bool {
	for _, name := range [...]string{"ETag", "Last-Modified"} {
		if said := resp.Get(name); said != "" && said != o.get(name) {
			return false
		}
	}
	return length < 0 || length == o.body.Len()
}
