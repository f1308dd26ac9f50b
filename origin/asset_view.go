package origin

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"weir/internal/seglog"
	"weir/internal/web"
)

// assetLife is how long caches may keep what never changes, short of its being removed.
const assetLife = time.Hour

// viewAsset answers /vod/{asset}/index.m3u8, .../{rendition}/index.m3u8 and the media.
func (o *Origin) viewAsset(ctx context.Context, req *web.Request, rest string) (answerKind, *web.Response, error) {
	name, file, _ := strings.Cut(rest, "/")
	a, removed := o.assets.get(name)
	if a == nil {
		return otherAnswer, missing("no_such_asset", "no such asset: "+quote(name), soon), nil
	}
	isList := file == "index.m3u8" || strings.HasSuffix(file, "/index.m3u8")
	if removed && isList { // its media stay for who has them: HLSbis 6.2.2
		return playlistAnswer, refusal(http.StatusGone, "asset_removed", "the asset was removed", time.Minute), nil
	}
	life := maxAge(assetLife)
	if file == "index.m3u8" {
		return multivariantAnswer, a.multi().answer(req, life, "", ""), nil
	}
	name, file, _ = strings.Cut(file, "/")
	l, err := a.load(ctx)
	if err != nil {
		return otherAnswer, nil, a.unread(err)
	}
	p := l.parts[name]
	if p == nil {
		return otherAnswer, missing("no_such_rendition", "no such rendition: "+quote(name), time.Minute), nil
	}
	switch {
	case file == "index.m3u8":
		return playlistAnswer, (*p.text.Load())().answer(req, life, "", ""), nil
	case strings.HasPrefix(file, initPrefix):
		if i := p.shelf.initOf(file); i != nil {
			return initAnswer, answerMedia(req, web.Bytes(i.raw), i.base, 24*assetLife), nil
		}
		return initAnswer, missing("no_such_file", "no such file: "+quote(file), time.Minute), nil
	}
	resp, err := a.viewMedia(ctx, req, l, p, file)
	if errors.Is(err, seglog.ErrClosed) { // it was unloaded meanwhile
		if l, err = a.load(ctx); err != nil {
			return segmentAnswer, nil, a.unread(err)
		}
		resp, err = a.viewMedia(ctx, req, l, l.parts[name], file)
	}
	return segmentAnswer, resp, err
}

func (a *asset) viewMedia(ctx context.Context, req *web.Request, l *assetLoad, p *assetPart, name string) (*web.Response, error) {
	number, ok := numberIn(name, a.is.Epoch)
	s, ext, init, found := p.shelf.find(number)
	switch {
	case !ok || !found || nameOf(a.is.Epoch, number, ext) != name:
		return missing("no_such_file", "no such file: "+quote(name), time.Minute), nil
	case s.gap():
		return missing("gap", "there are no media for this segment: "+quote(name), time.Minute), nil
	}
	buf, err := a.o.bodies.get(ctx, l.log, s.body)
	switch {
	case errors.Is(err, seglog.ErrDamaged):
		p.shelf.spoil(number)
		a.render(p) // it says so from now on
		a.o.opts.Log.Error("segment of an asset is damaged on disk: it is a gap from now on", "asset", a.is.Info.Asset, "rendition", p.is.Name, "number", number, "error", err)
		return missing("gap", "there are no media for this segment: "+quote(name), time.Minute), nil
	case errors.Is(err, errBusy):
		return nil, err
	case err != nil:
		return nil, a.unread(err)
	}
	return answerMedia(req, buf, mediaHeader(contentType(ext, init == nil || hasVideo(init.up.tracks)), name), 24*assetLife), nil
}

func (a *asset) unread(err error) error {
	e := refuse(http.StatusServiceUnavailable, "disk", "asset %s cannot be read from disk (store.dir): %w", a.is.Info.Asset, err)
	e.RetryAfter = 2 * time.Second
	return e
}
