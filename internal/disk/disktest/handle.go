package disktest

import (
	"errors"
	"io"
	"io/fs"
	"slices"
	"syscall"
)

// A handle is an open file of one process.
type handle struct {
	v      view
	n      *node
	name   string
	write  bool
	closed bool // guarded by the disk's lock
}

func (h *handle) fail(op Op, err error) error {
	return &fs.PathError{Op: string(op), Path: h.name, Err: err}
}

// enter returns with the disk's lock held.
func (h *handle) enter(op Op) error {
	err := h.v.d.enter(h.v.l, op, h.name)
	switch {
	case err != nil:
		return h.fail(op, err)
	case h.closed:
		return h.fail(op, fs.ErrClosed)
	case !h.write && (op == Write || op == Truncate):
		return h.fail(op, errors.New("opened to read"))
	}
	return nil
}

func (h *handle) ReadAt(p []byte, off int64) (int, error) {
	err := h.enter(Read)
	defer h.v.d.mu.Unlock()
	if err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, h.fail(Read, errors.New("negative offset"))
	}
	if off >= int64(len(h.n.data)) {
		if len(p) == 0 {
			return 0, nil
		}
		return 0, io.EOF
	}
	n := copy(p, h.n.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (h *handle) Write(p []byte) (int, error) {
	d := h.v.d
	w := &inflight{h, p}
	d.mu.Lock()
	d.writes = append(d.writes, w)
	d.mu.Unlock()
	err := h.enter(Write)
	defer d.mu.Unlock()
	d.writes = slices.DeleteFunc(d.writes, func(x *inflight) bool { return x == w })
	n := len(p)
	switch {
	case errors.Is(err, ErrDead) || errors.Is(err, fs.ErrClosed) || !h.write:
		return 0, err
	case err != nil:
		n /= 2
	}
	if d.room >= 0 && int64(n) > d.room {
		n, err = int(d.room), h.fail(Write, syscall.ENOSPC)
	}
	if d.fuse >= 0 && int64(n) >= d.fuse {
		n, err = int(d.fuse), h.fail(Write, ErrDead)
	}
	h.store(p[:n])
	return n, err
}

// store appends to the page cache. The disk's lock is held.
func (h *handle) store(p []byte) {
	d := h.v.d
	h.n.data = append(h.n.data, p...)
	if d.room >= 0 {
		d.room = max(d.room-int64(len(p)), 0)
	}
	if d.fuse >= 0 {
		d.fuse -= int64(len(p))
	}
}

func (h *handle) Sync() error {
	err := h.enter(Sync)
	defer h.v.d.mu.Unlock()
	n := h.n
	if err != nil {
		if !errors.Is(err, ErrDead) && !errors.Is(err, fs.ErrClosed) {
			n.lost = append(n.lost, span{min(n.low, len(n.durable)), len(n.data)})
		}
		return err
	}
	n.durable, n.low = n.data[:len(n.data):len(n.data)], len(n.data)
	return nil
}

func (h *handle) Truncate(size int64) error {
	err := h.enter(Truncate)
	defer h.v.d.mu.Unlock()
	if err != nil {
		return err
	}
	n := h.n
	if size < 0 || size > 1<<30 {
		return h.fail(Truncate, errors.New("a size that this disk cannot have"))
	}
	if s := int(size); s > len(n.data) {
		n.data = append(n.data, make([]byte, s-len(n.data))...)
	} else {
		if h.v.d.room >= 0 {
			h.v.d.room += int64(len(n.data) - s)
		}
		n.data = slices.Clone(n.data[:s]) // durable keeps the bytes behind
		n.low = min(n.low, s)
		for i := range n.lost {
			n.lost[i].to = min(n.lost[i].to, s)
		}
	}
	return nil
}

func (h *handle) Size() (int64, error) {
	h.v.d.mu.Lock()
	defer h.v.d.mu.Unlock()
	if h.closed {
		return 0, h.fail(Open, fs.ErrClosed)
	}
	return int64(len(h.n.data)), nil
}

func (h *handle) Close() error {
	h.v.d.mu.Lock()
	defer h.v.d.mu.Unlock()
	if h.closed {
		return h.fail(Open, fs.ErrClosed)
	}
	h.closed = true
	if h.v.l == h.v.d.life {
		h.v.d.handles--
	}
	return nil
}
