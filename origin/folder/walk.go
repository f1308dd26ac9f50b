package folder

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/fsnotify/fsnotify"
)

// A scout finds the channels and playlists of a directory, and says what changed to the
// channels, which look themselves. It reads no file, so that a slow disk does not keep it
// from events.
type scout struct {
	f    *Folder
	root *os.Root
	w    *watcher
	ctx  context.Context // of the channels
	dirs int             // seen in this walk
}

// told takes in an event.
func (s *scout) told(e fsnotify.Event) {
	name, ok := s.w.rel(e)
	if !ok || name == "." {
		return
	}
	switch {
	case e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename):
		s.w.gone(name) // what is renamed into its place comes as Create
	case isPlaylist(name):
		s.found(name, true)
	case e.Has(fsnotify.Create) && !strings.HasPrefix(path.Base(name), "."):
		// A directory perhaps: what was written into it before it is watched is found by
		// looking. Segments come this way too, and are none.
		if info, err := s.root.Lstat(name); err == nil && info.IsDir() {
			s.dirs = len(s.w.dirs)
			s.search(name)
		}
	}
}

// walk searches all of the directory.
func (s *scout) walk() {
	s.dirs = 0
	s.search(".")
	for name, c := range s.f.channels {
		if _, err := s.root.Lstat(name); errors.Is(err, fs.ErrNotExist) {
			c.stop() // what it published stays as long as anything does
			delete(s.f.channels, name)
		}
	}
}

// search looks through a directory and those below it.
func (s *scout) search(dir string) {
	if s.dirs++; s.dirs > maxDirs {
		s.f.warn("folder has too many directories: not all are watched", "dir", dir, "most", maxDirs)
		return
	}
	s.w.add(dir) // first, so that nothing comes between
	err := names(s.root, dir, func(e fs.DirEntry) {
		name := path.Join(dir, e.Name())
		switch {
		case strings.HasPrefix(e.Name(), "."), strings.HasSuffix(e.Name(), ".tmp"):
		case e.IsDir() && strings.Count(name, "/") <= maxDepth:
			s.search(name)
		case e.Type().IsRegular() && isPlaylist(name):
			s.found(name, false)
		}
	})
	switch {
	case errors.Is(err, errTooMany):
		s.f.warn("directory holds too many files: not all are looked at (let the encoder delete: -hls_flags delete_segments)", "dir", dir, "most", maxNames)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		s.f.warn("directory of the folder cannot be read", "dir", dir, "err", err)
	}
}

var errTooMany = errors.New("too many names")

// names calls yield for each entry of a directory that is no link.
func names(root *os.Root, dir string, yield func(fs.DirEntry)) error {
	if info, err := root.Lstat(dir); err != nil || !info.IsDir() {
		return err
	}
	d, err := root.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	for n := 0; n < maxNames; {
		entries, err := d.ReadDir(1024)
		for _, e := range entries {
			yield(e)
		}
		n += len(entries)
		if isEnd(err) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return errTooMany
}

func isEnd(err error) bool { return errors.Is(err, io.EOF) }

// isPlaylist reports whether a name is that of a playlist that is not being written.
func isPlaylist(name string) bool {
	return (strings.HasSuffix(name, ".m3u8") || strings.HasSuffix(name, ".m3u")) && !strings.HasPrefix(path.Base(name), ".")
}

// found tells the channel of a playlist to look at it; event: the kernel told of it.
func (s *scout) found(name string, event bool) {
	channel, file, ok := strings.Cut(name, "/")
	if !ok {
		s.f.warn("a playlist of the folder is nobody's: it must lie in a directory that is called as its channel", "file", name)
		return
	}
	c := s.f.channels[channel]
	if c == nil {
		if len(s.f.channels) >= s.f.opts.MaxChannels {
			s.f.warn("folder has too many channels: this one is not watched (ingest.max_channels)", "channel", channel, "most", s.f.opts.MaxChannels)
			return
		}
		c = s.f.newChannel(s.ctx, channel)
		s.f.channels[channel] = c
	}
	c.touch(file, event)
}
