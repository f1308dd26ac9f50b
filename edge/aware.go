package edge

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"weir/cache"
	"weir/edge/schedule"
	"weir/internal/web"
)

// AwareOptions configures an [Aware]. The zero value of a field is its default.
type AwareOptions struct {
	// NoPrefetch leaves the next segments to the viewers.
	NoPrefetch bool
	// Hold bounds how long a request waits for a segment that is due and that
	// upstream does not have; a target duration bounds it too. It should be less
	// than half of OriginTimeout. Default 5 s; negative: not at all.
	Hold time.Duration
	// MaxHolds bounds how many segments are waited for at once. Default 1,024.
	MaxHolds int
	// Bytes bounds what is remembered of playlists. Default 32 MiB.
	Bytes int64

	Registerer prometheus.Registerer // nil: metrics are kept but not registered
}

// An Aware reads the playlists that an edge fetches, for any upstream's HLS: it
// bounds lifetimes by target durations, fetches the next segments before they
// are asked for, holds requests that are a little early, refuses those for what
// cannot be, keeps playlists from going backwards, and gives up what has left
// all of them. Its Judge belongs into the options of the edge's cache, itself
// into those of the edge.
type Aware struct {
	opts     AwareOptions
	e        *Edge // whose fills it looks at; set when that is made
	queryAll bool  // as that keys
	book     *schedule.Book
	seen     *seen
	metrics  *awareMetrics

	reading atomic.Int64 // bytes of playlists being read
	missing missing
	holds   holds
	ahead   prefetcher
}

// serve makes a that of e.
func (a *Aware) serve(e *Edge) { a.e, a.queryAll = e, e.opts.QueryAll }

// NewAware returns an Aware for one edge.
func NewAware(o AwareOptions) *Aware {
	if o.Hold == 0 {
		o.Hold = 5 * time.Second
	}
	if o.MaxHolds == 0 {
		o.MaxHolds = 1024
	}
	a := &Aware{opts: o, book: schedule.New(schedule.Options{Bytes: o.Bytes}), seen: newSeen()}
	a.holds.max = o.MaxHolds
	a.ahead.a = a
	a.metrics = newAwareMetrics(a, o.Registerer)
	return a
}

// Rate returns how many bytes a second the media take that path belongs to, as
// their multivariant playlist says or as was measured; 0 if neither is known.
func (a *Aware) Rate(path string) (bytesPerSecond int64) {
	if a == nil {
		return 0
	}
	return a.book.Rate(path)
}

// Kind returns what sort of programme path belongs to, as far as is known.
func (a *Aware) Kind(path string) schedule.Kind {
	if a == nil {
		return schedule.Unknown
	}
	return a.book.Kind(path)
}

// touch notes that a viewer wants what q asks for.
func (a *Aware) touch(q *question, now time.Time) {
	if a == nil {
		return
	}
	if q.class == cache.Playlist || q.class == cache.Other {
		a.seen.touch(q.path, now) // whatever the directives
	} else {
		a.seen.touch(q.key, now)
	}
}

// run implements [cache.Fill].
func (f *fill) run(ctx context.Context, prior *cache.Object) (*web.Response, error) {
	if f.e.aware == nil {
		return f.fetch(ctx, prior)
	}
	return f.e.aware.fill(ctx, f, prior)
}

// fill is a fill that knows what playlists say.
func (a *Aware) fill(ctx context.Context, f *fill, prior *cache.Object) (*web.Response, error) {
	start := time.Now()
	if prior != nil && !a.mayValidate(f, prior) {
		prior = nil
	}
	list := f.q.class == cache.Playlist
	if !list {
		if why, no := a.impossible(f, start); no {
			a.metrics.impossible.WithLabelValues(why).Inc()
			f.asked.Store(fromPlaylists)
			return refuseImpossible(why), nil
		}
		f.listed = f.listed || a.book.Lists(f.q.key)
	}
	resp, err := f.fetch(ctx, prior)
	if list && prior == nil && ctx.Err() == nil {
		if held, ok := a.standIn(f, resp, err); ok {
			return held, nil
		}
	}
	switch {
	case err != nil:
	case resp.Status == http.StatusNotFound && !list:
		resp, err = a.hold(ctx, f, resp, start)
	case resp.Status == http.StatusNotModified && prior != nil:
		a.unchanged(f, resp, prior)
	}
	if err == nil && resp.Status == http.StatusNotFound {
		a.tameMissing(f, resp)
	}
	if err != nil || resp.Status != http.StatusOK || resp.Body == nil ||
		!list && (f.q.class != cache.Other || !isPlaylist(resp.Get("Content-Type"))) {
		return resp, err
	}
	return a.read(ctx, f, resp)
}

// impossible reports whether a viewer's question is one that cannot be answered.
// A peer has found out for itself, and may know better.
func (a *Aware) impossible(f *fill, now time.Time) (why string, ok bool) {
	if f.peer {
		return "", false
	}
	return a.book.Impossible(f.q.key, now)
}

// unchanged deals with the news that the newest version is what there is.
func (a *Aware) unchanged(f *fill, resp *web.Response, prior *cache.Object) {
	id, now := a.rendition(f.q.key), time.Now()
	if !a.book.Again(id, prior.ETag(), 0, now) { // upstream does not lag
		return
	}
	lim, _ := a.book.Limit(id, f.q.key, now)
	if h := resp.Flatten(); h.Has("Cache-Control") || h.Has("Expires") || h.Has("CDN-Cache-Control") {
		a.tame(resp, f.q.key, lim, now)
	}
}

// mayValidate reports whether upstream may be asked if prior is still good. Of a
// live playlist only the newest version may: an upstream that lags would say of
// an older one that nothing has changed.
func (a *Aware) mayValidate(f *fill, prior *cache.Object) bool {
	known, newest := a.book.Names(a.rendition(f.q.key), prior.ETag())
	return !known || newest
}

// rendition returns what a playlist's key is without directives.
func (a *Aware) rendition(key string) string {
	path, query, ok := strings.Cut(key, keyMark)
	if !ok {
		return key
	}
	if !a.queryAll {
		return path // the query is directives alone
	}
	if query = withoutDirectives(query); query == "" {
		return path
	}
	return path + keyMark + query
}

func withoutDirectives(query string) string {
	if !strings.Contains(query, "_HLS_") {
		return query
	}
	var kept []string
	for pair := range strings.SplitSeq(query, "&") {
		if !strings.HasPrefix(pair, "_HLS_") {
			kept = append(kept, pair)
		}
	}
	return strings.Join(kept, "&")
}

// localBody is that of an answer which no upstream gave.
type localBody struct{ web.Body }

func refuseImpossible(why string) *web.Response {
	resp := web.Text(http.StatusNotFound, "impossible: the playlists rule out that there is such a segment ("+why+")\n")
	resp.Header.Set("Cache-Control", "max-age=1")
	resp.Body = localBody{resp.Body}
	return resp
}

// AwareStats is what an [Aware] did.
type AwareStats struct {
	Renditions     int   `json:"renditions"` // known
	Bytes          int64 `json:"bytes"`      // remembered of them
	Holds          int   `json:"holds"`      // segments waited for now
	MediaBytes     int64 `json:"media_bytes"`
	PrefetchBytes  int64 `json:"prefetch_bytes"`  // of these, fetched before anybody asked
	WantedBytes    int64 `json:"wanted_bytes"`    // of these, asked for since
	UnwantedBytes  int64 `json:"unwanted_bytes"`  // of these, not asked for in time
	PrefetchedSegs int   `json:"prefetched"`      // segments, inits and keys
	UnwantedSegs   int   `json:"prefetched_lost"` // of these, not asked for in time
}

// Stats looks at it.
func (a *Aware) Stats() AwareStats {
	s := a.ahead.stats(time.Now())
	s.Renditions, s.Bytes = a.book.Size()
	s.Holds = a.holds.count()
	return s
}
