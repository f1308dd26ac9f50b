package limit

import (
	"net/netip"
	"time"
)

// Seen remembers who was there lately, and with what: a viewer and a channel.
// 16 bytes each.
type Seen struct {
	t      *table
	window int64
}

// NewSeen returns a Seen of at least n that remembers each for the window.
func NewSeen(n int, window time.Duration, now time.Time) *Seen {
	return &Seen{newTable(n, now), int64(window)}
}

// A Sighting is somebody with something.
type Sighting uint64

// ByToken names who shows the token called id.
func (s *Seen) ByToken(id, what string) Sighting { return s.pair(s.t.text(id), what) }

// ByAddress names who is at a.
func (s *Seen) ByAddress(a netip.Addr, what string) Sighting { return s.pair(s.t.address(Of(a)), what) }

func (s *Seen) pair(who uint64, what string) Sighting {
	// Times an odd number, so that nothing of the hash is lost, and the same two
	// hashes the other way round are another pair.
	return Sighting(max(who*0x9e3779b97f4a7c15^s.t.text(what), 1))
}

// Mark notes a sighting.
func (s *Seen) Mark(who Sighting, now time.Time) {
	at := s.t.at(now)
	cell := s.t.claim(uint64(who))
	if n := cell.Load(); n == 0 || n < at-int64(time.Second) { // what all cores read is not written for nothing
		cell.Store(at)
	}
}

// Has reports whether who was seen within the window.
func (s *Seen) Has(who Sighting, now time.Time) bool {
	cell := s.t.find(uint64(who))
	if cell == nil {
		return false
	}
	n := cell.Load()
	return n > 0 && s.t.at(now)-n <= s.window
}
