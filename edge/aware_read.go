package edge

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"net/http"
	"strconv"
	"strings"
	"time"

	"weir/edge/schedule"
	"weir/internal/web"
)

// publishingField is how weir's origin names the publishing that a playlist's
// numbers belong to.
const publishingField = "Weir-Publishing"

// readBody is a playlist that was read whole, as upstream sent it.
type readBody struct {
	web.Body
	older bool           // it is our copy, since upstream's was older
	tamed bool           // it said that it would live for longer than it does
	limit schedule.Limit // of a media playlist
	most  time.Duration  // of a multivariant playlist: how long it may live; 0: as upstream says
}

// A playlistCopy is the newest version of a rendition as it came.
type playlistCopy struct {
	q        question // less who asked
	header   web.Header
	body     []byte
	coding   string
	received time.Time
}

// read takes a playlist in, before anybody is told of it. What cannot be
// understood goes on as it is.
func (a *Aware) read(ctx context.Context, f *fill, resp *web.Response) (*web.Response, error) {
	if a.ofSome(f, resp) {
		a.metrics.playlists.WithLabelValues("personal").Inc()
		return resp, nil
	}
	coding := strings.ToLower(resp.Get("Content-Encoding"))
	if coding != "" && coding != "identity" && coding != "gzip" {
		a.metrics.playlists.WithLabelValues("coding").Inc()
		return resp, nil
	}
	raw, resp, err := a.whole(ctx, resp)
	if err != nil {
		return nil, err
	}
	if raw == nil {
		a.metrics.playlists.WithLabelValues("too_large").Inc()
		return resp, nil
	}
	body := &readBody{Body: web.Bytes(raw)}
	resp.Body = body
	return a.judge(ctx, f, resp, body, raw, coding, true)
}

// ofSome reports whether an answer is for whom it depends on who asked: the cache
// keeps it for himself, or for those like him. What is known of a rendition is
// known by its URI, and a copy of it goes to all who ask.
func (a *Aware) ofSome(f *fill, resp *web.Response) bool {
	if !a.queryAll {
		return false // all ask the same
	}
	h := resp.Flatten()
	open := a.e.opts.Tokens.Load() == nil
	for line := range h.Values("Vary") {
		for name := range strings.SplitSeq(line, ",") {
			name = strings.ToLower(strings.Trim(name, " \t"))
			if name == "*" || name != "" && a.e.forwards(name, open) {
				return true
			}
		}
	}
	now := time.Now()
	may := web.Judge(&web.Request{Method: http.MethodGet, Header: *f.q.header}, resp, now, now)
	return may.Private || !may.Store && named(f.q.header)
}

// named reports whether a question says who asks.
func named(h *web.Header) bool { return h.Has("Cookie") || h.Has("Authorization") }

// judge finds out what a playlist says, and what is to be answered.
func (a *Aware) judge(ctx context.Context, f *fill, resp *web.Response, body *readBody, raw []byte, coding string, first bool) (*web.Response, error) {
	now := time.Now()
	id, tag := a.rendition(f.q.key), resp.Get("ETag")
	if strings.HasPrefix(tag, "W/") {
		tag = "" // it does not name the bytes
	}
	if tag != "" && a.book.Again(id, tag, 0, now) {
		return a.again(resp, body, id, f.q.key, now)
	}
	text := raw
	if coding == "gzip" {
		var err error
		if text, err = gunzipMost(raw, schedule.MaxBytes); err != nil {
			a.metrics.playlists.WithLabelValues("malformed").Inc()
			return resp, nil
		}
	}
	digest := maphash.Bytes(a.seen.seed, text)
	if tag == "" && a.book.Again(id, "", digest, now) {
		return a.again(resp, body, id, f.q.key, now)
	}
	l, err := schedule.Scan(text)
	switch {
	case errors.Is(err, schedule.ErrTooLarge):
		a.metrics.playlists.WithLabelValues("too_large").Inc()
		return resp, nil
	case err != nil:
		a.metrics.playlists.WithLabelValues("malformed").Inc()
		return resp, nil
	case l.Multivariant:
		a.metrics.playlists.WithLabelValues("multivariant").Inc()
		var live bool
		if body.most, live = a.variants(f, l, now); live {
			shorten(resp, body.most, now)
		}
		return resp, nil
	}
	kind := schedule.Live
	if l.End {
		kind = schedule.VOD
	}
	body.tamed = a.tame(resp, f.q.key, schedule.Limit{Kind: kind, Target: l.Target, Next: l.Next()}, now)
	v := schedule.Version{ID: id, Publishing: resp.Get(publishingField), Tag: tag, Digest: digest, Listing: l, Now: now,
		Key: func(uri string) string { return a.resolve(&f.q, uri) }}
	if l.Skipped == 0 && len(raw) <= maxCopy {
		h := resp.Flatten()
		cc := web.ParseCacheControl(&h)
		for _, name := range append(append(cc.PrivateFields, cc.NoCacheFields...), "Set-Cookie") {
			h.Del(name) // they are for whoever asked
		}
		v.Copy, v.CopyBytes = &playlistCopy{a.asked(&f.q, f.q.key), h, raw, coding, now}, int64(len(raw)+len(f.q.key))
	}
	rep := a.book.Observe(v)
	a.metrics.playlists.WithLabelValues(rep.Verdict.String()).Inc()
	if rep.Elsewhere > 0 {
		a.metrics.elsewhere.Add(float64(rep.Elsewhere))
	}
	switch rep.Verdict {
	case schedule.Ignored:
		return resp, nil
	case schedule.Older:
		return a.older(ctx, f, resp, rep, first)
	}
	body.limit = schedule.Limit{Kind: rep.Kind, Target: rep.Target, Next: rep.Next}
	a.follow(f, id, &rep, now)
	return resp, nil
}

// maxCopy is the largest playlist of which a copy is kept for when upstream lags.
const maxCopy = 512 << 10

// again is judge for a version that is known already.
func (a *Aware) again(resp *web.Response, body *readBody, id, key string, now time.Time) (*web.Response, error) {
	a.metrics.playlists.WithLabelValues(schedule.Same.String()).Inc()
	body.limit, _ = a.book.Limit(id, key, now)
	body.tamed = a.tame(resp, key, body.limit, now)
	return resp, nil
}

// variants takes in a multivariant playlist and returns how long it may live: as
// long as upstream says if all it names is finished, a target duration, and at
// least two seconds, if something of it is live, and a minute while that is not
// known. It reports whether something is known to be live.
func (a *Aware) variants(f *fill, l *schedule.Listing, now time.Time) (most time.Duration, isLive bool) {
	live, all := a.book.Variants(l, func(uri string) string { return a.rendition(a.resolve(&f.q, uri)) }, now)
	switch {
	case live > 0:
		return max(live, 2*time.Second), true
	case !all:
		return time.Minute, false
	}
	return 0, false
}

// follow does what a new version asks for: whoever waits for what it lists is
// woken, what nobody may want any more is given up, and what will be wanted next
// is fetched.
func (a *Aware) follow(f *fill, id string, rep *schedule.Report, now time.Time) {
	c := a.e.cache
	mine, other := id+keyMark+"gzip", id+keyMark+"identity"
	if !web.AcceptsGzip(f.q.header) {
		mine, other = other, mine
	}
	a.seen.touch(mine, now)
	if rep.Verdict != schedule.Same && (f.q.key != id || a.seen.within(other, now, 4*rep.Target)) {
		// Without directives, or in the other coding, the version before must not
		// be found any more: nobody is to see the playlist go back. Where there is
		// nothing else it is left to the flight to replace it: who asks between the
		// two would not know which flight to join.
		c.Evict(id)
	}
	for _, key := range rep.Former {
		c.Invalidate(key)
	}
	for _, key := range rep.Expired {
		c.Evict(key)
	}
	a.metrics.expired.Add(float64(len(rep.Expired)))
	for _, key := range rep.New {
		if a.missing.take(key) {
			c.Evict(key)
		}
		a.holds.wake(key)
	}
	if rep.Verdict == schedule.Newer && rep.Kind == schedule.Live {
		a.ahead.next(f, rep, now)
	}
}

// older answers with our copy of the newest version where upstream has only an
// older one, for a few target durations: "players freeze" when a playlist goes
// back, and all of them go on when it stands still for a moment.
func (a *Aware) older(ctx context.Context, f *fill, resp *web.Response, rep schedule.Report, first bool) (*web.Response, error) {
	resp.Close()
	if first && (rep.Lagging == 0 && f.asked.Load() == fromOrigin || rep.Lagging >= rep.Target) {
		if resp, err := a.elsewhere(ctx, f); resp != nil || err != nil {
			return resp, err
		}
	}
	held, ok := rep.Newest.(*playlistCopy)
	if !ok || rep.Lagging > schedule.LagTargets*rep.Target {
		a.metrics.playlists.WithLabelValues("behind").Inc()
		return nil, &web.Error{Status: http.StatusServiceUnavailable, Reason: reasonBehind, RetryAfter: time.Second,
			Err: fmt.Errorf("every upstream is behind what was shown, for %v", rep.Lagging.Round(time.Second))}
	}
	return held.response(f)
}

// elsewhere asks the origins in turn whether one of them is not behind.
func (a *Aware) elsewhere(ctx context.Context, f *fill) (*web.Response, error) {
	well, _ := a.e.origins.order(time.Now())
	if len(well) < 2 {
		return nil, nil
	}
	req := f.request(nil)
	req.Header.Del(listedField)
	req.Header.Set("CDN-Loop", a.e.loop.add(f.q.loop))
	for _, o := range well {
		resp, err := f.askOrigin(ctx, o, req, nil)
		if err != nil {
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			continue
		}
		if resp = f.clean(resp); resp.Status != http.StatusOK || resp.Body == nil {
			resp.Close()
			continue
		}
		raw, resp, err := a.whole(ctx, resp)
		if err != nil || raw == nil {
			if resp != nil {
				resp.Close()
			}
			continue
		}
		body := &readBody{Body: web.Bytes(raw)}
		resp.Body = body
		if resp, err = a.judge(ctx, f, resp, body, raw, strings.ToLower(resp.Get("Content-Encoding")), false); err != nil {
			continue
		}
		if b, ok := resp.Body.(*readBody); ok && b.older {
			resp.Close()
			continue
		}
		return resp, nil
	}
	return nil, nil
}

// response answers f with the copy.
func (c *playlistCopy) response(f *fill) (*web.Response, error) {
	h := c.header.Clone()
	text := c.body
	if c.coding == "gzip" && !web.AcceptsGzip(f.q.header) {
		var err error
		if text, err = gunzipMost(c.body, schedule.MaxBytes); err != nil {
			return nil, err
		}
		h.Del("Content-Encoding")
		h.Del("ETag") // it names the other coding
	}
	age, _ := strconv.ParseInt(h.Get("Age"), 10, 32)
	h.Set("Age", strconv.FormatInt(max(0, age)+int64(time.Since(c.received)/time.Second), 10))
	return &web.Response{Status: http.StatusOK, Header: h, Body: &readBody{Body: web.Bytes(text), older: true}}, nil
}
