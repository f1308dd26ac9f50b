package node

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/cmd/weir/config"
)

// An issuer makes certificates, as files of PEM in dir.
type issuer struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// newIssuer writes its own certificate into NAME.pem.
func newIssuer(t *testing.T, dir, name string) *issuer {
	t.Helper()
	a := &issuer{t: t, dir: dir}
	a.issue(name, &x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

// issue writes NAME.pem and NAME.key.
func (a *issuer) issue(name string, c *x509.Certificate) (pair tls.Certificate) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c.SerialNumber = big.NewInt(time.Now().UnixNano())
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	if a.cert == nil {
		a.key = key
		a.cert, _ = x509.ParseCertificate(der)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{name + ".pem": {Type: "CERTIFICATE", Bytes: der}, name + ".key": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(filepath.Join(a.dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// fromFile is an edge's config from a file, on free ports of loopback.
func fromFile(t *testing.T, file, text string) *config.Edge {
	t.Helper()
	const rest = "\nlisten: 127.0.0.1:0\nadmin: {listen: \"127.0.0.1:0\"}\ndrain: {delay: 0s, timeout: 5s}\ncache: {memory: 64MiB, max_object: 16MiB}\n"
	if err := os.WriteFile(file, []byte(text+rest), 0o600); err != nil {
		t.Fatal(err)
	}
	c, _, err := config.LoadEdge(file)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// An origin behind TLS, which wants a certificate of its edges and serves many
// names: all from the operator's file, and changed by a reload.
func TestAnEdgeAsksAnOriginBehindMutualTLS(t *testing.T) {
	dir := t.TempDir()
	ca := newIssuer(t, dir, "ca")
	newIssuer(t, dir, "stranger")
	ca.issue("edge", &x509.Certificate{Subject: pkix.Name{CommonName: "edge"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	var asked atomic.Int64
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.Header().Set("Cache-Control", "max-age=60")
		fmt.Fprintf(w, "%s %s for %s, %s", r.Proto, r.Host, r.TLS.PeerCertificates[0].Subject.CommonName, r.Header.Get("X-Tenant"))
	}))
	srv.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool,
		Certificates: []tls.Certificate{ca.issue("origin", &x509.Certificate{DNSNames: []string{"origin.internal"}})}}
	srv.StartTLS()
	defer srv.Close()

	file := filepath.Join(dir, "edge.yaml")
	rules := "origins: [" + srv.URL + "]\norigin_host: media.example\norigin_headers: {x-tenant: a secret of ours}\norigin_tls: {ca_file: %s.pem, cert_file: edge.pem, key_file: edge.key, server_name: %s}\n"
	cfg := &rereader{cfg: fromFile(t, file, fmt.Sprintf(rules, "ca", "origin.internal"))}
	r := startEdge(t, cfg.cfg, func(o *Options[config.Edge]) { o.Reread = cfg.read })
	get := func(path string) (int, string) { t.Helper(); return ask(t, "GET", "http://"+r.Addrs().Viewers+path) }
	if status, body := get("/live/a.m4s"); status != 200 || body != "HTTP/1.1 media.example for edge, a secret of ours" {
		t.Fatalf("%d %q", status, body)
	}
	if effective := string(cfg.cfg.Effective()); strings.Contains(effective, "secret of ours") || !strings.Contains(effective, `X-Tenant: "********"`) {
		t.Errorf("weir check shows\n%s", effective)
	}

	refused := func(path, says string) {
		t.Helper()
		before := asked.Load()
		status, body := get(path)
		if status != 502 || asked.Load() != before || strings.Contains(body, "origin_tls") {
			t.Errorf("%s: %d %q, asked %d times", path, status, body, asked.Load()-before)
		}
		eventually(t, "the log to say "+says, func() bool { return strings.Contains(r.log.String(), says) })
	}
	reload := func(text string) {
		t.Helper()
		cfg.set(func(c *config.Edge) { *c = *fromFile(t, file, text) })
		if done, err := r.Reload(); err != nil || len(done.Restart) > 0 || len(done.Live) == 0 {
			t.Fatalf("%+v %v", done, err)
		}
	}
	reload(fmt.Sprintf(rules, "stranger", "origin.internal"))
	refused("/live/b.m4s", "origin_tls.ca_file")
	time.Sleep(1100 * time.Millisecond) // the origin rests for a second
	reload(fmt.Sprintf(rules, "ca", "other.internal"))
	if status, _ := get("/live/a.m4s"); status != 200 {
		t.Errorf("what was kept: %d", status)
	}
	refused("/live/c.m4s", "reason=upstream_tls")
	reload(fmt.Sprintf(rules, "ca", "origin.internal"))
	if status, _ := get("/live/d.m4s"); status != 200 {
		t.Errorf("after the right rules came back: %d", status)
	}
	if n := r.counter(t, "weir_upstream_requests_total", "outcome", "upstream_tls"); n < 2 {
		t.Errorf("%v counted", n)
	}
}

func TestInsecureIsSaidAndWarnedOf(t *testing.T) {
	dir := t.TempDir()
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "anybody") }))
	defer srv.Close()
	c := fromFile(t, filepath.Join(dir, "edge.yaml"), "origins: ["+srv.URL+"]\norigin_tls: {insecure: true}\n")
	if w := strings.Join(c.Warnings(), "\n"); !strings.Contains(w, "origin_tls.insecure") {
		t.Errorf("warnings: %s", w)
	}
	r := startEdge(t, c)
	if status, body := ask(t, "GET", "http://"+r.Addrs().Viewers+"/a.m4s"); status != 200 || body != "anybody" {
		t.Errorf("%d %q", status, body)
	}
}

// Probes run in the node: an origin that is down is known to be before anybody
// asks for anything, and /metrics says so.
func TestProbesRunInTheNode(t *testing.T) {
	well, _ := upstream(t, "well")
	c := edgeConfig("http://127.0.0.1:1", well)
	c.Fetch.Probe = config.Probe{Path: "/health", Every: 100 * time.Millisecond, Timeout: 100 * time.Millisecond, Status: 200, Down: 2, Up: 1}
	r := startEdge(t, c)
	eventually(t, "the dead origin to be found", func() bool {
		return r.counter(t, "weir_edge_origin_up", "origin", "http://127.0.0.1:1") == 0 && r.counter(t, "weir_edge_origin_up", "origin", well) == 1
	})
	before := r.counter(t, "weir_edge_failovers_total")
	if status, body := ask(t, "GET", "http://"+r.Addrs().Viewers+"/a.m4s"); status != 200 || body != "well" {
		t.Errorf("%d %q", status, body)
	}
	if n := r.counter(t, "weir_edge_failovers_total"); n != before {
		t.Error("a viewer had to find out")
	}
	if n := strings.Count(r.log.String(), "probes find an origin down"); n != 1 {
		t.Errorf("the log says it %d times", n)
	}
}

// A redirect is an answer for the viewer. Where it leads to is never asked by
// the edge: not by an upstream's word, nor by a playlist's, nor by a viewer's.
func TestNobodyMakesAnEdgeAskAnotherHost(t *testing.T) {
	var mu sync.Mutex
	var strange []string
	inside := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		strange = append(strange, r.URL.String())
	}))
	defer inside.Close()
	var asked atomic.Int64
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if strings.HasSuffix(r.URL.Path, ".m3u8") {
			w.Header().Set("Content-Type", "application/vnd.apple.mpegurl")
			fmt.Fprintf(w, "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:1\n#EXT-X-KEY:METHOD=AES-128,URI=\"%[1]s/key\"\n#EXT-X-MAP:URI=\"%[1]s/init.mp4\"\n#EXTINF:2,\n%[1]s/1.m4s\n", inside.URL)
			port := inside.URL[strings.LastIndexByte(inside.URL, ':')+1:]
			for _, uri := range []string{"//127.0.0.1:%s/a.m4s", "http://origin@127.0.0.1:%s/b.m4s", "http://2130706433:%s/c.m4s", "http://0x7f.1:%s/d.m4s", "http://0177.0.0.1:%s/e.m4s",
				"http://[::ffff:127.0.0.1]:%s/f.m4s", "http://localhost:%s/g.m4s", "\\\\127.0.0.1:%s\\h.m4s", "/\\127.0.0.1:%s/i.m4s", "http:/127.0.0.1:%s/j.m4s", "http:127.0.0.1:%s/k.m4s",
				"/@127.0.0.1:%s/l.m4s", "//169.254.169.254:%s/latest/m.m4s", "http://[fe80::1]:%s/n.m4s", "file:///etc/passwd?%s", "gopher://127.0.0.1:%s/o.m4s"} {
				fmt.Fprintf(w, "#EXTINF:2,\n"+uri+"\n", port)
			}
			return
		}
		w.Header().Set("Location", inside.URL+"/latest/meta-data")
		w.WriteHeader(302)
	}))
	defer origin.Close()
	for _, query := range []string{config.QueryHLS, config.QueryAll} {
		c := edgeConfig(origin.URL)
		c.Query = query
		r := startEdge(t, c)
		before := asked.Load()
		resp, err := (&http.Transport{}).RoundTrip(newRequest(t, "http://"+r.Addrs().Viewers+"/live/moved.m4s"))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != 302 || resp.Header.Get("Location") != inside.URL+"/latest/meta-data" || asked.Load() != before+1 {
			t.Errorf("%s: %d to %q, asked %d times", query, resp.StatusCode, resp.Header.Get("Location"), asked.Load()-before)
		}
		for range 2 {
			if status, _ := ask(t, "GET", "http://"+r.Addrs().Viewers+"/live/"+query+"/index.m3u8"); status != 200 {
				t.Errorf("%s: a playlist: %d", query, status)
			}
		}
		// What a viewer writes into the request line or Host.
		host := strings.TrimPrefix(inside.URL, "http://")
		for _, line := range []string{"GET " + inside.URL + "/x HTTP/1.1", "GET //" + host + "/x HTTP/1.1", "GET /@" + host + "/x HTTP/1.1", "CONNECT " + host + " HTTP/1.1", "GET /x.m4s HTTP/1.1"} {
			conn, err := net.Dial("tcp", r.Addrs().Viewers)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(conn, "%s\r\nHost: %s\r\nConnection: close\r\n\r\n", line, host)
			_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
			_, _ = io.Copy(io.Discard, conn)
			_ = conn.Close()
		}
	}
	time.Sleep(50 * time.Millisecond) // whatever would be fetched ahead
	mu.Lock()
	defer mu.Unlock()
	if len(strange) > 0 {
		t.Errorf("asked behind the viewer's back: %v", strange)
	}
}

func newRequest(t *testing.T, url string) *http.Request {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return req
}
