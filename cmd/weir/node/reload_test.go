package node

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/cmd/weir/config"
	"weir/token"
)

// upstream is a web server that answers everything and counts.
func upstream(t *testing.T, answer string) (url string, asked *atomic.Int64) {
	t.Helper()
	asked = new(atomic.Int64)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.Header().Set("Cache-Control", "max-age=60")
		fmt.Fprint(w, answer)
	}))
	t.Cleanup(s.Close)
	return s.URL, asked
}

// rereader gives a node the config that the test set last.
type rereader struct {
	mu  sync.Mutex
	cfg *config.Edge
	err error
}

func (r *rereader) set(change func(*config.Edge)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := *r.cfg
	change(&next)
	r.cfg = &next
}

func (r *rereader) read() (*config.Edge, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.cfg, r.err
}

func tokenKey(t *testing.T, id string) (config.TokenKey, token.Key) {
	t.Helper()
	private, public, err := token.GenerateKey(token.ES256, id)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := token.ParseKey(id, token.ES256, public)
	if err != nil {
		t.Fatal(err)
	}
	priv, err := token.ParseKey(id, token.ES256, private)
	if err != nil {
		t.Fatal(err)
	}
	return config.TokenKey{ID: id, Alg: "ES256", File: id + ".pem", Key: pub}, priv
}

func tokenFor(t *testing.T, k token.Key, path string) string {
	t.Helper()
	raw, err := token.Sign(k, token.Claims{Expires: time.Now().Add(time.Hour), Paths: []string{path}})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// A viewer whose token's key was taken away is out at the reload, one with the
// new key is in; nobody else notices, and what cannot change is named.
func TestReloadAppliesWhatCanChange(t *testing.T) {
	first, _ := upstream(t, "first")
	second, asked := upstream(t, "second")
	cfg := edgeConfig(first)
	cfg.Admin.Token = "0123456789abcdef"
	k1, sign1 := tokenKey(t, "k1")
	k2, sign2 := tokenKey(t, "k2")
	cfg.Tokens.Keys = []config.TokenKey{k1}
	src := &rereader{cfg: cfg}
	var level slog.LevelVar
	e := startEdge(t, cfg, func(o *Options[config.Edge]) { o.Reread, o.Level = src.read, &level })
	viewer := func(k token.Key, path string) (int, string) {
		return ask(t, "GET", "http://"+e.Addrs().Viewers+"/t/"+tokenFor(t, k, "/live/")+path)
	}
	if code, body := viewer(sign1, "/live/a.ts"); code != 200 || body != "first" {
		t.Fatal(code, body)
	}
	if code, _ := viewer(sign2, "/live/a.ts"); code != 403 {
		t.Fatal(code)
	}

	src.set(func(c *config.Edge) {
		c.Tokens.Keys = []config.TokenKey{k2}
		c.Origins = []string{second}
		c.Log.Level = "debug"
		c.Limits.Connections = 500
		c.Listen = "127.0.0.1:1"
		c.Cache.Memory = 128 * config.MiB
	})
	code, body := ask(t, "POST", "http://"+e.Addrs().Admin+"/-/reload", "Authorization", "Bearer 0123456789abcdef")
	if code != 200 {
		t.Fatal(code, body)
	}
	for _, want := range []string{`"origins"`, `"tokens.keys"`, `"limits.connections"`, `"log.level"`, `"needs_restart": [`, `"listen"`, `"cache.memory"`} {
		if !strings.Contains(body, want) {
			t.Errorf("%s is not told: %s", want, body)
		}
	}
	if code, _ := viewer(sign1, "/live/a.ts"); code != 403 {
		t.Errorf("the key that was taken away still opens: %d", code)
	}
	if code, body := viewer(sign2, "/live/b.ts"); code != 200 || body != "second" || asked.Load() != 1 {
		t.Errorf("%d %q, the new origin was asked %d times", code, body, asked.Load())
	}
	if code, body := viewer(sign2, "/live/a.ts"); code != 200 || body != "first" {
		t.Errorf("what was kept is gone: %d %q", code, body)
	}
	if level.Level() != slog.LevelDebug {
		t.Error("the log level did not change")
	}
	if n := e.counter(t, "weir_node_pending_restart"); n != 2 {
		t.Errorf("%v keys wait for a restart", n)
	}

	// A file that is wrong changes nothing.
	src.mu.Lock()
	src.err = errors.New("edge.yaml:3: cache.memroy: unknown key")
	src.mu.Unlock()
	code, body = ask(t, "POST", "http://"+e.Addrs().Admin+"/-/reload", "Authorization", "Bearer 0123456789abcdef")
	if code != 400 || !strings.Contains(body, "edge.yaml:3") {
		t.Error(code, body)
	}
	if code, _ := viewer(sign2, "/live/c.ts"); code != 200 {
		t.Error(code)
	}
	if n := e.counter(t, "weir_node_reloads_total", "result", "refused"); n != 1 {
		t.Errorf("%v reloads refused", n)
	}
}

// Viewers that come while limits change are served, every one.
func TestReloadOfLimitsLosesNobody(t *testing.T) {
	url, _ := upstream(t, "here")
	cfg := edgeConfig(url)
	src := &rereader{cfg: cfg}
	e := startEdge(t, cfg, func(o *Options[config.Edge]) { o.Reread = src.read })
	stop := make(chan struct{})
	var viewers sync.WaitGroup
	var served atomic.Int64
	for range 4 {
		viewers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if code, body, err := try("GET", "http://"+e.Addrs().Viewers+"/live/a.ts"); err != nil || code != 200 || body != "here" {
					t.Errorf("%d %q %v", code, body, err)
					return
				}
				served.Add(1)
			}
		})
	}
	for i := range 10 {
		src.set(func(c *config.Edge) { c.Limits.Connections = 100 + i })
		if _, err := e.Reload(); err != nil {
			t.Error(err)
		}
		before := served.Load()
		eventually(t, "viewers go on", func() bool { return t.Failed() || served.Load() > before+20 })
	}
	close(stop)
	viewers.Wait()

	// And they are in force: the second connection finds the door full.
	src.set(func(c *config.Edge) { c.Limits.Connections = 1 })
	if _, err := e.Reload(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a second connection is refused", func() bool {
		first, err := net.Dial("tcp", e.Addrs().Viewers)
		if err != nil {
			return false
		}
		defer first.Close()
		fmt.Fprintf(first, "GET /live/a.ts HTTP/1.1\r\nHost: x\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(first), nil)
		if err != nil || resp.StatusCode != 200 {
			return false // those before it are still there
		}
		code, _, err := try("GET", "http://"+e.Addrs().Viewers+"/live/a.ts")
		return err != nil || code == 503
	})
}

// Everything that can change changes at once, again and again, while a viewer downloads a
// film over each way in: none of them is cut, however short drain.timeout is; only the
// node's end does that.
func TestAReloadCutsNobodysDownload(t *testing.T) {
	const size = 24 << 20
	film := bytes.Repeat([]byte("film"), size/4)
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(size))
		_, _ = w.Write(film)
	}))
	defer slow.Close()
	dir := t.TempDir()
	ca := newAuthority(t, dir, "ca")
	ca.pair("edge", "edge.example", time.Now().Add(30*24*time.Hour))
	cfg := edgeConfig(slow.URL)
	cfg.Drain.Timeout = 100 * time.Millisecond
	cfg.TLS.Listen = "127.0.0.1:0"
	cfg.TLS.CertFile, cfg.TLS.KeyFile = filepath.Join(dir, "edge.pem"), filepath.Join(dir, "edge.key")
	src := &rereader{cfg: cfg}
	e := startEdge(t, cfg, func(o *Options[config.Edge]) { o.Reread = src.read })

	begin := func(c *http.Client, url string) io.ReadCloser {
		t.Helper()
		resp, err := c.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		return resp.Body
	}
	encrypted := "https://" + e.Addrs().ViewersTLS + "/live/"
	all := map[string]io.ReadCloser{
		"plain": begin(&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, "http://"+e.Addrs().Viewers+"/live/a.mp4"),
		"tls":   begin(ca.client(false, ""), encrypted+"b.mp4"),
		"h2":    begin(ca.client(true, ""), encrypted+"c.mp4"),
	}
	for i := range 4 {
		ca.pair("edge", "edge.example", time.Now().Add(time.Duration(40+i)*24*time.Hour))
		src.set(func(c *config.Edge) {
			c.Limits.Connections = 100 + i
			c.TLS.Streams = 100 + i
			c.Clients.Connections, c.Clients.Rate = 50+i, 1000+i
			c.Overload.Requests = 1000 + i
			c.Origins = []string{slow.URL, "http://127.0.0.1:" + strconv.Itoa(1+i)}
			c.Log.Requests = i%2 == 0
		})
		if done, err := e.Reload(); err != nil || len(done.Restart) > 0 || len(done.Live) < 6 {
			t.Fatalf("%+v %v", done, err)
		}
		time.Sleep(2 * cfg.Drain.Timeout)
	}
	for name, body := range all {
		if got, err := io.ReadAll(body); err != nil || !bytes.Equal(got, film) {
			t.Errorf("%s: %d bytes of %d, %v", name, len(got), size, err)
		}
	}

	last := begin(&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, "http://"+e.Addrs().Viewers+"/live/d.mp4")
	src.set(func(c *config.Edge) { c.Limits.Connections = 200 })
	if _, err := e.Reload(); err != nil {
		t.Fatal(err)
	}
	e.stop()
	if err := e.wait(t); err != nil {
		t.Error(err)
	}
	if got, err := io.ReadAll(last); err == nil {
		t.Errorf("a download outlives its node: %d bytes", len(got))
	}
	if !strings.Contains(e.log.String(), "under way since before a reload was cut") {
		t.Error("the log does not tell")
	}
}
