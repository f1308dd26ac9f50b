package node

import (
	"weir/cmd/weir/config"
	"weir/edge"
	"weir/internal/limit"
	"weir/internal/wire"
)

// A protection is what stands between an edge and too many viewers, and outlives
// the listeners that a reload replaces.
type protection struct {
	clients *limit.Clients
	meter   wire.Meter
}

// clientRules returns what a config allows each client.
func clientRules(c *config.Clients) limit.Rules {
	return limit.Rules{
		Connections: c.Connections,
		Address:     limit.Rate{PerSecond: float64(c.Rate), Burst: c.Burst},
		Token:       limit.Rate{PerSecond: float64(c.TokenRate), Burst: c.TokenBurst},
		Exempt:      c.Exempt,
		Proxies:     c.TrustedProxies,
		Forwarded:   c.Forwarded,
	}
}

func (b *edgeNode) makeProtection(cfg *config.Edge) error {
	b.protect = &protection{clients: limit.New(clientRules(&cfg.Clients))}
	return nil
}

// usage is what the edge has in use now, of what the config in force allows.
func (b *edgeNode) usage() edge.Usage {
	cfg, in := b.live.get(), b.cache.Load()
	u := edge.Usage{
		Requests: b.protect.meter.InFlight(), MaxRequests: int64(cfg.Overload.Requests),
		Sent: b.protect.meter.Sent(), MaxRate: int64(cfg.Overload.Bandwidth),
		Fills: in.InAir, MaxFills: int64(cfg.Overload.Fills),
		Waiters: in.Waiters, MaxWaiters: in.MaxWaiters,
		Held: in.Held, MaxHeld: in.Limit,
	}
	if u.MaxRequests == 0 {
		u.MaxRequests = int64(cfg.Limits.Connections)
	}
	if u.MaxFills == 0 {
		upstreams := len(cfg.Origins)
		if b.cluster != nil {
			upstreams += b.cluster.Alive() - 1
		}
		u.MaxFills = int64(cfg.Fetch.Connections) * int64(max(upstreams, 1))
	}
	return u
}

// minRate is how many bytes a second a viewer must take of what lies at a path.
func (b *edgeNode) minRate(path string) int64 {
	if b.rate == nil {
		return 0
	}
	return b.rate(path) / 100 * int64(b.live.get().Clients.MinRatePercent)
}
