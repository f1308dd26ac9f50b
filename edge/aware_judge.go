package edge

import (
	"net/http"
	"strings"
	"time"

	"weir/cache"
	"weir/edge/schedule"
	"weir/internal/web"
	"weir/playlist"
)

// Judge is what cache.Options.Judge wants. Whatever upstream says, a live
// playlist is kept no longer than players may do with it: half a target
// duration, six where a directive names the version (HLSbis B.1). Where upstream
// says nothing, segments are kept for as long as they may be wanted. A 404 is
// kept until what is missing should be there, at most a target duration.
func (a *Aware) Judge(q cache.Query, resp *web.Response, may web.Freshness) web.Freshness {
	if _, ok := resp.Body.(localBody); ok {
		may.Lifetime = 0 // the very next playlist may list it
		return may
	}
	now := time.Now()
	read, ok := resp.Body.(*readBody)
	if ok && resp.Status == http.StatusOK {
		return a.judgeRead(q, resp, may, read)
	}
	id := ""
	if q.Class == cache.Playlist || q.Class == cache.Other {
		id = a.rendition(q.Key)
	}
	if q.Class == cache.Segment {
		a.note(q.Key, resp, now)
	}
	if resp.Status == http.StatusNotFound && may.Store && q.Class != cache.Playlist {
		a.missing.add(q.Key) // perhaps a peer knows of a playlist that lists it
	}
	lim, known := a.book.Limit(id, q.Key, now)
	switch {
	case !known || lim.Kind != schedule.Live:
		return may
	case resp.Status == http.StatusNotFound:
		may = boundMissing(may, lim, id != "" && blocks(q.Key))
	case resp.Status == http.StatusOK && id != "": // a 304 that makes it new
		may = boundLive(may, lim, a.final(q.Key, lim.Next), resp.Get(publishingField) != "")
	case resp.Status == http.StatusOK && !may.Explicit && may.Store:
		// "a cache MAY assign a heuristic expiration time" (RFC 9111 section 4.2.2).
		may.Lifetime = max(may.Lifetime, may.InitialAge+lim.Media)
	}
	return may
}

// note tells the schedule how upstream answered for a segment.
func (a *Aware) note(key string, resp *web.Response, now time.Time) {
	switch {
	case resp.Status == http.StatusNotFound, resp.Status == http.StatusGone:
		a.book.Answered(key, false, 0, now)
	case resp.Status == http.StatusOK && resp.Body != nil:
		size := max(0, resp.Body.Len())
		a.book.Answered(key, true, size, now)
		a.ahead.came(size)
	}
}

// judgeRead bounds the life of a playlist that was read.
func (a *Aware) judgeRead(q cache.Query, resp *web.Response, may web.Freshness, b *readBody) web.Freshness {
	switch {
	case b.older:
		// A copy of the newest version, since upstream has none as new: it is
		// shown while upstream is asked again and again.
		may.Lifetime = may.InitialAge + time.Second
		may.StaleIfError, may.StaleWhileRevalidate = 0, 0
	case b.most > 0: // a multivariant playlist
		may.Lifetime = min(may.Lifetime, max(b.most, may.InitialAge+time.Second))
	case b.limit.Kind == schedule.Live:
		may.Explicit = may.Explicit && !b.tamed
		may = boundLive(may, b.limit, a.final(q.Key, b.limit.Next), resp.Get(publishingField) != "")
	}
	return may
}

// boundLive bounds the life of a live playlist. Final says that its key names the
// version. Of stale ones our own origin knows best how long they may be shown.
func boundLive(may web.Freshness, lim schedule.Limit, final, own bool) web.Freshness {
	most := liveLife(lim.Target, final)
	if !may.Explicit && may.Store {
		may.Lifetime = maxLife
	}
	// What came from another cache was old when it came. A second is left to it,
	// for all who ask at once.
	may.Lifetime = min(may.Lifetime, max(most, may.InitialAge+time.Second))
	if own {
		return may
	}
	may.StaleWhileRevalidate = min(may.StaleWhileRevalidate, lim.Target/2)
	if may.StaleIfError == 0 && !may.MustRevalidate && !may.NoCache {
		may.StaleIfError = lim.Target
	}
	may.StaleIfError = min(may.StaleIfError, lim.Target)
	return may
}

const maxLife = 24 * time.Hour

// missingLife is for how long a 404 may be kept: "the 404 [...] one Target
// Duration", four for a blocking playlist request (HLSbis B.1).
func missingLife(lim schedule.Limit, blocking bool) time.Duration {
	most := lim.Target
	if blocking {
		most = 4 * lim.Target
	}
	if lim.Due > 0 {
		most = min(most, lim.Due)
	}
	return most
}

// boundMissing bounds the life of a 404.
func boundMissing(may web.Freshness, lim schedule.Limit, blocking bool) web.Freshness {
	most := missingLife(lim, blocking)
	if !may.Explicit && may.Store && !may.NoCache {
		may.Lifetime = most + may.InitialAge
	}
	may.Lifetime = min(may.Lifetime, most+may.InitialAge)
	may.StaleIfError, may.StaleWhileRevalidate = 0, 0
	return may
}

// blocks reports whether a key has directives that upstream waits for.
func blocks(key string) bool { return strings.Contains(key, "_HLS_msn=") }

// final reports whether a key asks for a version by its number, and whether that
// is what it got: one that is older may still come, one for a segment far behind
// gets whatever is newest.
func (a *Aware) final(key string, next uint64) bool {
	_, query, _ := strings.Cut(key, keyMark)
	if !blocks(query) {
		return false
	}
	d, err := playlist.ParseDirectives(query)
	return err == nil && d.MSN >= 0 && uint64(d.MSN) < next && next-uint64(d.MSN) <= 3
}
