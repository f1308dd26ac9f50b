package disk

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// OS returns the file system of the operating system. The owner's group may
// read what is made.
func OS() FS { return system{file: 0o640, dir: 0o750} }

// Private is OS, but nobody else than the owner may read what is made.
func Private() FS { return system{file: 0o600, dir: 0o700} }

type system struct{ file, dir fs.FileMode }

func (s system) Open(name string) (File, error) { return s.open(name, os.O_RDONLY) }

func (s system) Create(name string) (File, error) {
	return s.open(name, os.O_RDWR|os.O_APPEND|os.O_CREATE|os.O_EXCL)
}

func (s system) Append(name string) (File, error) { return s.open(name, os.O_RDWR|os.O_APPEND) }

func (system) Rename(from, to string) error {
	// Some systems let a directory replace an empty one.
	if st, err := os.Lstat(to); err == nil && st.IsDir() {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: fs.ErrExist}
	}
	return os.Rename(from, to)
}

func (system) Remove(name string) error {
	st, err := os.Lstat(name)
	if err != nil {
		return err
	}
	if st.IsDir() {
		return &fs.PathError{Op: "remove", Path: name, Err: errors.New("is a directory")}
	}
	return os.Remove(name)
}

func (system) RemoveDir(name string) error {
	st, err := os.Lstat(name)
	if err != nil {
		return err
	}
	if !st.IsDir() {
		return &fs.PathError{Op: "rmdir", Path: name, Err: errors.New("not a directory")}
	}
	return os.Remove(name)
}

func (system) Link(from, to string) error { return os.Link(from, to) }

func (s system) MkdirAll(dir string) error {
	dir = filepath.Clean(dir)
	err := os.Mkdir(dir, s.dir)
	if errors.Is(err, fs.ErrNotExist) && filepath.Dir(dir) != dir {
		if err := s.MkdirAll(filepath.Dir(dir)); err != nil {
			return err
		}
		err = os.Mkdir(dir, s.dir)
	}
	switch {
	case err == nil:
		return s.SyncDir(filepath.Dir(dir))
	case errors.Is(err, fs.ErrExist):
		if st, err := os.Stat(dir); err == nil && st.IsDir() {
			return nil
		}
	}
	return err
}

func (system) ReadDir(dir string) ([]Info, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	out := make([]Info, 0, len(entries))
	for _, e := range entries {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed since
		}
		if err != nil {
			return nil, err
		}
		out = append(out, Info{Name: e.Name(), Size: info.Size(), Dir: e.IsDir()})
	}
	return out, nil
}

// A file is an os.File; Sync differs between systems.
type file struct{ *os.File }

func (s system) open(name string, flag int) (File, error) {
	f, err := os.OpenFile(name, flag, s.file)
	if err != nil {
		return nil, err
	}
	return file{f}, nil
}

func (f file) Sync() error { return syncData(f.File) }

func (f file) Size() (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}
