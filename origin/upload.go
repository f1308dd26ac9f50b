package origin

import (
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"weir/internal/spool"
	"weir/internal/web"
	"weir/playlist"
)

// An upload is a pushed file that is wholly there. Each PUT makes a new one.
type upload struct {
	path  string
	gen   uint64 // uploads of a channel are counted as they begin
	buf   *spool.Buffer
	cost  int64 // bytes of memory buf holds
	sum   [sha256.Size]byte
	begun time.Time // when its first byte was to come
	done  time.Time // when its last byte was there
	probe
	cuts    []cut     // where it is divided, if it is too long
	pieces  []*upload // what it is divided into
	holders int       // of buf, guarded by the channel's mu
	deleted bool      // and cannot be read back; guarded by the channel's mu
}

var (
	errTooLarge = errors.New("too many bytes")
	errMemory   = errors.New("memory is full")
	errBudget   = errors.New("the channel's memory is spent")
)

// taker reads an upload's body: it counts, hashes, and holds it to the bounds and to its
// publisher's rate as bytes pass.
type taker struct {
	ctx   context.Context
	r     io.Reader
	c     *channel // nil: none is charged for the bytes
	n     int64
	taken int64 // bytes that c is charged for
	limit int64
	full  func() bool               // no memory is left
	pace  func(n int) time.Duration // nil: at any rate
	hash  hash.Hash
	next  int64 // at how many bytes full is asked again
}

// taking returns the reader of req's body for channel c.
func (o *Origin) taking(ctx context.Context, t target, req *web.Request, c *channel) *taker {
	return &taker{ctx: ctx, r: body(req), c: c, limit: o.limit(t), full: o.memoryFull, pace: o.accounts.pacer(t), hash: sha256.New()}
}

const memoryEvery = 256 << 10

// paceEvery is how many bytes of a publisher that has a rate are read at once: more would be
// there before anybody could slow it down.
const paceEvery = 32 << 10

// Read implements [io.Reader].
func (t *taker) Read(p []byte) (int, error) {
	if t.pace != nil {
		p = p[:min(len(p), paceEvery)]
	}
	n, err := t.r.Read(p)
	t.n += int64(n)
	t.hash.Write(p[:n])
	if t.n > t.limit {
		return n, errTooLarge
	}
	if t.c != nil {
		t.c.held.Add(int64(n))
		t.taken += int64(n)
	}
	if t.n >= t.next {
		t.next = t.n + memoryEvery
		if t.full() {
			return n, errMemory
		}
		if t.c != nil && t.c.spent(0) {
			return n, errBudget
		}
	}
	if t.pace != nil {
		if wait := t.pace(n); wait > 0 && err == nil {
			err = t.sleep(wait)
		}
	}
	return n, err
}

// sleep is how a publisher above its rate is slowed down: nobody reads on, so that TCP makes
// the encoder wait.
func (t *taker) sleep(d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-t.ctx.Done():
		return context.Cause(t.ctx)
	}
}

// uncharge takes back what the channel was charged while the bytes came.
func (t *taker) uncharge() {
	if t.c != nil {
		t.c.held.Add(-t.taken)
	}
}

// receive takes in the body of a media upload. The buffer can be read while it grows; an
// upload that is cut is aborted and never becomes complete.
func (o *Origin) receive(ctx context.Context, c *channel, t target, req *web.Request) (*upload, error) {
	begun := time.Now()
	gen, ok := c.open(t.path)
	if !ok {
		return nil, refuse(http.StatusServiceUnavailable, reasonBusy, "channel %s: %s: more than %d uploads at once", t.channel, t.path, maxArriving)
	}
	w, buf := o.opts.Slab.New(max(0, length(req)))
	taker := o.taking(ctx, t, req, c)
	_, err := w.ReadFrom(taker)
	taker.uncharge()
	if err == nil && taker.n == 0 {
		err = refuse(http.StatusBadRequest, reasonEmpty, "channel %s: %s: the upload is empty", t.channel, t.path)
	}
	if err == nil {
		err = w.Complete()
	}
	if err != nil {
		w.Abort(err)
		buf.Close()
		c.abandon(t.path)
		if errors.Is(err, errBudget) {
			return nil, c.overBudget(t)
		}
		return nil, o.uploadError(t, taker.n, err)
	}
	u := &upload{path: t.path, gen: gen, buf: buf, cost: buf.Cost(), begun: begun, done: time.Now(), probe: look(buf)}
	taker.hash.Sum(u.sum[:0])
	c.held.Add(u.cost)
	u.lavf = u.lavf || strings.HasPrefix(req.Header.Get("User-Agent"), "Lavf/")
	c.foresee(u)
	return u, nil
}

// receiveText takes in the body of a pushed playlist.
func (o *Origin) receiveText(ctx context.Context, t target, req *web.Request) ([]byte, error) {
	taker := o.taking(ctx, t, req, nil)
	text, err := io.ReadAll(taker)
	if err != nil {
		return nil, o.uploadError(t, taker.n, err)
	}
	return text, nil
}

func body(req *web.Request) io.Reader {
	if req.Body == nil {
		return http.NoBody
	}
	return req.Body
}

// length is what the request says of its body's length; -1: nothing.
func length(req *web.Request) int64 {
	n, err := strconv.ParseInt(req.Header.Get("Content-Length"), 10, 64)
	if err != nil {
		return -1
	}
	return n
}

// limit is how many bytes a file may have.
func (o *Origin) limit(t target) int64 {
	if isPlaylist(t.path) {
		return playlist.MaxBytes
	}
	if own := t.limits.Upload; own > 0 {
		return min(own, o.opts.MaxUpload)
	}
	return o.opts.MaxUpload
}

func (o *Origin) tooLarge(t target) error {
	knob := "ingest.max_upload"
	switch {
	case isPlaylist(t.path):
		knob = "the encoder's -hls_list_size"
	case o.limit(t) < o.opts.MaxUpload:
		knob = "max_upload of publisher " + t.by + " in ingest.keys_file"
	}
	return refuse(http.StatusRequestEntityTooLarge, reasonTooLarge, "channel %s: %s: more than %d bytes (%s)", t.channel, t.path, o.limit(t), knob)
}

// uploadError names the object in what ended an upload after n bytes. A wire has bounds and
// words of its own for what is too large, stalled or cut; it knows neither channel nor knob.
func (o *Origin) uploadError(t target, n int64, err error) error {
	switch status := web.StatusOf(err); {
	case web.ReasonOf(err) == reasonEmpty:
		return err
	case errors.Is(err, errTooLarge), status == http.StatusRequestEntityTooLarge:
		return o.tooLarge(t)
	case errors.Is(err, errMemory):
		e := refuse(http.StatusServiceUnavailable, reasonMemory, "channel %s: %s: memory is full (store.memory)", t.channel, t.path)
		e.RetryAfter = time.Second
		return e
	case status == http.StatusRequestTimeout:
		return refuse(status, reasonStalled, "channel %s: %s: after %d bytes no more came (ingest.stall_timeout): %w", t.channel, t.path, n, err)
	}
	return refuse(http.StatusBadRequest, reasonCut, "channel %s: %s: the upload ended after %d bytes, before its end: %w", t.channel, t.path, n, err)
}
