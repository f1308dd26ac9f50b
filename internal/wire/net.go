package wire

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"weir/internal/web"
)

// NetOptions configures a [Net].
type NetOptions struct {
	Handler    web.Handler           // required
	Log        *slog.Logger          // nil: discard
	Registerer prometheus.Registerer // nil: metrics are kept but not registered
	Name       string                // value of the metrics' label "listener"

	MaxHeader       int           // bytes of request line and header; more is 431. 0: 16 KiB, at least 5 KiB
	MaxBody         int64         // bytes of a request's body; more is 413. 0: 64 MiB
	HeaderTimeout   time.Duration // from a request's first byte to the end of its header. 0: 10 s
	IdleTimeout     time.Duration // between two requests of a connection. 0: 75 s
	ProgressTimeout time.Duration // how long a request's body may not advance. 0: 30 s
	MinSendRate     int64         // bytes/s a client must take on average while it is sent to. 0: 8 KiB/s
	WriteStall      time.Duration // how long a client may take nothing, or lag behind MinSendRate. 0: 15 s
	MaxConns        int           // connections at once; more are told 503 and closed. 0: no bound
	BadPath         int           // status of a request whose path web.CleanPath refuses. 0: 400
	AccessLog       bool          // one line for each request at level Info instead of Debug
	Meter           *Meter        // measures what goes out; nil: nobody looks

	// BeforeBody is asked about each request before a byte of its body is
	// read, and so before "100 Continue" is sent; the request's Body is nil.
	// An error is answered at once and the connection is closed. nil: all pass.
	BeforeBody func(*web.Request) error
}

// A Net serves a Handler over net/http: uploads of unknown length, and, as a
// part of a [TLS], HTTP/2. A request's body reaches the Handler as it arrives.
//
// The context of a request without a body ends when its client leaves. That of
// an upload does not: FFmpeg closes its connection right after the last byte,
// and what was sent whole is to be kept. An upload that is cut short is an
// error of its Body.
type Net struct {
	handler  web.Handler
	before   func(*web.Request) error
	maxBody  int64
	progress time.Duration
	rate     int64
	stall    time.Duration
	badPath  int
	room     *room
	server   *http.Server
	acc      *account
	base     context.Context // parent of every exchange's
	abandon  context.CancelCauseFunc
}

// NewNet returns a Net. It starts nothing.
func NewNet(o NetOptions) (*Net, error) { return newNet(o, 0) }

// newNet returns a Net of HTTP/1.1, or of HTTP/2 with as many streams at once on a
// connection as are given.
func newNet(o NetOptions, streams int) (*Net, error) {
	switch {
	case o.Handler == nil:
		return nil, errors.New("wire.NetOptions.Handler is required")
	case o.MaxHeader < 0 || o.MaxBody < 0 || o.MinSendRate < 0 || o.MaxConns < 0:
		return nil, fmt.Errorf("wire.NetOptions of %q: a limit is negative", o.Name)
	case o.HeaderTimeout < 0 || o.IdleTimeout < 0 || o.ProgressTimeout < 0 || o.WriteStall < 0:
		return nil, fmt.Errorf("wire.NetOptions of %q: a timeout is negative", o.Name)
	}
	n := &Net{
		handler:  o.Handler,
		before:   o.BeforeBody,
		maxBody:  or(o.MaxBody, 64<<20),
		progress: or(o.ProgressTimeout, 30*time.Second),
		rate:     or(o.MinSendRate, defaultMinSendRate),
		stall:    or(o.WriteStall, defaultWriteStall),
		badPath:  or(o.BadPath, http.StatusBadRequest),
		acc:      newAccount(o.Log, o.AccessLog, o.Registerer, o.Name, o.Meter),
	}
	n.room = newRoom(o.MaxConns, n.acc, o.Registerer, o.Name)
	n.base, n.abandon = context.WithCancelCause(context.Background())
	n.server = &http.Server{
		Handler:                      http.HandlerFunc(n.handle),
		DisableGeneralOptionsHandler: true,
		ReadHeaderTimeout:            or(o.HeaderTimeout, defaultHeaderTimeout),
		IdleTimeout:                  or(o.IdleTimeout, defaultIdleTimeout),
		MaxHeaderBytes:               max(or(o.MaxHeader, defaultMaxHeader)-4<<10, 1<<10), // net/http allows 4 KiB more
		ErrorLog:                     log.New(netLogger{n.acc.log}, "", 0),
		ConnState:                    n.room.track,
		BaseContext:                  func(net.Listener) context.Context { return n.base },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, c)
		},
	}
	if streams > 0 {
		n.server.MaxHeaderBytes = or(o.MaxHeader, defaultMaxHeader)
		n.server.Protocols = new(http.Protocols)
		n.server.Protocols.SetUnencryptedHTTP2(true) // see h2Conn
		n.server.HTTP2 = &http.HTTP2Config{
			MaxConcurrentStreams:      streams,
			MaxDecoderHeaderTableSize: 4 << 10, // what a client may have kept of its headers
			MaxReadFrameSize:          16 << 10,
			// Viewers send hardly anything: what they may send ahead is small.
			MaxReceiveBufferPerConnection: 256 << 10,
			MaxReceiveBufferPerStream:     64 << 10,
			SendPingTimeout:               30 * time.Second, // a client that is gone without a word
			PingTimeout:                   15 * time.Second,
		}
	}
	return n, nil
}

// connKey finds a request's connection in its context: net/http offers no
// other way.
type connKey struct{}

// Serve accepts connections from ln until Shutdown, which makes it return nil.
func (n *Net) Serve(ln net.Listener) error {
	if err := n.server.Serve(netListener{ln, n}); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Shutdown stops accepting, closes idle connections and waits for the
// exchanges under way. When ctx is done before they are, it ends their contexts
// with [ErrShutdown], closes their connections and returns ctx's error.
func (n *Net) Shutdown(ctx context.Context) error {
	err := n.server.Shutdown(ctx)
	if err != nil {
		n.abandon(ErrShutdown)
		_ = n.server.Close()
	}
	n.room.leaving.Wait() // a second at most
	return err
}

// netLogger takes what net/http has to say about single connections: that it
// said something, not what, which may quote a request.
type netLogger struct{ log *slog.Logger }

// Write implements [io.Writer].
func (l netLogger) Write(p []byte) (int, error) {
	text, _, _ := strings.Cut(string(p), ":")
	l.log.Debug("net/http", "msg", text)
	return len(p), nil
}
