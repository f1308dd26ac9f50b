package node

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"mime/multipart"
	"net/http"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/cmd/weir/config"
)

var (
	tortureFor  = flag.Duration("torture", 8*time.Second, "how long the torture test lasts")
	tortureSeed = flag.Uint64("torture-seed", 0, "of the torture test's choices; 0: another one each time")
)

// slack is by how much an answer may be older than it says: ages are in whole
// seconds, at each of two edges, and who asks while a fill is in the air joins it.
const slack = 4 * time.Second

// Two edges before two origins that do everything wrong that a server can, asked
// by clients who do the same. Whatever a client gets is allowed, and when all
// have left nothing is held any more.
func TestTorture(t *testing.T) {
	seed := *tortureSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-torture-seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	s := &torture{t: t, things: newThings(r, 84), counts: map[string]int{}}
	t.Cleanup(func() { // after all others
		http.DefaultClient.CloseIdleConnections()
		eventually(t, "all goroutines of ours to end", func() bool { return ours() == 1 })
	})
	one := newTormentor(t, rand.New(rand.NewPCG(seed, 5)), s.things)
	two := newTormentor(t, rand.New(rand.NewPCG(seed, 6)), s.things)
	s.origins = []*tormentor{one, two}
	dir := t.TempDir()
	newAuthority(t, dir, "ca").pair("edge", "edge.example", time.Now().Add(time.Hour))
	for i := range 2 {
		c := edgeConfig(one.url(), two.url())
		c.Query, c.Name = config.QueryAll, fmt.Sprint("e", i+1)
		c.Cache.SliceOver, c.Cache.Slice = 512*config.KiB, 256*config.KiB
		c.Cache.Memory, c.Cache.MaxObject = 32*config.MiB, 1*config.MiB
		c.Cache.Disk = config.Disk{Dir: filepath.Join(dir, c.Name), Max: 64 * config.MiB}
		c.TLS.Listen, c.TLS.CertFile, c.TLS.KeyFile = "127.0.0.1:0", filepath.Join(dir, "edge.pem"), filepath.Join(dir, "edge.key")
		c.Cluster.Secret = "abcdefghijklmnop"
		c.Fetch.StallTimeout, c.Fetch.HeadTimeout = 2*time.Second, 2*time.Second
		if len(s.edges) > 0 {
			c.Cluster.Join = []string{s.edges[0].Addrs().Gossip}
		}
		s.edges = append(s.edges, startEdge(t, c))
	}
	for _, e := range s.edges {
		eventually(t, "two members", func() bool {
			code, body, err := try("GET", "http://"+e.Addrs().Admin+"/-/ready")
			return err == nil && code == 200 && strings.Contains(body, `"members": 2`)
		})
	}

	ctx, stop := context.WithTimeout(t.Context(), *tortureFor)
	defer stop()
	var all sync.WaitGroup
	for i := range 200 {
		own := rand.New(rand.NewPCG(r.Uint64(), 2))
		all.Go(func() { s.client(ctx, i+1, own) })
	}
	for range 3 {
		own := rand.New(rand.NewPCG(r.Uint64(), 3))
		all.Go(func() { s.writer(ctx, own) })
	}
	own := rand.New(rand.NewPCG(r.Uint64(), 4))
	all.Go(func() { s.weather(ctx, own) })
	all.Wait()
	for _, o := range s.origins {
		o.setDown(false)
		o.mu.Lock()
		for op, n := range o.ops {
			if n > 1 {
				t.Errorf("POST %s was obeyed %d times", op, n)
			}
		}
		o.mu.Unlock()
	}
	s.mu.Lock()
	t.Logf("%v", s.counts)
	for _, must := range []string{"200", "206", "304", "404", "302", "cut", "several"} {
		if s.counts[must] == 0 && s.counts["200"] > 500 {
			t.Errorf("no answer was %s: nothing was tested", must)
		}
	}
	s.mu.Unlock()
	s.nothingIsHeld()
}

// ours counts the goroutines that run code of this module.
func ours() (n int) {
	all := make([]byte, 4<<20)
	for g := range strings.SplitSeq(string(all[:runtime.Stack(all, true)]), "\n\n") {
		if strings.Contains(g, "weir/") {
			n++
		}
	}
	return n
}

// A torture is the oracle: it knows every version that was, and when.
type torture struct {
	t       *testing.T
	things  []*thing
	origins []*tormentor
	edges   []*running
	op      atomic.Int64

	mu     sync.Mutex
	counts map[string]int // guarded by mu: answers, by what they were
	said   int            // guarded by mu: violations
}

func (s *torture) bad(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.said++; s.said <= 30 {
		s.t.Errorf(format, args...)
	}
}

func (s *torture) count(what string) { s.mu.Lock(); defer s.mu.Unlock(); s.counts[what]++ }

// nothingIsHeld waits for both edges to come to rest.
func (s *torture) nothingIsHeld() {
	for _, e := range s.edges {
		for _, name := range []string{"weir_http_in_flight", "weir_cache_flights", "weir_cache_waiters", "weir_cache_parked_bytes", "weir_upstream_in_flight",
			"weir_upstream_waiting", "weir_edge_held", "weir_cache_disk_queue_bytes"} {
			for end := time.Now().Add(15 * time.Second); ; time.Sleep(20 * time.Millisecond) {
				n := e.counter(s.t, name)
				if n == 0 {
					break
				}
				if time.Now().After(end) {
					_, debug, _ := try("GET", "http://"+e.Addrs().Admin+"/debug/cache")
					s.t.Errorf("%s: %s is %v at rest\n%.3000s", e.Name(), name, n, debug)
					break
				}
			}
		}
		const idle = 256<<10 + 64<<10 // the disk's index takes the most of it
		var held float64
		for end := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			if held = e.counter(s.t, "weir_cache_bytes", "tier", "held"); held < idle || time.Now().After(end) {
				break
			}
		}
		if held >= idle {
			_, debug, _ := try("GET", "http://"+e.Addrs().Admin+"/debug/cache")
			s.t.Errorf("%s: %v bytes are held at rest\n%.3000s", e.Name(), held, debug)
		}
		for _, name := range []string{"weir_http_panics_total"} {
			if n := e.counter(s.t, name); n != 0 {
				s.t.Errorf("%s: %s is %v", e.Name(), name, n)
			}
		}
		if n := e.counter(s.t, "weir_cache_fill_errors_total", "reason", "panic"); n != 0 {
			s.t.Errorf("%s: %v fills panicked", e.Name(), n)
		}
	}
}

// weather changes things, and takes origins down for a moment.
func (s *torture) weather(ctx context.Context, r *rand.Rand) {
	for ctx.Err() == nil {
		time.Sleep(time.Duration(r.IntN(60)) * time.Millisecond)
		s.things[r.IntN(len(s.things))].change()
		switch r.IntN(40) {
		case 0:
			o := s.origins[r.IntN(2)]
			o.setDown(true)
			time.AfterFunc(time.Duration(r.IntN(400))*time.Millisecond, func() { o.setDown(false) })
		case 1:
			for _, o := range s.origins {
				o.setDown(true)
				time.AfterFunc(time.Duration(r.IntN(200))*time.Millisecond, func() { o.setDown(false) })
			}
		}
	}
}

// newHTTP makes a client's way to an edge.
func (s *torture) newHTTP(r *rand.Rand, e *running) (c *http.Client, base string) {
	tr := &http.Transport{DisableCompression: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, Protocols: new(http.Protocols)}
	base = "http://" + e.Addrs().Viewers
	secure, h2 := r.IntN(2) == 0, r.IntN(3) > 0
	if secure {
		base = "https://" + e.Addrs().ViewersTLS
	}
	tr.Protocols.SetHTTP1(!secure || !h2)
	tr.Protocols.SetHTTP2(secure && h2)
	return &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, base
}

// writer changes things through the edges. Only the edge that is written through
// forgets, and others may get what they have from the owner: written through one,
// the other and the first again it was once the owner first, and the other after.
func (s *torture) writer(ctx context.Context, r *rand.Rand) {
	var ways [2]*http.Client
	var bases [2]string
	for i := range ways {
		ways[i], bases[i] = s.newHTTP(r, s.edges[i])
		defer ways[i].CloseIdleConnections()
	}
	for ctx.Err() == nil {
		th := s.things[r.IntN(len(s.things))]
		first, from := -1, r.IntN(2)
		for i := range 3 {
			at := (from + i) % 2
			op := strconv.FormatInt(s.op.Add(1), 10)
			method := [...]string{"PUT", "POST"}[r.IntN(2)]
			var body io.Reader = strings.NewReader(string(uploadOf(op)))
			if r.IntN(2) == 0 {
				body = struct{ io.Reader }{body} // in chunks
			}
			req, err := http.NewRequestWithContext(ctx, method, bases[at]+th.path, body)
			if err != nil {
				s.bad("%v", err)
				return
			}
			req.Header.Set("X-Op", op)
			resp, err := ways[at].Do(req)
			if err != nil {
				first = -1
				break
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			s.count(method + " " + strconv.Itoa(resp.StatusCode))
			if resp.StatusCode != 200 {
				first = -1
				break
			}
			if v, err := strconv.Atoi(resp.Header.Get("X-Version")); err == nil && first < 0 && i == 0 {
				first = v
			}
		}
		if first >= 0 {
			th.mu.Lock()
			th.least = append(th.least, least{time.Now(), first})
			th.mu.Unlock()
		}
		time.Sleep(time.Duration(r.IntN(100)) * time.Millisecond)
	}
}

// A visitor is one client.
type visitor struct {
	*torture
	id   int
	r    *rand.Rand
	tags map[*thing]string // what it was told of each
}

func (s *torture) client(ctx context.Context, id int, r *rand.Rand) {
	v := &visitor{s, id, r, map[*thing]string{}}
	e := s.edges[id%2]
	c, base := s.newHTTP(r, e)
	defer c.CloseIdleConnections()
	for ctx.Err() == nil {
		th := s.things[min(r.IntN(len(s.things)), r.IntN(len(s.things)))]
		v.visit(ctx, c, base, e.Name(), th)
		time.Sleep(time.Duration(r.IntN(40)) * time.Millisecond)
	}
}

func (v *visitor) visit(ctx context.Context, c *http.Client, base, edge string, th *thing) {
	r := v.r
	leaves := r.IntN(10) == 0
	var cancel context.CancelFunc
	if leaves {
		ctx, cancel = context.WithTimeout(ctx, time.Duration(r.IntN(60))*time.Millisecond)
	} else {
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	}
	defer cancel()
	method := "GET"
	if r.IntN(10) == 0 {
		method = "HEAD"
	}
	req, err := http.NewRequestWithContext(ctx, method, base+th.path, nil)
	if err != nil {
		v.bad("%v", err)
		return
	}
	req.Header.Set("X-Client", strconv.Itoa(v.id))
	if r.IntN(2) == 0 {
		req.Header.Set("X-Lang", string(rune('a'+r.IntN(2))))
	}
	if r.IntN(2) == 0 {
		req.Header.Set("Accept-Encoding", [...]string{"gzip", "gzip, br", "br"}[r.IntN(3)])
	}
	if tag := v.tags[th]; tag != "" && r.IntN(3) == 0 {
		req.Header.Set("If-None-Match", tag)
	}
	if method == "GET" && r.IntN(3) == 0 {
		a, b := r.IntN(th.size+50), r.IntN(2000)
		req.Header.Set("Range", [...]string{fmt.Sprintf("bytes=%d-%d", a, a+b), fmt.Sprintf("bytes=%d-", a), fmt.Sprintf("bytes=-%d", 1+b),
			fmt.Sprintf("bytes=0-5,%d-%d,-7", a, a+b)}[r.IntN(4)])
		if tag := v.tags[th]; tag != "" && r.IntN(2) == 0 {
			req.Header.Set("If-Range", tag)
		}
	}
	asked := time.Now()
	resp, err := c.Do(req)
	if err != nil {
		if !leaves {
			v.count("cut")
			if e, ok := errors.AsType[interface {
				error
				Timeout() bool
			}](err); ok && e.Timeout() {
				v.bad("%s %s from %s: %v", method, th.path, edge, err)
			}
		}
		return
	}
	defer resp.Body.Close()
	var from io.Reader = resp.Body
	if leaves && r.IntN(2) == 0 {
		from = io.LimitReader(from, int64(r.IntN(5000)))
	}
	if r.IntN(30) == 0 {
		from = &slowly{from}
	}
	body, err := io.ReadAll(from)
	what := fmt.Sprintf("%s %s (rule %q, tags %q) of %s from %s %s with %v: %d", method, th.path, th.rule.fields, th.tags, asked.Format("05.000"), edge, resp.Proto, req.Header, resp.StatusCode)
	v.judge(what, th, req, asked, resp, body, err, leaves)
}

// slowly reads a little now and then.
type slowly struct{ io.Reader }

func (s *slowly) Read(p []byte) (int, error) {
	time.Sleep(5 * time.Millisecond)
	return s.Reader.Read(p[:min(len(p), 8<<10)])
}

// judge says whether an answer was allowed.
func (v *visitor) judge(what string, th *thing, req *http.Request, asked time.Time, resp *http.Response, body []byte, err error, left bool) {
	bad := func(format string, args ...any) {
		v.bad("%s\n\t%s\n\t%v", what, fmt.Sprintf(format, args...), resp.Header)
	}
	if !left {
		v.count(strconv.Itoa(resp.StatusCode))
	}
	if age := resp.Header.Get("Age"); age != "" {
		if n, err := strconv.Atoi(age); err != nil || n < 0 {
			bad("its age is %q", age)
		}
	}
	if c := resp.Header.Get("Set-Cookie"); c != "" && c != fmt.Sprintf("who=%d", v.id) {
		bad("a cookie of another client")
	}
	is, known := readTold(resp.Header.Get("X-Body"))
	if !known {
		is, known = readTag(resp.Header.Get("Etag"))
	}
	if !known && resp.StatusCode == 304 {
		is, known = readTag(req.Header.Get("If-None-Match"))
	}
	switch {
	case resp.StatusCode >= 500:
		th.mu.Lock()
		failed := th.failed
		th.mu.Unlock()
		if string(body) == "fault\n" && asked.Sub(failed) > time.Second+slack {
			bad("a failure of %v ago", asked.Sub(failed))
		}
		if known {
			bad("an error with the head of an answer")
		}
		return
	case resp.StatusCode == 416 && !known:
		return
	case !known:
		bad("nobody said that: %.100q", body)
		return
	}
	v.isAllowed(bad, th, req, asked, is)
	if tag := resp.Header.Get("Etag"); tag != "" && tag != th.tag(is) {
		bad("the tag is not that of %v", is)
	} else if tag == "" && th.tags != "" && resp.StatusCode == 200 {
		bad("the tag is missing")
	} else if tag != "" {
		v.tags[th] = tag
	}
	if l := resp.Header.Get("Location"); resp.StatusCode == 302 && l != fmt.Sprintf("/v/%d/%d", is.id, is.version) {
		bad("leads to %s", l)
	}
	whole := th.body(is)
	switch {
	case resp.StatusCode == 304:
		if req.Header.Get("If-None-Match") == "" || len(body) > 0 {
			bad("304 with %d bytes", len(body))
		}
	case req.Method == "HEAD":
		if n := resp.ContentLength; resp.StatusCode == 200 && n >= 0 && n != int64(len(whole)) {
			bad("a length of %d, want %d", n, len(whole))
		}
	case err != nil || left:
		if !left {
			v.count("cut")
		}
		if resp.StatusCode == 200 && string(body) != string(whole[:min(len(body), len(whole))]) {
			bad("the beginning of a body is wrong")
		}
	case resp.StatusCode == 206:
		v.part(bad, req, resp, body, whole)
	case string(body) != string(whole):
		bad("a whole body of %d bytes that is not the %d bytes of %v: %.64q", len(body), len(whole), is, body)
	}
}

func (v *visitor) part(bad func(string, ...any), req *http.Request, resp *http.Response, body, whole []byte) {
	if f := req.Header.Get("If-Range"); f != "" && f != resp.Header.Get("Etag") {
		bad("a part of what If-Range excludes")
	}
	slice := func(field string, got []byte) {
		var a, b, n int
		if k, _ := fmt.Sscanf(field, "bytes %d-%d/%d", &a, &b, &n); k < 2 || k == 3 && n != len(whole) || b < a || b >= len(whole) || string(got) != string(whole[a:b+1]) {
			bad("%q with %d bytes, of %d", field, len(got), len(whole))
		}
	}
	kind, params, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if kind != "multipart/byteranges" {
		slice(resp.Header.Get("Content-Range"), body)
		return
	}
	v.count("several")
	m := multipart.NewReader(strings.NewReader(string(body)), params["boundary"])
	for n := 0; ; n++ {
		p, err := m.NextRawPart()
		if err != nil {
			if !errors.Is(err, io.EOF) || n == 0 {
				bad("%d parts: %v", n, err)
			}
			return
		}
		got, _ := io.ReadAll(p)
		slice(p.Header.Get("Content-Range"), got)
	}
}

// isAllowed says whether this client may get this version at this time.
func (v *visitor) isAllowed(bad func(string, ...any), th *thing, req *http.Request, asked time.Time, is told) {
	th.mu.Lock()
	defer th.mu.Unlock()
	switch {
	case is.id != th.id || is.version < 0 || is.version >= len(th.born):
		bad("%v is of something else, or not yet", is)
		return
	case is.variant != th.variant(req.Header):
		bad("%v is another variant", is)
	case th.rule.own && is.client != v.id, !th.rule.own && is.client != 0:
		bad("%v is for another client", is)
	}
	for _, l := range th.least {
		if l.at.Before(asked) && is.version < l.version {
			bad("version %d is there since %v, and was written through both edges", l.version, asked.Sub(l.at))
			return
		}
	}
	if is.version+1 < len(th.born) {
		died := th.born[is.version+1]
		life := th.rule.life
		if th.rule.heuri {
			life = died.Sub(th.born[is.version])/9 + time.Second
		}
		if late := asked.Sub(died) - life; late > slack {
			bad("%v ended %v before it was asked for, %v more than allowed", is, asked.Sub(died), late)
		}
	}
}
