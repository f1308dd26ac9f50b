package edge

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"weir/cache"
	"weir/internal/web"
)

const (
	allowMethods = "GET, HEAD, OPTIONS"
	// "*" would cover all of these but Authorization, and nothing with credentials (Fetch, 3.2.3).
	allowHeaders = "Authorization, Range, If-Range, If-None-Match, If-Modified-Since, Cache-Control, " +
		"CMCD-Object, CMCD-Request, CMCD-Session, CMCD-Status, CTA-Common-Access-Token, X-Playback-Session-Id"
	exposeHeaders = "Age, Date, ETag, Content-Range, Content-Encoding, Accept-Ranges, Cache-Status, CMSD-Static, CMSD-Dynamic, Retry-After"
	// Browsers cap it, Chromium at these two hours.
	preflightAge = "7200"
)

// cors lets pages read answers (Fetch, 3.2). Its fields are added to each
// answer, after the cache: what is stored knows no web origin.
type cors struct {
	origins []string // with credentials; nil: any, without
}

func newCORS(origins []string) (cors, error) {
	for _, o := range origins {
		u, err := url.Parse(o)
		if err != nil || u.Scheme == "" || u.Host == "" || o != u.Scheme+"://"+u.Host {
			return cors{}, fmt.Errorf("edge: CORS origin %q is not of the form https://host or https://host:port", o)
		}
	}
	return cors{slices.Clone(origins)}, nil
}

// add puts the fields on an answer. Upstream's own say nothing about this edge.
func (c *cors) add(req *web.Request, resp *web.Response) {
	if resp.Get("Access-Control-Allow-Credentials") != "" {
		resp.Header.Set("Access-Control-Allow-Credentials", "")
	}
	if len(c.origins) == 0 {
		put(resp, "Access-Control-Allow-Origin", "*")
		put(resp, "Access-Control-Expose-Headers", exposeHeaders)
		return
	}
	// "If Access-Control-Allow-Origin is set to … a particular origin … `Vary`"
	// must say so, also to those who get none (Fetch, 3.2.5).
	if vary := resp.Get("Vary"); vary == "" {
		resp.Header.Set("Vary", "Origin")
	} else if !listed(vary, "Origin") {
		resp.Header.Set("Vary", joinVary(resp)+", Origin")
	}
	if origin := req.Header.Get("Origin"); slices.Contains(c.origins, origin) {
		put(resp, "Access-Control-Allow-Origin", origin)
		resp.Header.Set("Access-Control-Allow-Credentials", "true")
		put(resp, "Access-Control-Expose-Headers", exposeHeaders)
		return
	}
	put(resp, "Access-Control-Allow-Origin", "")
}

// joinVary returns all Vary fields of an answer as one.
func joinVary(resp *web.Response) string {
	if resp.Header.Has("Vary") || resp.Base == nil {
		return resp.Header.Joined("Vary")
	}
	return resp.Base.Joined("Vary")
}

// put is Header.Set for a field that is not there yet, as a rule.
func put(resp *web.Response, name, value string) {
	if resp.Header.Has(name) {
		resp.Header.Set(name, value)
		return
	}
	resp.Header.Add(name, value)
}

// preflight answers OPTIONS: for pages the permission to ask, which needs no
// token ("credentials … never included", Fetch 3.2.2) and no upstream.
func (e *Edge) preflight(req *web.Request) *web.Response {
	resp := web.NewResponse(http.StatusNoContent, nil, "Allow", allowMethods)
	e.cors.add(req, resp)
	if req.Header.Has("Access-Control-Request-Method") && resp.Get("Access-Control-Allow-Origin") != "" {
		resp.Header.Del("Access-Control-Expose-Headers")
		resp.Header.Add("Access-Control-Allow-Methods", allowMethods)
		resp.Header.Add("Access-Control-Allow-Headers", allowHeaders)
		resp.Header.Add("Access-Control-Max-Age", preflightAge)
	}
	e.metrics.count(cache.Other, preflight, resp.Status)
	return resp
}
