package edge

import (
	"strconv"
	"time"

	"weir/cache"
	"weir/internal/web"
)

// cacheStatus writes this node's member of Cache-Status (RFC 9211), the last
// of the list: those of caches nearer to the origin stay before it.
type cacheStatus struct {
	name string   // as a structured field's token, or string where it is none
	hits []string // ready made for the ttl that is the index, in seconds
}

// readyMade is how many hits are rendered in advance.
const readyMade = 600

func newCacheStatus(node string, hide bool) cacheStatus {
	if hide {
		return cacheStatus{}
	}
	s := cacheStatus{name: node, hits: make([]string, readyMade)}
	if c := node[0] | 0x20; c < 'a' || c > 'z' {
		s.name = `"` + node + `"` // a token begins with a letter (RFC 9651 section 3.3.4)
	}
	for ttl := range s.hits {
		s.hits[ttl] = s.hit(int64(ttl))
	}
	return s
}

func (s *cacheStatus) hit(ttl int64) string {
	b := make([]byte, 0, 128) // on the stack: a name is at most 64 bytes
	b = append(append(b, s.name...), "; hit; ttl="...)
	return string(strconv.AppendInt(b, ttl, 10))
}

// A forward is why a request went upstream, the most specific reason there is
// (RFC 9211 section 2.2).
type forward uint8

const (
	fwdMiss    forward = iota // nothing was there, for whatever reason
	fwdURI                    // nothing was there of this URI
	fwdVary                   // only answers to requests with other fields were
	fwdStale                  // what was there was too old
	fwdRequest                // what was there was not what the request allows
	fwdMethod                 // the method is one that goes upstream
	fwdBehind                 // stale, and it may be served while somebody asks: nobody waited
)

func (f forward) String() string {
	return [...]string{"miss", "uri-miss", "vary-miss", "stale", "request", "method", "stale"}[f]
}

// A story is how an answer came about.
type story struct {
	how      cache.Outcome
	fwd      forward
	upstream int           // the status that upstream answered with; 0: not known, or nobody was asked
	stored   bool          // it is kept for others
	ttl      time.Duration // for how long it is fresh; less than 0: since when it is not
	from     string        // who was asked: "peer", "origin", "impossible" if there was no need to, "" if nobody was for this request
}

// tell adds this node's member to an answer that is ready to go.
func (s *cacheStatus) tell(resp *web.Response, t story) {
	if s.name == "" {
		return
	}
	member := s.member(t, resp.Status)
	if before := listOf(resp, "Cache-Status"); before != "" {
		member = before + ", " + member
	}
	put(resp, "Cache-Status", member)
}

// listOf returns all values of a field of an answer as one.
func listOf(resp *web.Response, name string) string {
	if resp.Header.Has(name) || resp.Base == nil {
		return resp.Header.Joined(name)
	}
	return resp.Base.Joined(name)
}

// member renders a story. "hit" and "fwd" exclude each other: an answer for
// which upstream was asked is no hit, also where it came from the store after
// all.
func (s *cacheStatus) member(t story, status int) string {
	ttl := int64(t.ttl / time.Second)
	if t.ttl < 0 && t.ttl%time.Second != 0 {
		ttl-- // half a second too old is too old
	}
	asked := t.from != "" && t.fwd != fwdBehind
	if t.how == cache.Hit || t.how == cache.Stale && !asked {
		if ttl >= 0 && ttl < int64(len(s.hits)) {
			return s.hits[ttl]
		}
		return s.hit(ttl)
	}
	if t.how == cache.Revalidated {
		t.upstream = 304
		if t.fwd != fwdRequest && t.fwd != fwdVary { // another variant is the answer to this too
			t.fwd = fwdStale
		}
	}
	if t.from == sources[fromPlaylists] {
		return s.name + "; detail=" + t.from // neither kept nor forwarded
	}
	m := s.name + "; fwd=" + t.fwd.String()
	if t.how == cache.Joined {
		return m + "; collapsed"
	}
	if t.upstream != 0 && t.upstream != status {
		m += "; fwd-status=" + strconv.Itoa(t.upstream)
	}
	if t.stored && (t.how == cache.Miss || t.how == cache.Revalidated) {
		m += "; stored"
	}
	if t.stored || t.how == cache.Stale {
		m += "; ttl=" + strconv.FormatInt(ttl, 10)
	}
	if t.from != "" {
		m += "; detail=" + t.from
	}
	return m
}
