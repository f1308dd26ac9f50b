package origin

import (
	"context"
	"errors"
	"slices"
	"time"

	"weir/internal/seglog"
)

// retainEvery is how often retention is looked at.
const retainEvery = 2 * time.Second

// Watermarks: what goes for want of room goes until there is this much again.
const (
	lowMax  = 97 // percent of Store.Max
	moreOut = 10 // percent above Store.KeepFree
)

// retaining looks at retention until ctx is done. It is a goroutine of its own, since it works
// on the disk, which may not answer: nobody who publishes waits for it.
func (o *Origin) retaining(ctx context.Context) {
	t := time.NewTicker(retainEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-t.C:
			o.retain(now)
		}
	}
}

// A shelfFile is a file of a channel's log, in the eyes of retention.
type shelfFile struct {
	c    *channel
	info seglog.FileInfo
}

// retain takes from disk what nobody may ask for any more, and for want of room what is
// oldest: first in channels that have more than their own bound, then over all. What just left
// a playlist stays, whatever the bounds (HLSbis 6.2.2): memory has let go of it.
func (o *Origin) retain(now time.Time) {
	var all []shelfFile // that can be removed, oldest first in each channel
	var total int64
	live := map[liveFile]bool{}
	for _, c := range *o.channels.Load() {
		if c.vault == nil {
			continue
		}
		l := c.vault.disk.Load()
		if l == nil {
			continue
		}
		files := l.Files()
		need, due := c.expire(now)
		var bytes int64
		for _, f := range files {
			bytes += f.Bytes
			live[liveFile{c.epoch, f.ID}] = true
		}
		for len(files) > 0 && files[0].Sealed && (need == 0 || files[0].ID < need) {
			c.removeFile(files[0], "time")
			bytes -= files[0].Bytes
			files = files[1:]
		}
		mayGo := func(f seglog.FileInfo) bool { return f.Sealed && (due == 0 || f.ID < due) }
		for most := c.config.DVRMax; most > 0 && bytes > most && len(files) > 0 && mayGo(files[0]); files = files[1:] {
			c.removeFile(files[0], "channel")
			bytes -= files[0].Bytes
		}
		total += bytes
		for _, f := range files {
			if mayGo(f) {
				all = append(all, shelfFile{c, f})
			}
		}
	}
	total += o.retainAssets(now, live)
	o.depot.look()
	slices.SortStableFunc(all, func(a, b shelfFile) int { return a.info.Last.Compare(b.info.Last) })
	o.depot.bytes.Store(o.makeRoom(all, total))
}

// makeRoom removes the oldest files of all channels while there are more bytes than may be,
// or less room on the file system, and returns how many bytes are left.
func (o *Origin) makeRoom(all []shelfFile, total int64) int64 {
	out := func(why string) {
		all[0].c.removeFile(all[0].info, why)
		total -= all[0].info.Bytes
		all = all[1:]
	}
	if most := o.depot.max; most > 0 && total > most {
		for len(all) > 0 && total > most/100*lowMax {
			out("total")
		}
	}
	free := o.depot.free.Load()
	if least := o.depot.keepFree; free >= 0 && free < least {
		for len(all) > 0 && free < least/100*(100+moreOut) {
			free += all[0].info.Bytes
			out("free")
		}
	}
	return total
}

// removeFile has a file removed, soon, and what is in it forgotten, now: nothing names it any
// more when it goes.
func (c *channel) removeFile(f seglog.FileInfo, why string) {
	c.mu.Lock()
	if f.ID <= c.going {
		c.mu.Unlock()
		return // it is on its way
	}
	again := f.ID <= c.gone // it could not be removed
	c.going, c.gone = f.ID, max(c.gone, f.ID)
	for _, r := range c.order {
		for _, s := range r.log {
			if ref := s.disk.Load(); ref != nil && ref.File <= f.ID {
				s.disk.Store(nil)
			}
		}
		r.shelf.expire(time.Now(), c.depth(), c.gone)
	}
	c.mu.Unlock()
	if why != "time" && !again {
		c.log.Info("media go before their time, for want of room", "why", why, "until", f.Last, "bytes", f.Bytes)
	}
	c.vault.do(func(l *seglog.Log) {
		files := l.Files()
		if len(files) == 0 || files[0].ID > f.ID {
			return // it was asked for twice
		}
		switch err := l.Remove(f.ID); {
		case errors.Is(err, seglog.ErrClosed):
			return // the end: another time
		case err != nil:
			c.mu.Lock()
			c.going = min(c.going, files[0].ID-1) // the oldest is the next to go
			c.mu.Unlock()
			if !again {
				c.log.Warn("a file of the log on disk cannot be removed: it is tried again", "file", f.ID, "error", err, "every", retainEvery)
			}
			return
		}
		c.o.metrics.storeRemoved.WithLabelValues(why).Add(float64(f.Bytes))
	})
}

// depth is how far back the channel's DVR goes: what was removed has none any more.
func (c *channel) depth() time.Duration {
	if c.State() == StateRemoved {
		return 0
	}
	return c.config.DVR
}

// expire forgets what nobody may ask for any more, and returns the oldest file that is needed,
// and the oldest that holds what is within its Availability Duration and not in memory; 0: none.
func (c *channel) expire(now time.Time) (need, due uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	note := func(least *uint64, file uint64) {
		if file != 0 && (*least == 0 || file < *least) {
			*least = file
		}
	}
	for _, r := range c.order {
		r.shelf.expire(now, c.depth(), c.gone)
		note(&need, r.shelf.needs())
		note(&due, r.shelf.due(now, r.rule.retention, r.longest))
		for _, s := range r.log { // all: written again after a failure, they lie in any order
			if ref := s.disk.Load(); ref != nil {
				note(&need, ref.File)
			}
		}
	}
	return need, due
}
