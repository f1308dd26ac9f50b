package origin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"weir/internal/seglog"
	"weir/internal/web"
	"weir/playlist"
)

// Viewers serves /live/{channel}/index.m3u8, /live/{channel}/{rendition}/index.m3u8 and
// iframes.m3u8 beside it, and the media they name. Who may ask is [Access]'s business.
func (o *Origin) Viewers() web.Handler { return web.HandlerFunc(o.view) }

const (
	// maxAhead is how many segments past the last a request may wait for (HLSbis 6.2.5.2).
	maxAhead = 2
	// soon is the lifetime of an answer that the next segment may change.
	soon = time.Second
)

// view answers and counts the answer.
func (o *Origin) view(ctx context.Context, req *web.Request) (*web.Response, error) {
	kind, resp, err := o.answer(ctx, req)
	status := web.StatusOf(err)
	if err == nil {
		status = resp.Status
	}
	o.metrics.answered(kind, status)
	return resp, err
}

func (o *Origin) answer(ctx context.Context, req *web.Request) (answerKind, *web.Response, error) {
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		e := refuse(http.StatusMethodNotAllowed, "method", "viewers ask with GET or HEAD")
		e.Header = web.NewHeader("Allow", "GET, HEAD")
		return otherAnswer, nil, e
	}
	if rest, ok := strings.CutPrefix(req.Path, "/vod/"); ok {
		return o.viewAsset(ctx, req, rest)
	}
	rest, ok := strings.CutPrefix(req.Path, "/live/")
	if !ok {
		return otherAnswer, missing("no_such_path", "streams are at /live/{channel}/index.m3u8, assets at /vod/{asset}/index.m3u8", soon), nil
	}
	name, file, _ := strings.Cut(rest, "/")
	c := o.channel(name)
	if c == nil {
		return otherAnswer, missing("no_such_channel", "no such channel: "+quote(name), soon), nil
	}
	if file == "index.m3u8" { // "ignore" directives of a multivariant playlist: HLSbis 6.2.5
		return multivariantAnswer, c.viewMulti(req), nil
	}
	name, file, _ = strings.Cut(file, "/")
	if at, ok := strings.CutPrefix(name, spanMark); ok {
		return c.viewPast(req, at, file)
	}
	r := (*c.byName.Load())[name]
	switch {
	case r == nil:
		return otherAnswer, missing("no_such_rendition", "no such rendition: "+quote(name), soon), nil
	case file == "index.m3u8":
		directives, err := playlist.ParseDirectives(req.Query)
		if err != nil {
			return playlistAnswer, nil, refuse(http.StatusBadRequest, "directive", "channel %s: %w", c.name, err)
		}
		resp, err := r.viewPlaylist(ctx, req, directives)
		if err == nil && resp.Status == http.StatusGone && c.withdrawn.Load() {
			resp.Close()
			resp = c.withdrawnAnswer()
		}
		return playlistAnswer, resp, err
	case file == iframesName:
		resp := r.viewIFrames(req)
		if resp.Status == http.StatusGone && c.withdrawn.Load() {
			resp.Close()
			resp = c.withdrawnAnswer()
		}
		return playlistAnswer, resp, nil
	case strings.HasPrefix(file, initPrefix):
		return initAnswer, r.viewInit(req, file), nil
	}
	resp, err := c.viewMedia(ctx, req, r, file)
	return segmentAnswer, resp, err
}

// missing is a 404 that a cache may keep for as long as it cannot turn into anything else.
func missing(reason, text string, keep time.Duration) *web.Response {
	return refusal(http.StatusNotFound, reason, text, keep)
}

func refusal(status int, reason, text string, keep time.Duration) *web.Response {
	resp := web.Text(status, reason+": "+text+"\n")
	resp.Header.Set("Cache-Control", maxAge(keep))
	return resp
}

func maxAge(d time.Duration) string {
	return "max-age=" + strconv.FormatInt(max(1, int64(d/time.Second)), 10)
}

func (c *channel) viewMulti(req *web.Request) *web.Response {
	m := c.multi.Load()
	if m == nil && c.withdrawn.Load() {
		return c.withdrawnAnswer()
	}
	if m == nil {
		return missing("not_yet", "the channel has not begun to publish", soon)
	}
	const life = "max-age=2"
	return m.text().answer(req, life, ", stale-while-revalidate=5", whileAway)
}

// whileAway lets edges and CDNs show a playlist as it was while the origin restarts or cannot be
// reached: many players end at an error, and all go on where a playlist only stands still.
// A minute, because what it lists can be fetched for longer (RFC 5861 section 4). It stands
// in Cache-Control too: nginx and several CDNs know no other, and their own rules for when
// an origin is away have no bound. stale-while-revalidate does not: browsers obey it.
const whileAway = ", stale-if-error=60"

// answer is a playlist in the coding the client accepts: "text resources SHOULD be sent
// gzip-encoded" (HLSbis 6.2.1). Each coding is a representation of its own, with its own
// strong tag.
func (d *rendered) answer(req *web.Request, life, meanwhile, away string) *web.Response {
	resp := web.NewResponse(http.StatusOK, nil, "Content-Type", playlist.MIMEType, "Cache-Control", life+away,
		"CDN-Cache-Control", life+meanwhile+away, "Vary", "Accept-Encoding", "X-Content-Type-Options", "nosniff")
	if web.AcceptsGzip(&req.Header) {
		resp.Header.Set("Content-Encoding", "gzip")
		resp.Header.Set("ETag", `"`+d.etag+`-gz"`)
		resp.Body = web.Bytes(d.gzip())
	} else {
		resp.Header.Set("ETag", `"`+d.etag+`"`)
		resp.Body = web.Bytes(d.plain)
	}
	return web.Select(req, resp)
}

// viewPlaylist answers with the newest snapshot, or with the first that has the segment the
// directives ask for. They are not advertised, as yet; who sends them all the same gets what
// HLSbis 6.2.5.2 promises, by whole segments.
func (r *rendition) viewPlaylist(ctx context.Context, req *web.Request, d playlist.Directives) (*web.Response, error) {
	s := r.now.Load()
	td := time.Duration(s.target) * time.Second
	life := td / 2
	if last, ok := s.last(); d.MSN >= 0 && ok && !s.ended && !s.gone {
		life = 6 * td
		if uint64(d.MSN) > last+maxAhead {
			return nil, refuse(http.StatusBadRequest, "too_far_ahead", "_HLS_msn=%d: the last segment is %d", d.MSN, last)
		}
		late := fmt.Errorf("_HLS_msn=%d did not come within %v", d.MSN, 3*td)
		ctx, cancel := context.WithTimeoutCause(ctx, 3*td, late)
		defer cancel()
		var err error
		if s, err = r.await(ctx, func(s *snapshot) bool { return s.next > uint64(d.MSN) || s.ended || s.gone }); err != nil {
			e := refuse(http.StatusServiceUnavailable, "no_new_segment", "%w", err)
			e.RetryAfter = td
			return nil, e
		}
	}
	switch {
	case s.gone:
		return refusal(http.StatusGone, "rendition_gone", "the rendition's encoder is gone", soon), nil
	case len(s.window) == 0:
		return missing("not_yet", "the rendition has not begun to publish", soon), nil
	case s.ended:
		life = endedLife
	}
	return r.named(s.text().answer(req, maxAge(life), ", stale-while-revalidate=1", whileAway)), nil
}

// viewInit answers with an init segment: it is needed as long as any segment that names it.
func (r *rendition) viewInit(req *web.Request, name string) *web.Response {
	left := r.rule.window + max(r.rule.retention, r.rule.dvr)
	for _, i := range r.now.Load().inits {
		if i.name == name && i.up.buf.TryRef() {
			return answerMedia(req, i.up.buf, i.base, left)
		}
	}
	if i := r.shelf.initOf(name); i != nil && i.raw != nil {
		return answerMedia(req, web.Bytes(i.raw), i.base, left)
	}
	return missing("no_such_file", "no such file: "+quote(name), r.targetDuration())
}

// viewMedia answers with a segment, from memory or from disk.
func (c *channel) viewMedia(ctx context.Context, req *web.Request, r *rendition, name string) (*web.Response, error) {
	s := r.now.Load()
	td := r.targetDuration()
	number, ok := numberIn(name, r.rule.epoch)
	if !ok {
		return missing("no_such_file", "no such file: "+quote(name), td), nil
	}
	seg := s.find(number, name)
	switch {
	case seg == nil && number >= s.next:
		return missing("not_yet", "the segment is not published yet: "+quote(name), soon), nil
	case seg == nil, number < r.oldest.Load():
		return c.viewShelved(ctx, req, r, number, name)
	case seg.up == nil:
		return missing("gap", "there are no media for this segment: "+quote(name), td), nil
	}
	// What it has left at least: it is listed for the window, and kept for the retention.
	left := max(td, r.rule.window+r.rule.retention-time.Since(seg.listed))
	if seg.up.buf.TryRef() {
		return answerMedia(req, seg.up.buf, seg.base, left), nil
	}
	return c.viewShelved(ctx, req, r, number, name)
}

// viewShelved answers with a segment that is on disk alone.
func (c *channel) viewShelved(ctx context.Context, req *web.Request, r *rendition, number uint64, name string) (*web.Response, error) {
	td := r.targetDuration()
	s, ext, init, ok := r.shelf.find(number)
	switch {
	case !ok || nameOf(r.rule.epoch, number, ext) != name:
		return missing("expired", "no such segment, or no more: "+quote(name), td), nil
	case s.gap():
		return missing("gap", "there are no media for this segment: "+quote(name), td), nil
	}
	buf, err := c.o.bodies.get(ctx, c.vault.disk.Load(), s.body)
	switch {
	case errors.Is(err, seglog.ErrDamaged):
		c.spoil(r, number, err)
		return missing("gap", "there are no media for this segment: "+quote(name), td), nil
	case errors.Is(err, seglog.ErrGone):
		return missing("expired", "no such segment, or no more: "+quote(name), td), nil
	case errors.Is(err, errBusy):
		return nil, err
	case err != nil:
		e := refuse(http.StatusServiceUnavailable, "disk", "channel %s: %s cannot be read from disk (store.dir): %w", c.name, quote(name), err)
		e.RetryAfter = td
		return nil, e
	}
	left := max(td, time.Until(time.Unix(0, s.until)), time.Until(s.ends().Add(r.rule.dvr)))
	return answerMedia(req, buf, mediaHeader(contentType(ext, init == nil || hasVideo(init.up.tracks)), name), left), nil
}

// answerMedia answers with the bytes of body, of which the caller holds a reference.
func answerMedia(req *web.Request, body web.Body, base *web.Header, left time.Duration) *web.Response {
	resp := &web.Response{Status: http.StatusOK, Base: base, Body: body}
	// "the response SHOULD contain an Expires header": HLSbis 6.2.2, for what will go.
	resp.Header = web.NewHeader("Cache-Control", maxAge(left)+", immutable", "Expires", web.FormatHTTPDate(time.Now().Add(left)))
	return web.Select(req, resp)
}

// numberIn takes the media sequence number out of {epoch}-{number}.{ext}.
func numberIn(name, epoch string) (uint64, bool) {
	rest, ok := strings.CutPrefix(name, epoch+"-")
	if !ok {
		return 0, false
	}
	digits, _, _ := strings.Cut(rest, ".")
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, err == nil
}
