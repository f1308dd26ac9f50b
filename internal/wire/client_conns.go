package wire

import (
	"context"
	"crypto/tls"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"
)

// conns are the connections to one upstream. They are replaced once they are
// ConnLifetime old, so that a name which leads elsewhere now is followed, and
// a load balancer before the upstream gets to spread anew. A connection is
// never closed under an exchange: a generation of them takes on no more
// exchanges, and each of its connections closes after the one it carries.
type conns struct {
	opts *ClientOptions
	dial func(ctx context.Context, network, addr string) (net.Conn, error)

	mu    sync.Mutex
	now   *http.Transport // guarded by mu
	until time.Time       // guarded by mu; when now is to be replaced
}

// transport returns the generation that takes on exchanges now.
func (c *conns) transport() *http.Transport {
	now := time.Now()
	c.mu.Lock()
	old := c.now
	if old != nil && now.Before(c.until) {
		c.mu.Unlock()
		return old
	}
	t := c.generation()
	// Not all edges that started together connect anew at the same moment.
	life := c.opts.ConnLifetime
	c.now, c.until = t, now.Add(life-rand.N(life/8+1))
	c.mu.Unlock()
	if old != nil {
		old.CloseIdleConnections() // and, from now on, each one as it becomes idle
	}
	return t
}

func (c *conns) generation() *http.Transport {
	o := c.opts
	return &http.Transport{
		DialContext:            c.dial,
		TLSClientConfig:        tlsConfig(o.TLS),
		TLSHandshakeTimeout:    o.DialTimeout,
		MaxConnsPerHost:        o.MaxConns,
		MaxIdleConnsPerHost:    o.MaxIdle,
		IdleConnTimeout:        o.IdleTimeout,
		MaxResponseHeaderBytes: int64(o.MaxHeader),
		DisableCompression:     true, // what comes is stored and sent as it is: nothing is unpacked here
		ReadBufferSize:         16 << 10,
		// No HTTP/2: with it a cut or a lost packet hits all objects on their
		// way at once, and one slow reader's window holds up the others. Objects
		// are large and few, so that there is no handshake to save.
		Protocols: http1,
	}
}

var http1 = func() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	return p
}()

// tlsConfig is o, or the system's roots and TLS 1.2 and newer.
func tlsConfig(o *tls.Config) *tls.Config {
	if o == nil {
		return &tls.Config{MinVersion: tls.VersionTLS12}
	}
	return o.Clone()
}

// close closes the connections that are idle; those in use close with their exchange.
func (c *conns) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now != nil {
		c.now.CloseIdleConnections()
	}
}

// An openConn tells the gauge of connections when it is gone.
type openConn struct {
	net.Conn
	once sync.Once
	gone func()
}

func (c *openConn) Close() error {
	c.once.Do(c.gone)
	return c.Conn.Close()
}
