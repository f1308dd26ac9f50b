package wire

import (
	"container/list"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
	"time"
)

// handshakes are those under way. There is a bound on them, as each costs a goroutine and
// its buffers before anybody is known. When it is reached the oldest gives way: who holds
// connections open and says nothing is old, who means it is done in a few round trips.
type handshakes struct {
	most int

	mu     sync.Mutex
	queue  list.List // guarded by mu; *line, oldest first
	closed bool      // guarded by mu
	all    sync.WaitGroup
}

// begin takes c in, and ends the oldest if there are too many.
func (h *handshakes) begin(c *line) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all.Add(1)
	if h.closed {
		c.crowded.Store(true)
		_ = c.Conn.Close()
	}
	c.place = h.queue.PushBack(c)
	if h.queue.Len() > h.most {
		oldest := h.queue.Remove(h.queue.Front()).(*line)
		oldest.place = nil
		oldest.crowded.Store(true)
		_ = oldest.Conn.Close() // its handshake fails, and takes it down
	}
}

// end is called once for each begin.
func (h *handshakes) end(c *line) {
	h.mu.Lock()
	if c.place != nil {
		h.queue.Remove(c.place)
		c.place = nil
	}
	h.mu.Unlock()
	h.all.Done()
}

// finish waits for those under way, and ends them when patience or ctx is over.
func (h *handshakes) finish(ctx context.Context, patience time.Duration) {
	done := make(chan struct{})
	go func() { h.all.Wait(); close(done) }()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-done:
		return
	case <-timer.C:
	case <-ctx.Done():
	}
	h.mu.Lock()
	h.closed = true
	for e := h.queue.Front(); e != nil; e = e.Next() {
		_ = e.Value.(*line).Conn.Close()
	}
	h.mu.Unlock()
	<-done
}

// shake makes the handshake of one connection and hands it to who speaks its protocol.
func (t *TLS) shake(l *line) {
	defer t.hands.end(l)
	c := tls.Server(l, t.base)
	_ = l.Conn.SetReadDeadline(time.Now().Add(t.patient))
	start := time.Now()
	if err := c.Handshake(); err != nil {
		t.failed(l, err)
		_ = l.Close()
		return
	}
	t.metrics.seconds.Observe(time.Since(start).Seconds())
	_ = l.Conn.SetReadDeadline(time.Time{})
	state := c.ConnectionState()
	l.verified = len(state.VerifiedChains) > 0
	if state.NegotiatedProtocol != protoH2 {
		t.metrics.h1.Inc()
		t.h1.give(c)
		return
	}
	if !fitForH2(&state) {
		t.metrics.weak.Inc()
		_, _ = c.Write(inadequateSecurity)
		_ = c.Close()
		return
	}
	t.metrics.h2.Inc()
	t.h2.give(newH2Conn(c, l, t.metrics, t.acc))
}

// failed notes a handshake that did not succeed, and tells who speaks no TLS at all.
func (t *TLS) failed(l *line, err error) {
	result := t.metrics.bad
	if l.crowded.Load() {
		result = t.metrics.crowded
	} else if errors.Is(err, os.ErrDeadlineExceeded) {
		result = t.metrics.slow
	} else if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
		result = t.metrics.left
	}
	result.Inc()
	t.acc.log.Debug("TLS handshake failed", "remote", l.RemoteAddr().String(), "err", err)
	if he, ok := errors.AsType[tls.RecordHeaderError](err); ok && he.Conn != nil && likeHTTP(he.RecordHeader) {
		_, _ = io.WriteString(he.Conn, speaksTLS)
	}
}

const speaksTLS = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n" +
	"Content-Length: 38\r\n\r\nthis port speaks TLS: ask by https://.\n"

func likeHTTP(h [5]byte) bool {
	switch string(h[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO":
		return true
	}
	return false
}

// fitForH2 reports whether a connection may carry HTTP/2: "a deployment of HTTP/2 over TLS
// 1.2 SHOULD NOT use any of the prohibited cipher suites", which are those without
// forward secrecy and without AEAD (RFC 9113 section 9.2.2, appendix A).
func fitForH2(s *tls.ConnectionState) bool {
	if s.Version >= tls.VersionTLS13 {
		return true
	}
	switch s.CipherSuite {
	case tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256:
		return true
	}
	return false
}

// inadequateSecurity is an empty SETTINGS frame and a GOAWAY that says why.
var inadequateSecurity = []byte("\x00\x00\x00\x04\x00\x00\x00\x00\x00" + "\x00\x00\x08\x07\x00\x00\x00\x00\x00" + "\x00\x00\x00\x00" + "\x00\x00\x00\x0c")
