package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"weir/internal/wire"
)

// server is what serves behind an address: wire.Fast, wire.Net or wire.TLS.
type server interface {
	Serve(net.Listener) error
	Shutdown(context.Context) error
}

// A door is an address that stays open while the server behind it is replaced:
// each server accepts from a duplicate of the one listening socket, so that no
// connection is refused or lost between the old and the new.
type door struct {
	key  string // the config key of the address, for errors
	ln   *net.TCPListener
	fail func(part string, err error)

	mu      sync.Mutex // guards what follows
	now     server     // nil: not served
	dup     net.Listener
	closed  bool
	serving sync.WaitGroup
}

// openDoor listens on an address. Connections wait until a server comes.
func openDoor(key, address string, fail func(string, error)) (*door, error) {
	ln, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w (set %s to a free address of this machine)", key, err, key)
	}
	return &door{key: key, ln: ln.(*net.TCPListener), fail: fail}, nil
}

func (d *door) addr() string { return d.ln.Addr().String() }

// serve puts s behind the door. The function returned shuts down the server
// that was there; nil: there was none.
func (d *door) serve(s server) (retire func(context.Context) error, err error) {
	dup, err := d.duplicate()
	if err != nil {
		return nil, err
	}
	return d.put(s, dup)
}

// duplicate returns one more listener on the door's socket. It fails where no
// more files may be opened.
func (d *door) duplicate() (net.Listener, error) {
	f, err := d.ln.File()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.key, err)
	}
	defer f.Close()
	dup, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.key, err)
	}
	return dup, nil
}

// put is serve with a duplicate made before; it closes dup where it fails,
// which is when the door is closed.
func (d *door) put(s server, dup net.Listener) (retire func(context.Context) error, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		_ = dup.Close()
		return nil, net.ErrClosed
	}
	former, old := d.now, d.dup
	d.now, d.dup = s, dup
	d.serving.Go(func() {
		// That it ended although nobody asked it to is a failure, whatever it says.
		if err := s.Serve(dup); d.current(s) {
			d.fail(d.key, fmt.Errorf("no more connections are accepted: %w", cmp.Or(err, net.ErrClosed)))
		}
	})
	if former == nil {
		return nil, nil
	}
	_ = old.Close() // the former accepts no more, the new one does already
	return func(ctx context.Context) error { return shut(ctx, former, old) }, nil
}

// shut ends a server and its listener, whichever of the two closes that: a
// server that never began to serve does not.
func shut(ctx context.Context, s server, ln net.Listener) error {
	err := s.Shutdown(ctx)
	_ = ln.Close()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// current reports whether s is behind the door, and the door open.
func (d *door) current(s server) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.now == s && !d.closed
}

// close stops accepting, and waits for what is under way as long as ctx
// allows. A second call does nothing.
func (d *door) close(ctx context.Context) error {
	d.mu.Lock()
	was, s, dup := d.closed, d.now, d.dup
	d.closed = true
	d.mu.Unlock()
	if was {
		return nil
	}
	err := d.ln.Close()
	if s != nil {
		err = errors.Join(err, shut(ctx, s, dup))
	}
	d.serving.Wait()
	return err
}

var (
	_ server = (*wire.Fast)(nil)
	_ server = (*wire.Net)(nil)
	_ server = (*wire.TLS)(nil)
)
