package shelf

import (
	"errors"
	"fmt"
	"syscall"
	"time"
)

// writing is the item that is being written.
type writing struct {
	Item
	hash     uint64
	canceled bool // it is not to be found; guarded by Shelf.mu
}

// A writer is what only the writing goroutine uses.
type writer struct {
	active  *file     // nil: the next record begins a file
	off     int64     // where the next record begins
	records []record  // of the active file
	last    uint32    // number of the newest file
	until   time.Time // the disk rests until then
	pause   time.Duration
	buf     []byte
}

// write is the writing goroutine. When the shelf closes it finishes what is
// queued, and the file.
func (s *Shelf) write() {
	defer close(s.stopped)
	for {
		s.mu.Lock()
		doomed := s.doomed
		if s.w.resting() {
			doomed = nil // they wait until the disk is well again
		} else {
			s.doomed = nil
		}
		var it *Item
		if len(doomed) == 0 && len(s.queue) > 0 {
			first := s.queue[0]
			it = &first
			s.queue[0] = Item{}
			s.queue = s.queue[1:]
			s.queued -= it.Len
			s.writing = &writing{Item: first, hash: Hash(it.Key)}
		}
		s.mu.Unlock()
		switch {
		case len(doomed) > 0:
			s.bury(doomed)
		case it != nil:
			s.store(it)
			s.mu.Lock()
			s.writing = nil
			s.mu.Unlock()
			select {
			case s.shorter <- struct{}{}:
			default:
			}
			it.Thing.Close()
		default:
			select {
			case <-s.wake:
			case <-s.w.rested():
			case <-s.stop:
				s.mu.Lock()
				idle := len(s.queue) == 0 && (len(s.doomed) == 0 || s.w.resting())
				s.mu.Unlock()
				if idle {
					s.lastWords()
					if err := s.finish(); err != nil {
						s.log.Warn("the last file of the cache has no list: the next start reads it through", "dir", s.opts.Dir, "error", err)
					}
					return
				}
			}
		}
	}
}

// lastWords writes down the removals that wait for the disk to be well again: a
// restart would bring back what they took away.
func (s *Shelf) lastWords() {
	s.mu.Lock()
	doomed := s.doomed
	s.doomed = nil
	s.mu.Unlock()
	if len(doomed) > 0 {
		s.bury(doomed)
	}
}

func (w *writer) resting() bool { return time.Now().Before(w.until) }

// rested returns a channel that fires when the rest is over; nil: there is none.
func (w *writer) rested() <-chan time.Time {
	if d := time.Until(w.until); d > 0 {
		return time.After(d)
	}
	return nil
}

// fault lets the disk rest, longer each time, and begins a new file after it:
// what the end of this one holds is not known.
func (s *Shelf) fault(doing string, err error) {
	w := &s.w
	w.pause = min(max(2*w.pause, minPause), maxPause)
	w.until = time.Now().Add(w.pause)
	kind := faultWrite
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, errNoSpace) {
		kind = faultFull
	}
	s.metrics.faults[kind].Inc()
	s.log.Warn("the cache's disk fails: nothing is written to it for a while", "doing", doing, "dir", s.opts.Dir, "for", w.pause, "error", err)
	s.abandon()
}

const (
	minPause = time.Second
	maxPause = time.Minute
)

// abandon leaves the active file as it is: what was installed can be read.
func (s *Shelf) abandon() {
	w := &s.w
	if w.active == nil {
		return
	}
	if size, err := w.active.Size(); err == nil {
		s.mu.Lock()
		w.active.size = max(w.active.size, size)
		s.mu.Unlock()
	}
	w.active, w.records = nil, nil
}

// store writes an item.
func (s *Shelf) store(it *Item) {
	if s.w.resting() {
		s.metrics.put[putFault].Inc()
		return
	}
	meta := it.Thing.Meta()
	r := record{kind: kindObject, hash: Hash(it.Key), sub: it.Sub, stamp: it.Stamp,
		key: uint32(len(it.Key)), meta: uint32(len(meta)), body: uint32(it.Len)}
	switch what := s.known(&r, it.At); {
	case what == putKept:
		s.metrics.put[putKept].Inc()
		return
	case what == putHead:
		r.kind, r.bodyAt = kindHead, it.At
	}
	if len(meta) > maxMeta || fileHeader+r.size() > s.opts.FileSize {
		s.metrics.put[putLarge].Inc()
		return
	}
	if !s.room() {
		s.shrink()
		if !s.room() {
			s.metrics.put[putMemory].Inc()
			return
		}
	}
	if err := s.begin(r.size()); err != nil {
		s.metrics.put[putFault].Inc()
		s.fault("begin a file", err)
		return
	}
	start := time.Now()
	if err := s.append(&r, it, meta); err != nil {
		s.metrics.put[putFault].Inc()
		s.fault("write", err)
		return
	}
	s.metrics.writing.Observe(time.Since(start).Seconds())
	s.w.pause = 0
	s.mu.Lock()
	if s.writing.canceled {
		s.index.stands(r.hash, r.at.File)
	} else {
		s.install(&r)
	}
	s.mu.Unlock()
	what := putNew
	if r.kind == kindHead {
		what = putHead
	}
	s.metrics.put[what].Inc()
}

// known says what is to be written of a thing: nothing if this version of it
// lies in a file that stays for long, its head alone if the body does, else all
// of it. So what is wanted again and again moves to the newest file before the
// oldest one goes.
func (s *Shelf) known(r *record, at Place) put {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.index.find(r.hash, r.sub)
	if e == nil || s.old(e.body.File) || e.bodyLen != r.body {
		return putNew
	}
	switch {
	case e.stamp == r.stamp:
		return putKept
	case at == e.body:
		return putHead
	}
	return putNew
}

// old reports whether a file is among the oldest quarter of a full shelf. s.mu
// is held.
func (s *Shelf) old(number uint32) bool {
	if s.total() < s.opts.Max-s.opts.Max/8-2*s.opts.FileSize {
		return false
	}
	quarter := s.files[:(len(s.files)+3)/4]
	return len(quarter) > 0 && number <= quarter[len(quarter)-1].number
}

// bury writes removals down, and waits for them to be durable.
func (s *Shelf) bury(doomed []doom) {
	err := func() error {
		for _, d := range doomed {
			if err := s.begin(recordSize); err != nil {
				return err
			}
			r := record{kind: kindGone, hash: d.hash, at: Place{s.w.active.number, uint32(s.w.off)}, sums: sum(nil)}
			if err := s.w.put(appendRecord(nil, &r)); err != nil {
				return err
			}
			s.w.records = append(s.w.records, r)
		}
		return s.w.active.Sync()
	}()
	if err == nil {
		return
	}
	s.fault("write a removal", err)
	s.mu.Lock()
	s.doomed = append(doomed, s.doomed...)
	s.mu.Unlock()
}

// begin makes sure that the active file has room for n more bytes and its
// footer.
func (s *Shelf) begin(n int64) error {
	w := &s.w
	if w.active != nil && w.off+n <= s.opts.FileSize {
		return nil
	}
	if err := s.finish(); err != nil {
		return err
	}
	if err := s.makeRoom(); err != nil {
		return err
	}
	f, err := s.opts.FS.Create(s.path(w.last + 1))
	w.last++ // also if it failed: the name may be there
	if err != nil {
		return err
	}
	own := &file{number: w.last, File: f, size: fileHeader}
	own.refs.Start(1)
	s.mu.Lock()
	s.files = append(s.files, own)
	s.mu.Unlock()
	w.active, w.off, w.records = own, 0, nil
	return w.put(appendFileHeader(nil, own.number))
}

// finish ends the active file with its footer.
func (s *Shelf) finish() error {
	w := &s.w
	if w.active == nil {
		return nil
	}
	err := w.put(appendFooter(nil, w.records, w.active.number, w.off))
	if err == nil {
		err = w.active.Sync()
	}
	if err != nil {
		s.abandon()
		return fmt.Errorf("finish a file: %w", err)
	}
	s.abandon()
	return nil
}
