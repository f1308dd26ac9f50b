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
	handler web.Handler
	maxBody int64 // of a request; 0: the wire's default
	reg     prometheus.Registerer
	retired sync.WaitGroup // servers that were replaced and still finish
}

// fast makes the server that config asks for.
func (v *viewers) fast(l config.Limits, log config.Log) (*wire.Fast, error) {
	o := wire.FastOptions{
		Handler:       v.handler,
		Log:           v.n.log.With("listener", v.name),
		Registerer:    v.reg,
		Name:          v.name,
		MaxHeader:     int(l.Header),
		MaxBody:       v.maxBody,
		HeaderTimeout: l.HeaderTimeout,
		IdleTimeout:   l.IdleTimeout,
		MinSendRate:   int64(l.MinSendRate),
		WriteStall:    l.WriteStall,
		Concurrency:   l.Connections,
		AccessLog:     log.Requests,
	}
	if p := v.n.protect; p != nil {
		o.Meter = &p.meter
		if v.name == "viewers" {
			o.Gate = p.clients
		}
	}
	return wire.NewFast(o)
}

// openViewers opens the listener of handler; Run serves it.
func (n *Node) openViewers(d *door, name string, h web.Handler, reg prometheus.Registerer, l config.Limits, log config.Log, maxBody config.Size) (*viewers, error) {
	v := &viewers{n: n, door: d, name: name, handler: h, maxBody: int64(maxBody), reg: reg}
	first, err := v.fast(l, log)
	if err != nil {
		return nil, err
	}
	n.onRun(func() {
		if _, err := d.serve(first); err != nil {
			n.fail(d.key, err)
		}
	})
	n.onClose(name+" listener", func(ctx context.Context) error {
		err := d.close(ctx)
		v.retired.Wait()
		return err
	})
	return v, nil
}

// A replacement is a server with other limits that is ready to take a
// listener's place.
type replacement struct {
	v    *viewers
	next *wire.Fast
	dup  net.Listener
}

// prepare makes a server with other limits. All that can fail fails here.
func (v *viewers) prepare(l config.Limits, log config.Log) (*replacement, error) {
	next, err := v.fast(l, log)
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
// began with, idle connections are closed, and players open new ones.
func (r *replacement) commit() {
	v := r.v
	retire, err := v.door.put(r.next, r.dup)
	if err != nil {
		return // the node stops: there is no listener any more
	}
	if retire != nil {
		v.retired.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), v.n.drain().Timeout)
			defer cancel()
			if err := retire(ctx); err != nil {
				v.n.log.Warn("reload: requests that outlasted drain.timeout were cut", "listener", v.name)
			}
		})
	}
}
