package seglog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
)

// Sync makes all that was written durable, names of new files included. When it
// returns nil, that is so, and nothing else promises it. It returns a *SyncError
// for each file that failed since the last Sync (joined, if several), also one
// that was filled and sealed in between.
func (l *Log) Sync() error {
	if l.closed {
		return ErrClosed
	}
	if l.cur == nil && l.owing {
		if err := l.begin(); err != nil {
			return errors.Join(l.unsureOnce(), err)
		}
	}
	_ = l.syncCur()
	return l.unsureOnce()
}

// unsureOnce returns what failed since it was asked last.
func (l *Log) unsureOnce() error {
	err := errors.Join(l.unsure...)
	if len(l.unsure) == 1 {
		err = l.unsure[0]
	}
	l.unsure = nil
	return err
}

// syncCur makes the current file durable. If that fails the file is left: the
// system may have dropped the bytes, and a second call would not tell.
func (l *Log) syncCur() error {
	c := l.cur
	if c == nil || c.named && c.synced == c.end {
		return nil
	}
	err := c.f.Sync()
	if err == nil && !c.named {
		err = l.fs.SyncDir(l.dir)
	}
	if err != nil {
		l.lose(err)
		return err
	}
	c.synced, c.named, l.owing = c.end, true, false
	l.sound[c.id] = true
	l.told = slices.DeleteFunc(l.told, func(t *told) bool {
		t.durable = true
		if t.waits() {
			return false
		}
		l.forget(t)
		return true
	})
	for len(l.told) > maxWaiting {
		l.forget(l.told[0])
		l.told = l.told[1:]
	}
	return nil
}

// lose leaves the current file after a Sync that failed: the bodies in it that no
// Sync covered are awaited once more, and Sync names them.
func (l *Log) lose(cause error) {
	e := &SyncError{File: l.cur.id, Err: cause}
	for _, t := range l.told {
		if t.stored {
			t.stored, t.files = false, 0
			e.Bodies = append(e.Bodies, t.entry.Key())
		}
	}
	l.unsure = append(l.unsure, e)
	l.owing = true
	l.drop()
}

// seal ends the current file: it is durable, and says so in its last record.
func (l *Log) seal(flags byte) error {
	if err := l.syncCur(); err != nil {
		return nil // Sync says so
	}
	c := l.cur
	if c.over {
		c.index, flags = nil, flags|unindexed
	}
	err := l.write(l.record(l.buf[:0], seal, flags, appendSealed(c.index, c.end)))
	if err == nil {
		// Nothing but the seal hangs on this one: without it the file is scanned.
		err = c.f.Sync()
	}
	if err == nil {
		l.clean = flags&clean != 0
	}
	if l.cur != nil {
		l.drop()
	}
	if err != nil {
		return fmt.Errorf("seal a log file: %w", err)
	}
	return nil
}

// appendSealed ends the payload of a seal with the place where its record begins.
func appendSealed(index []byte, off int64) []byte {
	return binary.LittleEndian.AppendUint64(index, uint64(off))
}

// mend cuts the torn tail of the newest file and seals it. A disk that does not
// let it is no reason not to start: the file is scanned again next time.
func (r *recovery) mend() {
	// The process that died may not have made the names durable, old or new.
	if err := r.o.FS.SyncDir(r.o.Dir); err != nil {
		r.out.Unsealed = fmt.Errorf("sync the log directory: %w", err)
	}
	sf := r.newest()
	if sf == nil || sf.scan.sealed || sf.scan.err != nil || !sf.scan.known {
		return
	}
	if err := r.mendFile(sf); err != nil {
		r.out.Unsealed = fmt.Errorf("mend a log file: %w", err)
	}
}

func (r *recovery) mendFile(sf *scanned) error {
	s := sf.scan
	f, err := r.o.FS.Append(filepath.Join(r.o.Dir, s.name))
	if err != nil {
		return err
	}
	defer f.Close()
	if s.end < s.size {
		if err := f.Truncate(s.end); err != nil {
			return err
		}
		sf.info.Bytes = s.end
	}
	if err := f.Sync(); err != nil {
		return err
	}
	h := header{kind: seal, nonce: s.nonce, off: s.end, synced: s.end}
	var index []byte
	for _, it := range sf.items {
		index = appendItem(index, it)
	}
	if sf.indexed > maxPayload || len(index) > maxPayload-8 {
		index, h.flags = nil, unindexed
	}
	b := appendRecord(nil, h, appendSealed(index, s.end))
	if _, err := f.Write(b); err != nil {
		return errors.Join(err, f.Truncate(s.end))
	}
	sf.info.Bytes += int64(len(b))
	return f.Sync()
}
