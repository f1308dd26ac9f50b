package disktest

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"

	"weir/internal/disk"
)

// A view is the disk as one process sees it.
type view struct {
	d *Fake
	l *life
}

func (v view) enter(op Op, name string) error {
	if err := v.d.enter(v.l, op, name); err != nil {
		return &fs.PathError{Op: string(op), Path: name, Err: err}
	}
	return nil
}

func (v view) Open(name string) (disk.File, error)   { return v.open(Open, name) }
func (v view) Append(name string) (disk.File, error) { return v.open(Append, name) }

func (v view) open(op Op, name string) (disk.File, error) {
	err := v.enter(op, name)
	defer v.d.mu.Unlock()
	if err != nil {
		return nil, err
	}
	n, err := v.d.find(op, name)
	if err != nil {
		return nil, err
	}
	if n.dir {
		return nil, &fs.PathError{Op: string(op), Path: name, Err: errors.New("is a directory")}
	}
	return v.handle(n, name, op == Append), nil
}

func (v view) Create(name string) (disk.File, error) {
	err := v.enter(Create, name)
	defer v.d.mu.Unlock()
	if err != nil {
		return nil, err
	}
	dir, base, err := v.d.parent(Create, name)
	if err != nil {
		return nil, err
	}
	if dir.names[base] != nil {
		return nil, &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	}
	n := &node{links: 1}
	v.d.change(func(names func(*node) map[string]*node) { names(dir)[base] = n }, dir)
	return v.handle(n, name, true), nil
}

func (v view) handle(n *node, name string, write bool) disk.File {
	v.d.handles++
	return &handle{v: v, n: n, name: name, write: write}
}

func (v view) Rename(from, to string) error {
	err := v.enter(Rename, from)
	defer v.d.mu.Unlock()
	if err != nil {
		return err
	}
	src, a, err := v.d.parent(Rename, from)
	if err != nil {
		return err
	}
	dst, b, err := v.d.parent(Rename, to)
	if err != nil {
		return err
	}
	n, old := src.names[a], dst.names[b]
	switch {
	case n == nil:
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
	case old != nil && (old.dir || n.dir):
		return &fs.PathError{Op: "rename", Path: to, Err: fs.ErrExist}
	case n == old:
		return nil
	case old != nil:
		v.d.unlink(old)
	}
	v.d.change(func(names func(*node) map[string]*node) {
		delete(names(src), a)
		names(dst)[b] = n
	}, src, dst)
	return nil
}

func (v view) Remove(name string) error    { return v.remove(name, false) }
func (v view) RemoveDir(name string) error { return v.remove(name, true) }

func (v view) remove(name string, isDir bool) error {
	err := v.enter(Remove, name)
	defer v.d.mu.Unlock()
	if err != nil {
		return err
	}
	dir, base, err := v.d.parent(Remove, name)
	if err != nil {
		return err
	}
	n := dir.names[base]
	switch {
	case n == nil:
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	case n.dir != isDir:
		return &fs.PathError{Op: "remove", Path: name, Err: errors.New("not what it was taken for")}
	case len(n.names) > 0:
		return &fs.PathError{Op: "remove", Path: name, Err: errors.New("directory not empty")}
	}
	if !n.dir {
		v.d.unlink(n)
	}
	v.d.change(func(names func(*node) map[string]*node) { delete(names(dir), base) }, dir)
	return nil
}

func (v view) Link(from, to string) error {
	err := v.enter(Link, from)
	defer v.d.mu.Unlock()
	if err != nil {
		return err
	}
	n, err := v.d.find(Link, from)
	if err != nil {
		return err
	}
	dir, base, err := v.d.parent(Link, to)
	if err != nil {
		return err
	}
	if n.dir || dir.names[base] != nil {
		return &fs.PathError{Op: "link", Path: to, Err: fs.ErrExist}
	}
	n.links++
	v.d.change(func(names func(*node) map[string]*node) { names(dir)[base] = n }, dir)
	return nil
}

func (v view) MkdirAll(dir string) error {
	err := v.enter(Mkdir, dir)
	defer v.d.mu.Unlock()
	if err != nil {
		return err
	}
	n := v.d.root
	for _, e := range split(dir) {
		next := n.names[e]
		switch {
		case next == nil:
			next = newDir()
			at := n
			v.d.change(func(names func(*node) map[string]*node) { names(at)[e] = next }, at)
			v.d.commit(at)
		case !next.dir:
			return &fs.PathError{Op: "mkdir", Path: dir, Err: fs.ErrExist}
		}
		n = next
	}
	return nil
}

func (v view) ReadDir(dir string) ([]disk.Info, error) {
	err := v.enter(ReadDir, dir)
	defer v.d.mu.Unlock()
	if err != nil {
		return nil, err
	}
	n, err := v.d.find(ReadDir, dir)
	if err != nil {
		return nil, err
	}
	if !n.dir {
		return nil, &fs.PathError{Op: "readdir", Path: dir, Err: errors.New("not a directory")}
	}
	var out []disk.Info
	for _, name := range slices.Sorted(maps.Keys(n.names)) {
		e := n.names[name]
		out = append(out, disk.Info{Name: name, Size: int64(len(e.data)), Dir: e.dir})
	}
	return out, nil
}

func (v view) SyncDir(dir string) error {
	err := v.enter(SyncDir, dir)
	defer v.d.mu.Unlock()
	if err != nil {
		return err
	}
	n, err := v.d.find(SyncDir, dir)
	if err != nil {
		return err
	}
	if !n.dir {
		return &fs.PathError{Op: "syncdir", Path: dir, Err: errors.New("not a directory")}
	}
	v.d.commit(n)
	return nil
}

func (v view) Free(dir string) (int64, error) {
	err := v.enter(Free, dir)
	defer v.d.mu.Unlock()
	if err != nil {
		return 0, err
	}
	if _, err := v.d.find(Free, dir); err != nil {
		return 0, err
	}
	if v.d.room < 0 {
		return unlimited, nil
	}
	return v.d.room, nil
}

func (v view) Lock(name string) (func() error, error) {
	err := v.enter(Lock, name)
	defer v.d.mu.Unlock()
	if err != nil {
		return nil, err
	}
	dir, base, err := v.d.parent(Lock, name)
	if err != nil {
		return nil, err
	}
	n := dir.names[base]
	if n == nil {
		n = &node{links: 1}
		v.d.change(func(names func(*node) map[string]*node) { names(dir)[base] = n }, dir)
	}
	if v.d.locks[n] != nil {
		return nil, fmt.Errorf("lock %s: %w", filepath.Base(name), disk.ErrLocked)
	}
	v.d.locks[n] = v.l
	return func() error {
		v.d.mu.Lock()
		defer v.d.mu.Unlock()
		if v.d.locks[n] == v.l {
			delete(v.d.locks, n)
		}
		return nil
	}, nil
}
