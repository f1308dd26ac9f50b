package wire

import (
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"weir/internal/web"
)

// hopByHop reports whether a field of this name belongs to one connection
// only: it never reaches a handler and never leaves one (RFC 9110 section 7.6.1).
func hopByHop(name string) bool {
	switch len(name) {
	case len("TE"):
		return strings.EqualFold(name, "TE")
	case len("Upgrade"):
		return strings.EqualFold(name, "Upgrade") || strings.EqualFold(name, "Trailer")
	case len("Connection"):
		return strings.EqualFold(name, "Connection") || strings.EqualFold(name, "Keep-Alive")
	case len("Proxy-Connection"):
		return strings.EqualFold(name, "Proxy-Connection")
	case len("Transfer-Encoding"):
		return strings.EqualFold(name, "Transfer-Encoding")
	case len("Proxy-Authenticate"):
		return strings.EqualFold(name, "Proxy-Authenticate")
	case len("Proxy-Authorization"):
		return strings.EqualFold(name, "Proxy-Authorization")
	}
	return false
}

// listed reports whether the Connection field's value names a field, which
// makes it hop-by-hop too.
func listed(connection, name string) bool {
	for connection != "" {
		var token string
		token, connection, _ = strings.Cut(connection, ",")
		if strings.EqualFold(strings.TrimSpace(token), name) {
			return true
		}
	}
	return false
}

// sendable reports whether a field may be put into a message: a value with a
// line break in it would become two fields.
func sendable(f web.Field) bool {
	if f.Name == "" {
		return false
	}
	for i := 0; i < len(f.Name); i++ {
		if c := f.Name[i]; c <= ' ' || c == ':' || c >= 0x7f {
			return false
		}
	}
	for i := 0; i < len(f.Value); i++ {
		if c := f.Value[i]; (c < ' ' && c != '\t') || c == 0x7f {
			return false
		}
	}
	return true
}

// answerFields calls add for each field of resp that goes on the wire. Framing
// is the adapter's own: Content-Length comes from the Body. It reports whether
// the handler asked for the connection to be closed after the answer.
func answerFields(r *record, resp *web.Response, add func(name, value string)) (closing bool) {
	connection := resp.Get("Connection")
	for f := range resp.Fields() {
		switch {
		case hopByHop(f.Name) || len(f.Name) == len("Content-Length") && strings.EqualFold(f.Name, "Content-Length"):
		case connection != "" && listed(connection, f.Name):
		case !sendable(f):
			r.acc.log.Error("BUG: header field cannot be sent", "name", f.Name, "path", web.MaskPath(r.path))
		default:
			add(f.Name, f.Value)
		}
	}
	return connection != "" && listed(connection, "close")
}

// target splits a request target into its clean path and its query. Only the
// origin form is served: an absolute one, "*" and an authority could name
// another resource to whoever reads the Host field (RFC 9112 section 3.2).
func target(raw string) (path, query string, err error) {
	path, query, _ = strings.Cut(raw, "?")
	if strings.IndexByte(raw, '#') >= 0 {
		path = ""
	}
	if path, err = web.CleanPath(path); err != nil {
		e := web.Errorf(http.StatusBadRequest, "the request's target is not a path this server serves: %w", err)
		e.Reason = "bad_path"
		return "", "", e
	}
	return path, query, nil
}

// A dateClock renders the Date field once a second.
type dateClock struct{ now atomic.Pointer[renderedDate] }

type renderedDate struct {
	second int64
	text   string
}

func (d *dateClock) text(t time.Time) string {
	if r := d.now.Load(); r != nil && r.second == t.Unix() {
		return r.text
	}
	r := &renderedDate{t.Unix(), t.UTC().Format(http.TimeFormat)}
	d.now.Store(r)
	return r.text
}
