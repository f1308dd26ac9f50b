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

// add says how an answer came about. From names who was asked: "peer",
// "origin", "" if nobody was for this request. Kept says that the answer is
// not its asker's alone.
func (s *cacheStatus) add(resp *web.Response, how cache.Outcome, kept bool, ttl time.Duration, from string) {
	if s.name == "" {
		return
	}
	member := s.member(how, kept, int64(ttl/time.Second), from)
	if resp.Base != nil {
		if before := resp.Base.Joined("Cache-Status"); before != "" {
			member = before + ", " + member
		}
	}
	resp.Header.Add("Cache-Status", member)
}

func (s *cacheStatus) member(how cache.Outcome, kept bool, ttl int64, from string) string {
	var m string
	switch how {
	case cache.Hit, cache.Stale:
		if ttl >= 0 && ttl < int64(len(s.hits)) {
			return s.hits[ttl]
		}
		return s.hit(ttl)
	case cache.Joined:
		return s.name + "; fwd=miss; collapsed"
	case cache.Revalidated:
		m = s.name + "; fwd=stale; fwd-status=304; stored; ttl=" + strconv.FormatInt(ttl, 10)
	case cache.Pass:
		m = s.name + "; fwd=miss; collapsed=?0"
	default:
		m = s.name + "; fwd=miss"
		if kept {
			m += "; stored; ttl=" + strconv.FormatInt(ttl, 10)
		}
	}
	if from != "" {
		m += "; detail=" + from
	}
	return m
}
