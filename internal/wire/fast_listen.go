package wire

import (
	"net"
	"net/netip"

	"github.com/valyala/fasthttp"
)

// A Gate bounds how many connections an address has. It is asked by several
// listeners at once, and outlives them.
type Gate interface {
	Enter(netip.Addr) bool // counts a connection, or refuses it
	Leave(netip.Addr)      // once for each that was counted
}

// A fastListener turns away connections for which there is no room. Those that
// it lets through are bare: behind a wrapper writev and sendfile fall apart.
type fastListener struct {
	net.Listener
	f *Fast
}

// Accept implements [net.Listener].
func (l fastListener) Accept() (net.Conn, error) {
	for {
		c, err := l.f.room.accept(l.Listener)
		if err != nil {
			return nil, err
		}
		if why := l.f.admit(c); why != admitted {
			l.f.room.turnAway(c, why)
			continue
		}
		return c, nil
	}
}

// admit counts a connection in, or says why it may not come in.
func (f *Fast) admit(c net.Conn) refusal {
	f.mu.Lock()
	full := len(f.conns) >= f.room.most
	f.mu.Unlock()
	if full {
		return tooMany
	}
	var a netip.Addr
	if f.gate != nil {
		if a = addrPort(c.RemoteAddr()).Addr(); !f.gate.Enter(a) {
			return tooManyOfOne
		}
	}
	f.mu.Lock()
	f.conns[c] = a
	f.mu.Unlock()
	return admitted
}

// track keeps the set of open connections.
func (f *Fast) track(c net.Conn, s fasthttp.ConnState) {
	switch s {
	case fasthttp.StateNew:
		f.mu.Lock()
		if _, ok := f.conns[c]; !ok { // one that did not come through Accept
			f.conns[c] = netip.Addr{}
		}
		f.mu.Unlock()
	case fasthttp.StateClosed:
		f.mu.Lock()
		a, open := f.conns[c]
		delete(f.conns, c)
		f.mu.Unlock()
		if open && f.gate != nil && a.IsValid() {
			f.gate.Leave(a)
		}
	}
}
