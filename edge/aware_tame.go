package edge

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"weir/cache"
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
	return shorten(resp, liveLife(lim.Target, a.final(key, lim.Next)), now)
}

// tameMissing does that for a 404 of what may come: a browser that keeps it for a
// day never gets the segment that its player asked for a moment too early.
func (a *Aware) tameMissing(f *fill, resp *web.Response) {
	id, now := "", time.Now()
	if f.q.class == cache.Playlist || f.q.class == cache.Other {
		id = a.rendition(f.q.key)
	}
	if lim, known := a.book.Limit(id, f.q.key, now); known && lim.Kind == schedule.Live {
		shorten(resp, max(time.Second, missingLife(lim, id != "" && blocks(f.q.key))), now)
	}
}

// shorten makes an answer tell no cache behind this edge that it lives for longer
// than most, and reports whether it had to.
func shorten(resp *web.Response, most time.Duration, now time.Time) bool {
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
	value := "max-age=" + seconds(life)
	if cc.SMaxAge >= 0 {
		value += ", s-maxage=" + seconds(min(most, cc.SMaxAge))
	}
	resp.Header.Set("Cache-Control", value+untimed(h.Joined("Cache-Control")))
	if h.Has("Expires") {
		resp.Header.Set("Expires", "")
	}
	return true
}

func seconds(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }

// untimed returns the directives of a Cache-Control that are no times, each behind
// a comma: whom an answer is for stays as it is.
func untimed(field string) string {
	var b strings.Builder
	quotes := wellQuoted(field)
	for field != "" {
		var d string
		d, field = cutOutside(field, ',', quotes)
		d = strings.Trim(d, " \t")
		name, _, _ := strings.Cut(d, "=")
		switch strings.ToLower(strings.TrimRight(name, " \t")) {
		case "", "max-age", "s-maxage", "stale-while-revalidate", "stale-if-error", "immutable":
		default:
			b.WriteString(", " + d)
		}
	}
	return b.String()
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
