package origin

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"weir/internal/disk"
	"weir/internal/seglog"
)

// Store says where an origin keeps what it publishes, beside memory, and how much of it.
type Store struct {
	FS  disk.FS // nil: the system's
	Dir string  // made if it is missing; one origin has it for itself
	// Max is how many bytes all files together may have. 0: as many as the file system has
	// room for.
	Max int64
	// KeepFree is how many bytes of the file system are left alone. 0: 1 GiB.
	KeepFree int64
}

const logSuffix = ".weirlog"

// depot is the directory of an origin: live/{channel}/ has the log of a channel's segments,
// vod/{asset}/ the files of an asset.
type depot struct {
	fs       disk.FS
	dir      string
	max      int64
	keepFree int64
	unlock   func() error
	clean    bool // the origin before ended in order, and nothing it published is missing

	free   atomic.Int64 // of the file system, as last seen
	bytes  atomic.Int64 // of all files, as last counted
	broken atomic.Pointer[error]
}

func openDepot(s Store) (*depot, error) {
	d := &depot{fs: s.FS, dir: s.Dir, max: s.Max, keepFree: cmp.Or(s.KeepFree, 1<<30)}
	if d.fs == nil {
		d.fs = disk.OS()
	}
	if d.dir == "" || d.max < 0 || d.keepFree < 0 {
		return nil, fmt.Errorf("origin.Store: Dir must be given, Max and KeepFree must not be negative")
	}
	for _, sub := range []string{"live", "vod"} {
		if err := d.fs.MkdirAll(path.Join(d.dir, sub)); err != nil {
			return nil, fmt.Errorf("store.dir: %w", err)
		}
	}
	var err error
	if d.unlock, err = d.fs.Lock(path.Join(d.dir, "lock")); err != nil {
		return nil, fmt.Errorf("store.dir %s: another origin uses it, or it cannot be locked: %w", d.dir, err)
	}
	if err := d.begin(); err != nil {
		return nil, errors.Join(err, d.unlock())
	}
	d.look()
	return d, nil
}

// cleanMark is a file that is there while no origin runs and the last one ended in order. It
// is a file of its own because a name can be taken away where the disk is full.
const cleanMark = "clean"

// begin takes the mark of an orderly end away, for good, before anything is published.
func (d *depot) begin() error {
	mark := path.Join(d.dir, cleanMark)
	switch err := d.fs.Remove(mark); {
	case err == nil:
		d.clean = true
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("store.dir: %w", err)
	}
	if err := d.fs.SyncDir(d.dir); err != nil {
		return fmt.Errorf("store.dir: %w", err)
	}
	return nil
}

// end marks that all is in order.
func (d *depot) end() error {
	f, err := d.fs.Create(path.Join(d.dir, cleanMark))
	if err != nil {
		return fmt.Errorf("store.dir: %w", err)
	}
	return errors.Join(f.Close(), d.fs.SyncDir(d.dir))
}

// look reads how much room there is.
func (d *depot) look() {
	free, err := d.fs.Free(d.dir)
	if err != nil {
		free = -1
		err = fmt.Errorf("store.dir %s: %w", d.dir, err)
		d.broken.Store(&err)
	} else {
		d.broken.Store(nil)
	}
	d.free.Store(free)
}

// failure returns what is wrong with the directory as a whole.
func (d *depot) failure() error {
	if p := d.broken.Load(); p != nil {
		return *p
	}
	return nil
}

func (d *depot) live(channel string) string { return path.Join(d.dir, "live", channel) }

// channels lists the channels that have a log.
func (d *depot) channels() ([]string, error) {
	infos, err := d.fs.ReadDir(path.Join(d.dir, "live"))
	if err != nil {
		return nil, fmt.Errorf("store.dir: %w", err)
	}
	var names []string
	for _, i := range infos {
		if i.Dir && validChannel(i.Name) {
			names = append(names, i.Name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// logOptions are those of a channel's log. Retention takes whole files, so they are small
// beside what may be kept.
func (d *depot) logOptions(channel string, c Channel) seglog.Options {
	o := seglog.Options{FS: d.fs, Dir: d.live(channel), FileBytes: 64 << 20}
	if least := cmp.Or(c.DVRMax, d.max); least > 0 {
		o.FileBytes = max(1<<20, min(o.FileBytes, least/16))
	}
	o.FileAge = max(time.Minute, max(c.DVR, c.Retention)/16)
	return o
}

// fresh opens the log of a channel that begins. What lies there could not be read when the
// origin started: it is moved aside, not deleted.
func (d *depot) fresh(channel string, c Channel) (*seglog.Log, error) {
	if infos, err := d.fs.ReadDir(d.live(channel)); err == nil && len(infos) > 0 {
		aside := d.live(channel) + ".unread-" + strconv.FormatInt(time.Now().UnixMilli(), 36)
		if err := d.fs.Rename(d.live(channel), aside); err != nil {
			return nil, fmt.Errorf("channel %s: move what cannot be read aside: %w", channel, err)
		}
	}
	l, _, err := seglog.Open(d.logOptions(channel, c))
	return l, err
}

// clear takes the log of a channel away.
func (d *depot) clear(channel string) error {
	dir := d.live(channel)
	infos, err := d.fs.ReadDir(dir)
	if err != nil {
		return nil // there is none
	}
	for _, i := range infos {
		if !i.Dir && strings.HasSuffix(i.Name, logSuffix) {
			if err := d.fs.Remove(path.Join(dir, i.Name)); err != nil {
				return fmt.Errorf("channel %s: remove its files: %w", channel, err)
			}
		}
	}
	return d.fs.RemoveDir(dir)
}

func (d *depot) close() error {
	unlock := d.unlock
	if d.unlock = nil; unlock == nil {
		return nil
	}
	return unlock()
}
