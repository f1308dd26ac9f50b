package seglog

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// searchBytes bounds how much of damaged files one recovery searches for records.
const searchBytes = 4 << 30

const maxCuts = 1000

// A recovery folds the records of all files, oldest first, into what the log holds.
type recovery struct {
	o     Options
	names map[string]string
	next  uint64 // the least id that no file had, strangers included
	out   Recovered
	files []*scanned

	list   []numbered  // the entries as they were found
	base   int         // entries that were let go
	at     map[Key]int // base + index in list
	unread bool        // a file could not be read to its end
	seq    uint64      // of the entry announced last
	metas  int64
	again  map[Key][]Ref // bodies less the last

	state, blobs int64 // bytes
	maxEntries   int
}

// A scanned file is what a scan leaves behind.
type scanned struct {
	info    FileInfo
	scan    *scan
	blobs   map[string]bool // that it holds
	loose   []loose         // bodies that no Sync is known to have covered
	fresh   []loose         // entries, likewise
	items   []item          // all of the newest file, if it is to be sealed
	indexed int             // bytes of items; beyond maxPayload they are too many
}

// A numbered entry has its place in the order of announcing: what is said again
// in a newer file stands behind what it came before.
type numbered struct {
	Entry
	seq uint64
}

type loose struct {
	key Key
	ref Ref
	off int64 // of the record
}

// recoverDir reads the directory.
func recoverDir(o Options) (*recovery, error) { return recoverBounded(o, MaxEntries) }

func recoverBounded(o Options, maxEntries int) (*recovery, error) {
	r := &recovery{
		o: o, next: 1, names: map[string]string{}, at: map[Key]int{}, again: map[Key][]Ref{}, maxEntries: maxEntries,
		out: Recovered{State: map[string][]byte{}, Blobs: map[string][]byte{}, Clean: true},
	}
	names, err := o.FS.ReadDir(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("read log directory: %w", err)
	}
	var ids []uint64
	for _, n := range names {
		switch id := fileID(n.Name); {
		case id != 0 && !n.Dir:
			ids = append(ids, id)
		case !n.Dir || strings.HasSuffix(n.Name, suffix):
			r.cut(Cut{n.Name, 0, n.Size, "not a file of the log, left alone"})
		}
	}
	slices.Sort(ids)
	budget := int64(searchBytes)
	for _, id := range ids {
		r.next = id + 1
		if err := r.file(id, &budget); err != nil {
			return nil, err
		}
	}
	if n := len(r.files); n > 0 {
		r.out.Clean = r.files[n-1].scan.clean
	}
	return r, nil
}

func (r *recovery) cut(c Cut) {
	if len(r.out.Cut) < maxCuts {
		r.out.Cut = append(r.out.Cut, c)
	}
}

// file scans one file.
func (r *recovery) file(id uint64, budget *int64) error {
	name := filepath.Join(r.o.Dir, fileName(id))
	f, err := r.o.FS.Open(name)
	if err != nil {
		r.cut(Cut{fileName(id), 0, 0, err.Error()})
		r.out.Missing, r.unread = true, true
		return nil
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		r.cut(Cut{fileName(id), 0, 0, err.Error()})
		r.out.Missing, r.unread = true, true
		return nil
	}
	sf := &scanned{info: FileInfo{ID: id, Bytes: size, Sealed: true}, blobs: map[string]bool{}}
	sf.scan = &scan{source: source{f: f, size: size}, id: id, name: fileName(id), budget: budget, report: r.cut, least: -1}
	sf.scan.take = func(it item) { r.take(sf, it) }
	if err := sf.scan.run(); err != nil {
		return err
	}
	if sf.scan.known || sf.scan.err != nil {
		if last := r.newest(); last != nil {
			last.items = nil
		}
		r.files = append(r.files, sf)
	}
	sf.loose = slices.DeleteFunc(sf.loose, func(l loose) bool {
		return l.ref.Offset+l.ref.Size+wholeSize <= sf.scan.durable
	})
	r.out.Missing = r.out.Missing || sf.scan.missing()
	r.unread = r.unread || sf.scan.err != nil
	sf.fresh = slices.DeleteFunc(sf.fresh, func(l loose) bool { return l.off < sf.scan.durable })
	sf.scan.f, sf.scan.buf, sf.scan.take = nil, nil, nil
	return nil
}

// take folds one record.
func (r *recovery) take(sf *scanned, it item) {
	d := decoder{p: it.payload, names: r.names}
	bad := false
	switch it.kind {
	case publish:
		if bad = len(it.payload) > MaxPublish; bad {
			break
		}
		state, entries := d.publish()
		if bad = !d.done(); !bad {
			r.publish(sf, it, state, entries)
		}
	case blob:
		name, size, sum := d.name(), d.uvarint(), d.uint32()
		if bad = !d.done(); !bad {
			r.blob(sf, it.off, name, size, sum)
		}
	case body:
		k, _ := d.body()
		if bad = !d.done(); !bad {
			r.body(sf, k, it)
		}
	}
	if bad {
		r.cut(Cut{sf.scan.name, it.off, headerSize + int64(len(it.payload)), it.kind.String() + " record not understood"})
		return
	}
	if sf.scan.sealed {
		return
	}
	if sf.indexed += len(it.payload) + 32; sf.indexed > maxPayload {
		sf.items = nil
		return
	}
	sf.items = append(sf.items, it)
}

func (r *recovery) publish(sf *scanned, it item, state map[string][]byte, entries []numbered) {
	if it.flags&checkpoint != 0 {
		clear(r.out.State)
		r.state = 0
	}
	r.state = setState(r.out.State, r.state, state)
	for i := range entries {
		e := &entries[i]
		sf.info.count(e.Date)
		if _, ok := r.at[e.Key()]; ok {
			if it.flags&carried == 0 {
				r.out.Duplicates++
			}
			continue
		}
		if !sf.scan.sealed {
			sf.fresh = append(sf.fresh, loose{key: e.Key(), off: it.off})
		}
		r.at[e.Key()] = r.base + len(r.list)
		r.list = append(r.list, *e)
		r.seq = max(r.seq, e.seq)
		r.metas += int64(len(e.Meta))
	}
	if len(r.list) > r.maxEntries || r.metas > MaxMetas {
		r.trim(sf.scan.name)
	}
}

// trim lets the oldest entries go, an eighth more than it must, so that it is
// not asked again for each record.
func (r *recovery) trim(name string) {
	n := 0
	for len(r.list)-n > r.maxEntries-r.maxEntries/8 || r.metas > MaxMetas-MaxMetas/8 {
		e := &r.list[n]
		r.metas -= int64(len(e.Meta))
		delete(r.at, e.Key())
		n++
	}
	r.cut(Cut{name, 0, 0, fmt.Sprintf("more than %d entries or %d bytes of meta: the oldest %d left out", r.maxEntries, MaxMetas, n)})
	r.base += n
	r.list = slices.Clone(r.list[n:])
}

// setState puts what is newer over state, as far as MaxState goes, and returns
// how many bytes it has then.
func setState(state map[string][]byte, bytes int64, newer map[string][]byte) int64 {
	for name, v := range newer {
		if old, ok := state[name]; ok {
			bytes -= int64(len(name) + len(old))
			delete(state, name)
		}
		if n := int64(len(name) + len(v)); len(v) > 0 && bytes+n <= MaxState {
			state[name] = v
			bytes += n
		}
	}
	return bytes
}

// blob reads a blob, unless one of that name is there: bytes never change under a name.
func (r *recovery) blob(sf *scanned, off int64, name string, size uint64, want uint32) {
	if _, ok := r.out.Blobs[name]; ok {
		sf.blobs[name] = true
		return
	}
	if size > MaxBlob+MaxName+16 || r.blobs+int64(size) > MaxBlobs {
		r.cut(Cut{sf.scan.name, off, int64(size), "blob " + name + " is beyond the limit"})
		return
	}
	p, err := sf.scan.bytes(off+headerSize, int(size))
	if err == nil && (uint64(len(p)) != size || sum(p) != want) {
		err = ErrDamaged
	}
	d := decoder{p: p}
	if err == nil && (d.name() != name || d.bad) {
		err = ErrDamaged
	}
	if err != nil {
		r.cut(Cut{sf.scan.name, off, int64(size), "blob " + name + ": " + err.Error()})
		return
	}
	r.out.Blobs[name] = append([]byte{}, d.p...)
	r.blobs += int64(len(name) + len(d.p))
	sf.blobs[name] = true
}

func (r *recovery) body(sf *scanned, k Key, it item) {
	i, ok := r.at[k]
	if !ok {
		r.cut(Cut{sf.scan.name, it.off, it.ref.Size, fmt.Sprintf("body %s %d without its announcement", k.Stream, k.Number)})
		return
	}
	e := &r.list[i-r.base]
	// One that is stored again is better than the one before: a Sync had failed.
	if !e.Body.IsZero() && len(r.again[k]) < 8 {
		r.again[k] = append(r.again[k], e.Body)
	}
	e.Body, e.Promised = it.ref, true
	sf.loose = append(sf.loose, loose{k, it.ref, it.off})
}

// verify checks the bodies that no Sync is known to have covered, newest first,
// and takes those away that are not what was written.
func (r *recovery) verify() {
	left := r.o.VerifyBytes
	if left == 0 {
		left = 256 << 20
	}
	bad := map[Ref]bool{}
	for _, sf := range slices.Backward(r.files) {
		if len(sf.loose) == 0 {
			continue
		}
		f, err := r.o.FS.Open(filepath.Join(r.o.Dir, sf.scan.name))
		if err != nil {
			r.cut(Cut{sf.scan.name, 0, 0, err.Error()})
			continue
		}
		for _, l := range slices.Backward(sf.loose) {
			if l.ref.Size > left {
				left = 0
				r.out.Unverified += l.ref.Size
				continue
			}
			left -= l.ref.Size
			r.out.Verified += l.ref.Size
			if err := copyBody(f, l.ref, discard{}); errors.Is(err, ErrDamaged) {
				bad[l.ref] = true
				r.cut(Cut{sf.scan.name, l.off, l.ref.Size, fmt.Sprintf("body %s %d is not what was written", l.key.Stream, l.key.Number)})
			}
		}
		_ = f.Close()
	}
	if len(bad) > 0 {
		r.leaveOut(bad)
	}
}

// leaveOut takes bad bodies away from their entries, for a good one if there is another.
func (r *recovery) leaveOut(bad map[Ref]bool) {
	for _, sf := range r.files {
		for _, l := range sf.loose {
			i, ok := r.at[l.key]
			if !ok || !bad[l.ref] {
				continue
			}
			e := &r.list[i-r.base]
			if e.Body != l.ref {
				continue
			}
			e.Body = Ref{}
			for _, other := range slices.Backward(r.again[l.key]) {
				if !bad[other] {
					e.Body = other
					break
				}
			}
		}
		sf.items = slices.DeleteFunc(sf.items, func(it item) bool { return it.kind == body && bad[it.ref] })
	}
}

// bare takes the bodies away from entries whose blob is lost: nothing plays them.
func (r *recovery) bare() {
	for i := range r.list {
		e := &r.list[i]
		if _, ok := r.out.Blobs[e.Blob]; e.Blob != "" && !ok {
			e.Body = Ref{}
		}
	}
}

// fresh returns the entries whose announcement no Sync is known to have covered.
// The next file says them again: the process that died may have been told by the
// disk that they are lost, and the system tells nobody twice.
func (r *recovery) fresh() (out []numbered) {
	for _, sf := range r.files {
		for _, l := range sf.fresh {
			i, ok := r.at[l.key]
			if !ok {
				continue
			}
			e := r.list[i-r.base]
			if _, ok := r.out.Blobs[e.Blob]; e.Blob == "" || ok {
				out = append(out, e)
			}
		}
	}
	slices.SortStableFunc(out, bySeq)
	return out[max(len(out)-maxWaiting, 0):]
}

func bySeq(a, b numbered) int { return cmp.Compare(a.seq, b.seq) }

// finish puts the entries into the order in which they were announced.
func (r *recovery) finish() *Recovered {
	slices.SortStableFunc(r.list, bySeq)
	r.out.Entries = make([]Entry, len(r.list))
	for i := range r.list {
		r.out.Entries[i] = r.list[i].Entry
	}
	r.list, r.at = nil, nil
	return &r.out
}

// newest returns the newest file, nil if there is none.
func (r *recovery) newest() *scanned {
	if len(r.files) == 0 {
		return nil
	}
	return r.files[len(r.files)-1]
}
