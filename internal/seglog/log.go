package seglog

import (
	"errors"
	"io"
	"iter"
)

// A Log is open for appending. One goroutine at a time writes (Announce, Body,
// Sync, Remove, LinkTo, Close); ReadBody and Files are for any, at any time.
//
// A call that fails leaves nothing half done: what was stored before is there,
// the next call goes on, in a new file if need be. Its error names the file and
// wraps the cause (errors.Is(err, syscall.ENOSPC)). What it was to store is not
// stored; the caller may call again.
type Log struct{ Reader }

// A Reader is a log open for reading. It is safe for concurrent use.
type Reader struct{}

var errSkeleton = errors.New("not yet")

// Open scans the directory, cuts the torn tail of the newest file, seals it, and
// returns the log, ready to append: the first write begins a new file. It does
// not lock the directory: the caller sees to it that nobody else writes there
// ([disk.FS.Lock]). Damage is reported in Recovered and is no error; an unknown
// format version, or a directory that cannot be read, is.
func Open(o Options) (*Log, *Recovered, error) { return nil, nil, errSkeleton }

// Read opens a directory for reading (an asset made of hard links) and changes nothing.
func Read(o Options) (*Reader, *Recovered, error) { return nil, nil, errSkeleton }

// Announce stores, in one small write and without any body, that these entries
// are published, and the state that is newer now (an empty value takes the name
// away). blobs has the bytes of what entries name in Blob, at least where the log
// has not got them; the ones that the file has already are not written again. A
// blob's bytes never change under one name.
//
// Announce is not durable before Sync. It is the place where a new file is begun.
func (l *Log) Announce(state map[string][]byte, entries []Entry, blobs map[string][]byte) error {
	return errSkeleton
}

// Body stores the bytes of an entry that was announced with Promised: exactly
// size, in chunks that are not kept. It returns ErrNotAnnounced if the entry has
// its body, was announced before Open, or two files ago.
func (l *Log) Body(stream string, number uint64, size int64, chunks iter.Seq[[]byte]) (Ref, error) {
	return Ref{}, errSkeleton
}

// Sync makes all that was written durable, names of new files included. When it
// returns nil, that is so, and nothing else promises it. It returns a *SyncError
// for each file that failed since the last Sync (joined, if several), also one
// that was filled and sealed in between.
func (l *Log) Sync() error { return errSkeleton }

// Remove takes the oldest file away: retention. Its bodies are gone; who reads
// one finishes, or gets ErrGone. What newer files need they have themselves.
// It is an error if id is not the oldest, or is being written.
func (l *Log) Remove(id uint64) error { return errSkeleton }

// LinkTo makes dir, a directory that must not exist yet, and in it a hard link to
// each of the files, for Read. The file that is being written is sealed first.
// All links are there and durable, or dir is not there; after a crash a directory
// dir+".part" may be left, which the next LinkTo takes away.
func (l *Log) LinkTo(dir string, ids []uint64) error { return errSkeleton }

// Close makes all durable and notes that nothing is missing, for the next Open
// to see (Recovered.Clean). Reads fail from then on.
func (l *Log) Close() error { return errSkeleton }

// ReadBody writes the bytes of a body to w. They are checked against their sum on
// the way: until it returns nil, what w has is not to be believed. It returns
// ErrDamaged for bytes that are not those written, ErrGone for a file that was
// removed.
func (r *Reader) ReadBody(ref Ref, w io.Writer) error {
	return errSkeleton
}

// Files returns the files of the log, oldest first.
func (r *Reader) Files() []FileInfo { return nil }

// Close lets go of open files.
func (r *Reader) Close() error { return nil }
