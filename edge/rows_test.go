package edge

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/internal/web"
)

// The rows_*_test.go files show each row of the shared-cache table through
// Edge.Serve, over a scripted fake origin: a fo answers as it was told last and
// logs every request. A test is named after its row.

type fo struct{ *fake }

// says makes the origin answer so from now on.
func (o *fo) says(status int, text string, pairs ...string) {
	o.answer = answering(status, text, pairs...)
}

// has makes the origin hold a version: who asks with its tag gets a 304.
func (o *fo) has(tag, text string, pairs ...string) {
	o.answer = func(_ context.Context, req *web.Request) (*web.Response, error) {
		if web.MatchETag(req.Header.Joined("If-None-Match"), tag) && req.Header.Has("If-None-Match") {
			return web.NewResponse(304, nil, append([]string{"ETag", tag}, pairs...)...), nil
		}
		return web.NewResponse(200, web.String(text), append([]string{"ETag", tag}, pairs...)...), nil
	}
}

// dies makes the origin unreachable.
func (o *fo) dies() { o.answer = unreachable }

// row runs a test under a fake clock, over an edge that is a cache for any
// origin and over one that is for HLS.
func row(t *testing.T, f func(t *testing.T, e *Edge, o *fo)) {
	t.Helper()
	for name, all := range map[string]bool{"all": true, "hls": false} {
		t.Run(name, func(t *testing.T) { rowWith(t, Options{QueryAll: all}, f) })
	}
}

// rowAll is row for what only a cache for any origin does.
func rowAll(t *testing.T, f func(t *testing.T, e *Edge, o *fo)) {
	t.Helper()
	rowWith(t, Options{QueryAll: true}, f)
}

func rowWith(t *testing.T, opts Options, f func(t *testing.T, e *Edge, o *fo)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o := &fo{&fake{}}
		e := newEdge(t, opts, o)
		f(t, e, o)
	})
}

// wants fails unless asking for target sends n requests to the origin, and
// returns the answer.
func (o *fo) wants(t *testing.T, e *Edge, n int, target string, pairs ...string) got {
	t.Helper()
	before := o.count()
	g := get(t, e, target, pairs...)
	if asked := o.count() - before; asked != n {
		t.Errorf("%s %q: the origin was asked %d times, want %d", target, pairs, asked, n)
	}
	return g
}

// times asks for target n times and returns how often the origin was asked.
func (o *fo) times(t *testing.T, e *Edge, n int, target string, pairs ...string) int {
	t.Helper()
	before := o.count()
	for range n {
		get(t, e, target, pairs...)
	}
	return o.count() - before
}

var unique int

// path returns a path nobody has asked for.
func path() string {
	unique++
	return "/" + strings.Repeat("x", unique%7+1) + decimal(unique) + ".bin"
}

func ago(d time.Duration) string { return web.FormatHTTPDate(time.Now().Add(-d)) }
