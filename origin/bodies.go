package origin

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"

	"weir/internal/seglog"
	"weir/internal/spool"
)

// bodies are segments that were read back from disk: each is read once for all who ask at the
// same time, and kept for a while after, as far as there is room. What viewers hold of them, who
// may be slow, has a share of the memory, so that live has the rest.
type bodies struct {
	slab  *spool.Slab // of these alone
	m     *metrics
	limit int64         // bytes kept
	most  int64         // bytes of all that somebody holds
	slots chan struct{} // reads at once

	mu     sync.Mutex // guards what follows
	all    map[bodyKey]*bodyRead
	used   []bodyKey // those that are kept, least recently asked for first
	size   int64
	coming int64 // bytes of those that are being read
	closed bool
}

type bodyKey struct {
	log bodyReader
	ref seglog.Ref
}

// A bodyRead is one body: on its way, or there.
type bodyRead struct {
	done chan struct{} // closed when buf or err is set
	buf  *spool.Buffer // with a reference of its own
	err  error
}

const (
	readsAtOnce = 16
	maxReads    = 1024 // that are under way or wait for their turn
)

// errBusy: too many ask for what is on disk, or hold it.
var errBusy = refuse(http.StatusServiceUnavailable, "busy", "too many viewers of what is on disk for the memory there is (store.memory)")

// newBodies returns bodies of an origin whose memory is so many bytes.
func newBodies(slab *spool.Slab, memory int64, m *metrics) *bodies {
	return &bodies{
		slab: slab.Apart(), m: m, limit: memory / 16, most: memory / 4,
		slots: make(chan struct{}, readsAtOnce), all: map[bodyKey]*bodyRead{},
	}
}

// get returns a body with a reference for the caller. It waits for the disk.
func (b *bodies) get(ctx context.Context, l bodyReader, ref seglog.Ref) (*spool.Buffer, error) {
	key := bodyKey{l, ref}
	for {
		b.mu.Lock()
		r := b.all[key]
		if r == nil && len(b.all)-len(b.used) >= maxReads {
			b.mu.Unlock()
			return nil, errBusy
		}
		if r == nil {
			r = &bodyRead{done: make(chan struct{})}
			b.all[key] = r
			go b.read(key, r) // detached: who asked first may leave
		}
		b.mu.Unlock()
		select {
		case <-r.done:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		if r.err != nil {
			return nil, r.err
		}
		b.touch(key)
		if r.buf.TryRef() {
			return r.buf, nil
		}
		// It was let go of in between: once more.
	}
}

func (b *bodies) read(key bodyKey, r *bodyRead) {
	b.slots <- struct{}{}
	if r.err = b.admit(key.ref.Size); r.err == nil {
		r.buf, r.err = loadBody(b.slab, key.log, key.ref)
		b.mu.Lock()
		b.coming -= key.ref.Size
		b.mu.Unlock()
	}
	<-b.slots
	b.m.storeReads.WithLabelValues(readResult(r.err)).Inc()
	b.mu.Lock()
	var gone []*spool.Buffer
	switch {
	case r.err != nil:
		delete(b.all, key)
	case b.closed:
		delete(b.all, key)
		gone = append(gone, r.buf)
	default:
		b.used = append(b.used, key)
		b.size += r.buf.Cost()
	}
	gone = append(gone, b.shrink(b.limit)...)
	b.mu.Unlock()
	for _, buf := range gone { // before anybody goes on: memory is what they share
		buf.Close()
	}
	close(r.done)
}

// admit makes room for a body, or says that there is none. One alone always has.
func (b *bodies) admit(size int64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.slab.InUse()+b.coming > 0 && b.slab.InUse()+b.coming+size > b.most {
		if len(b.used) == 0 {
			return errBusy
		}
		b.evict().Close()
	}
	b.coming += size
	return nil
}

func readResult(err error) string {
	switch {
	case errors.Is(err, errBusy):
		return "busy"
	case err == nil:
		return "ok"
	case errors.Is(err, seglog.ErrDamaged):
		return "damaged"
	case errors.Is(err, seglog.ErrGone):
		return "gone"
	}
	return "error"
}

// touch notes that a body was asked for.
func (b *bodies) touch(key bodyKey) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := slices.Index(b.used, key); i >= 0 && i < len(b.used)-1 {
		b.used = append(slices.Delete(b.used, i, i+1), key)
	}
}

// shrink lets go of what was asked for longest ago until the rest fits; the newest stays.
func (b *bodies) shrink(limit int64) (gone []*spool.Buffer) {
	for len(b.used) > 0 && b.size > limit && (limit == 0 || len(b.used) > 1) {
		gone = append(gone, b.evict())
	}
	return gone
}

// evict forgets what was asked for longest ago, and returns the hold on it.
func (b *bodies) evict() *spool.Buffer {
	r := b.all[b.used[0]]
	delete(b.all, b.used[0])
	b.used = b.used[1:]
	b.size -= r.buf.Cost()
	return r.buf
}

// close lets go of all.
func (b *bodies) close() {
	b.mu.Lock()
	b.closed = true
	gone := b.shrink(0)
	b.mu.Unlock()
	for _, buf := range gone {
		buf.Close()
	}
}
