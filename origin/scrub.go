package origin

import (
	"context"
	"errors"
	"io"
	"time"

	"weir/internal/seglog"
)

// scrubRate is how many bytes a second are read back at most after a start, in all.
const scrubRate = 64 << 20

// scrub reads all bodies that were on disk when the origin started, newest first, so that
// what is damaged is a gap before most viewers can ask for it: opening a log checks what may
// be torn, not what may have rotted.
func (o *Origin) scrub(ctx context.Context) {
	begun, bodies, bytes := time.Now(), 0, int64(0)
	bad := 0
	for _, c := range *o.channels.Load() {
		if c.vault == nil || c.vault.disk.Load() == nil {
			continue
		}
		for _, r := range c.ordered() {
			for _, s := range r.shelf.bodies() {
				err := c.vault.disk.Load().ReadBody(s.body, io.Discard)
				o.metrics.storeScrubbed.WithLabelValues(readResult(err)).Inc()
				if errors.Is(err, seglog.ErrDamaged) {
					bad++
					c.spoil(r, s.number, err)
				}
				bodies, bytes = bodies+1, bytes+s.body.Size
				if !sleep(ctx, time.Duration(float64(s.body.Size)/scrubRate*float64(time.Second))) {
					return
				}
			}
		}
	}
	if bodies > 0 {
		o.opts.Log.Info("what is on disk was read back", "segments", bodies, "bytes", bytes, "damaged", bad, "took", time.Since(begun).Round(time.Second))
	}
}

// spoil makes a gap of a segment that is damaged on disk: playlists over it say so from now on.
func (c *channel) spoil(r *rendition, number uint64, err error) {
	r.shelf.spoil(number)
	c.log.Error("segment is damaged on disk: it is a gap from now on", "rendition", r.name, "number", number, "error", err)
}

// bodies returns all that have one, newest first.
func (a *archive) bodies() []shelved {
	a.mu.RLock()
	defer a.mu.RUnlock()
	out := make([]shelved, 0, len(a.all))
	for i := len(a.all) - 1; i >= 0; i-- {
		if !a.all[i].gap() {
			out = append(out, a.all[i])
		}
	}
	return out
}

// sleep waits, and reports whether ctx let it.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
