package sim

import (
	"context"
	"net/netip"

	"weir/internal/web"
)

// A seat is the address that one viewer asks from.
type seat struct {
	at netip.AddrPort
	to web.Handler
}

// Serve implements [web.Handler].
func (s seat) Serve(ctx context.Context, req *web.Request) (*web.Response, error) {
	from := *req
	from.Remote = s.at
	return s.to.Serve(ctx, &from)
}

// seat gives the next viewer an address of his own.
func (w *world) seat() netip.AddrPort {
	w.seats++
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{100, byte(64 + w.seats>>16), byte(w.seats >> 8), byte(w.seats)}), 4711)
}
