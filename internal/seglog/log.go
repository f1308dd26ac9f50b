package seglog

import (
	"errors"
	"fmt"
	"iter"
	"maps"
)

// A Log is open for appending. One goroutine at a time writes (Announce, Body,
// Sync, Remove, LinkTo, Close); ReadBody and Files are for any, at any time.
//
// A call that fails leaves nothing half done: what was stored before is there,
// the next call goes on, in a new file if need be. Its error names the file and
// wraps the cause (errors.Is(err, syscall.ENOSPC)). What it was to store is not
// stored; the caller may call again.
type Log struct {
	Reader
	fileBytes int64
	fileAge   int64 // nanoseconds; 0: any

	cur     *writing // nil: the next write begins a file
	next    uint64   // its id
	state   map[string][]byte
	stateN  int64             // bytes of state
	blobs   map[string][]byte // all that the files hold
	blobsN  int64
	holds   map[uint64]map[string]bool // by file: the blobs in it
	sound   map[uint64]bool            // files whose beginning is durable, and so the state in it
	seq     uint64                     // of the entry announced last
	told    []*told                    // what a new file must say again, in order
	awaited map[Key]*told              // those that wait for their body, or for its Sync
	unsure  []error                    // a *SyncError each, for the next Sync to return
	partial bool                       // a file could not be read: there may be more state than ours
	owing   bool                       // a Sync failed, and no new file says again what it covered
	clean   bool                       // the newest file ends with a clean seal, or there is none
	closed  bool
	buf     []byte
}

// A told entry is one whose announcement or body is not durable, or whose body
// has not come.
type told struct {
	entry   numbered
	durable bool // the announcement
	awaits  bool // a body was promised, and may yet come
	stored  bool // the body is written, and not durable
	files   int  // in how many files it was announced
}

func (t *told) waits() bool { return t.awaits && !t.stored }

// again says whether the next file is to say it: a body is waited for through two files.
func (t *told) again() bool { return !t.durable || t.files < 2 }

// maxWaiting bounds how many entries wait for their bodies: of more, the newest.
const maxWaiting = 4096

// Open scans the directory, cuts the torn tail of the newest file, seals it, and
// returns the log, ready to append: the first write begins a new file. It does
// not lock the directory: the caller sees to it that nobody else writes there
// ([disk.FS.Lock]). Damage is reported in Recovered and is no error; an unknown
// format version, or a directory that cannot be read, is.
func Open(o Options) (*Log, *Recovered, error) {
	if err := o.FS.MkdirAll(o.Dir); err != nil {
		return nil, nil, fmt.Errorf("make log directory: %w", err)
	}
	r, err := recoverDir(o)
	if err != nil {
		return nil, nil, err
	}
	r.verify()
	r.bare()
	r.mend()
	l := &Log{
		fileBytes: o.FileBytes, fileAge: int64(o.FileAge), next: r.next,
		state: maps.Clone(r.out.State), stateN: r.state,
		blobs: maps.Clone(r.out.Blobs), blobsN: r.blobs, holds: map[uint64]map[string]bool{},
		sound: map[uint64]bool{}, awaited: map[Key]*told{}, clean: r.out.Clean,
	}
	if l.fileBytes <= 0 {
		l.fileBytes = 64 << 20
	}
	for _, sf := range r.files {
		l.holds[sf.info.ID] = sf.blobs
		if sf.scan.sealed || sf == r.newest() && r.out.Unsealed == nil && sf.scan.err == nil {
			l.sound[sf.info.ID] = true
		}
	}
	if n := r.newest(); n != nil && !l.sound[n.info.ID] {
		l.owing = true
	}
	for _, e := range r.fresh() {
		l.told = append(l.told, &told{entry: e, files: 1})
	}
	l.start(r)
	l.seq, l.partial = r.seq, r.unread
	return l, r.finish(), nil
}

// Announce stores, in one small write and without any body, that these entries
// are published, and the state that is newer now (an empty value takes the name
// away). blobs has the bytes of what entries name in Blob, at least where the log
// has not got them; the ones that the file has already are not written again. A
// blob's bytes never change under one name.
//
// Announce is not durable before Sync. It is the place where a new file is begun.
func (l *Log) Announce(state map[string][]byte, entries []Entry, blobs map[string][]byte) error {
	if l.closed {
		return ErrClosed
	}
	if err := l.admit(state, entries, blobs); err != nil {
		return err
	}
	if l.cur != nil && l.full(entries) {
		_ = l.seal(0) // what is amiss with the old file, Sync says
	}
	if l.cur == nil {
		if err := l.begin(); err != nil {
			return err
		}
	}
	list := make([]numbered, len(entries))
	for i, e := range entries {
		e.Body = Ref{}
		list[i] = numbered{e, l.seq + 1 + uint64(i)}
	}
	b, added := l.appendBlobs(l.buf[:0], list, blobs)
	b = l.record(b, publish, 0, appendPublish(nil, state, list))
	if err := l.write(b); err != nil {
		return err
	}
	l.cur.note(b)
	l.stateN = setState(l.state, l.stateN, cloned(state))
	l.keep(added, blobs)
	l.seq += uint64(len(list))
	for _, e := range list {
		l.tell(&told{entry: e, awaits: e.Promised, files: 1})
	}
	l.update(func(f *FileInfo) {
		for i := range entries {
			f.count(entries[i].Date)
		}
	})
	return nil
}

// admit says whether an Announce keeps the limits.
func (l *Log) admit(state map[string][]byte, entries []Entry, blobs map[string][]byte) error {
	n, total := 0, l.stateN
	for name, v := range state {
		if len(name) > MaxName {
			return fmt.Errorf("name of a state, %d bytes: %w", len(name), ErrTooLarge)
		}
		n += len(name) + len(v) + 20
		if old, ok := l.state[name]; ok {
			total -= int64(len(name) + len(old))
		}
		if len(v) > 0 {
			total += int64(len(name) + len(v))
		}
	}
	if total > MaxState {
		return fmt.Errorf("state of %d bytes: %w", total, ErrTooLarge)
	}
	newBlobs := int64(0)
	for i := range entries {
		e := &entries[i]
		if len(e.Stream) > MaxName || len(e.Blob) > MaxName || len(e.Meta) > MaxMeta {
			return fmt.Errorf("announce %.40s %d: %w", e.Stream, e.Number, ErrTooLarge)
		}
		n += len(e.Stream) + len(e.Blob) + len(e.Meta) + 64
		if e.Blob == "" {
			continue
		}
		known, have := l.blobs[e.Blob]
		given, here := blobs[e.Blob]
		switch {
		case !have && !here:
			return fmt.Errorf("announce %s %d: the log has no blob %s", e.Stream, e.Number, e.Blob)
		case have && here && string(known) != string(given):
			return fmt.Errorf("announce %s %d: blob %s has other bytes in the log", e.Stream, e.Number, e.Blob)
		case !have && len(given) > MaxBlob:
			return fmt.Errorf("announce %s %d: blob %s: %w", e.Stream, e.Number, e.Blob, ErrTooLarge)
		case !have:
			newBlobs += int64(len(e.Blob) + len(given))
		}
	}
	if n > MaxPublish || l.blobsN+newBlobs > MaxBlobs {
		return fmt.Errorf("announce %d entries, %d bytes, with %d bytes of new blobs: %w", len(entries), n, newBlobs, ErrTooLarge)
	}
	return nil
}

func cloned(m map[string][]byte) map[string][]byte {
	out := make(map[string][]byte, len(m))
	for k, v := range m {
		out[k] = append([]byte(nil), v...)
	}
	return out
}

// tell notes an entry as one that a new file must say again.
func (l *Log) tell(t *told) {
	t.entry.Meta = append([]byte(nil), t.entry.Meta...)
	l.told = append(l.told, t)
	if t.awaits && l.awaited[t.entry.Key()] == nil {
		l.awaited[t.entry.Key()] = t
	}
}

// Body stores the bytes of an entry that was announced with Promised: exactly
// size, in chunks that are not kept. It returns ErrNotAnnounced if the entry has
// its body, was announced before Open, or two files ago.
func (l *Log) Body(stream string, number uint64, size int64, chunks iter.Seq[[]byte]) (Ref, error) {
	if l.closed {
		return Ref{}, ErrClosed
	}
	k := Key{stream, number}
	if t := l.awaited[k]; t == nil || t.stored {
		return Ref{}, fmt.Errorf("body %s %d: %w", stream, number, ErrNotAnnounced)
	}
	if size < 0 {
		return Ref{}, fmt.Errorf("body %s %d of %d bytes: %w", stream, number, size, ErrShort)
	}
	if l.cur == nil {
		if err := l.begin(); err != nil {
			return Ref{}, err
		}
		if l.awaited[k] == nil { // it had its second file
			return Ref{}, fmt.Errorf("body %s %d: %w", stream, number, ErrNotAnnounced)
		}
	}
	ref, err := l.store(k, size, chunks)
	if err != nil {
		return Ref{}, fmt.Errorf("body %s %d: %w", stream, number, err)
	}
	l.awaited[k].stored = true
	return ref, nil
}

// store writes a body, and takes it back if it does not become whole.
func (l *Log) store(k Key, size int64, chunks iter.Seq[[]byte]) (Ref, error) {
	c := l.cur
	good := c.end
	payload := appendBody(nil, k, size)
	it := item{kind: body, off: good, payload: payload}
	if err := l.write(l.record(l.buf[:0], body, 0, payload)); err != nil {
		return Ref{}, err
	}
	it.ref = Ref{File: c.id, Offset: c.end, Size: size}
	left := size
	for p := range chunks {
		if left -= int64(len(p)); left < 0 {
			break
		}
		if err := l.write(p); err != nil {
			l.rollback(good)
			return Ref{}, err
		}
		it.ref.Sum = update(it.ref.Sum, p)
	}
	if left != 0 {
		l.rollback(good)
		return Ref{}, fmt.Errorf("%d bytes were said: %w", size, ErrShort)
	}
	if err := l.write(l.record(l.buf[:0], whole, 0, appendWhole(nil, good, it.ref.Sum))); err != nil {
		l.rollback(good)
		return Ref{}, err
	}
	c.items(it)
	l.update(func(*FileInfo) {})
	return it.ref, nil
}

// Close makes all durable and notes that nothing is missing, for the next Open
// to see (Recovered.Clean). Reads fail from then on.
func (l *Log) Close() error {
	if l.closed {
		return ErrClosed
	}
	err := l.Sync()
	if err == nil && l.cur == nil && !l.clean && !l.partial {
		err = l.begin() // a file to say it in
	}
	if l.cur != nil {
		flags := byte(clean)
		if err != nil {
			flags = 0
		}
		err = errors.Join(err, l.seal(flags), l.unsureOnce())
	}
	l.closed = true
	return errors.Join(err, l.Reader.Close())
}
