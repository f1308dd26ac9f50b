package origin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"path"
	"slices"
	"time"
)

// Why an asset cannot be made, or is not there.
var (
	ErrNoStore     = errors.New("live to VOD needs store.dir")
	ErrNoAsset     = errors.New("there is no such asset")
	ErrAssetExists = errors.New("there is an asset of that name already")
	ErrNothingKept = errors.New("nothing of that time is kept")
)

// The reasons, as clients see them.
const (
	reasonNoStore     = "no_store"
	reasonNoAsset     = "no_such_asset"
	reasonAssetExists = "asset_exists"
	reasonNothingKept = "nothing_kept"
	reasonName        = "bad_name"
)

// An AssetRequest says what of a channel is to become an asset.
type AssetRequest struct {
	Asset   string    // its name: by the rule of channels' names
	Channel string    // whose programme it is
	Start   time.Time // zero: from the oldest that is kept
	End     time.Time // zero: until now
}

// AssetInfo is a finished programme, to be played at /vod/{asset}/index.m3u8.
type AssetInfo struct {
	Asset, Channel string
	Start, End     time.Time     // of its first segment, and the end of its last
	Duration       time.Duration // of its segments, gaps among them
	Bytes          int64         // of its media, on disk
	Gaps           int           // segments without media, of all renditions
	Renditions     []string
	Made           time.Time
}

// MakeAsset makes a finished programme of what a channel showed between two times, to whole
// segments, without copying media: it shares their files, which go when the last who has them
// does. It returns when the asset can be played. Where the disk lets it wait for longer than
// 20 s, or than ctx, it is an error (503), and the asset may yet appear.
//
// Errors: [ErrNoStore] without a store on disk (409), [ErrNoChannel] (404), [ErrAssetExists]
// (409), [ErrNothingKept] where no segment of that time is there any more (409), 400 for a
// name by which none can be.
func (o *Origin) MakeAsset(ctx context.Context, r AssetRequest) (AssetInfo, error) {
	if err := checkAsset(r.Asset); err != nil {
		return AssetInfo{}, err
	}
	if o.depot == nil {
		return AssetInfo{}, noStore(r.Asset)
	}
	if !r.End.IsZero() && !r.End.After(r.Start) {
		return AssetInfo{}, refuse(http.StatusBadRequest, "bad_time", "asset %s: it ends (%v) before it begins (%v)", r.Asset, r.End, r.Start)
	}
	if err := o.assets.claim(r.Asset); err != nil {
		return AssetInfo{}, err
	}
	return o.makeAsset(ctx, r)
}

// Assets returns all there are, by name.
func (o *Origin) Assets() []AssetInfo {
	o.assets.mu.Lock()
	defer o.assets.mu.Unlock()
	var out []AssetInfo
	for _, name := range slices.Sorted(maps.Keys(o.assets.all)) {
		if a := o.assets.all[name]; a.removed.IsZero() {
			out = append(out, a.is.Info)
		}
	}
	return out
}

// RemoveAsset removes one: its playlists are 410 from now on, and its media go when those who
// have a playlist may have played it ("segments remain available for at least the playlist
// duration", HLSbis 6.2.2); until then its name is taken. [ErrNoAsset] (404) where there is
// none.
func (o *Origin) RemoveAsset(name string) error {
	if err := checkAsset(name); err != nil {
		return err
	}
	if o.depot == nil {
		return noStore(name)
	}
	a, removed := o.assets.get(name)
	if a == nil || removed {
		return refuse(http.StatusNotFound, reasonNoAsset, "asset %s: %w", name, ErrNoAsset)
	}
	// A restart must not bring it back.
	dir := o.depot.asset(name)
	if err := o.depot.fs.Remove(path.Join(dir, assetFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("asset %s: %w", name, err)
	}
	err := o.depot.fs.SyncDir(dir)
	o.assets.mu.Lock()
	a.removed = time.Now()
	o.assets.mu.Unlock()
	if err != nil {
		return fmt.Errorf("asset %s is removed, and may be back after a power cut: %w", name, err)
	}
	o.opts.Log.Info("asset is removed: its playlists are gone, its media follow", "asset", name, "in", a.is.Info.Duration)
	return nil
}

// retainAssets takes the media of removed assets away when their time is over, and returns the
// bytes of all assets that no channel has any more.
func (o *Origin) retainAssets(now time.Time, live map[liveFile]bool) (bytes int64) {
	o.assets.mu.Lock()
	var over, rest []*asset
	for name, a := range o.assets.all {
		if !a.removed.IsZero() && now.Sub(a.removed) > a.is.Info.Duration {
			over = append(over, a)
			delete(o.assets.all, name)
			o.assets.making[name] = true // until its files are gone
			continue
		}
		rest = append(rest, a)
	}
	o.assets.mu.Unlock()
	for _, a := range rest {
		for _, f := range a.is.Files {
			if key := (liveFile{a.is.Epoch, f.ID}); !live[key] {
				live[key] = true // assets share files, too
				bytes += f.Bytes
			}
		}
	}
	for _, a := range over {
		name := a.is.Info.Asset
		a.unload()
		err := o.depot.clearDir(o.depot.asset(name))
		if err == nil {
			o.assets.settle(name, nil)
			continue
		}
		o.assets.settle(name, a) // it is still removed, and tried again
		if !a.stuck {
			o.opts.Log.Warn("files of a removed asset cannot be taken away: it is tried again", "asset", name, "error", err, "every", retainEvery)
		}
		a.stuck = true
	}
	return bytes
}

// liveFile is a file of a channel's log.
type liveFile struct {
	epoch string
	id    uint64
}

func noStore(name string) error {
	return refuse(http.StatusConflict, reasonNoStore, "asset %s: %w", name, ErrNoStore)
}

func checkAsset(name string) error {
	if validChannel(name) {
		return nil
	}
	return refuse(http.StatusBadRequest, reasonName, "asset %s: a name is a-z, 0-9, - and _, at most %d of them, and begins with a letter or digit", quote(name), maxName)
}
