package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"weir/internal/web"
)

// TLSOptions configures a [TLS].
type TLSOptions struct {
	FastOptions // hold for HTTP/2 as well; Concurrency bounds connections of both, handshakes included

	// Config is asked at each handshake, so that certificates can change; see [ServerConfig].
	Config func() *tls.Config // required

	HandshakeTimeout time.Duration // from a connection's start to the end of its handshake. 0: 10 s
	Handshakes       int           // at once; a further one costs the oldest its place. 0: 1024
	Streams          int           // requests at once on a connection of HTTP/2. 0: 128
}

// A TLS serves a Handler over TLS, HTTP/1.1 by a [Fast] and HTTP/2 by a [Net], on one port: a
// client says in its handshake which it speaks (ALPN, RFC 7301), and one that says nothing is
// taken to speak HTTP/1.1.
type TLS struct {
	fast    *Fast
	net     *Net
	base    *tls.Config
	h1, h2  *handover
	hands   handshakes
	patient time.Duration // HandshakeTimeout
	most    int64         // connections
	gate    Gate          // nil: all pass
	open    atomic.Int64
	acc     *account
	metrics *tlsMetrics

	mu      sync.Mutex
	ln      net.Listener  // guarded by mu; nil: not served yet
	served  chan struct{} // guarded by mu; closed when nothing is accepted from ln any more
	closing bool          // guarded by mu
	engines sync.WaitGroup
}

const (
	defaultHandshakes = 1024
	defaultStreams    = 128
)

// NewTLS returns a TLS. It starts nothing.
func NewTLS(o TLSOptions) (*TLS, error) {
	switch {
	case o.Config == nil:
		return nil, errors.New("wire.TLSOptions.Config is required")
	case o.HandshakeTimeout < 0 || o.Handshakes < 0 || o.Streams < 0:
		return nil, fmt.Errorf("wire.TLSOptions of %q: a limit is negative", o.Name)
	}
	gate := o.Gate
	o.Gate = nil // it is asked before the handshake, for both protocols
	fast, err := NewFast(o.FastOptions)
	if err != nil {
		return nil, err
	}
	// TryServe never waits, and so is asked first here as well.
	h2, err := newNet(NetOptions{
		Handler: quickly(o.Handler), Log: o.Log, Registerer: o.Registerer, Name: o.Name,
		MaxHeader: o.MaxHeader, MaxBody: or(o.MaxBody, defaultSmallBody), HeaderTimeout: o.HeaderTimeout, IdleTimeout: o.IdleTimeout,
		ProgressTimeout: or(o.HeaderTimeout, defaultHeaderTimeout),
		MinSendRate:     o.MinSendRate, WriteStall: o.WriteStall, AccessLog: o.AccessLog, Meter: o.Meter,
	}, or(o.Streams, defaultStreams))
	if err != nil {
		return nil, err
	}
	t := &TLS{
		fast:    fast,
		net:     h2,
		h1:      newHandover(),
		h2:      newHandover(),
		patient: or(o.HandshakeTimeout, defaultHeaderTimeout),
		most:    int64(or(o.Concurrency, defaultConnections)),
		gate:    gate,
		acc:     fast.acc,
		metrics: newTLSMetrics(o.Registerer, o.Name),
	}
	t.hands.most = or(o.Handshakes, defaultHandshakes)
	h2.acc, h2.room.acc = fast.acc, fast.acc // one listener, one account
	// Session tickets are sealed with keys of base, which live as long as the listener.
	t.base = &tls.Config{
		NextProtos:         []string{protoH2, protoH1},
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return o.Config(), nil },
	}
	return t, nil
}

// defaultConnections is fasthttp's own bound.
const defaultConnections = 256 << 10

// The names of protocols in ALPN (RFC 7301 section 6, RFC 9113 section 3.2).
const (
	protoH1 = "http/1.1"
	protoH2 = "h2"
)

// An Identity is what a TLS listener shows, and what it asks of its clients.
type Identity struct {
	// Certificates, of which a client gets the first that is for the name it asks for and
	// of a kind it knows, or else the first of all.
	Certificates []tls.Certificate
	ClientCAs    *x509.CertPool // who must have signed the certificate a client shows; nil: it needs none
	MinVersion   uint16         // 0: TLS 1.2, which is also the least there is (RFC 9325 section 3.1.1)
}

// ServerConfig is what an [Identity] means for TLSOptions.Config.
func ServerConfig(i Identity) (*tls.Config, error) {
	if len(i.Certificates) == 0 {
		return nil, errors.New("wire.Identity: there is no certificate")
	}
	c := &tls.Config{
		Certificates: i.Certificates,
		NextProtos:   []string{protoH2, protoH1},
		MinVersion:   max(i.MinVersion, tls.VersionTLS12),
	}
	if i.ClientCAs != nil {
		c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, i.ClientCAs
		// A session that is resumed is not verified anew: it would outlive its
		// certificate, and an authority that was taken out.
		c.SessionTicketsDisabled = true
	}
	return c, nil
}

// Serve accepts connections from ln until Shutdown, which makes it return nil.
func (t *TLS) Serve(ln net.Listener) error {
	t.mu.Lock()
	if t.closing {
		t.mu.Unlock()
		return nil
	}
	served := make(chan struct{})
	t.ln, t.served = ln, served
	t.mu.Unlock()
	failed := make(chan error, 2)
	t.engines.Go(func() { failed <- t.fast.Serve(t.h1); _ = ln.Close() })
	t.engines.Go(func() { failed <- t.net.Serve(t.h2); _ = ln.Close() })
	err := t.accept(ln)
	close(served)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closing {
		return nil
	}
	select {
	case e := <-failed:
		err = errors.Join(e, err)
	default:
	}
	return err
}

// accept begins handshakes until ln is closed or fails for good.
func (t *TLS) accept(ln net.Listener) error {
	for {
		c, err := t.fast.room.accept(ln)
		if err != nil {
			return err
		}
		if t.open.Load() >= t.most {
			t.fast.room.turnAway(tls.Server(c, t.base), tooMany)
			continue
		}
		a := addrPort(c.RemoteAddr()).Addr()
		if t.gate != nil && !t.gate.Enter(a) {
			t.fast.room.turnAway(tls.Server(c, t.base), tooManyOfOne)
			continue
		}
		t.open.Add(1)
		line := newLine(c, t.net.rate, t.net.stall, func() {
			t.open.Add(-1)
			if t.gate != nil {
				t.gate.Leave(a)
			}
		})
		t.hands.begin(line)
		go t.shake(line)
	}
}

// Shutdown stops accepting, lets handshakes end for a second, and shuts down what serves
// both protocols: see [Fast.Shutdown] and [Net.Shutdown].
func (t *TLS) Shutdown(ctx context.Context) error {
	t.mu.Lock()
	t.closing = true
	ln, served := t.ln, t.served
	t.mu.Unlock()
	if ln != nil {
		_ = ln.Close()
		<-served
	}
	t.hands.finish(ctx, time.Second)
	_ = t.h1.Close()
	_ = t.h2.Close()
	done := make(chan error, 1)
	go func() { done <- t.fast.Shutdown(ctx) }()
	err := errors.Join(t.net.Shutdown(ctx), <-done)
	t.engines.Wait()
	return err
}

// hasty asks a handler's TryServe before its Serve.
type hasty struct {
	web.Handler
	q web.Quick
}

func quickly(h web.Handler) web.Handler {
	if q, ok := h.(web.Quick); ok {
		return hasty{h, q}
	}
	return h
}

// Serve implements [web.Handler].
func (q hasty) Serve(ctx context.Context, req *web.Request) (*web.Response, error) {
	if resp, ok := q.q.TryServe(req); ok {
		return resp, nil
	}
	return q.Handler.Serve(ctx, req)
}
