package origin

import (
	"net/http"
	"path"
	"time"
)

// wants are the renditions whose init segment never came, by the path of their playlist.
// FFmpeg sends media before it: so it is waited for, and only what comes more than two target
// durations after its want was known is refused, with "412 missing init" (DASH-IF Ingest
// 1.2). By then segments that need it are gaps.
type wants map[string]want

type want struct {
	mapPath  string
	dir, ext string        // of the media that need it
	since    time.Time     // when it was found missing; zero: it is there
	grace    time.Duration // how long that is no fault
}

// note learns what the playlist pushed at from needs.
func (w wants) note(from string, p *pushed, f files, now time.Time) {
	last := p.last()
	if last.mapPath == "" {
		delete(w, from)
		return
	}
	next := want{mapPath: last.mapPath, dir: path.Dir(last.path), ext: path.Ext(last.path), grace: 2 * time.Duration(p.target) * time.Second}
	if f.complete(next.mapPath) == nil {
		if next.since = now; w[from].mapPath == next.mapPath && !w[from].since.IsZero() {
			next.since = w[from].since
		}
	}
	w[from] = next
}

// missing returns the path of the init segment that the media at p cannot do without and that
// is overdue; "": none is. Where several renditions may own p, one that has its init speaks
// for it.
func (w wants) missing(p string, f files, now time.Time) (mapPath string) {
	dir, ext := path.Dir(p), path.Ext(p)
	for _, x := range w {
		if x.mapPath == p {
			return "" // it comes
		}
	}
	for _, x := range w {
		if x.dir != dir || x.ext != ext {
			continue
		}
		if f.complete(x.mapPath) != nil || f.arriving(x.mapPath) || x.since.IsZero() || now.Sub(x.since) <= x.grace {
			return ""
		}
		mapPath = x.mapPath
	}
	return mapPath
}

// wanting refuses media whose init segment is overdue.
func (c *channel) wanting(t target, now time.Time) error {
	c.mu.Lock()
	mapPath := c.wants.missing(t.path, &c.store, now)
	c.mu.Unlock()
	if mapPath == "" {
		return nil
	}
	return refuse(http.StatusPreconditionFailed, reasonNoInit, "channel %s: %s: its init segment %s never came: push that first, or start the encoder again", t.channel, t.path, mapPath)
}
