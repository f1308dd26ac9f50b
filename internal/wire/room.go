package wire

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A room bounds how many connections a listener has at once. net/http accepts as many as
// there are files, and each costs a goroutine and its buffers before a byte of a request
// has come; fasthttp has a bound of its own, of which nobody hears.
type room struct {
	most   int // 0: no bound
	acc    *account
	turned [refusals]prometheus.Counter
	open   atomic.Int64 // of net/http
	warned [refusals]throttle

	unheard throttle // of connections that could not be accepted

	leaving sync.WaitGroup // those that are told why
	stay    chan struct{}  // one of these is held by each of them
}

// A refusal is why a connection is turned away.
type refusal uint8

const (
	admitted     refusal = iota
	tooMany              // the listener has no room
	tooManyOfOne         // its address has as many as it may have
	refusals
)

// maxLeaving is how many connections at once are closed in the polite way.
const maxLeaving = 32

func newRoom(most int, acc *account, reg prometheus.Registerer, listener string) *room {
	return &room{most: most, acc: acc, turned: newTurned(reg, listener), stay: make(chan struct{}, maxLeaving)}
}

// track is for http.Server.ConnState, which tells of a connection before the next is accepted.
func (r *room) track(_ net.Conn, s http.ConnState) {
	switch s {
	case http.StateNew:
		r.open.Add(1)
	case http.StateClosed, http.StateHijacked:
		r.open.Add(-1)
	}
}

func (r *room) full() bool { return r.most > 0 && r.open.Load() >= int64(r.most) }

const turnedAway = "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\n" +
	"Cache-Control: no-store\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 22\r\n\r\ntoo many connections.\n"

// turnAway ends a connection for which there is no room, and never waits for it. Whoever
// speaks TLS is not told why.
func (r *room) turnAway(c net.Conn, why refusal) {
	r.turned[why].Inc()
	if dropped, ok := r.warned[why].pass(time.Now()); ok {
		if why == tooManyOfOne {
			r.acc.log.Info("connection refused: its address has as many as it may", "remote", c.RemoteAddr().String(), "dropped", dropped)
		} else {
			r.acc.log.Warn("connection refused: as many as may be are open", "limit", r.most, "remote", c.RemoteAddr().String(), "dropped", dropped)
		}
	}
	if _, ok := c.(*tls.Conn); ok {
		_ = c.Close()
		return
	}
	select {
	case r.stay <- struct{}{}:
		r.leaving.Go(func() {
			defer func() { <-r.stay }()
			say503(c)
		})
	default:
		_ = c.Close()
	}
}

// say503 answers what nobody read, and reads on for a moment so that a reset does not take
// the answer away again.
func say503(c net.Conn) {
	_ = c.SetDeadline(time.Now().Add(linger))
	_, err := io.WriteString(c, turnedAway)
	if cw, ok := c.(interface{ CloseWrite() error }); ok && err == nil {
		_ = cw.CloseWrite()
		_, _ = io.Copy(io.Discard, c)
	}
	_ = c.Close()
}
