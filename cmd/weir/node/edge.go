package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"weir/cache"
	"weir/cmd/weir/config"
	"weir/edge"
	"weir/edge/cluster"
	"weir/internal/spool"
	"weir/internal/web"
	"weir/internal/wire"
	"weir/token"
)

// leaveTimeout bounds how long a draining edge tells the others so: half of it
// that it drains, half that it is gone. Gossip repeats each for up to 0.8 s.
const leaveTimeout = 2 * time.Second

// NewEdge puts an edge together and opens its listeners; Run serves them.
func NewEdge(o Options[config.Edge]) (*Node, error) {
	n, err := newNode(&o)
	if err != nil {
		return nil, err
	}
	if err := o.Config.Check(); err != nil {
		return nil, err
	}
	if len(o.Config.Origins) == 0 {
		return nil, errors.New("origins: no origin to ask")
	}
	b := &edgeNode{Node: n, o: o, slab: spool.NewSlab(spool.SlabOptions{})}
	b.live = live[config.Edge]{reread: o.Reread, apply: b.apply, log: n.log, metrics: n.metrics}
	b.live.current.Store(o.Config)
	b.reload = b.live.reload
	b.drain = func() config.Drain { return b.live.get().Drain }
	if err := b.build(); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// edgeNode is what a Node is made of when it is an edge.
type edgeNode struct {
	*Node
	o       Options[config.Edge]
	live    live[config.Edge]
	slab    *spool.Slab
	origins upstreams
	tokens  token.Source
	cache   *cache.Cache
	aware   *edge.Aware      // nil: playlists are not read
	cluster *cluster.Cluster // nil: alone
	edge    *edge.Edge
	rate    func(path string) int64 // bytes/s of the rendition that path belongs to, 0: not known; nil: none is

	entrance *entrance
	peerDoor *door // nil: alone
	peers    *viewers
}

// build sets up in the order that taking down reverses.
func (b *edgeNode) build() error {
	cfg := b.o.Config
	admin, err := b.openAdmin(func() config.Admin { return b.live.get().Admin }, adminPages{
		registry: b.o.Registry,
		config:   func() []byte { return b.live.get().Effective() },
		status:   b.status,
		debug: map[string]func() any{"cache": func() any { return b.cache.Stats() }, "cluster": b.members,
			"playlists": b.playlists, "overload": func() any { return b.edge.Overload() }},
	})
	if err != nil {
		return err
	}
	b.addrs.Admin = admin.addr()
	if b.entrance, err = b.openEntrance(cfg.Listen, &cfg.TLS); err != nil {
		return err
	}
	b.name = nameOf(cfg, cmp.Or(b.addrs.Viewers, b.addrs.ViewersTLS))
	for _, make := range []func(*config.Edge) error{
		b.makeProtection, b.makeOrigins, b.makeAware, b.makeCache, b.setTokens, b.makeCluster, b.makeEdge, b.openPeers, b.serveViewers,
	} {
		if err := make(cfg); err != nil {
			b.entrance.abandon()
			if b.peerDoor != nil {
				_ = b.peerDoor.close(context.Background())
			}
			return err
		}
	}
	if b.cluster != nil {
		b.onClose("leave the cluster", func(context.Context) error {
			if err := b.cluster.Leave(leaveTimeout); err != nil {
				b.log.Warn("left the cluster unheard: the others take this edge for dead and notice within seconds", "error", err)
			}
			return nil
		})
	}
	return nil
}

func (b *edgeNode) makeOrigins(cfg *config.Edge) error {
	if err := b.origins.build(b.dial, cfg, nil); err != nil {
		return err
	}
	b.onClose("connections to origins", func(context.Context) error { b.origins.close(); return nil })
	return nil
}

func (b *edgeNode) serveViewers(cfg *config.Edge) error {
	var h web.Handler = b.edge
	if b.o.Viewers != nil {
		h = b.o.Viewers(h)
	}
	return b.entrance.open(b.Node, h, b.o.Registry, func() *config.TLS { return &b.live.get().TLS }, edgeBounds(cfg))
}

// makeAware makes what reads playlists; it comes before the cache, whose answers
// it judges.
func (b *edgeNode) makeAware(cfg *config.Edge) error {
	p := cfg.Playlists
	if !p.Read {
		return nil
	}
	if p.Hold == 0 {
		p.Hold = -1 // not at all
	}
	b.aware = edge.NewAware(edge.AwareOptions{
		NoPrefetch: !p.Prefetch,
		Hold:       p.Hold,
		MaxHolds:   p.MaxHolds,
		Bytes:      int64(p.Memory),
		Registerer: b.o.Registry,
	})
	b.rate = b.aware.Rate
	return nil
}

// judge has the last word on what the cache may do with an answer.
func (b *edgeNode) judge() func(cache.Query, *web.Response, web.Freshness) web.Freshness {
	if b.aware == nil {
		return nil
	}
	return b.aware.Judge
}

func (b *edgeNode) makeCache(cfg *config.Edge) (err error) {
	b.cache, err = cache.New(cache.Options{
		Bytes:     int64(cfg.Cache.Memory),
		Young:     int64(cfg.Cache.Young),
		Shares:    cache.Shares{Live: cfg.Cache.Shares.Live, Recorded: cfg.Cache.Shares.Recorded, Other: cfg.Cache.Shares.Other},
		Disk:      diskOf(cfg.Cache.Disk),
		MaxObject: int64(cfg.Cache.MaxObject),
		Slab:      b.slab,
		Limits:    staleLimits(cfg.Cache.Stale),

		MaxWaiters:   cfg.Cache.Waiting.All,
		MaxFollowers: cfg.Cache.Waiting.PerObject,
		MaxParked:    int64(cfg.Cache.Waiting.Memory),

		FillTimeout: max(cfg.Fetch.BlockTimeout, cfg.Fetch.HeadTimeout, cfg.Fetch.StallTimeout) + cfg.Fetch.PeerTimeout + 3*time.Second,
		Judge:       b.judge(),
		Registerer:  b.o.Registry,
		Log:         b.log,
	})
	if errors.Is(err, cache.ErrDisk) {
		return fmt.Errorf("cache.disk.dir: %w", err)
	}
	if err == nil {
		b.onClose("cache", func(context.Context) error { b.cache.Close(); return nil })
	}
	return err
}

// diskOf is the cache's disk tier; nil: there is none.
func diskOf(d config.Disk) *cache.Disk {
	if d.Dir == "" {
		return nil
	}
	return &cache.Disk{Dir: d.Dir, Max: int64(d.Max), KeepFree: int64(d.KeepFree)}
}

// staleLimits hands the configured limits on, in which 0 is not at all.
func staleLimits(s config.Stale) map[cache.Class]cache.Limits {
	of := func(revalidate, onError time.Duration) cache.Limits {
		if revalidate == 0 {
			revalidate = -1
		}
		if onError == 0 {
			onError = -1
		}
		return cache.Limits{StaleWhileRevalidate: revalidate, StaleIfError: onError}
	}
	media := of(s.Media, s.MediaOnError)
	return map[cache.Class]cache.Limits{
		cache.Playlist: of(s.Playlists, s.PlaylistsOnError),
		cache.Segment:  media,
		cache.Init:     media,
		cache.Other:    of(s.Other, s.OtherOnError),
	}
}

// dial makes the client that reaches an origin or a peer.
func (b *edgeNode) dial(o wire.ClientOptions) (*wire.Client, error) {
	f := &b.o.Config.Fetch
	o.Slab, o.Log, o.Registerer = b.slab, b.log, b.o.Registry
	o.MaxConns, o.MaxWaiting, o.WaitTimeout = f.Connections, f.ConnectionQueue, f.ConnectionWait
	o.MaxIdle, o.IdleTimeout, o.ConnLifetime = f.IdleConnections, f.ConnectionIdle, f.ConnectionLifetime
	o.DialTimeout, o.StallTimeout, o.MaxBody = f.DialTimeout, f.StallTimeout, maxBody
	return wire.NewClient(o)
}

// maxBody bounds an answer of an origin or peer, in bytes: it only guards
// against one that never ends. Whether it is kept is cache.max_object's business.
const maxBody = 64 << 30

func (b *edgeNode) makeEdge(cfg *config.Edge) (err error) {
	o := edge.Options{
		Node:            b.name,
		Cache:           b.cache,
		Origins:         b.origins.list,
		Tokens:          &b.tokens,
		Aware:           b.aware,
		QueryAll:        cfg.Query == config.QueryAll,
		CORSOrigins:     cfg.CORS.Origins,
		SliceOver:       int64(min(cfg.Cache.SliceOver, cfg.Cache.MaxObject)),
		Slice:           int64(cfg.Cache.Slice),
		SliceHeld:       int64(cfg.Cache.Memory / 4),
		HideCacheStatus: !cfg.CacheStatus,
		HonourRequests:  cfg.Cache.RequestDirectives == config.DirectivesHonour,
		DropCookies:     cfg.Proxy.Cookies == config.CookiesDrop,
		HideVia:         !cfg.Fetch.Via,
		HopTimeout:      cfg.Fetch.PeerTimeout,
		OriginTimeout:   cfg.Fetch.HeadTimeout,
		BlockTimeout:    cfg.Fetch.BlockTimeout,
		Hedge:           cfg.Fetch.HedgeDelay(),
		Probe:           edge.Probe(cfg.Fetch.Probe),
		Clients:         b.protect.clients,
		Usage:           b.usage,
		Sessions:        2 * cfg.Limits.Connections,
		MinRate:         b.minRate,
		Log:             b.log,
		Registerer:      b.o.Registry,
	}
	if b.cluster != nil {
		o.Peers = b.cluster
	}
	if b.edge, err = edge.New(o); err == nil {
		b.background("probes", b.edge.RunProbes)
		b.background("overload", b.edge.Run)
	}
	return err
}

// apply puts new in force. All that can fail comes before anything changes.
func (b *edgeNode) apply(old, new *config.Edge) error {
	verifier, err := verifierOf(new, b.o.Registry)
	if err != nil {
		return err
	}
	commit, undo, err := b.changes(b.entrance, edgeBounds(old), edgeBounds(new), &new.TLS, b.peers)
	if err != nil {
		return err
	}
	if err := b.origins.build(b.dial, new, old); err != nil {
		undo()
		return err
	}
	b.tokens.Store(verifier)
	b.protect.clients.Store(clientRules(&new.Clients))
	setLevel(b.o.Level, new.Log)
	commit()
	return nil
}

// playlists is what was learned from playlists, for people to look at.
func (b *edgeNode) playlists() any {
	if b.aware == nil {
		return struct{}{}
	}
	return b.aware.Stats()
}

func edgeBounds(c *config.Edge) bounds {
	b := bounds{Limits: c.Limits, requests: c.Log.Requests, streams: c.TLS.Streams}
	if c.Query == config.QueryAll {
		b.body = c.Proxy.MaxBody
	}
	return b
}

func (b *edgeNode) setTokens(cfg *config.Edge) error {
	v, err := verifierOf(cfg, b.o.Registry)
	b.tokens.Store(v)
	return err
}

func (b *edgeNode) status() status {
	up, all := b.edge.OriginsUp()
	s := status{Origins: &originsStatus{Up: up, All: all}}
	if b.cluster != nil {
		s.Members = b.cluster.Alive()
	}
	if up == 0 {
		s.Warnings = append(s.Warnings, "no origin answers")
	}
	if b.cluster != nil && s.Members == 1 && len(b.live.get().Cluster.Join) > 0 {
		s.Warnings = append(s.Warnings, "alone in the cluster: none of cluster.join answers")
	}
	return s
}

// nameOf is the configured name, or this machine's and the port: two edges on
// one machine have two.
func nameOf(cfg *config.Edge, addr string) string {
	if cfg.Name != "" {
		return cfg.Name
	}
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "edge"
	}
	host = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' {
			return r
		}
		return '-'
	}, host)
	return host[:min(len(host), 50)] + "-" + portOf(addr)
}
