package node

import (
	"context"
	"sync/atomic"

	"weir/internal/web"
)

// A switching handler passes requests to the handler in force.
type switching struct{ h atomic.Pointer[web.Handler] }

func (s *switching) set(h web.Handler) { s.h.Store(&h) }

// Serve implements [web.Handler].
func (s *switching) Serve(ctx context.Context, req *web.Request) (*web.Response, error) {
	return (*s.h.Load()).Serve(ctx, req)
}
