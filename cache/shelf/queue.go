package shelf

import (
	"context"
	"slices"
)

// A Thing is what can be kept. Its methods are called by the goroutine that
// writes, and Close exactly once if Put returned true.
type Thing interface {
	Meta() []byte          // what is said of it, at most 1 MiB
	View(off int64) []byte // the body from off on, some of it at least
	Close()
}

// An Item is a thing to be put.
type Item struct {
	Key    string
	Sub    uint32 // which of several things under the key
	Stamp  uint32 // which version of it: one that lies there already is not written again
	Len    int64  // of the body
	Wanted bool   // it was wanted twice. What was not is only remembered, and kept the next time
	At     Place  // where the body lies already, if it was read from here
	Thing  Thing
}

// maxItems bounds what waits.
const maxItems = 512

// Put queues an item. False means that it is not taken.
func (s *Shelf) Put(it Item) bool {
	h := Hash(it.Key)
	s.mu.Lock()
	defer s.mu.Unlock()
	size := recordSize + int64(len(it.Key)) + it.Len + 4*int64(blocks(uint32(min(it.Len, maxFile))))
	switch {
	case s.closed:
		return false
	case !it.Wanted && !s.door.knock(h):
		s.metrics.put[putOnce].Inc()
		return false
	case len(it.Key) > maxKey || fileHeader+size > s.opts.FileSize:
		s.metrics.put[putLarge].Inc()
		return false
	case len(s.queue) >= maxItems || len(s.queue) > 0 && s.queued+it.Len > s.opts.QueueBytes: // one may always wait
		s.metrics.put[putQueue].Inc()
		return false
	}
	s.queue = append(s.queue, it)
	s.queued += it.Len
	s.kick()
	return true
}

// Await waits until n bytes more may be queued, or ctx is done: then it returns
// false.
func (s *Shelf) Await(ctx context.Context, n int64) bool {
	for {
		s.mu.Lock()
		free := len(s.queue) == 0 || len(s.queue) < maxItems && s.queued+n <= s.opts.QueueBytes
		s.mu.Unlock()
		switch {
		case ctx.Err() != nil:
			return false
		case free:
			return true
		}
		select {
		case <-s.shorter:
		case <-ctx.Done():
		}
	}
}

// kick wakes the writer.
func (s *Shelf) kick() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// A doom is a removal that is to be written down.
type doom struct{ hash uint64 }

// Remove makes sure that nothing put under key before is found again, also
// after a restart: once the removal is on the disk, which this does not wait
// for. It does no I/O.
func (s *Shelf) Remove(key string) {
	h := Hash(key)
	s.mu.Lock()
	gone := s.cancel(h, func(it *Item) bool { return it.Key == key })
	n := s.index.remove(h, every)
	if s.index.forgotten[h] != 0 {
		delete(s.index.forgotten, h)
		n++
	}
	if n+len(gone) > 0 || s.writing != nil && s.writing.hash == h {
		s.doomed = append(s.doomed, doom{h})
		s.kick()
	}
	s.mu.Unlock()
	for _, it := range gone {
		it.Thing.Close()
	}
}

// Forget lets go of what is under key, and of some things only if sub names
// them: it is not wanted any more, or something newer is known. It may be found
// again after a restart.
func (s *Shelf) Forget(key string, sub ...uint32) {
	h := Hash(key)
	this := func(n uint32) bool { return len(sub) == 0 || slices.Contains(sub, n) }
	s.mu.Lock()
	s.index.forget(h, func(e *entry) bool { return this(e.sub) })
	gone := s.cancel(h, func(it *Item) bool { return it.Key == key && this(it.Sub) })
	s.mu.Unlock()
	for _, it := range gone {
		it.Thing.Close()
	}
}

// cancel takes items of a hash out of the queue, and keeps what is being written
// from being found. s.mu is held.
func (s *Shelf) cancel(h uint64, which func(*Item) bool) (gone []Item) {
	keep := s.queue[:0]
	for _, it := range s.queue {
		if which(&it) {
			gone = append(gone, it)
			s.queued -= it.Len
		} else {
			keep = append(keep, it)
		}
	}
	clear(s.queue[len(keep):])
	s.queue = keep
	if w := s.writing; w != nil && w.hash == h && which(&w.Item) {
		w.canceled = true
	}
	return gone
}

func (s *Shelf) dropQueue() {
	s.mu.Lock()
	queue := s.queue
	s.queue, s.queued = nil, 0
	s.mu.Unlock()
	for _, it := range queue {
		s.metrics.put[putFault].Inc()
		it.Thing.Close()
	}
}
