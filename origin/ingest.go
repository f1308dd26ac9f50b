package origin

import (
	"cmp"
	"context"
	"io"
	"net/http"
	"path"
	"slices"
	"strings"

	"weir/internal/web"
	"weir/playlist"
)

// Ingest takes uploads at /ingest/{channel}/{path} and /ingest/k/{key}/{channel}/{path}. PUT
// and POST are the same, DELETE is answered and ignored, GET and HEAD return what was pushed.
func (o *Origin) Ingest() web.Handler { return web.HandlerFunc(o.ingest) }

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
		return t, refuse(http.StatusBadRequest, reasonPath, "%w", err)
	}
	if t.by, err = o.authorize(req, t); err != nil {
		return t, err
	}
	switch req.Method {
	case http.MethodPut, http.MethodPost:
		if err := o.openTo(t); err != nil {
			return t, err
		}
		if o.channel(t.channel) == nil {
			if err := o.room(t.channel, len(*o.channels.Load())); err != nil {
				return t, err
			}
		}
		if !isPlaylist(t.path) && !ignored(t.path) && !mediaName(t.path) {
			return t, refuse(http.StatusUnsupportedMediaType, reasonType, "channel %s: %s: files of type %s are not taken", t.channel, t.path, quote(path.Ext(t.path)))
		}
		if length(req) > o.limit(t) {
			return t, o.tooLarge(t)
		}
	case http.MethodGet, http.MethodHead, http.MethodDelete:
	default:
		e := refuse(http.StatusMethodNotAllowed, "method", "channel %s: %s is not for ingest", t.channel, quote(req.Method))
		e.Header = web.NewHeader("Allow", "PUT, POST, DELETE, GET, HEAD")
		return t, e
	}
	return t, nil
}

// ignored reports whether a pushed file tells nothing we need: the DASH manifest of an
// encoder that pushes HLS beside it.
func ignored(p string) bool { return strings.HasSuffix(p, ".mpd") }

func (o *Origin) ingest(ctx context.Context, req *web.Request) (*web.Response, error) {
	t, err := o.admit(req)
	if err == nil {
		var resp *web.Response
		switch req.Method {
		case http.MethodPut, http.MethodPost:
			err = o.push(t, req)
		case http.MethodGet, http.MethodHead:
			resp, err = o.readBack(t, req)
		}
		if err == nil && resp == nil {
			resp = web.NewResponse(http.StatusOK, nil, "Cache-Control", "no-store")
		}
		if err == nil || web.StatusOf(err) == http.StatusNotFound {
			return resp, err
		}
	}
	return nil, o.refused(req, t, err)
}

// push takes in one upload.
func (o *Origin) push(t target, req *web.Request) error {
	if ignored(t.path) {
		o.count(resultIgnored)
		_, err := io.Copy(io.Discard, io.LimitReader(body(req), o.opts.MaxUpload))
		if err != nil {
			return o.uploadError(t, 0, err)
		}
		return nil
	}
	if isPlaylist(t.path) {
		text, err := o.receiveText(t, req)
		if err != nil {
			return err
		}
		c, err := o.create(t)
		if err != nil {
			return err
		}
		if err := cmp.Or(c.told(t.path, text), o.openTo(t)); err != nil {
			return err
		}
		o.count(resultPlaylist)
		return nil
	}
	c, err := o.create(t)
	if err != nil {
		return err
	}
	u, err := o.receive(c, t, req)
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
	if text := c.texts[p]; text != nil {
		return web.Bytes(text), playlist.MIMEType
	}
	if u := c.store.complete(p); u != nil && u.buf.TryRef() {
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
		fields := []any{"channel", channel, "path", file, "method", req.Method,
			"remote", req.Remote.Addr(), "status", web.StatusOf(err), "reason", reason, "err", why}
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
