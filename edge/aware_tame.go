package edge

import (
	"net/http"
	"strconv"
	"time"

	"weir/edge/schedule"
	"weir/internal/web"
)

// tame bounds what a live playlist tells the caches behind this edge, of which
// every browser has one: an origin that says a day would freeze its players
// there. Our own origin knows what it says. Tame reports whether it had to.
func (a *Aware) tame(resp *web.Response, key string, lim schedule.Limit, now time.Time) bool {
	if lim.Kind != schedule.Live || resp.Get(publishingField) != "" {
		return false
	}
	most := liveLife(lim.Target, a.final(key, lim.Next))
	h := resp.Flatten()
	if h.Has("CDN-Cache-Control") && web.Judge(&web.Request{Method: http.MethodGet}, resp, now, now).Lifetime > most {
		resp.Header.Set("CDN-Cache-Control", "")
	}
	cc := web.ParseCacheControl(&h)
	if cc.NoStore || cc.NoCache || !lasts(cc, &h, most, now) {
		return false
	}
	life := most
	if cc.MaxAge >= 0 {
		life = min(life, cc.MaxAge)
	}
	value := "max-age=" + strconv.FormatInt(int64(life/time.Second), 10)
	switch {
	case cc.Private:
		value = "private, " + value
	case cc.Public:
		value = "public, " + value
	}
	if cc.MustRevalidate {
		value += ", must-revalidate"
	}
	resp.Header.Set("Cache-Control", value)
	if h.Has("Expires") {
		resp.Header.Set("Expires", "")
	}
	return true
}

// lasts reports whether a cache may keep an answer for longer than most, by what
// it is told or by what it may guess.
func lasts(cc web.CacheControl, h *web.Header, most time.Duration, now time.Time) bool {
	switch {
	case cc.MaxAge > most, cc.SMaxAge > most, cc.StaleWhileRevalidate > most:
		return true
	case cc.MaxAge >= 0:
		return false
	case h.Has("Expires"):
		date, ok := web.ParseHTTPDate(h.Get("Date"))
		if !ok {
			date = now
		}
		until, ok := web.ParseHTTPDate(h.Get("Expires"))
		return ok && until.Sub(date) > most
	}
	return true
}

// liveLife is for how long a live playlist may be kept. Final says that its key
// names the version.
func liveLife(target time.Duration, final bool) time.Duration {
	if final {
		return 6 * target
	}
	return max(time.Second, (target / 2).Truncate(time.Second))
}
