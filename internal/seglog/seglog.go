// Package seglog is an append-only log of a channel's segments on disk, recovered by scanning.
//
// It promises, whenever the process is killed or the power is cut, at any byte of any write:
// what a Sync that succeeded covered comes back whole; what was announced comes back with its
// body or as promised and without it, never with half of it; order is kept, no number comes
// back twice; and no bytes from anywhere make it panic or take unbounded memory.
// docs/log-format.md has the format.
package seglog

import (
	"errors"
	"fmt"
	"time"

	"weir/internal/disk"
)

// Limits. A call beyond one returns ErrTooLarge and writes nothing; a file that
// claims to be beyond one is damaged there.
const (
	MaxName    = 1 << 10  // bytes of the name of a stream, a blob or a state
	MaxMeta    = 64 << 10 // bytes of Entry.Meta
	MaxState   = 1 << 20  // bytes of all state, names included
	MaxBlob    = 1 << 20  // bytes of one blob
	MaxBlobs   = 64 << 20 // bytes of all blobs that the files hold
	MaxPublish = 4 << 20  // bytes of one Announce, less blobs
	MaxEntries = 4 << 20  // entries that are recovered; of more, the newest
	MaxMetas   = 1 << 30  // bytes of all Meta that are recovered; of more, the newest
)

var (
	// ErrDamaged: the bytes on disk are not those that were written.
	ErrDamaged = errors.New("damaged on disk")
	// ErrGone: the file was removed.
	ErrGone = errors.New("no longer in the log")
	// ErrTooLarge: beyond a limit of this package.
	ErrTooLarge = errors.New("too large for the log")
	// ErrNotAnnounced: a Body for an entry that waits for none.
	ErrNotAnnounced = errors.New("no body is awaited")
	// ErrShort: a Body that had fewer or more bytes than it said.
	ErrShort = errors.New("not the size that was said")
	// ErrVersion: a file in a format that this build does not know.
	ErrVersion = errors.New("unknown format version")
	// ErrClosed: the Log or Reader was closed.
	ErrClosed = errors.New("log is closed")
)

// Options say where a log is and how it cuts its files.
type Options struct {
	FS  disk.FS
	Dir string // made if it is missing (Open); one log has it for itself
	// FileBytes is the size beyond which an Announce begins a new file; 0: 64 MiB.
	// Retention takes whole files.
	FileBytes int64
	// FileAge is how much media time, by the Date of entries, a file may span; 0: any.
	FileAge time.Duration
	// VerifyBytes bounds how many bytes of bodies Open and Read check against their sum:
	// those that no Sync covered, newest first. 0: 256 MiB; negative: none. What is
	// not checked then is checked by ReadBody.
	VerifyBytes int64
	// Handles is how many files are kept open for reading; 0: 8.
	Handles int
}

// A Key names an entry.
type Key struct {
	Stream string // the rendition
	Number uint64
}

// An Entry is one segment of one rendition.
type Entry struct {
	Stream   string // the rendition
	Number   uint64
	Date     time.Time // recovered in UTC, to the nanosecond
	Duration time.Duration
	Blob     string // name of the blob it needs (an init segment); "": none
	Meta     []byte // the caller's own, at most MaxMeta
	// Promised says that a body was announced, also if it never came. A caller sets it.
	Promised bool
	// Body is where its bytes are. Zero: it has none (a gap), or they never became
	// whole. Announce ignores it.
	Body Ref
}

// Key returns the name of the entry.
func (e *Entry) Key() Key { return Key{e.Stream, e.Number} }

// A Ref is a place of bytes in the log. The zero Ref is none.
type Ref struct {
	File         uint64 // id; never 0
	Offset, Size int64  // of the bytes themselves
	Sum          uint32 // CRC-32C of the bytes
}

// IsZero reports whether r is none.
func (r Ref) IsZero() bool { return r.File == 0 }

// Recovered is what a log held when it was opened.
type Recovered struct {
	Entries []Entry           // in the order they were announced; no Key twice
	State   map[string][]byte // the newest value of each
	Blobs   map[string][]byte // those that the files hold; never to be changed
	// Clean says that the log was closed by Close, or was empty: nothing that was
	// announced is missing.
	Clean bool
	Cut   []Cut // what was cut off, skipped or left alone: at most 1000
	// Duplicates counts entries announced again under a Key that was there: the first counts.
	Duplicates int
	// Verified and Unverified are bytes of bodies that no Sync is known to have
	// covered: those that were checked, and those that were left to ReadBody.
	Verified, Unverified int64
	// Missing says that what a Sync had covered is damaged or could not be read:
	// announcements may be missing, and the state may be older than what was
	// last durable. Numbers that were reserved in it may have been used.
	Missing bool
	// Unsealed says why the newest file could not be cut or sealed (a full or
	// failing disk). The log is usable all the same.
	Unsealed error
}

// A Cut says what recovery did not take.
type Cut struct {
	Name          string // of the file
	Offset, Bytes int64
	Why           string
}

func (c Cut) String() string {
	return fmt.Sprintf("%s: %d bytes at %d: %s", c.Name, c.Bytes, c.Offset, c.Why)
}

// FileInfo is one file of a log.
type FileInfo struct {
	ID          uint64
	Bytes       int64     // its size
	First, Last time.Time // the least and the greatest Date of its entries; zero without entries
	Entries     int       // announced in it
	Sealed      bool      // false for the one file that is being written
}

// A SyncError says that a file could not be made durable. The log goes on in a
// new file. What the error covers stays readable as long as the system has it,
// and may be gone after a power cut; the announcements and the state it covers
// are written again at the head of the new file. Bodies are not: whoever still
// has the bytes of those named here may call Body again for them.
type SyncError struct {
	File   uint64
	Bodies []Key // stored since the last Sync that succeeded, oldest first
	Err    error
}

func (e *SyncError) Error() string {
	return fmt.Sprintf("log file %d: %d bodies may not survive a power cut: %v", e.File, len(e.Bodies), e.Err)
}

// Unwrap returns what the file system said.
func (e *SyncError) Unwrap() error { return e.Err }
