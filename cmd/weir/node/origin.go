package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"weir/cmd/weir/config"
	"weir/internal/spool"
	"weir/internal/web"
	"weir/internal/wire"
	"weir/origin"
	"weir/origin/folder"
)

// What ingest allows beyond its config: encoders keep connections open from
// one segment to the next.
const ingestIdle = 2 * 60e9 // ns

// NewOrigin puts an origin together and opens its listeners; Run serves them.
func NewOrigin(o Options[config.Origin]) (*Node, error) {
	n, err := newNode(&o)
	if err != nil {
		return nil, err
	}
	if err := o.Config.Check(); err != nil {
		return nil, err
	}
	b := &originNode{Node: n, o: o}
	b.name = "origin"
	b.live = live[config.Origin]{reread: o.Reread, apply: b.apply, log: n.log, metrics: n.metrics}
	b.live.current.Store(o.Config)
	b.reload = b.live.reload
	b.drain = func() config.Drain { return b.live.get().Drain }
	if err := b.build(); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// originNode is what a Node is made of when it is an origin.
type originNode struct {
	*Node
	o        Options[config.Origin]
	live     live[config.Origin]
	origin   *origin.Origin
	guarded  switching // what viewers reach, behind the access check in force
	public   web.Handler
	entrance *entrance
}

// build sets up in the order that taking down reverses.
func (b *originNode) build() error {
	cfg := b.o.Config
	door, err := b.openAdmin(func() config.Admin { return b.live.get().Admin }, adminPages{
		registry: b.o.Registry,
		config:   func() []byte { return b.live.get().Effective() },
		status:   b.status,
		debug:    map[string]func() any{"streams": func() any { return b.origin.Streams() }},
		api: append(channelAPI{func() *origin.Origin { return b.origin }}.routes(),
			assetAPI{func() assets { return b.origin }}.routes()...),
	})
	if err != nil {
		return err
	}
	b.addrs.Admin = door.addr()

	b.origin, err = origin.New(origin.Options{
		Defaults:    channel(cfg.Channels.Defaults),
		Channels:    channels(cfg.Channels.Named),
		Publishers:  b.publishers(),
		OpenIngest:  !cfg.Ingest.Keyed(),
		NamedOnly:   !cfg.Ingest.Create,
		MaxChannels: cfg.Ingest.MaxChannels,
		MaxUpload:   int64(cfg.Ingest.MaxUpload),
		Store:       store(cfg.Store),
		Memory:      int64(cfg.Store.Memory),
		Slab:        spool.NewSlab(spool.SlabOptions{}),
		Log:         b.log,
		Registerer:  b.o.Registry,
	})
	if err != nil {
		return err
	}
	b.onClose("store", func(context.Context) error { return b.origin.Close() })
	b.background("timers", b.origin.Run)
	if err := b.openViewerDoor(cfg); err != nil {
		return err
	}
	if err := b.openFolder(cfg.Ingest); err != nil {
		return err
	}
	return b.openIngest(cfg)
}

// openFolder feeds the origin from a directory too, where one is given.
func (b *originNode) openFolder(cfg config.Ingest) error {
	if cfg.Watch.Dir == "" {
		return nil
	}
	f, err := folder.New(folder.Options{
		Dir:         cfg.Watch.Dir,
		Ingest:      b.origin.LocalIngest(),
		Published:   b.origin.LastPublished,
		Poll:        cfg.Watch.Poll,
		MaxChannels: cfg.MaxChannels,
		Log:         b.log,
		Registerer:  b.o.Registry,
	})
	if err != nil {
		return err
	}
	b.background("folder", f.Run)
	return nil
}

func (b *originNode) openViewerDoor(cfg *config.Origin) error {
	e, err := b.openEntrance(cfg.Listen, &cfg.TLS)
	if err != nil {
		return err
	}
	b.entrance = e
	b.public = b.origin.Viewers()
	b.guarded.set(access(cfg.Access, b.log).Guard(b.public))
	var h web.Handler = &b.guarded
	if b.o.Viewers != nil {
		h = b.o.Viewers(h)
	}
	if err := e.open(b.Node, h, b.o.Registry, func() *config.TLS { return &b.live.get().TLS }, originBounds(cfg)); err != nil {
		e.abandon()
		return err
	}
	return nil
}

func (b *originNode) openIngest(cfg *config.Origin) error {
	d, err := openDoor("ingest.listen", cfg.Ingest.Address(), b.fail)
	if err != nil {
		return err
	}
	b.addrs.Ingest = d.addr()
	s, err := wire.NewNet(wire.NetOptions{
		Handler:         b.origin.Ingest(),
		Log:             b.log.With("listener", "ingest"),
		Registerer:      b.o.Registry,
		Name:            "ingest",
		MaxBody:         int64(cfg.Ingest.MaxUpload),
		IdleTimeout:     ingestIdle,
		ProgressTimeout: cfg.Ingest.StallTimeout,
		MaxConns:        cfg.Ingest.Connections,
		BadPath:         http.StatusForbidden,
		BeforeBody:      b.origin.BeforeBody,
	})
	if err != nil {
		return errors.Join(err, d.close(context.Background()))
	}
	b.onRun(func() {
		if _, err := d.serve(s); err != nil {
			b.fail(d.key, err)
		}
	})
	b.onClose("ingest listener", d.close)
	return nil
}

// apply puts new in force.
func (b *originNode) apply(old, new *config.Origin) error {
	commit, _, err := b.changes(b.entrance, originBounds(old), originBounds(new), &new.TLS)
	if err != nil {
		return err
	}
	commit()
	b.guarded.set(access(new.Access, b.log).Guard(b.public))
	setLevel(b.o.Level, new.Log)
	return nil
}

func originBounds(c *config.Origin) bounds {
	return bounds{Limits: c.Limits, requests: c.Log.Requests, streams: c.TLS.Streams}
}

// publishers returns who may push now, made anew only when a reload changed it.
func (b *originNode) publishers() func() []origin.Publisher {
	return memo(&b.live.current, func(c *config.Origin) []origin.Publisher {
		var out []origin.Publisher
		for _, p := range c.Ingest.Publishers {
			out = append(out, origin.Publisher{Name: p.Name, Secret: p.Secret, Channels: p.Channels,
				Limits: origin.Limits{Upload: int64(p.MaxUpload), Rate: p.Rate.Bytes(), Channels: p.MaxChannels, Uploads: p.Uploads}})
		}
		return out
	})
}

func (b *originNode) status() status {
	s := status{Streams: len(b.origin.Streams())}
	disk := b.origin.StoreStatus()
	if disk.State == origin.StoreOff {
		return s
	}
	s.Store = &storeStatus{
		State: disk.State.String(), Behind: disk.Behind.Round(time.Millisecond).String(), Queue: disk.Queue, Bytes: disk.Bytes, Free: disk.Free,
	}
	if disk.State == origin.StoreOK {
		return s
	}
	s.Store.Since = disk.Since
	what := fmt.Sprintf("the disk (store.dir) is %s, channel %s: live goes on, DVR and restarts lose what is published now", disk.State, disk.Worst)
	if disk.Err != nil {
		what += ": " + disk.Err.Error()
	}
	s.Warnings = append(s.Warnings, what)
	return s
}

func access(a config.Access, log *slog.Logger) origin.Access {
	var keys []string
	for _, k := range a.Keys {
		keys = append(keys, k.Secret)
	}
	mode := map[string]origin.AccessMode{config.AccessOpen: origin.AccessOpen,
		config.AccessPullKey: origin.AccessPullKey, config.AccessCIDR: origin.AccessCIDR, config.AccessMTLS: origin.AccessMTLS}[a.Mode]
	return origin.Access{
		Mode:  mode,
		Keys:  func() []string { return keys },
		CIDRs: func() []netip.Prefix { return a.CIDRs },
		Log:   log,
	}
}

func channel(c config.Channel) origin.Channel {
	return origin.Channel{TargetDuration: c.TargetDuration, Window: c.Window, Retention: c.Retention,
		HoldFor: c.Hold, DVR: c.DVR, DVRMax: int64(c.DVRMax), EndWithEncoder: c.EndWithEncoder, Memory: int64(c.Memory), Renditions: c.Renditions}
}

func store(c config.Store) *origin.Store {
	if c.Dir == "" {
		return nil
	}
	return &origin.Store{Dir: c.Dir, Max: int64(c.Max), KeepFree: int64(c.KeepFree)}
}

func channels(named map[string]config.Channel) map[string]origin.Channel {
	out := make(map[string]origin.Channel, len(named))
	for name, c := range named {
		out[name] = channel(c)
	}
	return out
}

func portOf(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	return port
}
