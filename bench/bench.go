// Package bench is swarms that behave like viewers and encoders.
//
// A [Viewer] plays a live channel the way a player does and holds every
// playlist it is given to the rules of HLS; an [Encoder] pushes one the way
// FFmpeg does. Both speak to a web.Handler, so that the same swarm drives a
// cluster inside one process under a fake clock or real nodes across sockets.
package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"weir/internal/web"
	"weir/playlist"
)

// maxPlaylist is the largest playlist a viewer reads, in bytes.
const maxPlaylist = 2 << 20

// A response as a client sees it: whole, or an error.
type answer struct {
	status int
	header web.Header
	body   []byte
}

// get asks h for target, a path with an optional query, and reads the whole
// answer. An answer that ends before its end is an error.
func get(ctx context.Context, h web.Handler, target string, limit int64) (*answer, error) {
	raw, query, _ := strings.Cut(target, "?")
	clean, err := web.CleanPath(raw)
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", raw, err)
	}
	resp, err := h.Serve(ctx, &web.Request{Method: http.MethodGet, Path: clean, Query: query, Host: "bench",
		Header: web.NewHeader("User-Agent", "weir-bench", "Accept-Encoding", "identity")})
	if err != nil {
		var e *web.Error
		if errors.As(err, &e) {
			return &answer{status: e.Status, header: e.Header}, nil
		}
		return nil, fmt.Errorf("get %s: %w", clean, err)
	}
	defer resp.Close()
	a := &answer{status: resp.Status, header: resp.Flatten()}
	if resp.Body != nil {
		if a.body, err = web.ReadAll(ctx, resp.Body, limit); err != nil {
			return nil, fmt.Errorf("get %s: after %d bytes: %w", clean, len(a.body), err)
		}
	}
	return a, nil
}

// resolve returns where uri, found in the playlist at base, points to, as a
// path of the same host.
func resolve(base, uri string) (string, error) {
	u, err := url.Parse(uri)
	if err != nil {
		return "", err
	}
	if u.Host != "" || u.Scheme != "" {
		return "", fmt.Errorf("%s points to another host", uri)
	}
	b, _, _ := strings.Cut(base, "?")
	p := u.EscapedPath()
	if !strings.HasPrefix(p, "/") {
		p = path.Join(path.Dir(b), p)
	}
	if u.RawQuery != "" {
		p += "?" + u.RawQuery
	}
	return p, nil
}

// cadence returns how long a client waits before it loads a playlist again,
// counted from when the last load began (HLSbis 6.3.4).
func cadence(m *playlist.Media, changed bool) time.Duration {
	target := time.Duration(m.TargetDuration) * time.Second
	if !changed {
		return target / 2
	}
	if n := len(m.Segments); n > 0 {
		return m.Segments[n-1].Duration
	}
	return target
}
