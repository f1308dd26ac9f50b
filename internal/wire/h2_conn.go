package wire

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// An h2Conn is a connection of HTTP/2, already decrypted, under net/http. That it is no
// *tls.Conn is what lets frames be looked at before net/http gets them: net/http takes it
// for one without TLS whose client knows that it speaks HTTP/2 (RFC 9113 section 3.3).
type h2Conn struct {
	net.Conn
	line    *line
	metrics *tlsMetrics
	acc     *account
	sent    atomic.Int64

	// Used by the one who reads.
	guard frameGuard
	head  [frameHead]byte // of the next frame
	have  int             // bytes of head that came
	ready []byte          // bytes to hand on before anything else
	left  int64           // bytes of the frame under way, or of the preface
	bad   bool            // what comes is not handed on any more

	once   sync.Once
	closed chan struct{}
}

// frameHead is the size of a frame's header: length, type, flags, stream (RFC 9113 section 4.1).
const frameHead = 9

// preface is what a client begins with (RFC 9113 section 3.4).
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

func newH2Conn(c net.Conn, l *line, m *tlsMetrics, acc *account) *h2Conn {
	return &h2Conn{Conn: c, line: l, metrics: m, acc: acc, left: int64(len(preface)), closed: make(chan struct{})}
}

// Read implements [net.Conn].
func (c *h2Conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(c.ready) == 0 && c.left == 0 {
		if err := c.next(); err != nil {
			return 0, err
		}
	}
	if len(c.ready) > 0 {
		n := copy(p, c.ready)
		c.ready = c.ready[n:]
		return n, nil
	}
	n, err := c.Conn.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	return n, err
}

// badFrame is a PING that belongs to a stream, "a connection error of type PROTOCOL_ERROR"
// (RFC 9113 section 6.7) wherever it stands: net/http answers it with GOAWAY and closes.
const badFrame = "\x00\x00\x08\x06\x00\x00\x00\x00\x01" + "\x00\x00\x00\x00\x00\x00\x00\x00"

// next makes the next frame's header ready, or in place of a frame too many a bad one.
func (c *h2Conn) next() error {
	if c.bad {
		c.rest()
		return io.EOF
	}
	for c.have < frameHead {
		n, err := c.Conn.Read(c.head[c.have:])
		if c.have += n; err != nil {
			return err
		}
	}
	c.have = 0
	h := &c.head
	length := int(h[0])<<16 | int(h[1])<<8 | int(h[2])
	if what := c.guard.frame(time.Now(), h[3], h[4], length, c.sent.Load()); what != noAbuse {
		c.bad = true
		c.ready = []byte(badFrame)
		c.metrics.abuse[what].Inc()
		if dropped, ok := c.metrics.warned.pass(time.Now()); ok {
			c.acc.log.Warn("HTTP/2 connection ended: its client does too much at once", "what", what.String(),
				"remote", c.RemoteAddr().String(), "dropped", dropped)
		}
		return nil
	}
	c.left = int64(length)
	c.ready = h[:]
	return nil
}

// rest reads nothing of what the client still sends, so that it has to wait, until net/http
// has said its GOAWAY and closed.
func (c *h2Conn) rest() {
	t := time.NewTimer(2 * linger)
	defer t.Stop()
	select {
	case <-c.closed:
	case <-t.C:
	}
}

// Write implements [net.Conn].
func (c *h2Conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.sent.Add(int64(n))
	return n, err
}

// Close implements [net.Conn].
func (c *h2Conn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}
