package seglog

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
)

// Remove takes the oldest file away: retention. Its bodies are gone; who reads
// one finishes, or gets ErrGone. What newer files need they have themselves.
// It is an error if id is not the oldest, or is being written. A power cut may
// bring the file back, and what it held.
func (l *Log) Remove(id uint64) error {
	if l.closed {
		return ErrClosed
	}
	files := l.Files()
	if len(files) == 0 || files[0].ID != id || l.cur != nil && l.cur.id == id {
		return fmt.Errorf("remove log file %s: it is not the oldest that is sealed", fileName(id))
	}
	if err := l.standWithout(id); err != nil {
		return fmt.Errorf("remove log file %s: nothing newer is durable: %w", fileName(id), err)
	}
	if err := l.fs.Remove(l.path(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove a log file: %w", err)
	}
	l.mu.Lock()
	l.files = slices.Delete(l.files, 0, 1)
	l.mu.Unlock()
	l.open.drop(id)

	gone := l.holds[id]
	delete(l.holds, id)
	delete(l.sound, id)
	for name := range gone {
		if !l.heldAnywhere(name) {
			l.blobsN -= int64(len(name) + len(l.blobs[name]))
			delete(l.blobs, name)
		}
	}
	return nil
}

// standWithout sees to it that the state is durable in another file than id.
func (l *Log) standWithout(id uint64) error {
	for other := range l.sound {
		if other != id {
			return nil
		}
	}
	if l.cur == nil {
		if err := l.begin(); err != nil {
			return err
		}
	}
	return l.syncCur()
}

func (l *Log) heldAnywhere(name string) bool {
	for _, has := range l.holds {
		if has[name] {
			return true
		}
	}
	// One that the next file will carry.
	return slices.ContainsFunc(l.told, func(t *told) bool { return t.entry.Blob == name })
}

// LinkTo makes dir, a directory that must not exist yet, and in it a hard link to
// each of the files, for Read. The file that is being written is sealed first.
// All links are there and durable, or dir is not there; after a crash a directory
// dir+".part" may be left, which the next LinkTo takes away.
func (l *Log) LinkTo(dir string, ids []uint64) error {
	if l.closed {
		return ErrClosed
	}
	for _, id := range ids {
		if !l.has(id) {
			return fmt.Errorf("link log file %s: %w", fileName(id), ErrGone)
		}
	}
	if _, err := l.fs.ReadDir(dir); err == nil {
		return fmt.Errorf("link log files to %s: %w", dir, fs.ErrExist)
	}
	if l.cur != nil && slices.Contains(ids, l.cur.id) {
		_ = l.seal(0) // without a seal the file is scanned; what may be lost, Sync says
	}
	part := dir + ".part"
	err := l.unlink(part)
	if err == nil {
		err = l.link(part, ids)
	}
	if err == nil {
		err = l.fs.Rename(part, dir)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("link log files to %s: %w", dir, err), l.unlink(part))
	}
	if err := l.fs.SyncDir(filepath.Dir(dir)); err != nil {
		return errors.Join(fmt.Errorf("link log files to %s: %w", dir, err), l.unlink(dir))
	}
	return nil
}

func (l *Log) link(dir string, ids []uint64) error {
	if err := l.fs.MkdirAll(dir); err != nil {
		return err
	}
	for _, id := range ids {
		if err := l.fs.Link(l.path(id), filepath.Join(dir, fileName(id))); err != nil {
			return err
		}
	}
	return l.fs.SyncDir(dir)
}

// unlink removes a directory of links, if it is there.
func (l *Log) unlink(dir string) error {
	files, err := l.fs.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, f := range files {
		err = errors.Join(err, l.fs.Remove(filepath.Join(dir, f.Name)))
	}
	return errors.Join(err, l.fs.RemoveDir(dir))
}
