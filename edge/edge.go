// Package edge admits viewers and answers them from cache, peer or origin.
//
// It promises that a viewer's token is checked before anything else happens
// and never leaves the node: it is in no key, in no request to another
// machine and in no log. What upstream is asked is the same whoever asks, so
// that of all viewers of an object one asks for all. An edge waits for at most
// one other edge, and never for one that may be waiting for it.
package edge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"weir/cache"
	"weir/internal/limit"
	"weir/internal/web"
	"weir/token"
)

// An Origin is an upstream that knows every object.
type Origin struct {
	Name    string // for logs and marks; must be its own
	Handler web.Handler
}

// A Peer is another edge that can be asked.
type Peer = interface {
	web.Handler
	Name() string
}

// Peers are the other edges of the cluster. It is implemented by edge/cluster.
type Peers interface {
	// Owner returns the live edge that asks the origins for key on behalf of
	// all, which proves by itself who asks it. Self, or a nil peer, means this
	// edge.
	Owner(key string) (peer Peer, self bool)
	// Failed says that the named peer could not be reached just now, so that
	// Owner passes over it for a while.
	Failed(name string)
	// Verify says whether req was sent by a member of the cluster.
	Verify(req *web.Request) error
}

// Options configures an [Edge]. The zero value of a field is its default.
type Options struct {
	// Node names this edge in Cache-Status and CDN-Loop, Cluster the service
	// it belongs to, "weir" by default: a request that passed the same Node of
	// the same Cluster before is refused. Both are letters, digits, ".", "_"
	// and "-".
	Node, Cluster string

	Cache   *cache.Cache
	Origins func() []Origin // those to ask now, the preferred first; read at each fill
	Peers   Peers           // nil: alone
	Tokens  *token.Source   // nil or without a Verifier: everybody is served

	// QueryAll keys on the whole query and forwards it, as a general reverse
	// proxy does. Otherwise the path and the _HLS_* directives are all that
	// counts, and of the request's header only whether it accepts gzip.
	QueryAll bool

	// HonourRequests obeys what requests ask of a cache (no-cache, no-store,
	// max-age, min-fresh, max-stale; RFC 9111 section 5.2.1), which lets every
	// viewer send requests upstream. Otherwise only only-if-cached counts.
	HonourRequests bool

	// DropCookies keeps viewers' cookies from upstream under QueryAll. Where
	// there are Tokens no cookie is sent in any case, and no Authorization.
	DropCookies bool

	// HideVia leaves Via out of what is asked upstream. It is owed there (RFC
	// 9110 section 7.6.3), and nginx compresses nothing for who sends it unless
	// gzip_proxied says so.
	HideVia bool
	// Aware reads the playlists that go through. Nil: nobody does.
	Aware *Aware

	// CORSOrigins are the web origins, as "https://example.org", that may read
	// answers with credentials. Empty: any may, without.
	CORSOrigins []string

	// SliceOver is from how many bytes on an object is fetched and kept in slices
	// of Slice bytes, where upstream knows ranges of it; 0: none is. Slice is
	// 4 MiB by default; the cache must be able to keep one.
	SliceOver, Slice int64

	// SliceHeld is how many bytes of the cache those who read slices may hold
	// while they read, 32 slices by default. Beyond it they get copies piece by
	// piece, so that slow viewers of films leave room for what is live.
	SliceHeld int64

	// HideCacheStatus leaves Cache-Status away, which tells strangers what is
	// kept here.
	HideCacheStatus bool

	// How long a peer that is waited for may give no sign of life (HopTimeout,
	// 2 s), and how long to wait for the head of an answer of an origin
	// (OriginTimeout, 10 s), also where the request is one that an origin holds
	// until there is something to tell (BlockTimeout, 25 s; with HopTimeout it
	// should be less than the cache's FillTimeout).
	HopTimeout, OriginTimeout, BlockTimeout time.Duration

	// Hedge is how long an origin is waited for before the next one is asked
	// for a live object as well. 0: as long as it almost never takes; HedgeOff.
	Hedge time.Duration
	// Probe says how origins are probed, by RunProbes.
	Probe   Probe
	Clients *limit.Clients // how often one client may ask; nil: as often as it likes

	// Usage says what the node has in use. Where that comes near its limits, those
	// who watch go before those who begin, and DVR and VOD come last; Run must
	// run. nil: nobody is refused. Sessions is how many viewers are told apart
	// (65,536), 16 bytes each.
	Usage    func() Usage
	Sessions int

	// MinRate is how many bytes a second a client must take of the segment at a
	// path (0: not known). nil: of none.
	MinRate func(path string) int64

	Log        *slog.Logger          // nil: discard
	Registerer prometheus.Registerer // nil: metrics are kept but not registered
}

// An Edge answers viewers. It is a [web.Handler] and a [web.Quick].
type Edge struct {
	opts    Options
	cache   *cache.Cache
	cors    cors
	status  cacheStatus
	loop    loop
	origins origins
	via     string // "": none is sent
	relays  relays
	whole   wholes
	hedges  hedges
	held    atomic.Int64 // bytes of slices that viewers hold
	aware   *Aware       // nil: playlists are not read
	order   order
	seen    *limit.Seen
	log     *slog.Logger
	quiet   throttle
	metrics *metrics

	askGzip, askIdentity web.Header // what goes upstream unless QueryAll
}

// New returns an Edge.
func New(o Options) (*Edge, error) {
	if o.Cluster == "" {
		o.Cluster = "weir"
	}
	if o.Cache == nil || o.Origins == nil {
		return nil, errors.New("edge: Cache and Origins must be given")
	}
	if !plainName(o.Node) || !plainName(o.Cluster) {
		return nil, fmt.Errorf("edge: Node %q and Cluster %q must be 1 to 64 letters, digits, '.', '_' or '-'", o.Node, o.Cluster)
	}
	for d, def := range map[*time.Duration]time.Duration{
		&o.HopTimeout: 2 * time.Second, &o.OriginTimeout: 10 * time.Second, &o.BlockTimeout: 25 * time.Second,
	} {
		if *d == 0 {
			*d = def
		}
		if *d < 0 {
			return nil, errors.New("edge: timeouts must not be negative")
		}
	}
	if err := o.sliceDefaults(); err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	e := &Edge{opts: o, cache: o.Cache, log: o.Log}
	var err error
	if e.cors, err = newCORS(o.CORSOrigins); err != nil {
		return nil, err
	}
	e.status = newCacheStatus(o.Node, o.HideCacheStatus)
	e.loop = loop{cluster: o.Cluster, node: o.Node}
	if !o.HideVia {
		e.via = "1.1 " + o.Node
	}
	e.askGzip, e.askIdentity = asks("gzip", e.via), asks("identity", e.via)
	e.origins.list = o.Origins
	e.opts.Probe.complete()
	e.hedges.budget = bucket{max: hedgeBurst}
	if o.Usage != nil {
		e.seen = limit.NewSeen(cmp.Or(o.Sessions, 1<<16), sessionWindow, time.Now())
	}
	e.metrics = newMetrics(e, o.Registerer)
	if e.aware = o.Aware; e.aware != nil {
		e.aware.serve(e)
	}
	return e, nil
}

func plainName(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-') {
			return false
		}
	}
	return len(s) >= 1 && len(s) <= 64
}

// OriginsUp returns how many origins are not known to fail, of how many.
func (e *Edge) OriginsUp() (up, all int) { return e.origins.up(time.Now()) }

var (
	_ web.Handler = (*Edge)(nil)
	_ web.Quick   = (*Edge)(nil)
)

// Serve implements [web.Handler] for viewers. Refusals and failures are
// answers like any other, with the fields that let a player read them; the
// error is that of ctx alone.
func (e *Edge) Serve(ctx context.Context, req *web.Request) (*web.Response, error) {
	switch req.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodOptions:
		if !e.passesOptions(req) {
			return e.preflight(req), nil
		}
		return e.servePassed(ctx, req)
	default:
		if !e.passesMethod(req.Method) {
			return e.refuse(req, cache.Other, e.refusedMethod()), nil
		}
		return e.servePassed(ctx, req)
	}
	q, err := e.question(req)
	if err != nil {
		return e.refuse(req, q.class, err), nil
	}
	t, err := e.enter(req, &q)
	if err != nil {
		return e.refuse(req, q.class, err), nil
	}
	if e.special(req) {
		return e.negotiate(ctx, req, q, t)
	}
	if o, ok := e.cache.Lookup(q.lookup()); ok {
		return e.answer(ctx, req, &q, o, lookedUp(o), "")
	}
	return e.ask(ctx, req, q, t)
}

// TryServe implements [web.Quick]: it answers what lies in the cache, fresh.
func (e *Edge) TryServe(req *web.Request) (*web.Response, bool) {
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		return nil, false
	}
	q, err := e.question(req)
	if err != nil || q.personal || e.special(req) {
		return nil, false
	}
	o, ok := e.cache.Lookup(q.lookup())
	if !ok {
		return nil, false
	}
	if waits(req, o) {
		o.Release()
		return nil, false
	}
	if _, err := e.enter(req, &q); err != nil {
		o.Release()
		return e.refuse(req, q.class, err), true
	}
	resp, _ := e.answer(context.Background(), req, &q, o, lookedUp(o), "")
	return resp, true
}

// ask is what Serve does when the answer is not at hand.
func (e *Edge) ask(ctx context.Context, req *web.Request, q question, t ticket) (*web.Response, error) {
	if resp, ok := e.onlyStored(ctx, req, &q); ok {
		return resp, nil
	}
	if e.opts.QueryAll && req.Method == http.MethodHead && (q.fwd == fwdURI || q.fwd == fwdVary) {
		return e.pass(ctx, req, &q)
	}
	cq := e.wanted(&q)
	cq.NoPeer = e.owns(q.key)
	f := &fill{e: e, q: q, noPeer: cq.NoPeer}
	o, how, err := e.cache.Get(ctx, cq, f.heard)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if resp, ok := e.staleOnError(ctx, req, &q, err); ok {
			return resp, nil
		}
		return e.fail(req, &q, err), nil
	}
	// The wait may have been long: whoever was admitted before it may not be any more.
	if err := e.readmit(t, &q); err != nil {
		o.Release()
		return e.refuse(req, q.class, err), nil
	}
	q.upstream = int(f.status.Load())
	return e.answer(ctx, req, &q, o, how, f.from())
}

// lookedUp names what Lookup found: an object that still arrives is one that
// this viewer joins.
func lookedUp(o *cache.Object) cache.Outcome {
	if o.Filling() {
		return cache.Joined
	}
	return cache.Hit
}

// answer makes a viewer's answer of an object, which it releases.
func (e *Edge) answer(ctx context.Context, req *web.Request, q *question, o *cache.Object, how cache.Outcome, from string) (*web.Response, error) {
	now := time.Now()
	s := story{how: how, fwd: q.fwd, upstream: q.upstream, ttl: o.TTL(now), from: from}
	s.stored = how == cache.Hit || o.Stored(now)
	e.aware.touch(q, now)
	resp := o.Response(now)
	o.Release()
	if q.personal {
		if err := personalise(ctx, resp, token.QueryName+"="+q.token); err != nil {
			resp.Close()
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			return e.fail(req, q, err), nil
		}
	}
	resp, err := e.present(ctx, applicable(req), q, resp, false)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return e.fail(req, q, err), nil
	}
	e.demand(q, resp)
	resp.Header.Grow(3)
	e.status.tell(resp, s)
	e.cors.add(req, resp)
	e.metrics.count(q.class, outcomeOf(how), resp.Status)
	return resp, nil
}
