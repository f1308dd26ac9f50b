package edge

import (
	"net/http"
	"time"

	"weir/internal/web"
)

// standIn answers with our copy of the newest version of a playlist where no
// upstream can answer. What the cache keeps it shows by itself then (RFC 5861
// section 4); but when a version comes in one coding, or by a directive, those
// before it are given up in all others, and whoever wants one of these would be
// told of an outage that nobody else sees. The copy is shown for as long as it
// may be, and no longer.
func (a *Aware) standIn(f *fill, resp *web.Response, err error) (*web.Response, bool) {
	switch {
	case f.q.key != a.rendition(f.q.key):
		return nil, false // it asks for a version of its own
	case err != nil && web.StatusOf(statusError(err)) < http.StatusInternalServerError:
		return nil, false
	case err == nil && !web.HiddenByStale(resp.Status):
		return nil, false
	}
	held, ok := a.book.Newest(f.q.key).(*playlistCopy)
	if !ok || !held.mayStandIn(time.Now(), a) {
		return nil, false
	}
	copied, e := held.response(f)
	if e != nil {
		return nil, false
	}
	if resp != nil {
		resp.Close()
	}
	a.metrics.playlists.WithLabelValues("stood_in").Inc()
	return copied, true
}

// mayStandIn reports whether the copy may be shown while upstream cannot be asked.
func (c *playlistCopy) mayStandIn(now time.Time, a *Aware) bool {
	req := web.Request{Method: http.MethodGet}
	may := web.Judge(&req, &web.Response{Status: http.StatusOK, Header: c.header}, c.received, c.received)
	lim, _ := a.book.Limit(c.q.key, c.q.key, now)
	may = boundLive(may, lim, false, c.header.Get(publishingField) != "")
	return may.Store && !may.NoCache && !may.MustRevalidate &&
		may.InitialAge+now.Sub(c.received) < may.Lifetime+may.StaleIfError
}
