package wire

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A netListener gives net/http connections that are guarded and paced. Those
// of HTTP/2 are so already, each in its own way.
type netListener struct {
	net.Listener
	n *Net
}

// Accept implements [net.Listener]. What there is no room for does not come out.
func (l netListener) Accept() (net.Conn, error) {
	c, err := l.n.room.accept(l.Listener)
	for err == nil && l.n.room.full() {
		l.n.room.turnAway(c, tooMany)
		c, err = l.n.room.accept(l.Listener)
	}
	if err != nil {
		return nil, err
	}
	if _, ok := c.(*h2Conn); ok {
		return c, nil
	}
	return &netConn{Conn: c, guard: newGuard(), pace: newPace(c, l.n.rate, l.n.stall)}, nil
}

// A netConn is a plain connection under net/http.
type netConn struct {
	net.Conn
	guard  guard        // used by the one who reads
	pace   pace         // used by the one who writes
	broken bool         // the guard has found something
	rest   []byte       // of spoiler, still to be read
	hungUp atomic.Int64 // until when Close reads on, in Unix nanoseconds; 0: it does not

	mu       sync.Mutex
	progress time.Duration // guarded by mu; what each read may take while an upload is read; 0: none is
}

// expect sets how long each read of the connection may take from now on; 0
// lifts the bound. A deadline for each read of the body would not do: one of
// these lasts as long as a whole HTTP chunk takes to arrive.
func (c *netConn) expect(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.progress = d
	if d == 0 {
		_ = c.Conn.SetReadDeadline(time.Time{})
	}
}

func (c *netConn) extend() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.progress > 0 {
		_ = c.Conn.SetReadDeadline(time.Now().Add(c.progress))
	}
}

// spoiler stands in for the bytes the guard holds back. It makes of any header
// one that net/http answers with 400, after which it closes the connection.
const spoiler = "\x00\r\n\r\n"

// Read implements [net.Conn].
func (c *netConn) Read(p []byte) (int, error) {
	if c.broken {
		if len(c.rest) == 0 {
			return 0, io.EOF
		}
		n := copy(p, c.rest)
		c.rest = c.rest[n:]
		return n, nil
	}
	c.extend()
	n, err := c.Conn.Read(p)
	i := c.guard.feed(p[:n])
	if i < 0 {
		return n, err
	}
	c.broken, c.rest = true, []byte(spoiler)
	m := copy(p[i:], c.rest)
	c.rest = c.rest[m:]
	return i + m, nil
}

// Write implements [net.Conn].
func (c *netConn) Write(p []byte) (int, error) { return c.pace.write(p) }

// SetDeadline implements [net.Conn]. The write side's deadlines are pace's.
func (c *netConn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// SetWriteDeadline implements [net.Conn]: it does nothing, see SetDeadline.
func (c *netConn) SetWriteDeadline(time.Time) error { return nil }

// CloseWrite lets net/http close in two steps, so that an answer is not lost
// in a reset.
func (c *netConn) CloseWrite() error {
	if cw, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return cw.CloseWrite()
	}
	return nil
}

// Close implements [net.Conn]. A connection that hangUp ends is read on for the
// time set there: closed over bytes that nobody read it would be reset, and
// the client would lose the answer that says why. net/http does as much itself,
// but not where the client said "Connection: close", as FFmpeg does.
func (c *netConn) Close() error {
	if until := c.hungUp.Swap(0); until != 0 {
		_ = c.CloseWrite()
		_ = c.Conn.SetReadDeadline(time.Unix(0, until))
		_, _ = io.Copy(io.Discard, c.Conn)
	}
	return c.Conn.Close()
}

// SyscallConn implements [syscall.Conn].
func (c *netConn) SyscallConn() (syscall.RawConn, error) {
	if sc, ok := c.Conn.(syscall.Conn); ok {
		return sc.SyscallConn()
	}
	return nil, net.ErrClosed
}
