package node

import (
	"context"
	"fmt"
	"net"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"weir/cmd/weir/config"
	"weir/internal/web"
	"weir/internal/wire"
)

// viewers is a listener for many small requests, whose limits can change while
// it is open.
type viewers struct {
	n       *Node
	door    *door
	name    string // metrics label
	make    func(bounds) (server, error)
	retired sync.WaitGroup  // servers that were replaced and still finish
	life    context.Context // until when they may
}

// bounds are what a reload can change of a listener by putting another server
// in its place.
type bounds struct {
	config.Limits
	requests bool        // log.requests
	streams  int         // tls.streams
	body     config.Size // bytes of a request's; 0: the wire's default
}

// fast says how a server over h is made.
func (n *Node) fast(name string, h web.Handler, reg prometheus.Registerer, b bounds) wire.FastOptions {
	o := wire.FastOptions{
		Handler:       h,
		Log:           n.log.With("listener", name),
		Registerer:    reg,
		Name:          name,
		MaxHeader:     int(b.Header),
		HeaderTimeout: b.HeaderTimeout,
		IdleTimeout:   b.IdleTimeout,
		MinSendRate:   int64(b.MinSendRate),
		WriteStall:    b.WriteStall,
		Concurrency:   b.Connections,
		AccessLog:     b.requests,
		MaxBody:       int64(b.body),
	}
	if p := n.protect; p != nil {
		o.Meter = &p.meter
		if name != "peers" {
			o.Gate = p.clients
		}
	}
	if name == "peers" {
		// What a viewer may ask comes here with its path encoded, and a proof of membership.
		o.MaxHeader += web.MaxPath
	}
	return o
}

// openViewers opens the listener of handler; Run serves it.
func (n *Node) openViewers(d *door, name string, h web.Handler, reg prometheus.Registerer, b bounds) (*viewers, error) {
	return n.openServer(d, name, b, func(b bounds) (server, error) { return wire.NewFast(n.fast(name, h, reg, b)) })
}

// openTLS is openViewers over TLS.
func (n *Node) openTLS(d *door, h web.Handler, reg prometheus.Registerer, b bounds) (*viewers, error) {
	const name = "viewers-tls"
	return n.openServer(d, name, b, func(b bounds) (server, error) {
		return wire.NewTLS(wire.TLSOptions{FastOptions: n.fast(name, h, reg, b), Config: n.certs.now.Load,
			HandshakeTimeout: b.HeaderTimeout, Streams: b.streams})
	})
}

func (n *Node) openServer(d *door, name string, b bounds, make func(bounds) (server, error)) (*viewers, error) {
	life, end := context.WithCancel(context.Background())
	v := &viewers{n: n, door: d, name: name, make: make, life: life}
	first, err := make(b)
	if err != nil {
		end()
		return nil, err
	}
	n.onRun(func() {
		if _, err := d.serve(first); err != nil {
			n.fail(d.key, err)
		}
	})
	n.onClose(name+" listener", func(ctx context.Context) error {
		defer end()
		defer context.AfterFunc(ctx, end)() // those that were replaced have as long as the one in place
		err := d.close(ctx)
		v.retired.Wait()
		return err
	})
	return v, nil
}

// entrance is where a node is asked for streams: in the clear, encrypted, or both.
type entrance struct {
	plainDoor, tlsDoor *door    // nil: there is none
	plain, tls         *viewers // likewise
}

// openEntrance takes the addresses; their connections wait until it is opened.
func (n *Node) openEntrance(listen string, t *config.TLS) (e *entrance, err error) {
	e = &entrance{}
	if listen != config.NoListener {
		if e.plainDoor, err = openDoor("listen", listen, n.fail); err != nil {
			return nil, err
		}
		n.addrs.Viewers = e.plainDoor.addr()
	}
	if t.On() {
		if e.tlsDoor, err = openDoor("tls.listen", t.Listen, n.fail); err != nil {
			e.abandon()
			return nil, err
		}
		n.addrs.ViewersTLS = e.tlsDoor.addr()
	}
	return e, nil
}

// open makes the servers of the entrance; Run serves them.
func (e *entrance) open(n *Node, h web.Handler, reg *prometheus.Registry, cfg func() *config.TLS, b bounds) (err error) {
	if e.plainDoor != nil {
		if e.plain, err = n.openViewers(e.plainDoor, "viewers", h, reg, b); err != nil {
			return err
		}
	}
	if e.tlsDoor != nil {
		if n.certs, err = n.openCerts(cfg, certsEvery, newCertMetrics(reg)); err != nil {
			return err
		}
		e.tls, err = n.openTLS(e.tlsDoor, h, reg, b)
	}
	return err
}

// abandon closes doors that nothing serves.
func (e *entrance) abandon() {
	for _, d := range []*door{e.plainDoor, e.tlsDoor} {
		if d != nil {
			_ = d.close(context.Background())
		}
	}
}

// changes prepares what a reload makes of listeners. All that can fail fails here, and
// then nothing was changed.
func (n *Node) changes(e *entrance, now, next bounds, t *config.TLS, more ...*viewers) (commit, drop func(), err error) {
	var ready []*replacement
	drop = func() {
		for _, r := range ready {
			r.drop()
		}
	}
	var shown *loaded
	if n.certs != nil {
		if shown, err = n.certs.load(t); err != nil {
			return nil, nil, err
		}
	}
	if now != next {
		for _, v := range append([]*viewers{e.plain, e.tls}, more...) {
			if v == nil {
				continue
			}
			r, err := v.prepare(next)
			if err != nil {
				drop()
				return nil, nil, err
			}
			ready = append(ready, r)
		}
	}
	return func() {
		if shown != nil {
			shown.commit()
		}
		for _, r := range ready {
			r.commit()
		}
	}, drop, nil
}

// A replacement is a server with other limits that is ready to take a
// listener's place.
type replacement struct {
	v    *viewers
	next server
	dup  net.Listener
}

// prepare makes a server with other limits. All that can fail fails here.
func (v *viewers) prepare(b bounds) (*replacement, error) {
	next, err := v.make(b)
	if err != nil {
		return nil, err
	}
	dup, err := v.door.duplicate()
	if err != nil {
		return nil, fmt.Errorf("replace the %s listener: %w", v.name, err)
	}
	return &replacement{v, next, dup}, nil
}

// drop undoes prepare.
func (r *replacement) drop() { _ = r.dup.Close() }

// commit puts the server in place. Requests under way end with the server they
// began with, however long that takes: a film may take hours. Idle connections are closed,
// and players open new ones.
func (r *replacement) commit() {
	v := r.v
	retire, err := v.door.put(r.next, r.dup)
	if err != nil {
		return // the node stops: there is no listener any more
	}
	if retire != nil {
		v.retired.Go(func() {
			if err := retire(v.life); err != nil {
				v.n.log.Warn("stopping: drain.timeout is over, what was under way since before a reload was cut", "listener", v.name)
			}
		})
	}
}
