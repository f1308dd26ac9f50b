package shelf

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// maxReads bounds the reads under way, maxCandidates the heads that one
// question reads.
const (
	maxReads      = 64
	maxCandidates = 8
	chunkSize     = 4 * blockSize
)

// ReadBytes is the memory that one read takes beside what it is written to.
const ReadBytes = 3 * chunkSize

// Found is a thing on its way from the disk.
type Found struct {
	Meta []byte
	Len  int64
	At   Place

	s      *Shelf
	key    string
	sub    uint32
	stamp  uint32
	chunks chan []byte // closed at the end; err is set before
	back   chan []byte // for reuse
	quit   chan struct{}
	once   sync.Once
	err    error
}

// Get looks for what is under key and whose meta the function wants. It waits
// for the disk no longer than Options.Patience. Whoever gets a Found closes it.
func (s *Shelf) Get(ctx context.Context, key string, want func(meta []byte) bool) (*Found, error) {
	tried, files := s.candidates(Hash(key))
	if len(tried) == 0 {
		return nil, ErrMiss
	}
	letGo := func() {
		for _, f := range files {
			_ = f.release() // it was only read
		}
	}
	if s.rest.ing(time.Now()) {
		letGo()
		s.metrics.get[getBusy].Inc()
		return nil, ErrBusy
	}
	select {
	case s.reads <- struct{}{}:
	default:
		letGo()
		s.metrics.get[getBusy].Inc()
		return nil, ErrBusy
	}
	if !s.opts.Room(ReadBytes) {
		<-s.reads
		letGo()
		s.metrics.get[getBusy].Inc()
		return nil, ErrBusy
	}
	r := &reader{s: s, key: key, want: want, tried: tried, files: files, start: time.Now(), found: make(chan *Found, 1)}
	go func() {
		defer func() { <-s.reads }()
		defer s.opts.Room(-ReadBytes)
		defer letGo()
		r.run()
	}()
	patience := time.NewTimer(s.opts.Patience)
	defer patience.Stop()
	select {
	case f := <-r.found:
		if f == nil {
			return nil, r.err
		}
		return f, nil
	case <-patience.C:
		go r.abandon()
		s.slow()
		return nil, fmt.Errorf("read the head: %w", ErrSlow)
	case <-ctx.Done():
		go r.abandon()
		return nil, context.Cause(ctx)
	}
}

// candidates returns what lies under a hash, the newest first, and the files it
// lies in, held.
func (s *Shelf) candidates(h uint64) (tried []entry, files map[uint32]*file) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil
	}
	for e := s.index.first(h); e != nil && len(tried) < maxCandidates; e = s.index.at(e.next) {
		tried = append(tried, *e)
		for _, p := range [...]Place{e.head, e.body} {
			if f := s.fileOf(p.File); f != nil && files[p.File] == nil {
				if files == nil {
					files = map[uint32]*file{}
				}
				f.refs.Add(1)
				files[p.File] = f
			}
		}
	}
	return tried, files
}

// A reader is one read, on its own goroutine: a disk that hangs hangs that.
type reader struct {
	s     *Shelf
	key   string
	want  func([]byte) bool
	tried []entry
	files map[uint32]*file
	start time.Time
	found chan *Found // nil: there is none, and err says why
	err   error
}

// abandon waits for a read that nobody waits for, to end it.
func (r *reader) abandon() {
	if f := <-r.found; f != nil {
		f.Close()
	}
}

func (r *reader) run() {
	r.err = ErrMiss
	for i := range r.tried {
		e := &r.tried[i]
		h, err := r.head(e)
		if err != nil {
			r.s.bad(r.key, e, err)
			r.err = err
			continue
		}
		if h.name != r.key || !r.want(h.said) {
			continue
		}
		f := &Found{Meta: h.said, Len: int64(h.body), At: e.body, s: r.s, key: r.key, sub: e.sub, stamp: e.stamp,
			chunks: make(chan []byte), back: make(chan []byte, 2), quit: make(chan struct{})}
		r.s.metrics.get[getHit].Inc()
		r.found <- f
		f.err = r.body(f, e, &h)
		if f.err != nil && !errors.Is(f.err, errQuit) {
			r.s.bad(r.key, e, f.err)
		}
		if f.err == nil {
			r.s.rest.over()
			r.s.metrics.reading.Observe(time.Since(r.start).Seconds())
		}
		close(f.chunks)
		return
	}
	if errors.Is(r.err, ErrMiss) {
		r.s.metrics.get[getMiss].Inc()
	}
	r.found <- nil
}

// head reads and checks what stands before the body.
func (r *reader) head(e *entry) (head, error) {
	f := r.files[e.head.File]
	if f == nil || r.files[e.body.File] == nil {
		return head{}, ErrMiss
	}
	p := make([]byte, e.headLen)
	if _, err := f.ReadAt(p, int64(e.head.Off)); err != nil && !errors.Is(err, io.EOF) {
		return head{}, err
	}
	h, ok := parseHead(p, e.head)
	if !ok || h.hash != e.hash || h.place() != e.body || h.body != e.bodyLen {
		return head{}, ErrBad
	}
	return h, nil
}

var errQuit = errors.New("nobody reads on")

// body sends the body in chunks, each checked.
func (r *reader) body(f *Found, e *entry, h *head) error {
	from := r.files[e.body.File]
	for off := int64(0); off < f.Len; off += chunkSize {
		var p []byte
		select {
		case p = <-f.back:
		default:
			p = make([]byte, min(chunkSize, f.Len))
		}
		p = p[:min(int64(cap(p)), f.Len-off)]
		if _, err := from.ReadAt(p, int64(e.body.Off)+off); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		for b := int64(0); b < int64(len(p)); b += blockSize {
			if sum(p[b:min(b+blockSize, int64(len(p)))]) != h.block((off+b)/blockSize) {
				return ErrBad
			}
		}
		select {
		case f.chunks <- p:
		case <-f.quit:
			return errQuit
		}
	}
	return nil
}

// Drain writes the body to w, and returns nil only if that was all of it. It
// waits for each piece no longer than Options.Patience.
func (f *Found) Drain(ctx context.Context, w io.Writer) (n int64, err error) {
	patience := time.NewTimer(f.s.opts.Patience)
	defer patience.Stop()
	for {
		select {
		case p, more := <-f.chunks:
			if !more && f.err != nil {
				return n, fmt.Errorf("read from the cache's disk: %w", f.err)
			}
			if !more {
				return n, nil
			}
			k, err := w.Write(p)
			n += int64(k)
			if err != nil {
				return n, err
			}
			select {
			case f.back <- p:
			default:
			}
			patience.Reset(f.s.opts.Patience)
		case <-patience.C:
			f.s.slow()
			return n, fmt.Errorf("read from the cache's disk: %w", ErrSlow)
		case <-ctx.Done():
			return n, context.Cause(ctx)
		}
	}
}

// Current reports whether the thing is still what would be found: nothing newer
// was put since, and it was not forgotten.
func (f *Found) Current() bool {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	e := f.s.index.find(Hash(f.key), f.sub)
	return e != nil && e.body == f.At && e.stamp == f.stamp
}

// Forget takes the thing out: it is of no use any more.
func (f *Found) Forget() { f.s.Forget(f.key, f.sub) }

// Close ends the reading.
func (f *Found) Close() { f.once.Do(func() { close(f.quit) }) }

// bad takes out what could not be read, or is not what was put.
func (s *Shelf) bad(key string, e *entry, err error) {
	if errors.Is(err, ErrMiss) {
		return // its file went in between
	}
	s.mu.Lock()
	s.index.forget(e.hash, func(o *entry) bool { return o.sub == e.sub && o.head == e.head })
	s.mu.Unlock()
	if errors.Is(err, ErrBad) {
		s.metrics.get[getBad].Inc()
		s.log.Warn("what the cache's disk gives back is not what was written: it is not served", "dir", s.opts.Dir, "key", key[:min(len(key), 200)], "file", e.body.File)
		return
	}
	s.metrics.get[getError].Inc()
	s.metrics.faults[faultRead].Inc()
	s.log.Warn("the cache's disk cannot be read", "dir", s.opts.Dir, "error", err, "rest", s.rest.begin(time.Now()))
}

// slow notes that a read was waited for in vain.
func (s *Shelf) slow() {
	s.metrics.get[getSlow].Inc()
	s.metrics.faults[faultSlow].Inc()
	s.log.Warn("the cache's disk does not answer: it is not asked for a while", "dir", s.opts.Dir, "rest", s.rest.begin(time.Now()))
}

// A rest is a time in which nothing is read, longer each time.
type rest struct {
	mu    sync.Mutex
	until time.Time     // guarded by mu
	pause time.Duration // guarded by mu
}

func (r *rest) ing(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return now.Before(r.until)
}

func (r *rest) begin(now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Before(r.until) {
		return r.pause // reads that were under way already
	}
	r.pause = min(max(2*r.pause, minPause), maxPause)
	r.until = now.Add(r.pause)
	return r.pause
}

func (r *rest) over() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pause = 0
}
