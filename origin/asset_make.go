package origin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"weir/internal/seglog"
	"weir/playlist"
)

// assetWait is how long the making of an asset waits for the disk to have all of it.
const assetWait = 20 * time.Second

// claim takes a name for an asset that is being made.
func (a *assets) claim(name string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.all[name] != nil || a.making[name] {
		return refuse(http.StatusConflict, reasonAssetExists, "asset %s: %w", name, ErrAssetExists)
	}
	if len(a.all) >= maxAssets {
		return refuse(http.StatusServiceUnavailable, "too_many_assets", "asset %s: there are %d assets already: remove some", name, len(a.all))
	}
	a.making[name] = true
	return nil
}

// settle ends the claim; x is nil where nothing came of it.
func (a *assets) settle(name string, x *asset) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.making, name)
	if x != nil {
		a.all[name] = x
	}
}

// makeAsset is MakeAsset for a request that is in order.
func (o *Origin) makeAsset(ctx context.Context, r AssetRequest) (*asset, error) {
	c := o.channel(r.Channel)
	if c == nil {
		return nil, noChannel(r.Channel)
	}
	if c.vault == nil {
		return nil, noStore(r.Asset)
	}
	is, files, err := c.cutOut(ctx, r)
	if err != nil {
		return nil, err
	}
	linked := make(chan error, 1)
	c.vault.do(func(l *seglog.Log) {
		ids := slices.DeleteFunc(slices.Clone(files), func(id uint64) bool {
			return !slices.ContainsFunc(l.Files(), func(f seglog.FileInfo) bool { return f.ID == id })
		})
		for _, f := range l.Files() {
			if slices.Contains(ids, f.ID) {
				is.Files = append(is.Files, assetLink{f.ID, f.Bytes})
			}
		}
		err := l.LinkTo(o.depot.asset(r.Asset), ids)
		if err == nil {
			if err = o.depot.describe(is); err != nil {
				err = errors.Join(err, o.depot.clearDir(o.depot.asset(r.Asset)))
			}
		}
		linked <- err
	})
	select {
	case err := <-linked:
		if err != nil {
			return nil, fmt.Errorf("asset %s: %w", r.Asset, err)
		}
	case <-ctx.Done(): // it may yet be made: whoever asks again finds it, or that it exists
		return nil, context.Cause(ctx)
	}
	return o.newAsset(*is), nil
}

// cutOut decides what of a channel an asset is made of, once all of it is durable: its
// description, and the files of the log that hold it.
func (c *channel) cutOut(ctx context.Context, r AssetRequest) (*assetIs, []uint64, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, assetWait,
		refuse(http.StatusServiceUnavailable, "disk", "asset %s: the disk has not taken all of channel %s yet (store.dir)", r.Asset, c.name))
	defer cancel()
	end := r.End
	if end.IsZero() {
		end = time.Now()
	}
	for !c.durable(end) {
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return nil, nil, context.Cause(ctx)
		}
	}
	multi := c.pastMulti.Load()
	if multi == nil || c.published == nil {
		return nil, nil, nothingKept(r)
	}
	is := &assetIs{Epoch: c.epoch, Target: c.published.target, Multivariant: *multi.says}
	info := &is.Info
	*info = AssetInfo{Asset: r.Asset, Channel: c.name, Made: time.Now().UTC().Truncate(time.Millisecond)}
	var lowest, highest uint64
	for _, r2 := range c.ordered() {
		p := r2.between(r.Start, end)
		refs := c.onlyOnDisk(r2, &p)
		p.trim()
		if len(p.list) == 0 {
			continue
		}
		n := len(p.list)
		first, last := p.list[0], p.list[n-1]
		is.Renditions = append(is.Renditions, assetRendition{r2.name, first.number, last.number, p.solo})
		info.Renditions = append(info.Renditions, r2.name)
		if info.Start.IsZero() || first.date.Before(info.Start) {
			info.Start = first.date
		}
		if to := last.date.Add(last.dur); to.After(info.End) {
			info.End = to
		}
		info.Duration = max(info.Duration, p.lasts())
		for i := range p.list {
			if p.list[i].gap {
				info.Gaps++
				continue
			}
			ref := refs[p.list[i].number]
			info.Bytes += ref.Size
			if lowest == 0 || ref.File < lowest {
				lowest = ref.File
			}
			highest = max(highest, ref.File)
		}
	}
	if len(is.Renditions) == 0 || highest == 0 {
		return nil, nil, nothingKept(r)
	}
	// A variant without segments of that time is none of the programme's.
	is.Multivariant.Variants = slices.DeleteFunc(slices.Clone(is.Multivariant.Variants), func(v playlist.Variant) bool { return !is.has(v.URI) })
	is.Multivariant.Renditions = slices.DeleteFunc(slices.Clone(is.Multivariant.Renditions), func(v playlist.Rendition) bool { return v.URI != "" && !is.has(v.URI) })
	var files []uint64
	for id := max(lowest, 2) - 1; id <= highest; id++ { // a body may be in the file after its entry's
		files = append(files, id)
	}
	return is, files, nil
}

func (is *assetIs) has(uri string) bool {
	return slices.ContainsFunc(is.Renditions, func(r assetRendition) bool { return r.Name+"/index.m3u8" == uri })
}

func nothingKept(r AssetRequest) error {
	return refuse(http.StatusConflict, reasonNothingKept, "asset %s: channel %s: %w (channels.*.dvr says how much is kept)", r.Asset, r.Channel, ErrNothingKept)
}

// durable reports whether all that was published and begins before end is on disk, or is
// never going to be.
func (c *channel) durable(end time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.order {
		for _, s := range r.log {
			if s.date.Before(end) && !s.onDisk {
				return false
			}
		}
	}
	return true
}

func (c *channel) ordered() []*rendition {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.order)
}

// onlyOnDisk makes gaps of segments that memory still has and the disk does not, because it
// did not take them or had no room for them any more, and returns where all others are.
func (c *channel) onlyOnDisk(r *rendition, p *past) map[uint64]seglog.Ref {
	refs := make(map[uint64]seglog.Ref, len(p.list))
	for i := range p.list {
		s := &p.list[i]
		if s.gap {
			continue
		}
		ref, ok := c.refOf(r, s.number)
		if !ok {
			s.gap = true
			continue
		}
		refs[s.number] = ref
	}
	return refs
}

// refOf returns where a segment's bytes are on disk.
func (c *channel) refOf(r *rendition, number uint64) (seglog.Ref, bool) {
	for _, s := range r.now.Load().log {
		if s.number == number {
			if ref := s.disk.Load(); ref != nil {
				return *ref, true
			}
		}
	}
	s, _, _, ok := r.shelf.find(number)
	return s.body, ok && !s.gap()
}
