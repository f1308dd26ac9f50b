package sim

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"weir/bench"
	"weir/internal/web"
	"weir/playlist"
)

// A group is viewers who asked for the same thing at the same moment.
type group struct {
	cancel context.CancelFunc
	size   int

	mu     sync.Mutex
	done   map[string]int  // by what they got
	bodies map[uint64]bool // hashes of whole bodies
	began  int             // how many have at least a byte of a body
	told   string          // what was said of them last
}

// viewers N get CHANNEL[/RENDITION [segment last|N|-N | init | window]] [at=e1,e2]: N
// viewers, spread over the edges, ask at the same moment; for a window each asks
// for one listed segment after the other.
func (w *world) viewers(l line) (string, error) {
	n, err := strconv.Atoi(l.word(1))
	if err != nil || l.word(2) != "get" {
		return "", errors.New("want: viewers N get CHANNEL[/RENDITION] [segment last|init]")
	}
	paths, err := w.targets(l)
	if err != nil {
		return "", err
	}
	edges, err := w.edgesOf(l)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithCancel(w.ctx)
	g := &group{cancel: cancel, size: n * len(paths), done: map[string]int{}, bodies: map[uint64]bool{}}
	w.groups = append(w.groups, g)
	for i := range n {
		go g.view(ctx, seat{w.seat(), edges[i%len(edges)].viewers}, paths)
	}
	w.settle()
	return w.answers(), nil
}

// view is one viewer's requests.
func (g *group) view(ctx context.Context, h web.Handler, paths []string) {
	for _, path := range paths {
		what, sum := ask(ctx, h, path, func() { g.mu.Lock(); g.began++; g.mu.Unlock() })
		g.mu.Lock()
		g.done[what]++
		if sum != 0 {
			g.bodies[sum] = true
		}
		g.mu.Unlock()
	}
}

// ask makes one request and returns what became of it, and a hash of the body
// if that came whole. It calls began once, with the body's first bytes.
func ask(ctx context.Context, h web.Handler, path string, began func()) (what string, sum uint64) {
	p, query, _ := strings.Cut(path, "?")
	resp, err := h.Serve(ctx, &web.Request{Method: http.MethodGet, Path: p, Query: query, Host: "sim"})
	if err != nil {
		return strconv.Itoa(web.StatusOf(err)), 0
	}
	defer resp.Close()
	if resp.Body == nil {
		return strconv.Itoa(resp.Status), 0
	}
	hash := fnv.New64a()
	if _, _, err := web.Await(ctx, resp.Body, 0); err == nil {
		began()
	}
	if _, err := web.Copy(ctx, hash, resp.Body, 0); err != nil {
		return "cut", 0
	}
	return strconv.Itoa(resp.Status), hash.Sum64()
}

// answers tells what became of the viewers, where that has changed.
func (w *world) answers() string {
	var out []string
	for i, g := range w.groups {
		if s := g.String(); s != g.told {
			g.told = s
			if len(w.groups) > 1 {
				s = fmt.Sprintf("group %d, %s", i+1, s)
			}
			out = append(out, s)
		}
	}
	return strings.Join(out, "\n")
}

// String is how the group stands.
func (g *group) String() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	answered := 0
	for _, n := range g.done {
		answered += n
	}
	s := fmt.Sprintf("viewers %d:", g.size)
	if waiting := g.size - answered; waiting > 0 {
		s += fmt.Sprintf(" waiting %d (%d have bytes)", waiting, g.began-answered)
	}
	for _, what := range slices.Sorted(maps.Keys(g.done)) {
		s += fmt.Sprintf(" %s ×%d", what, g.done[what])
	}
	if n := len(g.bodies); n > 0 {
		s += fmt.Sprintf(", different bodies %d", n)
	}
	return s
}

// players N CHANNEL [at=...] [rung=0]: N players play the channel from now on, each able
// to move to any of the edges.
func (w *world) players(l line) (string, error) {
	n, err := strconv.Atoi(l.word(1))
	if err != nil {
		return "", err
	}
	edges, err := w.edgesOf(l)
	if err != nil {
		return "", err
	}
	rung, err := l.number("rung", 0)
	if err != nil {
		return "", err
	}
	for i := range n {
		var hs []web.Handler
		at := w.seat()
		for j := range edges {
			hs = append(hs, seat{at, edges[(i+j)%len(edges)].viewers})
		}
		v, err := bench.NewViewer(bench.ViewerOptions{Edges: hs, Path: "/live/" + l.word(2) + "/index.m3u8", Rung: rung, Stats: &w.stats})
		if err != nil {
			return "", err
		}
		w.audiences = append(w.audiences, w.run(v.Play))
	}
	w.swarm += n
	w.settle()
	return "", nil
}

// edgesOf returns the edges an at= option names, all that live without one.
func (w *world) edgesOf(l line) ([]*edgeNode, error) {
	var es []*edgeNode
	if at := l.opts["at"]; at != "" {
		for name := range strings.SplitSeq(at, ",") {
			e := w.edge(name)
			if e == nil {
				return nil, fmt.Errorf("no edge %q", name)
			}
			es = append(es, e)
		}
		return es, nil
	}
	for _, e := range w.edges {
		if !e.dead {
			es = append(es, e)
		}
	}
	return es, nil
}

// targets returns the paths that a command's words mean.
func (w *world) targets(l line) (paths []string, err error) {
	if l.word(4) != "window" {
		path, err := w.target(l)
		return []string{path}, err
	}
	m, err := w.listing(l.word(3))
	if err != nil {
		return nil, err
	}
	for _, s := range m.Segments {
		paths = append(paths, "/live/"+l.word(3)+"/"+s.URI)
	}
	return paths, nil
}

// target returns the path that a command's words mean.
func (w *world) target(l line) (string, error) {
	base := "/live/" + l.word(3)
	if l.word(4) == "" {
		return base + "/index.m3u8" + query(l), nil
	}
	m, err := w.listing(l.word(3))
	if err != nil {
		return "", err
	}
	switch {
	case len(m.Segments) == 0:
		return "", errors.New("nothing is listed")
	case l.word(4) == "init":
		return base + "/" + m.Segments[0].Map.URI, nil
	case l.word(4) != "segment":
		return "", fmt.Errorf("%q: want segment or init", l.word(4))
	}
	i := len(m.Segments) - 1
	if ahead, ok := strings.CutPrefix(l.word(5), "+"); ok {
		n, err := strconv.ParseUint(ahead, 10, 64)
		return base + "/" + nameAhead(m.Segments[i].URI, n), err
	}
	if l.word(5) != "last" {
		if i, err = strconv.Atoi(l.word(5)); err != nil || i < 0 || i >= len(m.Segments) {
			return "", fmt.Errorf("segment %q: want last, +N or 0 to %d", l.word(5), len(m.Segments)-1)
		}
	}
	return base + "/" + m.Segments[i].URI, nil
}

// nameAhead is what the nth segment after one with the name epoch-number.ext will
// be called.
func nameAhead(name string, n uint64) string {
	epoch, rest, _ := strings.Cut(name, "-")
	digits, ext, _ := strings.Cut(rest, ".")
	was, _ := strconv.ParseUint(digits, 10, 64)
	return fmt.Sprintf("%s-%d.%s", epoch, was+n, ext)
}

func query(l line) string {
	if q := l.opts["query"]; q != "" {
		return "?" + q
	}
	return ""
}

// listing is what the first origin lists now, asked past every counter.
func (w *world) listing(rendition string) (*playlist.Media, error) {
	resp, err := w.origins[0].origin.Viewers().Serve(w.ctx, &web.Request{Method: http.MethodGet, Path: "/live/" + rendition + "/index.m3u8"})
	if err != nil {
		return nil, err
	}
	defer resp.Close()
	p, err := web.ReadAll(w.ctx, resp.Body, 1<<20)
	if err != nil {
		return nil, err
	}
	return playlist.ParseMedia(p)
}

// show CHANNEL/RENDITION: what is listed, a letter a segment: s for media, g for
// a gap, with D before a discontinuity.
func (w *world) show(l line) (string, error) {
	m, err := w.listing(l.word(1))
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, s := range m.Segments {
		if s.Discontinuity {
			b.WriteString("D")
		}
		if s.Gap {
			b.WriteString("g")
		} else {
			b.WriteString("s")
		}
	}
	return fmt.Sprintf("%s: target %d, discontinuity sequence %d, %d segments %s", l.word(1), m.TargetDuration, m.DiscontinuitySequence, len(m.Segments), b.String()), nil
}
