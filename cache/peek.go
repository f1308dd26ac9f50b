package cache

import (
	"time"

	"weir/internal/web"
)

// Peek returns what is kept for q, however old it is, and takes a reference for
// the caller, who releases it; nil if nothing fits. Others says that there are
// answers for the same key to requests with other header fields. It is for
// those who judge by themselves how old an answer may be, and counts as no
// request.
func (c *Cache) Peek(q Query) (o *Object, others bool) {
	s := c.shard(c.hash(q.Key))
	s.mu.RLock()
	defer s.mu.RUnlock()
	k := s.find(q.Key, q.Header)
	if k == nil || k.stored.body.State() == web.Aborted {
		return nil, s.entries[q.Key] != nil
	}
	k.stored.body.ref()
	return &k.stored, true
}

// Fresh reports whether the answer may be used without asking upstream.
func (o *Object) Fresh(now time.Time) bool { return o.body != nil && o.fresh(now) }

// StaleFor reports whether the answer may be used for the given time beyond its
// lifetime. One that forbids it may never (RFC 9111 section 4.2.4).
func (o *Object) StaleFor(now time.Time, extra time.Duration) bool {
	return o.body != nil && o.staleFor(now, extra)
}

// StaleWhileRevalidate reports whether the answer may be used now while a new
// one is fetched (RFC 5861 section 3).
func (o *Object) StaleWhileRevalidate(now time.Time) bool { return o.StaleFor(now, o.whileRevalidate) }

// Stored reports whether the answer can still be of use to others than those
// who have it.
func (o *Object) Stored(now time.Time) bool { return o.body != nil && o.worthKeeping(now) }
