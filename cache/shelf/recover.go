package shelf

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"

	"weir/internal/disk"
)

// format names the form of the directory. Another form is emptied: it is a cache.
const format = "weir edge cache, form 1\n"

const (
	formatFile = "FORMAT"
	lockFile   = "LOCK"
)

// open takes the directory and reads what is in it.
func (s *Shelf) open() error {
	fsys, dir := s.opts.FS, s.opts.Dir
	if err := fsys.MkdirAll(dir); err != nil {
		return err
	}
	names, err := fsys.ReadDir(dir)
	if err != nil {
		return err
	}
	was, err := readText(fsys, filepath.Join(dir, formatFile))
	switch {
	case err == nil && string(was[:min(len(was), len(marker))]) == marker:
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	default:
		for _, n := range names {
			if n.Name != lockFile && n.Name != "lost+found" && n.Name != formatFile+".new" {
				return fmt.Errorf("%s holds %q and is no cache of weir: name an empty directory: %w", dir, n.Name, ErrForeign)
			}
		}
	}
	if s.unlock, err = fsys.Lock(filepath.Join(dir, lockFile)); err != nil {
		return err
	}
	var numbers []uint32
	for _, n := range names {
		if number, ok := numberOf(n.Name); ok && !n.Dir {
			numbers = append(numbers, number)
		}
	}
	slices.Sort(numbers)
	if was != format {
		if was != "" {
			s.log.Warn("the cache on disk has another form: it is emptied", "dir", dir, "files", len(numbers))
		}
		for _, n := range numbers {
			if err := fsys.Remove(s.path(n)); err != nil {
				return err
			}
		}
		numbers = nil
		if err := writeText(fsys, dir, format); err != nil {
			return err
		}
	}
	for some := range slices.Chunk(numbers, loadAtOnce) {
		s.load(some)
	}
	if len(numbers) > 0 {
		s.w.last = numbers[len(numbers)-1]
	}
	return nil
}

// marker is how every form begins.
const marker = "weir edge cache, form "

func readText(fsys disk.FS, name string) (string, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	p := make([]byte, 256)
	n, err := f.ReadAt(p, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	return string(p[:n]), nil
}

// writeText makes the format file, whole or not at all.
func writeText(fsys disk.FS, dir, text string) error {
	name := filepath.Join(dir, formatFile)
	if err := fsys.Remove(name + ".new"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := fsys.Create(name + ".new")
	if err != nil {
		return err
	}
	_, err = f.Write([]byte(text))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return errors.Join(fsys.Rename(name+".new", name), fsys.SyncDir(dir))
}

// loadAtOnce is how many files are read at the same time: a file without a footer
// is a few hundred small reads, one after the other.
const loadAtOnce = 8

// load reads what is in some files, and replays it in their order. A file that
// cannot be read is given up, and does not keep the others from being read.
func (s *Shelf) load(numbers []uint32) {
	type loaded struct {
		*file
		records []record
	}
	all := make([]loaded, len(numbers))
	var wg sync.WaitGroup
	for i, n := range numbers {
		wg.Go(func() {
			f, err := s.openFile(n)
			if err != nil {
				s.metrics.faults[faultOpen].Inc()
				s.log.Warn("a file of the cache cannot be opened: it is given up", "file", s.path(n), "error", err)
				_ = s.opts.FS.Remove(s.path(n))
				return
			}
			records, ok := readFooter(f, n, f.size)
			if !ok {
				records = scan(f, n, f.size)
			}
			all[i] = loaded{f, records}
		})
	}
	wg.Wait()
	for _, l := range all {
		if l.file == nil {
			continue
		}
		s.mu.Lock()
		s.files = append(s.files, l.file)
		s.mu.Unlock()
		for i := range l.records {
			s.replay(&l.records[i])
		}
	}
}

func (s *Shelf) openFile(number uint32) (*file, error) {
	f, err := s.opts.FS.Open(s.path(number))
	if err != nil {
		return nil, err
	}
	size, err := f.Size()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	own := &file{number: number, File: f, size: size}
	own.refs.Start(1)
	return own, nil
}

// replay does again what a record says.
func (s *Shelf) replay(r *record) {
	if r.kind != kindGone && !s.room() {
		return // what does not fit into memory is found no more
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.kind == kindGone {
		s.index.remove(r.hash, every)
		return
	}
	s.install(r)
}

// room makes sure that the index has a place for one more. It is called under
// no lock, by one goroutine at a time.
func (s *Shelf) room() bool {
	s.mu.Lock()
	full := s.index.full()
	s.mu.Unlock()
	if !full {
		return true
	}
	if !s.opts.Room(slotsAtOnce * entryBytes) {
		return false
	}
	s.mu.Lock()
	s.index.grow()
	s.mu.Unlock()
	return true
}

// install makes what a record holds what is found from now on. s.mu is held.
func (s *Shelf) install(r *record) {
	same := func(e *entry) bool { return e.sub == r.sub }
	if r.kind == kindHead {
		// Its body may be gone, by a purge or with its file.
		if e := s.index.find(r.hash, r.sub); e != nil && e.body == r.bodyAt && e.bodyLen == r.body {
			e.head, e.headLen, e.stamp = r.at, uint32(r.head()), r.stamp
		}
		return
	}
	s.index.remove(r.hash, same)
	if f := s.fileOf(r.at.File); f != nil {
		s.index.add(entry{hash: r.hash, sub: r.sub, stamp: r.stamp, head: r.at, body: r.place(),
			headLen: uint32(r.head()), bodyLen: r.body}, f)
	}
}

// fileOf returns a file by its number, or nil. s.mu is held.
func (s *Shelf) fileOf(number uint32) *file {
	i, ok := slices.BinarySearchFunc(s.files, number, func(f *file, n uint32) int { return int(int64(f.number) - int64(n)) })
	if !ok {
		return nil
	}
	return s.files[i]
}

// scan finds the records of a file that was not done when the process ended. It
// believes those whose head is right, up to the first that is not: behind a
// torn record nothing is known to be a beginning.
func scan(f disk.File, number uint32, size int64) (records []record) {
	buf := make([]byte, 4<<10)
	if !readFull(f, buf[:fileHeader], 0) || !isFileHeader(buf, number) {
		return nil
	}
	for off := int64(fileHeader); off+recordSize <= size; {
		n, _ := f.ReadAt(buf, off)
		at := Place{number, uint32(off)}
		r, ok := parseRecord(buf[:n], at)
		if !ok || off+r.size() > size {
			return records
		}
		all := buf
		if r.head() > int64(n) {
			all = make([]byte, r.head())
			if !readFull(f, all, off) {
				return records
			}
		}
		if sum(all[recordSize:r.head()]) != r.sums {
			return records
		}
		records = append(records, r)
		off += r.size()
	}
	return records
}
