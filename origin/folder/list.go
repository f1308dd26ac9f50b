package folder

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net/url"
	"path"
	"strings"
	"time"

	"weir/playlist"
)

const (
	// settle is how long a playlist must stand still. FFmpeg renames it into place, whole;
	// others write it at once, in place.
	settle = 20 * time.Millisecond
	// settleOpen is settle for one whose last line does not end.
	settleOpen = time.Second
	// again is when something is looked at again that was not whole, and later when something
	// is pushed again for which the origin had no room.
	again = 100 * time.Millisecond
	later = time.Second
	// tooOld is how old a playlist may be when weir starts: an older one is what an encoder
	// left behind that is gone. It is taken when it changes.
	tooOld = 2 * time.Minute
	// maxListed is how many segments of a playlist are looked at: the last ones. Those before
	// them were pushed when they were the last, or are too old to be of use.
	maxListed = 64
)

// A list is a playlist of a channel.
type list struct {
	file   string // below the channel
	master bool   // by its last text
	look   bool   // it is to be looked at
	event  bool   // the kernel told of it

	seen   stamp // state at the last look
	since  time.Time
	done   stamp // state that was dealt with
	old    bool  // it is from before weir, and may be nobody's
	left   bool  // it was left out, and the log says so
	media  []string
	maps   map[string]bool // those of media that are init segments
	wanted []want          // listed, and not whole yet
	until  time.Time       // when what is wanted is given up
	next   time.Time       // when to try again; zero: at any time
	target time.Duration
}

// A want is media that is listed and not whole.
type want struct {
	file  string
	seen  stamp
	since time.Time // when it was in state seen first
}

// look looks at a playlist and what it waits for, and returns when to look again; 0: when it
// is touched.
func (c *channel) look(ctx context.Context, l *list, now time.Time) time.Duration {
	is, err := c.f.stat(c.name + "/" + l.file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		c.forget(l)
		return 0
	case err != nil:
		return 0 // the next poll looks again
	case is.is(l.done):
		l.event = false
		return c.supply(ctx, l, now)
	case !is.is(l.seen):
		first := l.seen.info == nil
		l.seen, l.since = is, now
		l.old = first && is.written().Before(c.f.began.Add(-tooOld))
	}
	if l.old && !(l.master && c.alive) {
		return c.leave(l)
	}
	if wait := max(l.since.Add(settle).Sub(now), l.next.Sub(now)); wait > 0 {
		return wait
	}
	l.next = time.Time{}
	return c.take(ctx, l, is, now)
}

// postpone is for what the origin has no room for.
func (l *list) postpone(now time.Time) time.Duration {
	l.next = now.Add(later)
	return later
}

// leave leaves out what an encoder left behind that is gone. A multivariant playlist is
// written once: it is taken with the first of the others.
func (c *channel) leave(l *list) time.Duration {
	if l.left {
		return 0
	}
	l.left = true
	text, err := c.text(l, l.seen)
	l.master = err == nil && playlist.Kind(text) == playlist.KindMultivariant
	if !l.master {
		c.f.opts.Log.Info("playlist in the folder is old: it is taken when it changes", "channel", c.name, "file", l.file, "written", l.seen.written())
	}
	return 0
}

// text reads a playlist in the state is. One byte more than a playlist may have is enough to
// have it refused.
func (c *channel) text(l *list, is stamp) ([]byte, error) {
	x, err := c.f.openAs(c.name+"/"+l.file, is)
	if err != nil {
		return nil, err
	}
	defer x.close()
	return io.ReadAll(io.LimitReader(x, playlist.MaxBytes+1))
}

// take pushes what a playlist lists, and then the playlist.
func (c *channel) take(ctx context.Context, l *list, is stamp, now time.Time) time.Duration {
	text, err := c.text(l, is)
	switch {
	case errors.Is(err, errChanged), errors.Is(err, fs.ErrNotExist):
		return again
	case err != nil:
		c.f.warn("playlist of the folder cannot be read", "channel", c.name, "file", l.file, "err", err)
		return 0 // the next poll tries again
	case len(text) == 0:
		return 0
	}
	if !bytes.HasSuffix(text, []byte("\n")) && len(text) <= playlist.MaxBytes {
		if wait := l.since.Add(settleOpen).Sub(now); wait > 0 {
			return wait
		}
	}
	l.master = playlist.Kind(text) == playlist.KindMultivariant
	if !l.master {
		c.wakeMasters(ctx, now)
	}
	c.list(l, text, is, now)
	if l.done.info == nil && c.known(l) {
		l.done, l.event, l.old = is, false, false
		return 0
	}
	if !c.supplyAll(ctx, l, is, now) {
		return l.postpone(now)
	}
	status, err := c.f.put(ctx, c.name+"/"+l.file, int64(len(text)), bytes.NewReader(text))
	out := judge(status, err)
	c.f.metrics.files.WithLabelValues("playlist", string(out)).Inc()
	if out == busy || err != nil {
		return l.postpone(now)
	}
	if !l.event && l.done.info != nil && !c.f.noEvents {
		c.f.metrics.unseen.Inc()
	}
	l.done, l.event, l.old = is, false, false
	return c.supply(ctx, l, now)
}

// wakeMasters takes the multivariant playlists that waited for the first of the others.
func (c *channel) wakeMasters(ctx context.Context, now time.Time) {
	if c.alive {
		return
	}
	c.alive = true
	for _, m := range c.lists {
		if m.old && m.master {
			m.look = c.look(ctx, m, now) > 0
		}
	}
}

// list reads what a playlist lists. Where it cannot be read the origin will say why.
func (c *channel) list(l *list, text []byte, is stamp, now time.Time) {
	before := l.media
	l.media, l.maps, l.wanted, l.target = nil, map[string]bool{}, nil, 0
	if m, err := playlist.ParseMedia(text); err == nil && !l.master {
		segments := m.Segments[max(0, len(m.Segments)-maxListed):]
		listed := map[string]bool{}
		add := func(uri string, init bool) {
			if name, ok := c.resolve(l.file, uri); ok && !listed[name] {
				listed[name] = true
				l.media = append(l.media, name)
				if init {
					l.maps[name] = true
				}
			}
		}
		for i := range segments {
			if x := segments[i].Map; x != nil {
				add(x.URI, true)
			}
			if !segments[i].Gap {
				add(segments[i].URI, false)
			}
		}
		l.target = time.Duration(max(1, min(m.TargetDuration, 60))) * time.Second
	}
	l.until = now.Add(2 * l.target)
	c.unlist(before)
}

// known takes what the origin has published of a playlist, before it was started again, for
// pushed. It reports whether that is all that the playlist lists: then it tells nothing, and
// pushed it would tell of a last segment that never comes.
func (c *channel) known(l *list) bool {
	published := c.f.opts.Published(c.name, l.file)
	if published.IsZero() || l.master {
		return false
	}
	last := false
	for _, name := range l.media {
		x, err := c.f.stat(name)
		if last = err == nil && !l.maps[name] && !x.written().After(published); last {
			c.sent[name] = x
		}
	}
	return last
}

// unlist forgets what was pushed of files that no playlist lists any more.
func (c *channel) unlist(files []string) {
	if len(files) == 0 {
		return
	}
	listed := map[string]bool{}
	for _, l := range c.lists {
		for _, name := range l.media {
			listed[name] = true
		}
	}
	for _, name := range files {
		if !listed[name] {
			delete(c.sent, name)
		}
	}
}

func (c *channel) forget(l *list) {
	delete(c.lists, l.file)
	c.unlist(l.media)
}

// supplyAll pushes what a playlist in the state is lists and is whole. It reports false where
// the origin has no room now: then the playlist has to wait too.
func (c *channel) supplyAll(ctx context.Context, l *list, is stamp, now time.Time) bool {
	for _, name := range l.media {
		x, err := c.f.stat(name)
		if err == nil && x.is(c.sent[name]) {
			continue
		}
		// "What is newer than its playlist belongs to the next one": see the package.
		if err != nil || x.info.Size() == 0 || x.written().After(is.written()) {
			l.wanted = append(l.wanted, want{name, x, now})
			if errors.Is(err, errNotPlain) {
				c.f.warn("what a playlist of the folder lists is no plain file: links are not followed", "channel", c.name, "file", name)
			}
			continue
		}
		switch c.push(ctx, name, x) {
		case busy:
			return false
		case changed, missing:
			l.wanted = append(l.wanted, want{name, stamp{}, now})
		}
	}
	return ctx.Err() == nil
}

// push pushes media.
func (c *channel) push(ctx context.Context, name string, is stamp) outcome {
	out, err := c.f.send(ctx, name, is)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.f.warn("file of the folder cannot be read", "channel", c.name, "err", err)
	}
	if out == pushed || out == refused {
		c.sent[name] = is
	}
	if out != missing {
		c.f.metrics.files.WithLabelValues("media", string(out)).Inc()
	}
	return out
}

// supply pushes what was not whole when its playlist came and is by now, and returns when to
// look again.
func (c *channel) supply(ctx context.Context, l *list, now time.Time) time.Duration {
	keep := l.wanted[:0]
	for _, w := range l.wanted {
		is, err := c.f.stat(w.file)
		if err != nil || is.info.Size() == 0 || !is.is(w.seen) {
			w.seen, w.since = is, now
			if err == nil && is.info.Size() > 0 && !is.written().After(l.done.written()) {
				w.since = time.Time{} // renamed into place, and older than its playlist
			}
		}
		if w.seen.info != nil && w.seen.info.Size() > 0 && now.Sub(w.since) >= l.target {
			if out := c.push(ctx, w.file, is); out == pushed || out == refused {
				continue
			}
		}
		keep = append(keep, w)
	}
	l.wanted = keep
	if len(keep) > 0 && now.After(l.until) { // by now it is a gap
		c.f.metrics.files.WithLabelValues("media", string(missing)).Add(float64(len(keep)))
		l.wanted = nil
	}
	if len(l.wanted) == 0 {
		return 0
	}
	return again
}

// resolve returns the name below the folder of what uri means in the playlist file. What
// leads out of the channel means nothing; the origin refuses its playlist.
func (c *channel) resolve(file, uri string) (string, bool) {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "" || u.Host != "" || u.Opaque != "" || u.User != nil || u.Path == "" || u.Path[0] == '/' {
		return "", false
	}
	name := path.Join(c.name, path.Dir(file), u.Path)
	return name, strings.HasPrefix(name, c.name+"/") && fs.ValidPath(name) && !strings.ContainsRune(name, 0)
}
