//go:build !linux && !darwin

package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// SyncDir: these systems have no such call; names are as durable as they make them.
func (system) SyncDir(dir string) error {
	_, err := os.Stat(dir)
	return err
}

// Free is not told here.
func (system) Free(dir string) (int64, error) {
	_, err := os.Stat(dir)
	return -1, err
}

// Lock makes a file that must not be there, and takes it away again: after a
// crash the operator removes it.
func (s system) Lock(name string) (func() error, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, s.file)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("lock %s: %w (if there is none, remove the file)", name, ErrLocked)
	}
	if err != nil {
		return nil, err
	}
	return func() error { return errors.Join(f.Close(), os.Remove(name)) }, nil
}
