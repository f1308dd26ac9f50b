// Package disk is the file system as the logs of weir use it: a seam with the operating system behind it, and a fake in disktest that forgets what was not synced.
//
// It promises to tell apart what a program easily takes for one thing: bytes that were
// written, bytes that are durable (File.Sync), and names that are durable (FS.SyncDir).
// Errors are those of package os: errors.Is finds fs.ErrExist, fs.ErrNotExist and the
// system's number (syscall.ENOSPC) in them, and their text names the operation and the file.
package disk

import (
	"errors"
	"io"
)

// ErrLocked is returned by [FS.Lock] when another process holds the lock.
var ErrLocked = errors.New("locked by another process")

// An FS is a file system. It is safe for concurrent use. Names are paths in the
// system's own form.
type FS interface {
	// Open opens a file to read; writing to it fails.
	Open(name string) (File, error)
	// Create makes a new file to append to and read. It is an error if the name
	// exists. The name is durable after SyncDir of its directory.
	Create(name string) (File, error)
	// Append opens an existing file to go on appending to, to truncate and to read.
	Append(name string) (File, error)
	// Rename gives a file or directory another name, atomically; a file that had
	// that name is replaced, a directory is not.
	Rename(from, to string) error
	// Remove takes a file's name away. Files that are open can still be read.
	Remove(name string) error
	// RemoveDir removes an empty directory.
	RemoveDir(name string) error
	// Link gives a file a second name (a hard link). It is an error if to exists.
	Link(from, to string) error
	// MkdirAll makes a directory and those above it that are missing. The names
	// of those it made are durable when it returns.
	MkdirAll(dir string) error
	// ReadDir lists a directory by name.
	ReadDir(dir string) ([]Info, error)
	// SyncDir makes the names in a directory durable: what was created, renamed,
	// linked and removed there.
	SyncDir(dir string) error
	// Free returns how many bytes an unprivileged writer has left on the file
	// system that holds dir; -1 where the system does not tell.
	Free(dir string) (int64, error)
	// Lock takes the advisory lock of a file, which it makes if it is missing, or
	// returns ErrLocked. The lock ends with unlock, or with the process, however
	// that dies (on systems without flock a stale file is to be removed by hand).
	Lock(name string) (unlock func() error, err error)
}

// A File is an open file. Write appends, wherever the end is. ReadAt is safe for
// concurrent use, also with Write; the others are for one goroutine at a time.
type File interface {
	io.ReaderAt
	io.Writer
	// Sync makes the bytes and the size durable, not the name (fdatasync). After
	// an error it is unknown what is durable, and a second Sync that succeeds
	// says nothing about it: the system may have dropped the pages in between.
	Sync() error
	// Truncate sets the size: it cuts, or adds zeros that take no room.
	Truncate(size int64) error
	Size() (int64, error)
	io.Closer
}

// Info is one name in a directory.
type Info struct {
	Name string
	Size int64 // bytes of a file
	Dir  bool
}
