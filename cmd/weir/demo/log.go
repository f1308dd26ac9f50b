package demo

import (
	"context"
	"log/slog"
	"sync/atomic"
)

// hush is a log that keeps warnings to itself once the demo stops: uploads that
// end half-way are no news then. Whoever asked for more than warnings gets all.
type hush struct {
	slog.Handler
	stopping *atomic.Bool
}

// Enabled implements [slog.Handler].
func (h hush) Enabled(ctx context.Context, level slog.Level) bool {
	if level < slog.LevelError && h.stopping.Load() && !h.Handler.Enabled(ctx, slog.LevelInfo) {
		return false
	}
	return h.Handler.Enabled(ctx, level)
}

// WithAttrs implements [slog.Handler].
func (h hush) WithAttrs(attrs []slog.Attr) slog.Handler {
	return hush{h.Handler.WithAttrs(attrs), h.stopping}
}

// WithGroup implements [slog.Handler].
func (h hush) WithGroup(name string) slog.Handler {
	return hush{h.Handler.WithGroup(name), h.stopping}
}
