package origin

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"weir/internal/disk"
	"weir/internal/seglog"
	"weir/playlist"
)

// An asset is a directory vod/{asset}/ with hard links to the log files that its programme is
// in, and a description. A directory without one was never finished, or was removed.
const (
	assetFile  = "asset.json"
	maxAssets  = 100_000
	maxAssetIs = 4 << 20 // bytes of a description
	maxLoaded  = 64      // assets of which segments are known and files open
)

// assetIs is the description of an asset on disk.
type assetIs struct {
	Info         AssetInfo             `json:"info"`
	Epoch        string                `json:"epoch"`
	Target       int                   `json:"target"` // seconds
	Multivariant playlist.Multivariant `json:"multivariant"`
	Renditions   []assetRendition      `json:"renditions"`
	Files        []assetLink           `json:"files"`
}

type assetRendition struct {
	Name  string `json:"name"`
	First uint64 `json:"first"` // numbers of its segments
	Last  uint64 `json:"last"`
	Solo  bool   `json:"solo"`
}

type assetLink struct {
	ID    uint64 `json:"id"`
	Bytes int64  `json:"bytes"`
}

// An asset is a finished programme, as it is served. Its segments are read when the first
// viewer asks, and forgotten when others are watched.
type asset struct {
	is      assetIs
	o       *Origin
	multi   func() *rendered
	removed time.Time // zero: it is there; guarded by assets.mu
	stuck   bool      // its files could not be taken away; for retention

	mu     sync.Mutex // guards what follows
	loaded *assetLoad // nil: nobody asked
}

// An assetLoad is what is read of an asset: on its way, or there.
type assetLoad struct {
	done  chan struct{} // closed when what follows is set
	log   *seglog.Reader
	parts map[string]*assetPart
	err   error
}

// An assetPart is one rendition of an asset.
type assetPart struct {
	is    assetRendition
	shelf *archive
	text  atomic.Pointer[func() *rendered]
}

// assets are all there are.
type assets struct {
	mu     sync.Mutex // guards what follows
	all    map[string]*asset
	making map[string]bool // names that are being made
	recent []*asset        // those that are loaded, longest unasked first
}

// touch notes that a viewer asked for an asset that is loaded, and returns one to unload.
func (a *assets) touch(x *asset) (idle *asset) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if i := slices.Index(a.recent, x); i >= 0 {
		a.recent = slices.Delete(a.recent, i, i+1)
	}
	a.recent = append(a.recent, x)
	if len(a.recent) > maxLoaded {
		idle, a.recent = a.recent[0], slices.Delete(a.recent, 0, 1)
	}
	return idle
}

// get returns the asset of that name; removed: it is on its way out.
func (a *assets) get(name string) (x *asset, removed bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	x = a.all[name]
	return x, x != nil && !x.removed.IsZero()
}

func (d *depot) asset(name string) string { return path.Join(d.dir, "vod", name) }

// recoverAssets reads what assets there are, and takes away what was left unfinished.
func (o *Origin) recoverAssets() error {
	infos, err := o.depot.fs.ReadDir(path.Join(o.depot.dir, "vod"))
	if err != nil {
		return fmt.Errorf("store.dir: %w", err)
	}
	for _, i := range infos {
		if !i.Dir {
			continue
		}
		is, err := o.readAsset(i.Name)
		switch {
		case errors.Is(err, errUnfinished):
			o.opts.Log.Info("an asset that was never finished, or was removed, is taken away", "asset", i.Name)
			if err := o.depot.clearDir(o.depot.asset(i.Name)); err != nil {
				o.opts.Log.Warn("it cannot be taken away", "asset", i.Name, "error", err)
			}
		case err != nil:
			o.opts.Log.Error("an asset cannot be read: its files stay as they are", "asset", i.Name, "error", err)
		case len(o.assets.all) < maxAssets:
			o.assets.all[i.Name] = o.newAsset(*is)
		}
	}
	if n := len(o.assets.all); n > 0 {
		o.opts.Log.Info("assets are back from disk", "assets", n)
	}
	return nil
}

var errUnfinished = errors.New("it has no description")

func (o *Origin) readAsset(name string) (*assetIs, error) {
	if !validChannel(name) {
		if strings.HasSuffix(name, ".part") {
			return nil, errUnfinished
		}
		return nil, errors.New("this is no asset's name")
	}
	infos, err := o.depot.fs.ReadDir(o.depot.asset(name))
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(infos, func(i disk.Info) bool { return i.Name == assetFile }) {
		return nil, errUnfinished
	}
	f, err := o.depot.fs.Open(path.Join(o.depot.asset(name), assetFile))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size > maxAssetIs {
		return nil, fmt.Errorf("%s has %d bytes, at most %d are read", assetFile, size, maxAssetIs)
	}
	text, err := io.ReadAll(io.NewSectionReader(f, 0, size))
	if err != nil {
		return nil, err
	}
	var is assetIs
	if err := json.Unmarshal(text, &is); err != nil {
		return nil, fmt.Errorf("%s: %w", assetFile, err)
	}
	if is.Info.Asset != name || is.Target <= 0 || is.Epoch == "" || len(is.Renditions) > maxRenditions {
		return nil, fmt.Errorf("%s does not describe it", assetFile)
	}
	return &is, nil
}

func (o *Origin) newAsset(is assetIs) *asset {
	m := is.Multivariant
	return &asset{is: is, o: o, multi: render(m.Append, o.metrics)}
}

// describe puts the description into the asset's directory: from then on it is there.
func (d *depot) describe(is *assetIs) error {
	text, err := json.MarshalIndent(is, "", "  ")
	if err != nil {
		return err
	}
	dir := d.asset(is.Info.Asset)
	f, err := d.fs.Create(path.Join(dir, assetFile))
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return d.fs.SyncDir(dir)
}

// clearDir takes a directory of plain files away, the description first: what is left after a
// crash is unfinished, not broken.
func (d *depot) clearDir(dir string) error {
	infos, err := d.fs.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	slices.SortStableFunc(infos, func(a, b disk.Info) int {
		switch {
		case a.Name == assetFile:
			return -1
		case b.Name == assetFile:
			return 1
		}
		return 0
	})
	for _, i := range infos {
		if err := d.fs.Remove(path.Join(dir, i.Name)); err != nil {
			return err
		}
		if i.Name == assetFile {
			if err := d.fs.SyncDir(dir); err != nil {
				return err
			}
		}
	}
	return d.fs.RemoveDir(dir)
}

// load returns what there is of the asset, from disk if need be.
func (a *asset) load(ctx context.Context) (*assetLoad, error) {
	a.mu.Lock()
	l := a.loaded
	if l == nil {
		l = &assetLoad{done: make(chan struct{})}
		a.loaded = l
		go a.fill(l) // detached: who asked first may leave
	}
	a.mu.Unlock()
	select {
	case <-l.done:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if l.err != nil {
		return nil, l.err
	}
	if idle := a.o.assets.touch(a); idle != nil {
		idle.unload()
	}
	return l, nil
}

// fill reads an asset for all who wait for it.
func (a *asset) fill(l *assetLoad) {
	a.o.bodies.slots <- struct{}{}
	log, parts, err := a.read()
	<-a.o.bodies.slots
	a.mu.Lock()
	defer a.mu.Unlock()
	l.log, l.parts, l.err = log, parts, err
	switch {
	case a.loaded != l && log != nil: // it was unloaded meanwhile
		_ = log.Close()
	case a.loaded == l && err != nil:
		a.loaded = nil // the next who asks tries again
	}
	close(l.done)
}

// unload forgets what was read. Who reads on gets [seglog.ErrClosed].
func (a *asset) unload() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if l := a.loaded; l != nil && l.log != nil {
		_ = l.log.Close() // it was only read
	}
	a.loaded = nil
}

func (a *asset) read() (*seglog.Reader, map[string]*assetPart, error) {
	l, rec, err := seglog.Read(seglog.Options{FS: a.o.depot.fs, Dir: a.o.depot.asset(a.is.Info.Asset), VerifyBytes: -1})
	if err != nil {
		return nil, nil, err
	}
	parts := map[string]*assetPart{}
	for _, is := range a.is.Renditions {
		parts[is.Name] = &assetPart{is: is, shelf: newArchive()}
	}
	inits := map[string]*initSegment{}
	for name, raw := range rec.Blobs {
		u := &upload{probe: initProbe(raw)}
		inits[name] = &initSegment{name: name, up: u, raw: raw, base: mediaHeader(contentType(".mp4", hasVideo(u.tracks)), name)}
	}
	byPart := map[*assetPart][]*seglog.Entry{}
	for i := range rec.Entries {
		e := &rec.Entries[i]
		if p := parts[e.Stream]; p != nil && e.Number >= p.is.First && e.Number <= p.is.Last {
			byPart[p] = append(byPart[p], e)
		}
	}
	for p, entries := range byPart {
		slices.SortStableFunc(entries, func(a, b *seglog.Entry) int { return cmp.Compare(a.Number, b.Number) })
		for _, e := range entries {
			m, err := decode[entryMeta]("entry", e.Meta)
			if err != nil {
				continue
			}
			s := shelved{number: e.Number, timeline: m.Timeline, date: e.Date.UnixNano(), dur: e.Duration, body: e.Body}
			init := inits[e.Blob]
			if e.Blob != "" && init == nil {
				s.body = seglog.Ref{}
			}
			p.shelf.add(s, m.Ext, init)
		}
	}
	for _, p := range parts {
		a.render(p)
	}
	return l, parts, nil
}

// render makes the playlist of a rendition: "VOD" never changes.
func (a *asset) render(p *assetPart) {
	shelf := p.shelf.between(time.Time{}, time.Now().Add(100*365*24*time.Hour))
	x := past{target: a.is.Target, solo: p.is.Solo, list: shelf.segments(a.is.Epoch, ^uint64(0))}
	x.trim()
	m := x.media(playlist.VOD, "", true)
	text := render(m.Append, a.o.metrics)
	p.text.Store(&text)
}
