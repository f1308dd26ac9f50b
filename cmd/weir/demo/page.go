package demo

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"net/http"
	"path"
	"strings"

	"weir/internal/web"
)

//go:embed assets all:vendor
var files embed.FS

var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
}

// pagePolicy lets the page load what this cluster serves, and nothing from any
// other host. blob: is how Media Source Extensions and hls.js's worker work.
const pagePolicy = "default-src 'self'; connect-src http: https:; media-src http: https: blob:; worker-src blob:; img-src data:; style-src 'self'"

// A Session is what the page needs to play: the provider's back end would hand
// it out in the world outside the demo.
type Session struct {
	Edges []string `json:"edges"` // base URLs, the one that served the page among them
	Path  string   `json:"path"`  // of the multivariant playlist, token included
}

// A Page serves the player page in front of next: "/" and "/player/...".
type Page struct {
	next    web.Handler
	session func() (Session, error)
	assets  map[string]asset // by request path
}

type asset struct {
	kind, etag string
	body       []byte
}

// NewPage returns a Page. Session is called for each viewer that opens it.
func NewPage(next web.Handler, session func() (Session, error)) (*Page, error) {
	p := &Page{next: next, session: session, assets: map[string]asset{}}
	for _, dir := range []string{"assets", "vendor"} {
		entries, err := fs.ReadDir(files, dir)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			kind := contentTypes[path.Ext(e.Name())]
			if kind == "" {
				continue
			}
			body, err := files.ReadFile(dir + "/" + e.Name())
			if err != nil {
				return nil, err
			}
			sum := sha256.Sum256(body)
			p.assets["/player/"+e.Name()] = asset{kind, `"` + hex.EncodeToString(sum[:8]) + `"`, body}
		}
	}
	p.assets["/"] = p.assets["/player/index.html"]
	return p, nil
}

// HasHLSJS reports whether hls.js was there when this binary was built.
func (p *Page) HasHLSJS() bool { _, ok := p.assets["/player/hls.min.js"]; return ok }

// TryServe implements [web.Quick] for what next serves.
func (p *Page) TryServe(req *web.Request) (*web.Response, bool) {
	if p.owns(req.Path) {
		return nil, false
	}
	if q, ok := p.next.(web.Quick); ok {
		return q.TryServe(req)
	}
	return nil, false
}

// Serve implements [web.Handler].
func (p *Page) Serve(ctx context.Context, req *web.Request) (*web.Response, error) {
	if !p.owns(req.Path) {
		return p.next.Serve(ctx, req)
	}
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		return nil, web.Errorf(http.StatusMethodNotAllowed, "%s is only for GET and HEAD", req.Path)
	}
	if req.Path == "/player/session.json" {
		return p.serveSession()
	}
	a, ok := p.assets[req.Path]
	switch {
	case ok:
	case req.Path == "/player/hls.min.js":
		a = asset{contentTypes[".js"], `"none"`, []byte("// hls.js was not there when this binary was built; the page plays natively.\n")}
	default:
		return nil, web.Errorf(http.StatusNotFound, "no page %s", req.Path)
	}
	return web.Select(req, web.NewResponse(http.StatusOK, web.Bytes(a.body),
		"Content-Type", a.kind, "ETag", a.etag, "Cache-Control", "no-cache",
		"Content-Security-Policy", pagePolicy, "X-Content-Type-Options", "nosniff", "Referrer-Policy", "no-referrer")), nil
}

func (p *Page) owns(path string) bool { return path == "/" || strings.HasPrefix(path, "/player/") }

func (p *Page) serveSession() (*web.Response, error) {
	s, err := p.session()
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	return web.NewResponse(http.StatusOK, web.Bytes(body), "Content-Type", "application/json", "Cache-Control", "no-store"), nil
}
