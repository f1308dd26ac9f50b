// Package shelf keeps things on disk that can be had again: a ring of files, of which the oldest goes when a new one is needed.
//
// It promises that what it gives is what was put, whole and under the same key, or nothing:
// heads and every block of a body carry a checksum, and what does not match is gone. Putting
// never waits for the disk, and a disk that is slow, full or dead costs only what could have
// been kept. What is durable when is left to the system: nothing here is the only copy.
package shelf

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"weir/internal/disk"
)

// Options configures a [Shelf]. The zero value of a field is its default.
type Options struct {
	FS  disk.FS // must be given
	Dir string  // must be given; nothing else may be in it
	// Max is how many bytes the files may take together. Must be given, at
	// least MinMax.
	Max int64
	// KeepFree is how many bytes are to stay free on the file system.
	KeepFree int64
	// FileSize is the size at which a file is done. Nothing larger is kept.
	// Default a 64th of Max, at most 1 GiB.
	FileSize int64
	// QueueBytes bounds what waits to be written: it is memory. Default 32 MiB.
	QueueBytes int64
	// Patience bounds how long one read may take. Default 2 s.
	Patience time.Duration
	// Room is asked for the memory of the index before it is taken, and told
	// with a negative number when it is given back. It is called under no
	// lock. Nil: there is always room.
	Room func(bytes int64) bool

	Registerer prometheus.Registerer // nil: metrics are kept but not registered
	Log        *slog.Logger          // nil: discard
}

// MinMax is the smallest Max.
const MinMax = 4 << 20

const (
	minFile = 1 << 20
	maxFile = 1 << 30 // offsets in the index have 32 bits
)

// Errors of New and of Get.
var (
	ErrForeign = errors.New("the directory holds what is not ours")
	ErrMiss    = errors.New("not there")
	ErrBusy    = errors.New("too many reads at once, or the disk is resting")
	ErrSlow    = errors.New("the disk does not answer in time")
	ErrBad     = errors.New("the bytes on disk are not those that were put")
)

// A Shelf is safe for concurrent use.
type Shelf struct {
	opts    Options
	log     *slog.Logger
	metrics *metrics
	unlock  func() error
	wake    chan struct{} // there is something to write
	shorter chan struct{} // the queue has become shorter
	stop    chan struct{} // closed by Close
	stopped chan struct{} // closed when the writer has ended
	reads   chan struct{} // a place for each read under way
	rest    rest          // of reads, after errors

	mu      sync.Mutex // guards what follows; no I/O under it
	index   index
	door    door
	files   []*file // the oldest first; the last is the one being written, if writer.active is set
	queue   []Item
	queued  int64 // bytes in queue
	doomed  []doom
	writing *writing // the item being written now
	closed  bool

	w writer // the writer goroutine's own
}

// New opens a directory, makes it if it is missing, and reads what is in it.
func New(o Options) (*Shelf, error) {
	if o.FileSize == 0 {
		o.FileSize = min(max(o.Max/64, minFile), maxFile)
	}
	if o.QueueBytes == 0 {
		o.QueueBytes = 32 << 20
	}
	if o.Patience == 0 {
		o.Patience = 2 * time.Second
	}
	if o.Room == nil {
		o.Room = func(int64) bool { return true }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	switch {
	case o.FS == nil || o.Dir == "":
		return nil, errors.New("shelf: FS and Dir must be given")
	case o.Max < MinMax:
		return nil, fmt.Errorf("shelf: Max is %d, want at least %d", o.Max, int64(MinMax))
	case o.FileSize < 4<<10 || o.FileSize > maxFile || o.FileSize > o.Max/4:
		return nil, fmt.Errorf("shelf: FileSize is %d, want 4 KiB to 1 GiB and at most a quarter of Max", o.FileSize)
	}
	s := &Shelf{opts: o, log: o.Log,
		wake: make(chan struct{}, 1), shorter: make(chan struct{}, 1), stop: make(chan struct{}), stopped: make(chan struct{}), reads: make(chan struct{}, maxReads)}
	s.metrics = newMetrics(s, o.Registerer)
	s.index.init()
	if !o.Room(doorBytes) {
		return nil, errors.New("shelf: no memory for the index")
	}
	if err := s.open(); err != nil {
		s.letGo()
		return nil, err
	}
	for s.total() > o.Max { // it was more, in another life
		if err := s.dropOldest(); err != nil {
			s.letGo()
			return nil, err
		}
	}
	go s.write()
	return s, nil
}

// Close writes what is queued, as far as that succeeds before ctx is done, and
// lets go of the directory.
func (s *Shelf) Close(ctx context.Context) error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	close(s.stop)
	var err error
	select {
	case <-s.stopped:
	case <-ctx.Done():
		err = fmt.Errorf("close %s: the disk does not answer: %w", s.opts.Dir, context.Cause(ctx))
	}
	s.dropQueue()
	if err == nil {
		err = s.closeFiles()
	} else { // the writer may still be at it
		go func() {
			<-s.stopped
			_ = s.closeFiles() // that something was wrong is told
		}()
	}
	s.letGo()
	return err
}

// letGo gives up the lock and the memory.
func (s *Shelf) letGo() {
	if s.unlock != nil {
		if err := s.unlock(); err != nil {
			s.log.Warn("unlock the cache's directory", "dir", s.opts.Dir, "error", err)
		}
	}
	s.mu.Lock()
	n := s.index.bytes()
	s.mu.Unlock()
	s.opts.Room(-n - doorBytes)
}

// closeFiles gives up the handles. Reads that still run close theirs.
func (s *Shelf) closeFiles() error {
	s.mu.Lock()
	files := s.files
	s.files = nil
	s.mu.Unlock()
	var errs []error
	for _, f := range files {
		errs = append(errs, f.release())
	}
	return errors.Join(errs...)
}

// Has reports whether there may be something under key.
func (s *Shelf) Has(key string) bool {
	h := Hash(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.closed && s.index.first(h) != nil
}

// Usage is what a Shelf holds.
type Usage struct {
	Bytes   int64 `json:"bytes"` // of its files
	Max     int64 `json:"max"`
	Objects int64 `json:"objects"`
	Files   int   `json:"files"`
	Queued  int64 `json:"queued"` // bytes that wait to be written
	Index   int64 `json:"index"`  // bytes of memory
}

// Usage looks at the shelf.
func (s *Shelf) Usage() Usage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Usage{Bytes: s.total(), Max: s.opts.Max, Objects: s.index.n, Files: len(s.files), Queued: s.queued, Index: s.index.bytes() + doorBytes}
}

// total returns the bytes of all files. s.mu is held.
func (s *Shelf) total() (n int64) {
	for _, f := range s.files {
		n += f.size
	}
	return n
}
