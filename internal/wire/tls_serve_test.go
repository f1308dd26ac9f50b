package wire

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"weir/internal/web"
)

func insecure(protocols ...string) *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, NextProtos: protocols, ServerName: "weir.example"}
}

// fetchTLS asks for / once, over HTTP/2 where h2, and returns what http.Client makes of it.
func fetchTLS(t *testing.T, addr string, h2 bool, cfg *tls.Config) (*http.Response, string, error) {
	t.Helper()
	tr := &http.Transport{TLSClientConfig: cfg, Protocols: new(http.Protocols)}
	tr.Protocols.SetHTTP1(!h2)
	tr.Protocols.SetHTTP2(h2)
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr, Timeout: 10 * time.Second}).Get("https://" + addr + "/")
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp, string(b), err
}

var hello = web.HandlerFunc(func(_ context.Context, req *web.Request) (*web.Response, error) {
	verified := "nobody"
	if req.ClientCert {
		verified = "verified"
	}
	if !req.TLS {
		verified = "in the clear"
	}
	return web.Text(200, verified), nil
})

// OP-01: TLS with ALPN h2 negotiates h2; http/1.1 also works; TLS < 1.2 is refused. A
// client that offers nothing is taken to speak HTTP/1.1.
func TestOP01OnePortSpeaksBothProtocols(t *testing.T) {
	s, addr := startTLS(t, TLSOptions{FastOptions: FastOptions{Handler: hello}})
	f := func(offer []string, chosen string) {
		t.Helper()
		c, err := tls.Dial("tcp", addr, insecure(offer...))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if p := c.ConnectionState().NegotiatedProtocol; p != chosen {
			t.Errorf("offered %q, chosen %q, want %q", offer, p, chosen)
		}
		if chosen == "h2" {
			return
		}
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: weir\r\n\r\n")
		if resp, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || resp.StatusCode != 200 {
			t.Errorf("offered %q: %v %v", offer, resp, err)
		}
	}
	f([]string{"h2", "http/1.1"}, "h2")
	f([]string{"http/1.1", "h2"}, "h2")
	f([]string{"http/1.1"}, "http/1.1")
	f(nil, "")
	for _, h2 := range []bool{true, false} {
		resp, body, err := fetchTLS(t, addr, h2, insecure())
		if err != nil || (resp.ProtoMajor == 2) != h2 || body != "nobody" {
			t.Errorf("h2 %v: %v %v %q", h2, resp, err, body)
		}
	}
	for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS11} {
		cfg := insecure("http/1.1")
		cfg.MinVersion, cfg.MaxVersion = version, version
		if c, err := tls.Dial("tcp", addr, cfg); err == nil {
			c.Close()
			t.Errorf("%s was spoken", tls.VersionName(version))
		}
	}
	if c, err := tls.Dial("tcp", addr, insecure("spdy/3")); err == nil { // RFC 7301 section 3.2: no_application_protocol
		c.Close()
		t.Error("a protocol nobody speaks was agreed on")
	}
	for deadline := time.Now().Add(5 * time.Second); testutil.ToFloat64(s.metrics.bad) < 3 && time.Now().Before(deadline); {
		time.Sleep(2 * time.Millisecond)
	}
	if h1, h2, bad := testutil.ToFloat64(s.metrics.h1), testutil.ToFloat64(s.metrics.h2), testutil.ToFloat64(s.metrics.bad); h1 != 3 || h2 != 3 || bad != 3 {
		t.Errorf("counted %v h1, %v h2, %v failed", h1, h2, bad)
	}
}

// "HTTP/2 over TLS 1.2 SHOULD NOT use" suites without AEAD (RFC 9113 section 9.2.2): an
// old client that has no other speaks HTTP/1.1.
func TestWeakSuitesCarryNoHTTP2(t *testing.T) {
	s, addr := startTLS(t, TLSOptions{FastOptions: FastOptions{Handler: hello}})
	cfg := insecure("h2")
	cfg.MaxVersion, cfg.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}
	c, err := tls.Dial("tcp", addr, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if b, err := io.ReadAll(c); err != nil || !strings.HasSuffix(string(b), "\x00\x00\x00\x0c") {
		t.Errorf("%q %v", b, err)
	}
	cfg.NextProtos = []string{"http/1.1"}
	if resp, _, err := fetchTLS(t, addr, false, cfg); err != nil || resp.StatusCode != 200 {
		t.Errorf("HTTP/1.1: %v", err)
	}
	if n := testutil.ToFloat64(s.metrics.weak); n != 1 {
		t.Errorf("counted %v", n)
	}
}

// OP-03: what bounds a connection does not cut who waits for the live edge, over both
// protocols.
func TestOP03WaitOutlastsTheTimeouts(t *testing.T) {
	t.Parallel()
	_, addr := startTLS(t, TLSOptions{HandshakeTimeout: time.Second, FastOptions: FastOptions{
		HeaderTimeout: 300 * time.Millisecond, IdleTimeout: 300 * time.Millisecond, WriteStall: 300 * time.Millisecond,
		Handler: web.HandlerFunc(func(ctx context.Context, _ *web.Request) (*web.Response, error) {
			select {
			case <-time.After(2 * time.Second):
				return web.Text(200, "at last"), nil
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
		})}})
	for _, h2 := range []bool{true, false} {
		if resp, body, err := fetchTLS(t, addr, h2, insecure()); err != nil || resp.StatusCode != 200 || body != "at last" {
			t.Errorf("h2 %v: %v %v %q", h2, resp, err, body)
		}
	}
}

// A renewed certificate is shown from the next handshake on; who is connected stays so.
func TestCertificatesChangeWhileItServes(t *testing.T) {
	one, two := certificate(t, "one.example", nil), certificate(t, "two.example", nil)
	var now atomic.Pointer[tls.Config]
	set := func(certs ...tls.Certificate) {
		now.Store(identity(t, Identity{Certificates: certs})())
	}
	shown := func(addr, name string) string {
		t.Helper()
		cfg := insecure("http/1.1")
		cfg.ServerName = name
		c, err := tls.Dial("tcp", addr, cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	set(one)
	_, addr := startTLS(t, TLSOptions{Config: now.Load, FastOptions: FastOptions{Handler: hello}})
	kept, err := tls.Dial("tcp", addr, insecure("http/1.1"))
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	if s := shown(addr, "two.example"); s != "one.example" {
		t.Errorf("the only certificate is shown to all: %s", s)
	}
	set(one, two)
	for _, name := range []string{"one.example", "two.example"} {
		if s := shown(addr, name); s != name {
			t.Errorf("asked for %s, shown %s", name, s)
		}
	}
	_, _ = io.WriteString(kept, "GET / HTTP/1.1\r\nHost: weir\r\n\r\n")
	if resp, err := http.ReadResponse(bufio.NewReader(kept), nil); err != nil || resp.StatusCode != 200 {
		t.Errorf("the connection from before: %v %v", resp, err)
	}
}

// An origin that wants certificates of its edges answers nobody else, and says to its
// handler that they were verified.
func TestClientsShowCertificates(t *testing.T) {
	ca, other := certificate(t, "ca", nil), certificate(t, "other", nil)
	pool := x509.NewCertPool()
	pool.AddCert(ca.Leaf)
	_, addr := startTLS(t, TLSOptions{FastOptions: FastOptions{Handler: hello},
		Config: identity(t, Identity{Certificates: []tls.Certificate{certificate(t, "origin", nil)}, ClientCAs: pool})})
	for _, h2 := range []bool{true, false} {
		cfg := insecure()
		cfg.ClientSessionCache = tls.NewLRUClientSessionCache(8)
		cfg.Certificates = []tls.Certificate{certificate(t, "edge1", &ca)}
		for range 2 { // the second would resume
			if _, body, err := fetchTLS(t, addr, h2, cfg); err != nil || body != "verified" {
				t.Errorf("h2 %v: %v %q", h2, err, body)
			}
		}
		for name, certs := range map[string][]tls.Certificate{"none": nil, "of another": {certificate(t, "edge1", &other)}} {
			cfg.Certificates = certs
			cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				return &append(slices.Clone(certs), tls.Certificate{})[0], nil
			}
			if _, body, err := fetchTLS(t, addr, h2, cfg); err == nil {
				t.Errorf("h2 %v, certificate %s: answered %q", h2, name, body)
			}
			cfg.GetClientCertificate = nil
		}
	}
}

// Who connects and says nothing keeps nobody out: when too many do, the oldest goes.
func TestIdleHandshakesKeepNobodyOut(t *testing.T) {
	s, addr := startTLS(t, TLSOptions{Handshakes: 8, HandshakeTimeout: time.Minute, FastOptions: FastOptions{Handler: hello}})
	var idle []net.Conn
	for range 50 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		idle = append(idle, c)
	}
	if _, body, err := fetchTLS(t, addr, true, insecure()); err != nil || body != "nobody" {
		t.Errorf("%v %q", err, body)
	}
	_ = idle[0].SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := idle[0].Read(make([]byte, 1)); err == nil || isTimeoutError(err) {
		t.Errorf("the oldest is still there: %v", err)
	}
	for deadline := time.Now().Add(5 * time.Second); testutil.ToFloat64(s.metrics.crowded) < 42; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%v gave way", testutil.ToFloat64(s.metrics.crowded))
		}
	}
}

func isTimeoutError(err error) bool {
	ne, ok := errors.AsType[net.Error](err)
	return ok && ne.Timeout()
}

// A handshake has a bound, whether its client says nothing or a byte now and then.
func TestSlowHandshakeIsEnded(t *testing.T) {
	t.Parallel()
	s, addr := startTLS(t, TLSOptions{HandshakeTimeout: 400 * time.Millisecond, FastOptions: FastOptions{Handler: hello}})
	start := time.Now()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go func() {
		for _, b := range []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa") {
			if _, err := c.Write([]byte{b}); err != nil {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
	}()
	_, _ = io.Copy(io.Discard, c)
	if d := time.Since(start); d > 3*time.Second || d < 300*time.Millisecond {
		t.Errorf("ended after %v", d)
	}
	if n := testutil.ToFloat64(s.metrics.slow); n != 1 {
		t.Errorf("counted %v", n)
	}
}

// Handshakes, HTTP/1.1 and HTTP/2 share one bound on connections.
func TestConnectionsOverTLSAreBounded(t *testing.T) {
	s, addr := startTLS(t, TLSOptions{FastOptions: FastOptions{Handler: hello, Concurrency: 3}})
	var open []*tls.Conn
	for _, proto := range []string{"http/1.1", "h2", "http/1.1"} {
		c, err := tls.Dial("tcp", addr, insecure(proto))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		open = append(open, c)
	}
	if c, err := tls.Dial("tcp", addr, insecure("h2")); err == nil {
		c.Close()
		t.Error("a fourth connection was served")
	}
	if n := testutil.ToFloat64(s.fast.room.turned[tooMany]); n != 1 {
		t.Errorf("counted %v", n)
	}
	open[1].Close()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if c, err := tls.Dial("tcp", addr, insecure("h2")); err == nil {
			c.Close()
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("the place of one that left is not free again: %v", err)
		}
	}
}

// A player with http:// where https:// is due is told so.
func TestPlainHTTPIsToldOfTLS(t *testing.T) {
	_, addr := startTLS(t, TLSOptions{FastOptions: FastOptions{Handler: unreached(t)}})
	c, r := dialRaw(t, addr)
	say(t, c, "GET / HTTP/1.1\nHost: weir\n\n")
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != 400 {
		t.Fatalf("%v %v", resp, err)
	}
	if b, err := io.ReadAll(resp.Body); err != nil || !strings.Contains(string(b), "https://") {
		t.Errorf("%q %v", b, err)
	}
}

// A shutdown does not wait for who connected and said nothing.
func TestShutdownEndsIdleHandshakes(t *testing.T) {
	t.Parallel()
	s := newTLSFor(t, TLSOptions{FastOptions: FastOptions{Handler: hello}})
	addr, stop := run(t, s)
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	time.Sleep(50 * time.Millisecond)
	start := time.Now()
	stop()
	if d := time.Since(start); d > 4*time.Second {
		t.Errorf("it took %v", d)
	}
	if n := s.open.Load(); n != 0 {
		t.Errorf("%d connections counted as open", n)
	}
}

// What an operator sees of it.
func TestTLSCounts(t *testing.T) {
	reg := prometheus.NewRegistry()
	s := newTLSFor(t, TLSOptions{FastOptions: FastOptions{Handler: hello, Registerer: reg, Name: "viewers-tls"}})
	addr, stop := run(t, s)
	for _, h2 := range []bool{true, false, true} {
		if _, _, err := fetchTLS(t, addr, h2, insecure()); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	if n := testutil.ToFloat64(s.acc.requests.WithLabelValues("GET", "2xx")); n != 3 {
		t.Errorf("%v requests", n)
	}
	if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
}

// Who has as many connections as an address may is turned away before a handshake, over
// whichever protocol he has them, and is let in again when one of them ends.
func TestGateIsAskedBeforeTheHandshake(t *testing.T) {
	d := &doorman{most: 2}
	s := newTLSFor(t, TLSOptions{FastOptions: FastOptions{Handler: hello, Gate: d}})
	addr, stop := run(t, s)
	var open []*tls.Conn
	for _, proto := range []string{"http/1.1", "h2"} {
		c, err := tls.Dial("tcp", addr, insecure(proto))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		open = append(open, c)
	}
	if c, err := tls.Dial("tcp", addr, insecure("h2")); err == nil {
		c.Close()
		t.Error("a third connection of one address was served")
	}
	if n := testutil.ToFloat64(s.fast.room.turned[tooManyOfOne]); n != 1 {
		t.Errorf("counted %v", n)
	}
	for _, c := range open {
		c.Close()
	}
	for deadline := time.Now().Add(5 * time.Second); d.count() > 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d are counted as there", d.count())
		}
	}
	stop()
	if d.left > 0 {
		t.Errorf("%d left who never came", d.left)
	}
}

// An answer that wants a higher rate than the listener's is cut for who does not keep it up,
// over both protocols: a rendition has a rate below which it cannot be played.
func TestAnswerDemandsARateOverTLS(t *testing.T) {
	t.Parallel()
	for _, h2 := range []bool{true, false} {
		gone := make(chan struct{})
		s, addr := startTLS(t, TLSOptions{FastOptions: FastOptions{MinSendRate: 1, WriteStall: time.Second, Handler: web.HandlerFunc(
			func(context.Context, *web.Request) (*web.Response, error) {
				resp := web.NewResponse(200, endless{web.Bytes(make([]byte, 64<<20)), gone})
				resp.MinRate = 64 << 20
				return resp, nil
			})}})
		tr := &http.Transport{TLSClientConfig: insecure(), Protocols: new(http.Protocols),
			HTTP2: &http.HTTP2Config{MaxReceiveBufferPerStream: 64 << 10, MaxReceiveBufferPerConnection: 64 << 10}}
		tr.Protocols.SetHTTP1(!h2)
		tr.Protocols.SetHTTP2(h2)
		resp, err := (&http.Client{Transport: tr}).Get("https://" + addr + "/")
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		go func() {
			for b := make([]byte, 32<<10); ; time.Sleep(50 * time.Millisecond) {
				if _, err := resp.Body.Read(b); err != nil {
					return
				}
			}
		}()
		select {
		case <-gone:
		case <-time.After(15 * time.Second):
			t.Fatalf("h2 %v: a reader of a hundredth of the rate is still served", h2)
		}
		t.Logf("h2 %v: cut after %v", h2, time.Since(start))
		resp.Body.Close()
		tr.CloseIdleConnections()
		if n := testutil.ToFloat64(s.acc.slow); n != 1 {
			for deadline := time.Now().Add(3 * time.Second); testutil.ToFloat64(s.acc.slow) != 1; time.Sleep(5 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("h2 %v: %v counted as slow", h2, n)
				}
			}
		}
	}
}

// endless tells when it was closed.
type endless struct {
	web.Body
	gone chan struct{}
}

func (e endless) Close() { close(e.gone); e.Body.Close() }
