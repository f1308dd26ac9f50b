package wiretest

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/http/httputil"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// A bridge takes what a test writes as HTTP/1.1, asks it over one connection of HTTP/2, and
// writes the answer as HTTP/1.1: as it comes, and cut where its stream was reset. So one
// suite asks the same of both protocols.
type bridge struct {
	addr   string
	client *http.Transport
	down   net.Conn // to the test
	r      *bufio.Reader
	calm   chan struct{} // closed when nobody else reads from r

	mu    sync.Mutex
	local net.Addr // of the connection of HTTP/2
}

// bridged returns the test's end of a bridge to addr.
func bridged(t *testing.T, addr string) (net.Conn, *bridge) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	down, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	_ = down.(*net.TCPConn).SetWriteBuffer(64 << 10)
	b := &bridge{addr: addr, down: down, r: bufio.NewReader(down), calm: make(chan struct{})}
	close(b.calm)
	b.client = &http.Transport{
		DisableCompression: true,
		Protocols:          new(http.Protocols),
		HTTP2:              &http.HTTP2Config{MaxReceiveBufferPerStream: 256 << 10, MaxReceiveBufferPerConnection: 256 << 10},
		DialTLSContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			c, err := (&tls.Dialer{Config: clientConfig("h2")}).DialContext(ctx, network, addr)
			if err == nil {
				b.mu.Lock()
				b.local = c.LocalAddr()
				b.mu.Unlock()
			}
			return c, err
		},
	}
	b.client.Protocols.SetHTTP2(true)
	done := make(chan struct{})
	go func() { defer close(done); b.run() }()
	t.Cleanup(func() {
		c.Close()
		<-done
		b.client.CloseIdleConnections()
	})
	return c, b
}

// clientConfig trusts anybody: what is tested is on this machine.
func clientConfig(protocols ...string) *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, NextProtos: protocols}
}

func (b *bridge) from() net.Addr {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.local
}

func (b *bridge) run() {
	defer b.down.Close()
	for b.one() {
	}
}

// one carries an exchange over, and reports whether another may follow.
func (b *bridge) one() bool {
	<-b.calm
	tp := textproto.NewReader(b.r)
	line, err := tp.ReadLine()
	if err != nil {
		return false
	}
	words := strings.SplitN(line, " ", 3)
	header, err := tp.ReadMIMEHeader()
	if err != nil || len(words) != 3 {
		return false
	}
	ctx, cancel := context.WithCancel(httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
			fmt.Fprintf(b.down, "HTTP/1.1 %d %s\r\n", code, http.StatusText(code))
			_ = http.Header(header).Write(b.down)
			_, err := fmt.Fprint(b.down, "\r\n")
			return err
		},
	}))
	defer cancel()
	req := (&http.Request{
		Method: words[0], Host: header.Get("Host"), Header: http.Header(header),
		// Opaque keeps the path as it was written.
		URL: &url.URL{Scheme: "https", Host: header.Get("Host"), Opaque: "//" + header.Get("Host") + words[1]},
	}).WithContext(ctx)
	end := strings.EqualFold(header.Get("Connection"), "close")
	sent := b.body(req)
	for name := range strings.SplitSeq(header.Get("Connection"), ",") {
		header.Del(strings.TrimSpace(name))
	}
	for _, name := range []string{"Connection", "Host", "Keep-Alive", "Upgrade", "Te", "Transfer-Encoding", "Content-Length", "Trailer"} {
		header.Del(name)
	}
	b.calm = make(chan struct{})
	go func() {
		defer close(b.calm)
		select {
		case <-sent:
		case <-ctx.Done():
			return
		}
		if _, err := b.r.Peek(1); err != nil {
			cancel() // the test has left
		}
	}()
	resp, err := b.client.RoundTrip(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	whole := b.answer(req.Method, resp)
	select {
	case <-sent:
		return whole && !end
	default:
		return false // what is left of the request's body is none of the next's
	}
}

// body gives req its body; sent is closed when that was read.
func (b *bridge) body(req *http.Request) (sent <-chan struct{}) {
	done := make(chan struct{})
	n, err := strconv.ParseInt(req.Header.Get("Content-Length"), 10, 64)
	var r io.Reader
	switch {
	case req.Header.Get("Transfer-Encoding") == "chunked":
		r, req.ContentLength = httputil.NewChunkedReader(b.r), -1
	case err == nil && n > 0:
		r, req.ContentLength = io.LimitReader(b.r, n), n
	default:
		close(done)
		return done
	}
	for name := range strings.SplitSeq(req.Header.Get("Trailer"), ",") {
		if name = strings.TrimSpace(name); name != "" {
			if req.Trailer == nil {
				req.Trailer = http.Header{}
			}
			req.Trailer[name] = nil
		}
	}
	req.Body = &uploading{r: r, chunked: req.ContentLength < 0, trailer: req.Trailer, b: b, done: done}
	return done
}

// uploading is a request's body, which tells when it was read.
type uploading struct {
	r       io.Reader
	chunked bool
	trailer http.Header // announced, to be filled in
	b       *bridge
	done    chan struct{}
	once    sync.Once
}

func (r *uploading) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if l, ok := r.r.(*io.LimitedReader); ok && err == nil && l.N == 0 {
		err = io.EOF
	}
	if err == io.EOF {
		r.once.Do(func() {
			if r.chunked { // the trailer, and the line that ends it
				fields, _ := textproto.NewReader(r.b.r).ReadMIMEHeader()
				for name := range r.trailer {
					r.trailer[name] = fields[name]
				}
			}
			close(r.done)
		})
	}
	return n, err
}

func (r *uploading) Close() error { return nil }

// answer writes resp down, and reports whether it was whole.
func (b *bridge) answer(method string, resp *http.Response) bool {
	fmt.Fprintf(b.down, "HTTP/1.1 %d %s\r\n", resp.StatusCode, http.StatusText(resp.StatusCode))
	none := method == "HEAD" || resp.StatusCode == 204 || resp.StatusCode == 304
	chunked := !none && resp.ContentLength < 0
	_ = resp.Header.Write(b.down)
	if chunked {
		fmt.Fprint(b.down, "Transfer-Encoding: chunked\r\n")
	}
	fmt.Fprint(b.down, "\r\n")
	if none {
		return true
	}
	var w io.Writer = b.down
	if chunked {
		cw := httputil.NewChunkedWriter(b.down)
		w = cw
		defer func() {
			if w != nil {
				_ = cw.Close()
				fmt.Fprint(b.down, "\r\n")
			}
		}()
	}
	if _, err := io.Copy(w, resp.Body); err != nil {
		w = nil
		return false
	}
	return true
}

// tcp is the socket that a test reads from.
func (c *conn) tcp() *net.TCPConn {
	if s, ok := c.Conn.(*tls.Conn); ok {
		return s.NetConn().(*net.TCPConn)
	}
	return c.Conn.(*net.TCPConn)
}

// dial connects to what serve returned.
func dial(t *testing.T, target string) *conn {
	t.Helper()
	c := &conn{t: t, secure: true}
	var err error
	if addr, ok := strings.CutPrefix(target, "h2://"); ok {
		c.Conn, c.bridge = bridged(t, addr)
	} else if addr, ok := strings.CutPrefix(target, "https://"); ok {
		c.Conn, err = tls.Dial("tcp", addr, clientConfig("http/1.1"))
	} else {
		c.secure = false
		c.Conn, err = net.Dial("tcp", target)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	c.r = bufio.NewReader(c.Conn)
	return c
}
