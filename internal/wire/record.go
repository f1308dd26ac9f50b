package wire

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// An account is what an adapter notes of its exchanges: metrics and log.
type account struct {
	*metrics
	log   *slog.Logger
	level slog.Level // of the line for each request
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
	return record{acc: a, start: time.Now()}
}

// end closes the account. It is called once for each begin.
func (r *record) end() {
	took := time.Since(r.start)
	r.acc.inFlight.Dec()
	r.acc.count(r.method, r.status)
	r.acc.seconds.Observe(took.Seconds())
	r.acc.bytes.Add(float64(r.bytes))
	if isGone(r.err) {
		r.acc.gone.Inc()
	}
	ctx := context.Background()
	if !r.acc.log.Enabled(ctx, r.acc.level) {
		return
	}
	attrs := make([]slog.Attr, 0, 8)
	attrs = append(attrs, slog.String("method", r.method), slog.String("path", maskPath(r.path)),
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
	r.acc.log.Error("panic while serving a request", "method", r.method, "path", maskPath(r.path),
		"panic", v, "stack", string(debug.Stack()))
}

// failed notes an answer of 500: an error nobody meant for the client.
func (r *record) failed(err error) {
	r.acc.log.Warn("request failed", "method", r.method, "path", maskPath(r.path), "err", err)
}

// isGone reports whether err says that it was the client who ended the exchange.
func isGone(err error) bool {
	return errors.Is(err, ErrClientGone) || errors.Is(err, ErrTooSlow) ||
		errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
}

// maskPath returns p as it may be logged: the segment after "/t/" is a viewer's
// token, the one after "/k/" a publisher's key.
func maskPath(p string) string {
	for _, mark := range [...]string{"/t/", "/k/"} {
		for from := 0; ; {
			i := strings.Index(p[from:], mark)
			if i < 0 {
				break
			}
			i += from + len(mark)
			end := len(p)
			if j := strings.IndexByte(p[i:], '/'); j >= 0 {
				end = i + j
			}
			p = p[:i] + "***" + p[end:]
			from = i + len("***")
		}
	}
	return p
}

func newAccount(log *slog.Logger, loud bool, reg prometheus.Registerer, name string) *account {
	a := &account{metrics: newMetrics(reg, name), log: logger(log), level: slog.LevelDebug}
	if loud {
		a.level = slog.LevelInfo
	}
	return a
}
