package shelf

import (
	"errors"
	"fmt"
	"io/fs"
)

var errNoSpace = errors.New("no space that may be used")

// makeRoom gives up the oldest files until a new one fits, both into what the
// shelf may have and into what the file system has.
func (s *Shelf) makeRoom() error {
	for {
		s.mu.Lock()
		over := s.total()+s.opts.FileSize > s.opts.Max
		some := len(s.files) > 0
		s.mu.Unlock()
		if !over {
			free, err := s.opts.FS.Free(s.opts.Dir)
			if err != nil {
				return err
			}
			if free < 0 || free >= s.opts.KeepFree+s.opts.FileSize {
				return nil
			}
			if !some {
				return fmt.Errorf("%w: %d bytes are free, %d are to stay free", errNoSpace, free, s.opts.KeepFree)
			}
		}
		if err := s.dropOldest(); err != nil {
			return err
		}
	}
}

// shrink gives up the oldest file for the sake of the index's memory.
func (s *Shelf) shrink() {
	s.mu.Lock()
	one := len(s.files) > 0 && s.files[0] != s.w.active
	s.mu.Unlock()
	if !one {
		return
	}
	if err := s.dropOldest(); err != nil {
		s.fault("give up the oldest file", err)
	}
}

// dropOldest takes the oldest file away. What is being read of it is read to
// its end.
func (s *Shelf) dropOldest() error {
	s.mu.Lock()
	f := s.files[0]
	lost := s.index.n
	s.index.empty(f)
	lost -= s.index.n
	s.mu.Unlock()
	// If this fails the file stays the oldest, empty, and is tried again.
	if err := s.opts.FS.Remove(s.path(f.number)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	s.metrics.evicted.Add(float64(lost))
	s.mu.Lock()
	s.files = s.files[1:]
	s.mu.Unlock()
	return f.release()
}
