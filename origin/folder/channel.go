package folder

import (
	"context"
	"sync"
	"time"
)

// A channel looks at the playlists of one directory of the folder, one after the other, in a
// goroutine of its own: a disk that hangs holds up no other channel.
type channel struct {
	f      *Folder
	name   string
	cancel context.CancelFunc
	wake   chan struct{} // of one place

	mu      sync.Mutex
	touched map[string]bool // guarded by mu; playlists to look at; true: an event told of it
	all     bool            // guarded by mu; look at all that are known

	// Used by its goroutine alone.
	lists map[string]*list
	sent  map[string]stamp // what was pushed of media that a playlist lists
	alive bool             // a playlist was taken
}

func (f *Folder) newChannel(ctx context.Context, name string) *channel {
	c := &channel{f: f, name: name, wake: make(chan struct{}, 1), touched: map[string]bool{}, lists: map[string]*list{}, sent: map[string]stamp{}}
	ctx, c.cancel = context.WithCancel(ctx)
	f.working.Go(func() { c.run(ctx) })
	return c
}

func (c *channel) stop() { c.cancel() }

// touch asks to look at a playlist.
func (c *channel) touch(file string, event bool) {
	c.mu.Lock()
	if _, known := c.touched[file]; known || len(c.touched) < 2*maxPlaylists {
		c.touched[file] = c.touched[file] || event
	}
	c.mu.Unlock()
	c.poke()
}

// touchAll asks to look at all playlists that are known.
func (c *channel) touchAll() {
	c.mu.Lock()
	c.all = true
	c.mu.Unlock()
	c.poke()
}

func (c *channel) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *channel) run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		c.note()
		if next := c.work(ctx, time.Now()); next > 0 {
			timer.Reset(next)
		} else {
			timer.Stop()
		}
		select {
		case <-ctx.Done():
			return
		case <-c.wake:
		case <-timer.C:
		}
	}
}

// note takes in what was touched.
func (c *channel) note() {
	c.mu.Lock()
	touched, all := c.touched, c.all
	c.touched, c.all = map[string]bool{}, false
	c.mu.Unlock()
	for file, event := range touched {
		l := c.lists[file]
		if l == nil {
			if len(c.lists) >= maxPlaylists {
				c.f.warn("channel of the folder has too many playlists: this one is not watched", "channel", c.name, "file", file, "most", maxPlaylists)
				continue
			}
			l = &list{file: file}
			c.lists[file] = l
		}
		l.look, l.event = true, l.event || event
	}
	if all {
		for _, l := range c.lists {
			l.look = true
		}
	}
}

// work looks at what is to be looked at now, and returns when something is next; 0: nothing.
// Multivariant playlists come first: they tell which of the others will come.
func (c *channel) work(ctx context.Context, now time.Time) (next time.Duration) {
	for _, master := range []bool{true, false} {
		for _, l := range c.lists {
			if !l.look || l.master != master || ctx.Err() != nil {
				continue
			}
			wait := c.look(ctx, l, now)
			l.look = wait > 0
			if wait > 0 && (next == 0 || wait < next) {
				next = wait
			}
		}
	}
	return next
}
