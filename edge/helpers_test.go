package edge

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"weir/cache"
	"weir/internal/spool"
	"weir/internal/web"
	"weir/token"
)

const mediaPlaylist = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:2\n#EXT-X-MAP:URI=\"init.mp4\"\n#EXTINF:2,\nseg1.m4s\n"

// fake is an upstream that counts.
type fake struct {
	mu     sync.Mutex
	asked  []*web.Request
	answer func(ctx context.Context, req *web.Request) (*web.Response, error)
}

func (f *fake) Serve(ctx context.Context, req *web.Request) (*web.Response, error) {
	f.mu.Lock()
	f.asked = append(f.asked, req)
	f.mu.Unlock()
	return f.answer(ctx, req)
}

func (f *fake) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.asked)
}

func (f *fake) last() *web.Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked[len(f.asked)-1]
}

// media answers every path with a body that names it.
func media(_ context.Context, req *web.Request) (*web.Response, error) {
	if strings.HasSuffix(req.Path, ".m3u8") {
		return web.NewResponse(200, web.String(mediaPlaylist), "Content-Type", "application/vnd.apple.mpegurl",
			"Cache-Control", "max-age=1", "ETag", `"p1"`, "Date", web.FormatHTTPDate(time.Now())), nil
	}
	return web.NewResponse(200, web.String("bytes of "+req.Path), "Content-Type", "video/mp4",
		"Cache-Control", "max-age=3600, immutable", "ETag", `"`+req.Path+`"`, "Date", web.FormatHTTPDate(time.Now())), nil
}

func unreachable(context.Context, *web.Request) (*web.Response, error) {
	return nil, &web.Error{Status: 502, Reason: reasonUnreachable, Err: errors.New("connection refused")}
}

func silent(ctx context.Context, _ *web.Request) (*web.Response, error) {
	<-ctx.Done()
	return nil, context.Cause(ctx)
}

func answering(status int, text string, pairs ...string) func(context.Context, *web.Request) (*web.Response, error) {
	return func(context.Context, *web.Request) (*web.Response, error) {
		return web.NewResponse(status, web.String(text), pairs...), nil
	}
}

// newEdge makes an edge before the given origins. Its slab must be empty in the end.
func newEdge(t testing.TB, o Options, origins ...web.Handler) *Edge {
	t.Helper()
	slab := spool.NewSlab(spool.SlabOptions{Poison: true})
	if o.Cache == nil {
		c, err := cache.New(cache.Options{Bytes: 64 << 20, Slab: slab})
		if err != nil {
			t.Fatal(err)
		}
		o.Cache = c
	}
	if o.Node == "" {
		o.Node = "e1"
	}
	if o.Registerer == nil {
		o.Registerer = prometheus.NewRegistry()
	}
	var list []Origin
	for i, h := range origins {
		list = append(list, Origin{fmt.Sprintf("o%d", i+1), h})
	}
	if o.Origins == nil {
		o.Origins = func() []Origin { return list }
	}
	e, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		o.Cache.Close()
		for end := time.Now().Add(time.Second); slab.InUse() != 0 && time.Now().Before(end); {
			time.Sleep(time.Millisecond) // a peer's fill may just be letting go of our body
		}
		if n := slab.InUse(); n != 0 {
			t.Errorf("%d bytes were never given back", n)
		}
	})
	return e
}

func request(method, target string, pairs ...string) *web.Request {
	path, query, _ := strings.Cut(target, "?")
	return &web.Request{Method: method, Path: path, Query: query, Host: "edge", Header: web.NewHeader(pairs...),
		Remote: netip.MustParseAddrPort("192.0.2.1:1234")}
}

// got is an answer with its body read.
type got struct {
	*web.Response
	text string
	err  error // of the body
}

// flat returns the header of an answer, as a pointer for its methods.
func flat(g got) *web.Header {
	h := g.Flatten()
	return &h
}

func ask(t testing.TB, h web.Handler, req *web.Request) got {
	t.Helper()
	resp, err := h.Serve(context.Background(), req)
	if err != nil {
		t.Errorf("%s %s: %v", req.Method, req.Path, err)
		return got{Response: &web.Response{}}
	}
	return read(resp)
}

func read(resp *web.Response) got {
	g := got{Response: resp}
	if resp.Body != nil {
		var p []byte
		p, g.err = web.ReadAll(context.Background(), resp.Body, 64<<20)
		g.text = string(p)
		resp.Body.Close()
		resp.Body = nil
	}
	return g
}

func get(t testing.TB, h web.Handler, target string, pairs ...string) got {
	t.Helper()
	return ask(t, h, request("GET", target, pairs...))
}

// crowd asks the same n times at once and returns the answers.
func crowd(h web.Handler, n int, target func(i int) *web.Request) []got {
	answers := make([]got, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			resp, err := h.Serve(context.Background(), target(i))
			if err != nil {
				answers[i] = got{Response: &web.Response{}, err: err}
				return
			}
			answers[i] = read(resp)
		})
	}
	all.Wait()
	return answers
}

// ring is a cluster as one edge sees it.
type ring struct {
	self  string
	owner func(key string) string // its own name: it asks the origins
	peers map[string]*ringPeer

	mu     sync.Mutex
	failed []string
	sour   bool // refuses whatever proof
}

type ringPeer struct {
	name string
	web.Handler
}

func (p *ringPeer) Name() string { return p.name }

func (p *ringPeer) Serve(ctx context.Context, req *web.Request) (*web.Response, error) {
	req.Header.Set("Weir-Peer", "proof")
	return p.Handler.Serve(ctx, req)
}

func (r *ring) Owner(key string) (Peer, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	name := r.owner(key)
	if name == r.self || slices.Contains(r.failed, name) {
		return nil, true
	}
	return r.peers[name], false
}

func (r *ring) Failed(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = append(r.failed, name)
}

func (r *ring) Verify(req *web.Request) error {
	if r.sour || req.Header.Get("Weir-Peer") != "proof" {
		return &web.Error{Status: 403, Reason: "peer_proof", Err: errors.New("no proof")}
	}
	return nil
}

func (r *ring) failures() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.failed)
}

// cluster makes n edges e1, e2, … before one set of origins; owner says who
// owns a key, as each of them sees it.
func cluster(t testing.TB, n int, owner func(self, key string) string, o Options, origins ...web.Handler) ([]*Edge, []*ring) {
	t.Helper()
	edges, rings := make([]*Edge, n), make([]*ring, n)
	for i := range n {
		self := fmt.Sprintf("e%d", i+1)
		rings[i] = &ring{self: self, owner: func(key string) string { return owner(self, key) }, peers: map[string]*ringPeer{}}
		each := o
		each.Node, each.Peers = self, rings[i]
		edges[i] = newEdge(t, each, origins...)
	}
	for _, r := range rings {
		for i, e := range edges {
			name := fmt.Sprintf("e%d", i+1)
			r.peers[name] = &ringPeer{name, e.PeerHandler()}
		}
	}
	return edges, rings
}

func owned(by string) func(self, key string) string {
	return func(string, string) string { return by }
}

// signer makes tokens, and the Source that accepts them.
func signer(t testing.TB) (*token.Source, func(ttl time.Duration, paths ...string) string) {
	t.Helper()
	key, err := token.ParseKey("k1", token.HS256, []byte("raw:0123456789abcdef0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	v, err := token.New(token.Options{Keys: []token.Key{key}})
	if err != nil {
		t.Fatal(err)
	}
	src := new(token.Source)
	src.Store(v)
	n := 0
	return src, func(ttl time.Duration, paths ...string) string {
		n++
		raw, err := token.Sign(key, token.Claims{ID: fmt.Sprint(n), Expires: time.Now().Add(ttl), Paths: paths})
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
}

func netipPort(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, 1}), uint16(i))
}
