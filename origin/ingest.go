package origin

import (
	"cmp"
	"context"
	"io"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"weir/internal/web"
	"weir/playlist"
)

// Ingest takes uploads at /ingest/{channel}/{path} and /ingest/k/{key}/{channel}/{path}, as
// interface 2 of DASH-IF Live Media Ingest 1.2 has it. PUT and POST are the same and replace
// what was pushed there before; DELETE takes it out of sight, see [channel.deleted]; GET and
// HEAD return what was pushed.
func (o *Origin) Ingest() web.Handler {
	return web.HandlerFunc(func(ctx context.Context, req *web.Request) (*web.Response, error) {
		t, err := o.admit(req)
		return o.ingest(ctx, t, req, err)
	})
}

// LocalIngest is [Origin.Ingest] for a part of this process, such as a folder that is
// watched: it asks for no key and knows no limits of a publisher. Everything else is the
// same, but that no path has a key in it, so that a channel may be called "k".
func (o *Origin) LocalIngest() web.Handler {
	return web.HandlerFunc(func(ctx context.Context, req *web.Request) (*web.Response, error) {
		t, err := parseLocal(req.Path)
		t.by, t.local = "folder", true
		if err != nil {
			err = badPath(err)
		} else {
			err = o.allowed(t, req)
		}
		return o.ingest(ctx, t, req, err)
	})
}

// LastPublished returns when the rendition whose playlist is pushed at path last published a
// segment, also before the origin was started again; zero: it has not.
func (o *Origin) LastPublished(channel, path string) (at time.Time) {
	if c := o.channel(channel); c != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		if r := c.byPath[path]; r != nil {
			at = r.last
		}
	}
	return at
}

// BeforeBody decides whether a request to [Origin.Ingest] may send its body: who it is from
// and where it goes. It is for wire.NetOptions.BeforeBody, so that a challenge comes before
// the upload (RFC 9110 10.1.1).
func (o *Origin) BeforeBody(req *web.Request) error {
	t, err := o.admit(req)
	return o.refused(req, t, err)
}

// admit decides all that can be decided without the body.
func (o *Origin) admit(req *web.Request) (target, error) {
	t, err := parseTarget(req.Path)
	if err != nil {
		return t, badPath(err)
	}
	who, err := o.authorize(req, t)
	if err != nil {
		return t, err
	}
	t.by, t.limits = who.Name, who.Limits
	return t, o.allowed(t, req)
}

// badPath: "403 auth/permission/path" (DASH-IF Ingest 1.2, receiver status codes).
func badPath(err error) error { return refuse(http.StatusForbidden, reasonPath, "%w", err) }

// allowed is admit for a publisher that is known.
func (o *Origin) allowed(t target, req *web.Request) error {
	switch req.Method {
	case http.MethodPut, http.MethodPost:
		if err := o.openTo(t); err != nil {
			return err
		}
		return o.mayPush(t, req)
	case http.MethodGet, http.MethodHead, http.MethodDelete:
		return nil
	}
	e := refuse(http.StatusMethodNotAllowed, "method", "channel %s: %s is not for ingest", t.channel, quote(req.Method))
	e.Header = web.NewHeader("Allow", "PUT, POST, DELETE, GET, HEAD")
	return e
}

func (o *Origin) mayPush(t target, req *web.Request) error {
	c := o.channel(t.channel)
	if c == nil {
		if err := o.mayBegin(t, *o.channels.Load()); err != nil {
			return err
		}
	}
	if !isPlaylist(t.path) && !ignored(t.path) && !mediaName(t.path) {
		return refuse(http.StatusUnsupportedMediaType, reasonType, "channel %s: %s: files of type %s are not taken", t.channel, t.path, quote(path.Ext(t.path)))
	}
	n := length(req)
	if n > o.limit(t) {
		return o.tooLarge(t)
	}
	if err := o.accounts.may(t, time.Now()); err != nil {
		return err
	}
	if c != nil && !isPlaylist(t.path) && !ignored(t.path) {
		if c.spent(n) {
			return c.overBudget(t)
		}
		return c.wanting(t, time.Now())
	}
	return nil
}

// ignored reports whether a pushed file tells nothing we need: the DASH manifest of an
// encoder that pushes HLS beside it.
func ignored(p string) bool { return strings.HasSuffix(p, ".mpd") }

// ingest answers a request that was admitted, or was not with err.
func (o *Origin) ingest(ctx context.Context, t target, req *web.Request, err error) (*web.Response, error) {
	if err != nil {
		return nil, o.refused(req, t, err)
	}
	switch req.Method {
	case http.MethodGet, http.MethodHead:
		return o.readBack(t, req) // that nothing is there is no refusal
	case http.MethodDelete:
		o.delete(t)
	default:
		if err := o.push(ctx, t, req); err != nil {
			return nil, o.refused(req, t, err)
		}
	}
	return web.NewResponse(http.StatusOK, nil, "Cache-Control", "no-store"), nil
}

// push takes in one upload.
func (o *Origin) push(ctx context.Context, t target, req *web.Request) error {
	leave, err := o.accounts.enter(t)
	if err != nil {
		return err
	}
	defer leave()
	if ignored(t.path) {
		o.count(resultIgnored)
		if n, err := io.Copy(io.Discard, o.taking(ctx, t, req, nil)); err != nil {
			return o.uploadError(t, n, err)
		}
		return nil
	}
	if isPlaylist(t.path) {
		return o.pushPlaylist(ctx, t, req)
	}
	c, err := o.create(t)
	if err != nil {
		return err
	}
	u, err := o.receive(ctx, c, t, req)
	if err != nil {
		return err
	}
	res := c.stored(u)
	if res == resultStale {
		if err := o.openTo(t); err != nil { // since it began
			return err
		}
	}
	o.count(res)
	return nil
}

// pushPlaylist takes in a playlist. Only one that was understood makes a channel.
func (o *Origin) pushPlaylist(ctx context.Context, t target, req *web.Request) error {
	text, err := o.receiveText(ctx, t, req)
	if err != nil {
		return err
	}
	now := time.Now()
	x, err := understand(t.channel, t.path, text, now)
	if err != nil {
		return err
	}
	if x != (understood{}) {
		c, err := o.create(t)
		if err != nil {
			return err
		}
		if err := cmp.Or(c.told(t.path, text, x, now), o.openTo(t)); err != nil {
			return err
		}
	}
	o.count(resultPlaylist)
	return nil
}

func (o *Origin) count(r result) { o.metrics.uploads.WithLabelValues(string(r)).Inc() }

// readBack answers with what was pushed: FFmpeg's append_list asks for its own playlist.
func (o *Origin) readBack(t target, req *web.Request) (*web.Response, error) {
	if c := o.channel(t.channel); c != nil {
		if body, kind := c.pushedFile(t.path); body != nil {
			return web.Select(req, web.NewResponse(http.StatusOK, body, "Content-Type", kind, "Cache-Control", "no-store")), nil
		}
	}
	return nil, refuse(http.StatusNotFound, "not_pushed", "channel %s: %s: nothing was pushed there", t.channel, t.path)
}

// pushedFile returns the body of a pushed file and its type, or nil.
func (c *channel) pushedFile(p string) (web.Body, string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if text := c.texts.byPath[p]; text != nil {
		return web.Bytes(text), playlist.MIMEType
	}
	if u := c.store.complete(p); u != nil && !u.deleted && u.buf.TryRef() {
		return u.buf, contentType(path.Ext(p), true)
	}
	return nil, ""
}

// refused logs and counts a refusal, names no secret, and returns it.
func (o *Origin) refused(req *web.Request, t target, err error) error {
	if err == nil {
		return nil
	}
	reason := web.ReasonOf(err)
	if reason == "" {
		reason = "other"
	}
	if reason == reasonNoKey && strings.EqualFold(req.Header.Get("Expect"), "100-continue") {
		// FFmpeg with user:password in its URL begins each upload so and repeats it with the
		// password: the question before the answer, and no refusal.
		o.opts.Log.Debug("ingest asks for a key", "channel", t.channel, "path", masked(req.Path, t), "remote", req.Remote.Addr())
		return err
	}
	o.metrics.refusals.WithLabelValues(reason).Inc()
	if m := req.Method; m == http.MethodPut || m == http.MethodPost {
		if reason == reasonCut || reason == reasonStalled {
			o.count(resultCut)
		} else {
			o.count(resultRefused)
		}
	}
	if dropped, ok := o.refusals.allow(reason, t.channel); ok {
		channel, file, why := t.channel, masked(req.Path, t), err.Error()
		if o.misplaced(req.Path, t) {
			channel, file, why = "", "***", "a publisher key stands at a wrong place of the path: it is /ingest/k/KEY/CHANNEL/FILE"
		}
		from := req.Remote.Addr().String()
		if t.local {
			from = t.by
		}
		fields := []any{"channel", channel, "path", file, "method", req.Method, "publisher", t.by,
			"remote", from, "status", web.StatusOf(err), "reason", reason, "err", why}
		if dropped > 0 {
			fields = append(fields, "dropped", dropped) // lines like this one since the last
		}
		o.opts.Log.Warn("ingest refused", fields...)
	}
	return err
}

// misplaced reports whether a publisher's key stands in the path where none belongs: what
// would be logged as a channel or a file is a secret then.
func (o *Origin) misplaced(p string, t target) bool {
	if o.opts.Publishers == nil {
		return false
	}
	if t.keyed {
		p = strings.TrimPrefix(p, "/ingest/k/"+t.key+"/")
	}
	return slices.ContainsFunc(o.opts.Publishers(), func(x Publisher) bool { return x.Secret != "" && strings.Contains(p, x.Secret) })
}

// masked is a request's path for the log: without the key, if one stands there.
func masked(p string, t target) string {
	switch {
	case t.channel != "":
		p = t.path
	case strings.HasPrefix(p, "/ingest/k/"):
		return "/ingest/k/***"
	}
	return p[:min(len(p), maxPath)]
}
