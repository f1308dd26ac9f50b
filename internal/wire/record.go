package wire

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"weir/internal/web"
)

// An account is what an adapter notes of its exchanges: metrics and log.
type account struct {
	*metrics
	log      *slog.Logger
	level    slog.Level // of the line for each request
	refusals throttle
	meter    *Meter
}

// A record is the account of one exchange. It begins with the request's header
// and ends with the last byte of the answer.
type record struct {
	acc    *account
	start  time.Time
	method string
	path   string // as sent, or as cleaned once that is known
	remote netip.AddrPort
	status int   // 0: none was sent
	bytes  int64 // of the answer's body
	reason string
	err    error // why it was cut, nil if it was not
}

func (a *account) begin() record {
	a.inFlight.Inc()
	a.meter.busy.Add(1)
	return record{acc: a, start: time.Now()}
}

// end closes the account. It is called once for each begin.
func (r *record) end() {
	took := time.Since(r.start)
	r.acc.inFlight.Dec()
	r.acc.meter.busy.Add(-1)
	r.acc.count(r.method, r.status)
	r.acc.seconds.Observe(took.Seconds())
	r.acc.bytes.Add(float64(r.bytes))
	switch {
	case errors.Is(r.err, ErrTooSlow):
		r.acc.slow.Inc()
	case isGone(r.err):
		r.acc.gone.Inc()
	}
	ctx := context.Background()
	if !r.acc.log.Enabled(ctx, r.acc.level) {
		return
	}
	attrs := make([]slog.Attr, 0, 8)
	attrs = append(attrs, slog.String("method", r.method), slog.String("path", web.MaskPath(r.path)),
		slog.Int("status", r.status), slog.Int64("bytes", r.bytes), slog.Duration("took", took),
		slog.String("remote", r.remote.String()))
	if r.reason != "" {
		attrs = append(attrs, slog.String("reason", r.reason))
	}
	if r.err != nil {
		attrs = append(attrs, slog.String("cut", r.err.Error()))
	}
	r.acc.log.LogAttrs(ctx, r.acc.level, "request", attrs...)
}

// caught notes a panic that was recovered while the exchange was served.
func (r *record) caught(v any) {
	r.acc.panics.Inc()
	r.acc.log.Error("panic while serving a request", "method", r.method, "path", web.MaskPath(r.path),
		"panic", v, "stack", string(debug.Stack()))
}

// failed notes an answer of 500: an error nobody meant for the client.
func (r *record) failed(err error) {
	r.acc.log.Warn("request failed", "method", r.method, "path", web.MaskPath(r.path), "err", err)
}

// refused notes a request that never reaches a handler: nobody but the wire can
// tell the operator. Scanners send many, so a line every few seconds has to do.
func (r *record) refused(err error) {
	r.path = maskDirty(r.path)
	if dropped, ok := r.acc.refusals.pass(r.start); ok {
		r.acc.log.Info("request refused", "method", r.method[:min(len(r.method), 32)], "path", r.path, "remote", r.remote.String(),
			"status", web.StatusOf(err), "reason", web.ReasonOf(err), "err", err, "dropped", dropped)
	}
}

// isGone reports whether err says that it was the client who ended the exchange.
func isGone(err error) bool {
	return errors.Is(err, ErrClientGone) || errors.Is(err, ErrTooSlow) ||
		errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
}

// maxDirty is how much of a path that is refused is logged, in bytes.
const maxDirty = 256

// maskDirty is web.MaskPath for a path that is not clean. What may be a secret is
// spelt in some other way there, or cut in two: nothing behind a mark is said.
func maskDirty(p string) string {
	p = strings.ReplaceAll(unescape(p[:min(len(p), 3*maxDirty)]), `\`, "/")
	for _, mark := range [...]string{"/t/", "/k/"} {
		if i := strings.Index(p, mark); i >= 0 {
			p = p[:i+len(mark)] + "***"
		}
	}
	return strings.ToValidUTF8(web.MaskPath(p[:min(len(p), maxDirty)]), "?")
}

// unescape decodes all that is percent-encoded and leaves what is broken.
func unescape(p string) string {
	out := make([]byte, 0, len(p))
	for ; p != ""; p = p[1:] {
		c := p[0]
		if c == '%' && len(p) > 2 {
			if n, err := strconv.ParseUint(p[1:3], 16, 8); err == nil {
				c, p = byte(n), p[2:]
			}
		}
		out = append(out, c)
	}
	return string(out)
}

func newAccount(log *slog.Logger, loud bool, reg prometheus.Registerer, name string, meter *Meter) *account {
	if meter == nil {
		meter = new(Meter)
	}
	a := &account{metrics: newMetrics(reg, name), log: logger(log), level: slog.LevelDebug, meter: meter}
	if loud {
		a.level = slog.LevelInfo
	}
	return a
}
