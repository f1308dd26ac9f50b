package origin

import "time"

// Bounds of what one channel may push ahead of being published.
const (
	maxArriving   = 256  // uploads under way
	maxFiles      = 1024 // complete files
	maxRenditions = 64
	maxTexts      = 2 * maxRenditions // pushed playlists remembered
	staleAfter    = time.Minute       // how long a file waits for a playlist that lists it
)

// store holds the uploads of a channel by path: those under way, and the newest complete one
// of each. It is guarded by the channel's lock and satisfies [files].
type store struct {
	gen     uint64
	under   map[string]int
	total   int
	byPath  map[string]*upload
	inOrder []*upload // as they became complete; some are no longer in byPath
	former  []*upload // replaced, and still the init segments of entries that wait
}

func newStore() store { return store{under: map[string]int{}, byPath: map[string]*upload{}} }

func (s *store) complete(path string) *upload { return s.byPath[path] }
func (s *store) arriving(path string) bool    { return s.under[path] > 0 }

func (s *store) begin(path string) (gen uint64, ok bool) {
	if s.total >= maxArriving {
		return 0, false
	}
	s.gen++
	s.total++
	s.under[path]++
	return s.gen, true
}

func (s *store) end(path string) {
	s.total--
	if s.under[path]--; s.under[path] == 0 {
		delete(s.under, path)
	}
}

// put makes u what its path means, and returns what it meant before. ok is false where u
// began before the upload that is there: it was overtaken.
func (s *store) put(u *upload) (old *upload, ok bool) {
	old = s.byPath[u.path]
	if old != nil && old.gen > u.gen {
		return nil, false
	}
	s.byPath[u.path] = u
	s.inOrder = append(s.inOrder, u)
	return old, true
}

// pending returns how many files there are that are not published, and their bytes.
func (s *store) pending() (n int, bytes int64) {
	for _, u := range s.byPath {
		if u.holders == 1 {
			n++
			bytes += u.cost
		}
	}
	return n, bytes
}

// stale takes out and returns the files that waited too long, and the oldest ones while
// more of them are unpublished, or more bytes, than may be. Files in use stay: an init
// segment is needed as long as its encoder runs.
func (s *store) stale(now time.Time, maxBytes int64, inUse func(*upload) bool) (out []*upload) {
	n, bytes := s.pending()
	keep := s.inOrder[:0]
	for _, u := range s.inOrder {
		over := n > maxFiles || bytes > maxBytes
		switch {
		case s.byPath[u.path] != u: // replaced
		case !over && now.Sub(u.done) < staleAfter, inUse(u):
			keep = append(keep, u)
		default:
			delete(s.byPath, u.path)
			if u.holders == 1 {
				n, bytes = n-1, bytes-u.cost
			}
			out = append(out, u)
		}
	}
	clear(s.inOrder[len(keep):])
	s.inOrder = keep
	return out
}
