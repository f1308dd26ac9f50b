package wire

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"weir/internal/web"
)

// FastOptions configures a [Fast].
type FastOptions struct {
	Handler    web.Handler           // required; if it is a [web.Quick], TryServe is asked first
	Log        *slog.Logger          // nil: discard
	Registerer prometheus.Registerer // nil: metrics are kept but not registered
	Name       string                // value of the metrics' label "listener"

	MaxHeader     int           // bytes of request line and header; more is 431. 0: 16 KiB
	MaxBody       int64         // bytes of a request's body; more is 413. 0: 64 KiB
	HeaderTimeout time.Duration // from a request's first byte to the end of its header and body. 0: 10 s
	IdleTimeout   time.Duration // between two requests of a connection. 0: 75 s
	MinSendRate   int64         // bytes/s a client must take on average while it is sent to. 0: 8 KiB/s
	WriteStall    time.Duration // how long a client may take nothing, or lag behind MinSendRate. 0: 15 s
	Concurrency   int           // connections at once; more get 503. 0: 262,144
	AccessLog     bool          // one line for each request at level Info instead of Debug

	Gate  Gate   // asked about each connection; nil: all pass
	Meter *Meter // measures what goes out; nil: nobody looks
}

// A Fast serves a Handler over HTTP/1.1 with fasthttp: many connections, small
// requests, answers of any size. It reads a request's body whole before it
// asks the Handler; what a client sends beyond that waits in the socket.
type Fast struct {
	handler web.Handler
	quick   web.Quick // nil: the handler is none
	rate    int64
	stall   time.Duration
	server  *fasthttp.Server
	acc     *account
	gate    Gate
	room    *room
	sweep   sweeper
	bodies  announced
	date    dateClock
	base    context.Context // parent of every exchange's
	abandon context.CancelCauseFunc

	mu       sync.Mutex
	conns    map[net.Conn]netip.Addr // guarded by mu; open ones, with what gate let in
	stop     chan struct{}           // guarded by mu; ends the sweeper; nil: it does not run
	closing  bool                    // guarded by mu
	sweeping sync.WaitGroup
}

// NewFast returns a Fast. It starts nothing.
func NewFast(o FastOptions) (*Fast, error) {
	switch {
	case o.Handler == nil:
		return nil, errors.New("wire.FastOptions.Handler is required")
	case o.MaxHeader < 0 || o.MaxBody < 0 || o.MinSendRate < 0 || o.Concurrency < 0:
		return nil, fmt.Errorf("wire.FastOptions of %q: a limit is negative", o.Name)
	case o.HeaderTimeout < 0 || o.IdleTimeout < 0 || o.WriteStall < 0:
		return nil, fmt.Errorf("wire.FastOptions of %q: a timeout is negative", o.Name)
	}
	f := &Fast{
		handler: o.Handler,
		rate:    or(o.MinSendRate, defaultMinSendRate),
		stall:   or(o.WriteStall, defaultWriteStall),
		acc:     newAccount(o.Log, o.AccessLog, o.Registerer, o.Name, o.Meter),
		gate:    o.Gate,
		conns:   make(map[net.Conn]netip.Addr),
	}
	f.room = newRoom(or(o.Concurrency, fasthttp.DefaultConcurrency), f.acc, o.Registerer, o.Name)
	f.bodies.each = or(o.MaxBody, defaultSmallBody)
	f.bodies.most = max(maxAnnounced, 4*f.bodies.each)
	f.bodies.within = or(o.HeaderTimeout, defaultHeaderTimeout) + time.Second
	f.quick, _ = o.Handler.(web.Quick)
	f.base, f.abandon = context.WithCancelCause(context.Background())
	f.server = &fasthttp.Server{
		Handler:      f.handle,
		ErrorHandler: f.refuse,
		ConnState:    f.track,

		HeaderReceived: f.bodies.header,

		Logger:      quietLogger{f.acc.log},
		Concurrency: o.Concurrency,

		// The read buffer is what bounds a header. Buffers go back to their
		// pool between requests, and each answer is flushed as soon as it is
		// made: an answer never waits for the next request of a pipeline.
		ReadBufferSize:               or(o.MaxHeader, defaultMaxHeader),
		ReduceMemoryUsage:            true,
		MaxRequestBodySize:           int(or(o.MaxBody, defaultSmallBody)),
		DisablePreParseMultipartForm: true,
		ReadTimeout:                  or(o.HeaderTimeout, defaultHeaderTimeout),
		IdleTimeout:                  or(o.IdleTimeout, defaultIdleTimeout),
		WriteTimeout:                 f.stall, // of a header or small answer; what is larger is paced
		CloseOnShutdown:              true,

		NoDefaultServerHeader: true,
		NoDefaultDate:         true, // it would replace the Date of a stored answer
		NoDefaultContentType:  true,
		SecureErrorLogMessage: true,
	}
	return f, nil
}

// Serve accepts connections from ln until Shutdown, which makes it return nil.
func (f *Fast) Serve(ln net.Listener) error {
	f.mu.Lock()
	if f.closing { // it was replaced before it began
		f.mu.Unlock()
		return nil
	}
	if f.stop == nil {
		stop := make(chan struct{})
		f.stop = stop
		f.sweeping.Go(func() { f.sweep.run(stop) })
	}
	f.mu.Unlock()
	return f.server.Serve(fastListener{ln, f})
}

// Shutdown stops accepting, closes idle connections and waits for the
// exchanges under way. When ctx is done before they are, it ends their contexts
// with [ErrShutdown], closes their connections and returns ctx's error. A
// connection that has sent nothing yet counts as under way for its first 5 s.
func (f *Fast) Shutdown(ctx context.Context) error {
	f.mu.Lock()
	f.closing = true
	f.mu.Unlock()
	err := f.server.ShutdownWithContext(ctx)
	if err != nil {
		f.abandon(ErrShutdown)
		f.mu.Lock()
		for c := range f.conns {
			sever(c)
		}
		f.mu.Unlock()
	}
	f.mu.Lock()
	if f.stop != nil {
		close(f.stop)
		f.stop = nil
	}
	f.mu.Unlock()
	f.sweeping.Wait()
	f.room.leaving.Wait() // a second at most
	return err
}

// quietLogger takes what fasthttp has to say about single connections. What it
// would fill in may quote a request's header, which no log of ours does.
type quietLogger struct{ log *slog.Logger }

// Printf implements [fasthttp.Logger].
func (l quietLogger) Printf(format string, _ ...any) { l.log.Debug("fasthttp", "msg", format) }
