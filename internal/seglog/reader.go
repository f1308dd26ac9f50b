package seglog

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"weir/internal/disk"
)

// A Reader is a log open for reading. It is safe for concurrent use.
type Reader struct {
	fs   disk.FS
	dir  string
	open handles

	mu    sync.Mutex
	files []FileInfo // guarded by mu; oldest first
}

// Read opens a directory for reading (an asset made of hard links) and changes nothing.
func Read(o Options) (*Reader, *Recovered, error) {
	r, err := recoverDir(o)
	if err != nil {
		return nil, nil, err
	}
	r.verify()
	r.bare()
	rd := &Reader{}
	rd.start(r)
	return rd, r.finish(), nil
}

func (r *Reader) start(rec *recovery) {
	r.fs, r.dir = rec.o.FS, rec.o.Dir
	r.open.max = rec.o.Handles
	if r.open.max <= 0 {
		r.open.max = 8
	}
	for _, sf := range rec.files {
		r.files = append(r.files, sf.info)
	}
}

func (r *Reader) path(id uint64) string { return filepath.Join(r.dir, fileName(id)) }

// Files returns the files of the log, oldest first.
func (r *Reader) Files() []FileInfo {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.files)
}

// count notes an entry of this Date.
func (f *FileInfo) count(date time.Time) {
	if f.Entries == 0 || date.Before(f.First) {
		f.First = date
	}
	if f.Entries == 0 || date.After(f.Last) {
		f.Last = date
	}
	f.Entries++
}

func (r *Reader) has(id uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.find(id)
	return ok
}

// find returns the place of a file. r.mu is held.
func (r *Reader) find(id uint64) (int, bool) {
	return slices.BinarySearchFunc(r.files, id, func(f FileInfo, id uint64) int { return cmp.Compare(f.ID, id) })
}

// ReadBody writes the bytes of a body to w. They are checked against their sum on
// the way: until it returns nil, what w has is not to be believed. It returns
// ErrDamaged for bytes that are not those written, ErrGone for a file that was
// removed, and what w returned as it is.
func (r *Reader) ReadBody(ref Ref, w io.Writer) error {
	if !r.has(ref.File) {
		return fmt.Errorf("read body in %s: %w", fileName(ref.File), ErrGone)
	}
	h, err := r.open.get(ref.File, func() (disk.File, error) { return r.fs.Open(r.path(ref.File)) })
	if errors.Is(err, fs.ErrNotExist) {
		err = ErrGone
	}
	if err != nil {
		return fmt.Errorf("read body in %s: %w", fileName(ref.File), err)
	}
	defer r.open.put(h)
	return copyBody(h.f, ref, w)
}

// Close lets go of open files. Reads under way finish, later ones return ErrClosed.
func (r *Reader) Close() error {
	r.open.close()
	return nil
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

const pieceBytes = 256 << 10

var pieces = sync.Pool{New: func() any { return new([pieceBytes]byte) }}

// copyBody copies a body and checks it.
func copyBody(f io.ReaderAt, ref Ref, w io.Writer) error {
	buf := pieces.Get().(*[pieceBytes]byte)
	defer pieces.Put(buf)
	have := uint32(0)
	for off, left := ref.Offset, ref.Size; left > 0; {
		p := buf[:min(left, pieceBytes)]
		n, err := f.ReadAt(p, off)
		if n < len(p) {
			if err == nil || errors.Is(err, io.EOF) {
				err = fmt.Errorf("it ends %d bytes early: %w", left-int64(n), ErrDamaged)
			}
			return fmt.Errorf("read body at %d in %s: %w", ref.Offset, fileName(ref.File), err)
		}
		have = update(have, p)
		if _, err := w.Write(p); err != nil {
			return err
		}
		off, left = off+int64(n), left-int64(n)
	}
	if have != ref.Sum {
		return fmt.Errorf("read body at %d in %s: sum %08x, want %08x: %w", ref.Offset, fileName(ref.File), have, ref.Sum, ErrDamaged)
	}
	return nil
}
