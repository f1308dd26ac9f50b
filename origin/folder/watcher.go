package folder

import (
	"path/filepath"

	"github.com/fsnotify/fsnotify"
)

// A watcher tells of names that changed, as far as the kernel does. It cannot tell a file
// that was closed from one that is being written, nor is it there everywhere: it only says
// where to look.
type watcher struct {
	f     *Folder
	w     *fsnotify.Watcher // nil: there are no events
	dirs  map[string]bool   // watched
	short bool              // the kernel has no more watches, and the log says so
}

func (f *Folder) newWatcher() *watcher {
	w := &watcher{f: f, dirs: map[string]bool{}}
	if f.noEvents {
		return w
	}
	var err error
	if w.w, err = fsnotify.NewBufferedWatcher(1024); err != nil {
		w.w = nil
		f.warn("the kernel tells of no changes in the folder: it is looked at every ingest.watch.poll (raise fs.inotify.max_user_instances)",
			"dir", f.opts.Dir, "err", err)
	}
	return w
}

func (w *watcher) on() bool { return w.w != nil }

// names are changed files and directories. It never yields where there are no events.
func (w *watcher) names() <-chan fsnotify.Event {
	if w.w == nil {
		return nil
	}
	return w.w.Events
}

// errors are lost events.
func (w *watcher) errors() <-chan error {
	if w.w == nil {
		return nil
	}
	return w.w.Errors
}

// add watches the directory of that name below the folder.
func (w *watcher) add(dir string) {
	if w.w == nil || w.dirs[dir] {
		return
	}
	if err := w.w.Add(filepath.Join(w.f.opts.Dir, filepath.FromSlash(dir))); err != nil {
		if !w.short {
			w.f.warn("the kernel tells of no changes in a directory: it is looked at every ingest.watch.poll (raise fs.inotify.max_user_watches)",
				"dir", dir, "err", err)
		}
		w.short = true
		return
	}
	w.dirs[dir], w.short = true, false
}

// gone forgets a directory: the kernel has done so already.
func (w *watcher) gone(dir string) { delete(w.dirs, dir) }

// rel returns an event's name below the folder, with slashes.
func (w *watcher) rel(e fsnotify.Event) (string, bool) {
	name, err := filepath.Rel(w.f.opts.Dir, e.Name)
	return filepath.ToSlash(name), err == nil && filepath.IsLocal(name)
}

func (w *watcher) close() {
	if w.w != nil {
		_ = w.w.Close()
	}
}
