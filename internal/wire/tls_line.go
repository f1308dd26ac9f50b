package wire

import (
	"container/list"
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A line is the connection beneath TLS. Its writes are paced here, where a write may end in
// the middle and go on: a TLS connection is unusable after a write that timed out.
type line struct {
	net.Conn
	verified bool // the client showed a certificate that was verified; set by the handshake

	mu   sync.Mutex // held while written: who closes the connection over TLS writes as well
	pace pace       // guarded by mu

	place   *list.Element // guarded by handshakes.mu
	crowded atomic.Bool   // it gave way to others

	once   sync.Once
	closed func()
}

func newLine(c net.Conn, rate int64, stall time.Duration, closed func()) *line {
	return &line{Conn: c, pace: newPace(c, rate, stall), closed: closed}
}

// lineOf returns what is beneath a connection, nil if that is not TLS.
func lineOf(c net.Conn) *line {
	if t, ok := c.(*tls.Conn); ok {
		l, _ := t.NetConn().(*line)
		return l
	}
	return nil
}

// Write implements [net.Conn].
func (l *line) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pace.write(p)
}

// begin sets the rate for the next answer.
func (l *line) begin(rate int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pace.begin(rate)
}

// sever ends a connection without the goodbye of TLS, which a client that takes nothing
// holds up.
func sever(c net.Conn) {
	if l := lineOf(c); l != nil {
		_ = l.Close()
		return
	}
	_ = c.Close()
}

// SetDeadline implements [net.Conn]. The write side's deadlines are pace's.
func (l *line) SetDeadline(t time.Time) error { return l.SetReadDeadline(t) }

// SetWriteDeadline implements [net.Conn]: it does nothing, see SetDeadline.
func (l *line) SetWriteDeadline(time.Time) error { return nil }

// Close implements [net.Conn].
func (l *line) Close() error {
	l.once.Do(l.closed)
	return l.Conn.Close()
}

// SyscallConn implements [syscall.Conn]: a client that left is seen on the socket, also
// where what it sends is encrypted.
func (l *line) SyscallConn() (syscall.RawConn, error) {
	if sc, ok := l.Conn.(syscall.Conn); ok {
		return sc.SyscallConn()
	}
	return nil, net.ErrClosed
}

// A handover is a listener whose connections somebody else accepted.
type handover struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newHandover() *handover {
	return &handover{conns: make(chan net.Conn), done: make(chan struct{})}
}

// give passes c on to who accepts, or closes it when nobody will.
func (h *handover) give(c net.Conn) {
	select {
	case h.conns <- c:
	case <-h.done:
		_ = c.Close()
	}
}

// Accept implements [net.Listener].
func (h *handover) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.done:
		return nil, net.ErrClosed
	}
}

// Close implements [net.Listener].
func (h *handover) Close() error {
	h.once.Do(func() { close(h.done) })
	return nil
}

// Addr implements [net.Listener].
func (h *handover) Addr() net.Addr { return &net.TCPAddr{} }
