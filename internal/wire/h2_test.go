package wire

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"weir/internal/spool"
	"weir/internal/web"
)

// An h2Client speaks HTTP/2 frame by frame, also such as no good client sends.
type h2Client struct {
	t    *testing.T
	conn *tls.Conn
	mu   sync.Mutex // guards fr's writing side, enc and block
	fr   *http2.Framer
	enc  *hpack.Encoder
	buf  bytes.Buffer

	frames chan seen     // what came
	over   chan struct{} // closed when nothing comes any more
	goAway atomic.Int64  // code + 1; 0: none came
}

// seen is a frame that came.
type seen struct {
	http2.FrameHeader
	status string
	data   int
	code   http2.ErrCode
	ping   [8]byte
}

func dialH2(t *testing.T, addr string, settings ...http2.Setting) *h2Client {
	t.Helper()
	conn, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	if p := conn.ConnectionState().NegotiatedProtocol; p != "h2" {
		t.Fatalf("ALPN chose %q", p)
	}
	c := &h2Client{t: t, conn: conn, fr: http2.NewFramer(conn, conn), frames: make(chan seen, 1<<16), over: make(chan struct{})}
	c.enc = hpack.NewEncoder(&c.buf)
	t.Cleanup(func() { conn.Close(); <-c.over })
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	if err := c.fr.WriteSettings(settings...); err != nil {
		t.Fatal(err)
	}
	go c.read()
	return c
}

func (c *h2Client) read() {
	defer close(c.over)
	dec := hpack.NewDecoder(4096, nil)
	for {
		f, err := c.fr.ReadFrame()
		if err != nil {
			return
		}
		s := seen{FrameHeader: f.Header()}
		switch f := f.(type) {
		case *http2.HeadersFrame:
			fields, _ := dec.DecodeFull(f.HeaderBlockFragment())
			for _, hf := range fields {
				if hf.Name == ":status" {
					s.status = hf.Value
				}
			}
		case *http2.DataFrame:
			s.data = len(f.Data())
		case *http2.RSTStreamFrame:
			s.code = f.ErrCode
		case *http2.PingFrame:
			s.ping = f.Data
		case *http2.GoAwayFrame:
			c.goAway.Store(int64(f.ErrCode) + 1)
		case *http2.SettingsFrame:
			if !f.IsAck() {
				c.mu.Lock()
				_ = c.fr.WriteSettingsAck()
				c.mu.Unlock()
			}
		}
		c.frames <- s
	}
}

// do writes with f, under the lock.
func (c *h2Client) do(f func(*http2.Framer) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return f(c.fr)
}

// block encodes the header of a GET, and more fields: name, value, ...
func (c *h2Client) block(path string, more ...string) []byte {
	c.buf.Reset()
	for _, f := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", "weir"}, {":path", path}} {
		_ = c.enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	for i := 0; i < len(more); i += 2 {
		_ = c.enc.WriteField(hpack.HeaderField{Name: more[i], Value: more[i+1]})
	}
	return bytes.Clone(c.buf.Bytes())
}

// get opens a stream.
func (c *h2Client) get(stream uint32, path string, more ...string) error {
	return c.do(func(fr *http2.Framer) error {
		return fr.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, EndStream: true, EndHeaders: true, BlockFragment: c.block(path, more...)})
	})
}

// await returns the first frame that ok takes.
func (c *h2Client) await(d time.Duration, what string, ok func(seen) bool) seen {
	c.t.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case s := <-c.frames:
			if ok(s) {
				return s
			}
			continue
		default:
		}
		select {
		case s := <-c.frames:
			if ok(s) {
				return s
			}
		case <-c.over:
			if len(c.frames) == 0 {
				c.t.Fatalf("%s: the connection ended before (GOAWAY %v)", what, c.goAway.Load()-1)
			}
		case <-timer.C:
			c.t.Fatalf("%s: not within %v", what, d)
		}
	}
}

func endsStream(id uint32) func(seen) bool {
	return func(s seen) bool {
		return s.StreamID == id && (s.Type == http2.FrameRSTStream || s.Flags.Has(http2.FlagDataEndStream) && s.Type != http2.FrameWindowUpdate)
	}
}

// OP-02: one connection with 64 blocked streams still serves a segment in < 100 ms and
// answers PING.
func TestOP02BlockedStreamsDoNotHoldUpASegment(t *testing.T) {
	segment := bytes.Repeat([]byte("x"), 60<<10)
	parked := make(chan struct{}, 64)
	_, addr := startTLS(t, TLSOptions{FastOptions: FastOptions{Handler: web.HandlerFunc(func(ctx context.Context, req *web.Request) (*web.Response, error) {
		if req.Path == "/parked" {
			parked <- struct{}{}
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return web.NewResponse(200, web.Bytes(segment)), nil
	})}})
	c := dialH2(t, addr)
	for i := range uint32(64) {
		if err := c.get(1+2*i, "/parked"); err != nil {
			t.Fatal(err)
		}
	}
	for range 64 {
		<-parked
	}
	start := time.Now()
	if err := c.get(201, "/segment"); err != nil {
		t.Fatal(err)
	}
	if s := c.await(5*time.Second, "the segment", endsStream(201)); s.Type != http2.FrameData {
		t.Fatalf("the segment's stream ended with %v", s)
	}
	if d := time.Since(start); d > 100*time.Millisecond {
		t.Errorf("the segment took %v", d)
	}
	_ = c.do(func(fr *http2.Framer) error { return fr.WritePing(false, [8]byte{7}) })
	c.await(time.Second, "the answer to PING", func(s seen) bool {
		return s.Type == http2.FramePing && s.Flags.Has(http2.FlagPingAck) && s.ping == [8]byte{7}
	})
}

// A segment that was cut off upstream is reset, never ended: the player would go on with a
// hole in the picture.
func TestAbortedBodyResetsItsStream(t *testing.T) {
	w, body := spool.NewSlab(spool.SlabOptions{Poison: true}).New(0)
	_, addr := startTLS(t, TLSOptions{FastOptions: FastOptions{Handler: web.HandlerFunc(func(_ context.Context, req *web.Request) (*web.Response, error) {
		if req.Path == "/fine" {
			return web.Text(200, "fine"), nil
		}
		return web.NewResponse(200, body), nil
	})}})
	c := dialH2(t, addr)
	_ = c.get(1, "/cut")
	_, _ = w.Write([]byte("half of it"))
	c.await(5*time.Second, "the first half", func(s seen) bool { return s.StreamID == 1 && s.data == 10 })
	w.Abort(errors.New("upstream died"))
	if s := c.await(5*time.Second, "the end", endsStream(1)); s.Type != http2.FrameRSTStream || s.code == http2.ErrCodeNo {
		t.Errorf("the stream ended with %v, code %v", s.FrameHeader, s.code)
	}
	_ = c.get(3, "/fine") // the others go on
	if s := c.await(5*time.Second, "another stream", endsStream(3)); s.Type != http2.FrameData {
		t.Errorf("another stream ended with %v", s)
	}
}

// A body that trickles, each byte in good time, is held no longer than one over HTTP/1.1:
// as a whole it has the time that a request has. One that is long and quick is none of it.
func TestABodyOverHTTP2HasTheTimeOfARequest(t *testing.T) {
	t.Parallel()
	const patience, most = 2 * time.Second, 128 << 10
	h := web.HandlerFunc(func(_ context.Context, req *web.Request) (*web.Response, error) {
		n, err := io.Copy(io.Discard, req.Body)
		if err != nil {
			return nil, err
		}
		return web.Text(200, strconv.FormatInt(n, 10)), nil
	})
	_, addr := startTLS(t, TLSOptions{FastOptions: FastOptions{HeaderTimeout: patience, MaxBody: most, Handler: h}})
	f := func(h2 bool, body io.Reader, want int) {
		t.Helper()
		tr := &http.Transport{TLSClientConfig: insecure(), Protocols: new(http.Protocols)}
		tr.Protocols.SetHTTP1(!h2)
		tr.Protocols.SetHTTP2(h2)
		defer tr.CloseIdleConnections()
		began := time.Now()
		resp, err := (&http.Client{Transport: tr, Timeout: 20 * time.Second}).Post("https://"+addr+"/", "text/plain", body)
		if err != nil {
			t.Errorf("h2 %v: %v", h2, err)
			return
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		if d := time.Since(began); resp.StatusCode != want || d > 5*patience/2 {
			t.Errorf("h2 %v: %d %q after %v, want %d", h2, resp.StatusCode, text, d, want)
		}
	}
	for _, h2 := range []bool{false, true} {
		ctx, stop := context.WithTimeout(t.Context(), 3*patience)
		f(h2, trickle{ctx, patience / 20}, http.StatusRequestTimeout)
		stop()
		f(h2, bytes.NewReader(make([]byte, most)), http.StatusOK)
		f(h2, io.MultiReader(bytes.NewReader(make([]byte, most)), strings.NewReader("x")), http.StatusRequestEntityTooLarge) // of no announced length
	}
}

// A trickle is a byte now and then, until ctx is done.
type trickle struct {
	ctx   context.Context
	pause time.Duration
}

func (r trickle) Read(p []byte) (int, error) {
	select {
	case <-r.ctx.Done():
		return 0, io.EOF
	case <-time.After(r.pause):
	}
	p[0] = 'x'
	return 1, nil
}

// A client that never opens the window of a stream pins a segment no longer than one that
// reads nothing: the stream is reset. Its other streams, with windows, go on.
func TestStreamWithoutWindowIsCut(t *testing.T) {
	t.Parallel()
	var bodies [16]*spool.Buffer
	var closed atomic.Int32
	slab := spool.NewSlab(spool.SlabOptions{Poison: true})
	for i := range bodies {
		w, b := slab.New(0)
		_, _ = w.Write(make([]byte, 200<<10))
		_ = w.Complete()
		bodies[i] = b
	}
	var next atomic.Int32
	_, addr := startTLS(t, TLSOptions{FastOptions: FastOptions{WriteStall: 500 * time.Millisecond, Handler: web.HandlerFunc(
		func(_ context.Context, req *web.Request) (*web.Response, error) {
			if req.Path == "/small" {
				return web.Text(204, ""), nil
			}
			return web.NewResponse(200, closing{bodies[next.Add(1)-1], &closed}), nil
		})}})
	c := dialH2(t, addr, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
	start := time.Now()
	for i := range uint32(len(bodies)) {
		_ = c.get(1+2*i, "/segment")
	}
	for range bodies {
		s := c.await(20*time.Second, "a reset", func(s seen) bool { return s.Type == http2.FrameRSTStream || s.Type == http2.FrameData })
		if s.Type != http2.FrameRSTStream || s.code == http2.ErrCodeNo {
			t.Fatalf("%v, code %v", s.FrameHeader, s.code)
		}
	}
	if d := time.Since(start); d < 500*time.Millisecond || d > 10*time.Second {
		t.Errorf("they were cut after %v", d)
	}
	_ = c.get(101, "/small")
	c.await(time.Second, "an answer without a body", endsStream(101))
	for deadline := time.Now().Add(5 * time.Second); closed.Load() != int32(len(bodies)); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d bodies closed", closed.Load(), len(bodies))
		}
	}
}

type closing struct {
	web.Body
	n *atomic.Int32
}

func (c closing) Close() { c.n.Add(1); c.Body.Close() }

// A client may have so many requests at once and no more; those it has go on.
func TestStreamsOfAConnectionAreBounded(t *testing.T) {
	var running, most atomic.Int32
	let := make(chan struct{})
	_, addr := startTLS(t, TLSOptions{Streams: 10, FastOptions: FastOptions{Handler: web.HandlerFunc(func(context.Context, *web.Request) (*web.Response, error) {
		if n := running.Add(1); n > most.Load() {
			most.Store(n)
		}
		<-let
		running.Add(-1)
		return web.Text(200, "ok"), nil
	})}})
	c := dialH2(t, addr)
	c.await(5*time.Second, "the acknowledged settings", func(s seen) bool { return s.Type == http2.FrameSettings && s.Flags.Has(http2.FlagSettingsAck) })
	for i := range uint32(11) {
		_ = c.get(1+2*i, "/")
	}
	if s := c.await(5*time.Second, "the refusal", endsStream(21)); s.Type != http2.FrameRSTStream {
		t.Errorf("the eleventh stream ended with %v", s)
	}
	for deadline := time.Now().Add(5 * time.Second); running.Load() < 10 && time.Now().Before(deadline); {
		time.Sleep(2 * time.Millisecond)
	}
	close(let)
	for i := range uint32(10) {
		c.await(5*time.Second, fmt.Sprint("stream ", 1+2*i), func(s seen) bool { return s.status == "200" })
	}
	if n := most.Load(); n != 10 {
		t.Errorf("%d requests at once", n)
	}
}

// RFC 9113 section 8.3.1: a Host field that differs from :authority makes a request
// malformed; which of the two is meant nobody can know.
func TestHostMustBeTheAuthority(t *testing.T) {
	_, addr := startTLS(t, TLSOptions{FastOptions: FastOptions{Handler: web.HandlerFunc(func(_ context.Context, req *web.Request) (*web.Response, error) {
		if req.Header.Has("Host") || req.Host != "weir" {
			t.Errorf("Host %q, field %v", req.Host, req.Header.Has("Host"))
		}
		return web.Text(200, "ok"), nil
	})}})
	c := dialH2(t, addr)
	_ = c.get(1, "/", "host", "other")
	if s := c.await(5*time.Second, "the answer", func(s seen) bool { return s.StreamID == 1 && s.status != "" }); s.status != "400" {
		t.Errorf("two authorities: status %s", s.status)
	}
	_ = c.get(3, "/", "host", "WEIR")
	if s := c.await(5*time.Second, "the answer", func(s seen) bool { return s.StreamID == 3 && s.status != "" }); s.status != "200" {
		t.Errorf("the same twice: status %s", s.status)
	}
}

// A header of more fields than anybody needs is refused over HTTP/2 as over HTTP/1.1.
func TestManyFieldsOverHTTP2AreRefused(t *testing.T) {
	_, addr := startTLS(t, TLSOptions{FastOptions: FastOptions{MaxHeader: 64 << 10, Handler: unreached(t)}})
	c := dialH2(t, addr)
	var more []string
	for i := range maxFields + 1 {
		more = append(more, fmt.Sprint("x-", i), "1")
	}
	_ = c.get(1, "/", more...)
	if s := c.await(5*time.Second, "the answer", func(s seen) bool { return s.StreamID == 1 && s.status != "" }); s.status != "431" {
		t.Errorf("status %s", s.status)
	}
}
