package origin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
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

// makeAsset is MakeAsset for a request that is in order, and whose name is claimed.
func (o *Origin) makeAsset(ctx context.Context, r AssetRequest) (AssetInfo, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, assetWait,
		refuse(http.StatusServiceUnavailable, "disk", "asset %s: the disk has not taken all of channel %s yet (store.dir)", r.Asset, r.Channel))
	defer cancel()
	c := o.channel(r.Channel)
	cut, err := o.cutOf(ctx, c, r)
	if err != nil {
		o.assets.settle(r.Asset, nil)
		return AssetInfo{}, err
	}
	linked := make(chan error, 1)
	c.vault.do(func(l *seglog.Log) {
		err := o.link(l, cut)
		if err != nil {
			o.assets.settle(r.Asset, nil)
		} else { // it is there, whether or not anybody waits for it
			o.assets.settle(r.Asset, o.newAsset(cut.is))
		}
		linked <- err
	})
	select {
	case err = <-linked:
	case <-ctx.Done():
		return AssetInfo{}, context.Cause(ctx)
	case <-c.vault.ended:
		select {
		case err = <-linked:
		default: // nobody will do it any more
			o.assets.settle(r.Asset, nil)
			err = noChannel(r.Channel)
		}
	}
	info := &cut.is.Info
	switch {
	case errors.Is(err, fs.ErrExist): // what lies there could not be read
		return AssetInfo{}, refuse(http.StatusConflict, reasonAssetExists, "asset %s: %w", r.Asset, ErrAssetExists)
	case err != nil:
		return AssetInfo{}, fmt.Errorf("asset %s: %w", r.Asset, err)
	}
	o.opts.Log.Info("asset is made", "asset", r.Asset, "channel", r.Channel, "start", info.Start, "duration", info.Duration, "bytes", info.Bytes, "gaps", info.Gaps)
	return *info, nil
}

func (o *Origin) cutOf(ctx context.Context, c *channel, r AssetRequest) (*assetCut, error) {
	switch {
	case c == nil:
		return nil, noChannel(r.Channel)
	case c.vault == nil:
		return nil, noStore(r.Asset)
	}
	return c.cutOut(ctx, r)
}

// An assetCut is what an asset is to be made of.
type assetCut struct {
	is     assetIs
	needs  map[uint64]bool // files of the log that have its media
	lowest uint64          // the first of them
	last   uint64
}

// link makes the asset's directory. It is called by whoever writes to the log.
func (o *Origin) link(l *seglog.Log, cut *assetCut) error {
	info := &cut.is.Info
	var ids []uint64
	for _, f := range l.Files() {
		if f.ID+1 >= cut.lowest && f.ID <= cut.last { // a body may be in the file after its entry's
			ids = append(ids, f.ID)
			cut.is.Files = append(cut.is.Files, assetLink{f.ID, f.Bytes})
			delete(cut.needs, f.ID)
		}
	}
	if len(cut.needs) > 0 { // one went since
		return nothingKept(info.Asset, info.Channel)
	}
	dir := o.depot.asset(info.Asset)
	if err := l.LinkTo(dir, ids); err != nil {
		return err
	}
	if err := o.depot.describe(&cut.is); err != nil {
		return errors.Join(err, o.depot.clearDir(dir))
	}
	return nil
}

// cutOut decides what of a channel an asset is made of, once all of it is durable. What the
// disk did not get is a gap.
func (c *channel) cutOut(ctx context.Context, r AssetRequest) (*assetCut, error) {
	end := r.End
	if end.IsZero() {
		end = time.Now()
	}
	for !c.durable(end) {
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	multi := c.pastMulti.Load()
	if multi == nil || c.published == nil {
		return nil, nothingKept(r.Asset, r.Channel)
	}
	cut := &assetCut{is: assetIs{Epoch: c.epoch, Target: c.published.target, Multivariant: *multi.says}, needs: map[uint64]bool{}}
	is := &cut.is
	info := &is.Info
	*info = AssetInfo{Asset: r.Asset, Channel: c.name, Made: time.Now().UTC().Truncate(time.Millisecond)}
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
			if cut.lowest == 0 || ref.File < cut.lowest {
				cut.lowest = ref.File
			}
			cut.last = max(cut.last, ref.File)
			cut.needs[ref.File] = true
		}
	}
	if len(is.Renditions) == 0 || len(cut.needs) == 0 {
		return nil, nothingKept(r.Asset, r.Channel)
	}
	// A variant without segments of that time is none of the programme's.
	is.Multivariant.Variants = slices.DeleteFunc(slices.Clone(is.Multivariant.Variants), func(v playlist.Variant) bool { return !is.has(v.URI) })
	is.Multivariant.Renditions = slices.DeleteFunc(slices.Clone(is.Multivariant.Renditions), func(v playlist.Rendition) bool { return v.URI != "" && !is.has(v.URI) })
	return cut, nil
}

func (is *assetIs) has(uri string) bool {
	return slices.ContainsFunc(is.Renditions, func(r assetRendition) bool { return r.Name+"/index.m3u8" == uri })
}

func nothingKept(asset, channel string) error {
	return refuse(http.StatusConflict, reasonNothingKept, "asset %s: channel %s: %w (channels.*.dvr says how much is kept)", asset, channel, ErrNothingKept)
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
