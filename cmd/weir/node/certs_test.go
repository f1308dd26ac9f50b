package node

import (
	"context"
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
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/cmd/weir/config"
)

// authority signs certificates for a test.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	n    int64
}

func newAuthority(t *testing.T, dir, name string) *authority {
	t.Helper()
	a := &authority{t: t, dir: dir}
	a.cert, a.key = a.sign(name, time.Now().Add(time.Hour), true)
	a.write(name+".pem", "CERTIFICATE", a.cert.Raw)
	return a
}

func (a *authority) sign(name string, until time.Time, ca bool) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	a.n++
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(a.n), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: until, IsCA: ca, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	by, signer := tmpl, key
	if !ca {
		tmpl.DNSNames, tmpl.IPAddresses = []string{name}, []net.IP{net.IPv4(127, 0, 0, 1)}
		by, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, by, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

func (a *authority) write(file, kind string, der []byte) {
	a.t.Helper()
	if err := os.WriteFile(filepath.Join(a.dir, file), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

// pair writes FILE.pem and FILE.key for a name.
func (a *authority) pair(file, name string, until time.Time) *x509.Certificate {
	a.t.Helper()
	cert, key := a.sign(name, until, false)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(file+".pem", "CERTIFICATE", cert.Raw)
	a.write(file+".key", "PRIVATE KEY", der)
	return cert
}

// client trusts a, and shows the pair that is in FILE, if there is one.
func (a *authority) client(h2 bool, file string) *http.Client {
	a.t.Helper()
	cfg := &tls.Config{RootCAs: x509.NewCertPool()}
	cfg.RootCAs.AddCert(a.cert)
	if file != "" {
		pair, err := tls.LoadX509KeyPair(filepath.Join(a.dir, file+".pem"), filepath.Join(a.dir, file+".key"))
		if err != nil {
			a.t.Fatal(err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	tr := &http.Transport{TLSClientConfig: cfg, Protocols: new(http.Protocols)}
	tr.Protocols.SetHTTP1(!h2)
	tr.Protocols.SetHTTP2(h2)
	a.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 10 * time.Second}
}

func getOver(c *http.Client, url string) (status int, body string, err error) {
	defer c.CloseIdleConnections()
	resp, err := c.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

func write(t *testing.T, file, text string) string {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// An origin whose only door wants certificates of edges: one that the authority signed
// gets streams, over both protocols, and nobody else.
func TestOriginAdmitsOnlyCertificatesItKnows(t *testing.T) {
	dir := t.TempDir()
	ca, other := newAuthority(t, dir, "ca"), newAuthority(t, dir, "other")
	ca.pair("origin", "origin.example", time.Now().Add(30*24*time.Hour))
	ca.pair("edge1", "edge1.example", time.Now().Add(time.Hour))
	other.pair("stranger", "edge1.example", time.Now().Add(time.Hour))
	file := write(t, filepath.Join(dir, "origin.yaml"), `
listen: none
tls: {listen: "127.0.0.1:0", cert_file: origin.pem, key_file: origin.key, client_ca_file: ca.pem}
access: {mode: mtls}
ingest: {listen: "127.0.0.1:0"}
store: {memory: 64MiB}
admin: {listen: "127.0.0.1:0"}
drain: {delay: 0s, timeout: 5s}
`)
	cfg, warn, err := config.LoadOrigin(file)
	if err != nil || len(warn) > 0 {
		t.Fatal(err, warn)
	}
	o := startOrigin(t, cfg)
	if a := o.Addrs(); a.Viewers != "" || a.ViewersTLS == "" {
		t.Fatalf("listens on %+v", a)
	}
	pushClip(t, o.Addrs().Ingest, "", "news")
	url := "https://" + o.Addrs().ViewersTLS + "/live/news/main/index.m3u8"
	for _, h2 := range []bool{true, false} {
		if code, body, err := getOver(ca.client(h2, "edge1"), url); code != 200 || !strings.HasPrefix(body, "#EXTM3U") {
			t.Errorf("h2 %v: %d %.40q %v", h2, code, body, err)
		}
		for _, file := range []string{"", "stranger"} {
			c := ca.client(h2, file)
			c.Transport.(*http.Transport).TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				if all := c.Transport.(*http.Transport).TLSClientConfig.Certificates; len(all) > 0 {
					return &all[0], nil
				}
				return &tls.Certificate{}, nil
			}
			if code, _, err := getOver(c, url); err == nil {
				t.Errorf("h2 %v, certificate %q: status %d", h2, file, code)
			}
		}
	}
}

// The encrypted listener beside the plain one of an edge: the same streams, the same
// limits, and certificates that are renewed under it.
func TestEdgeServesOverTLSAndTakesRenewedCertificates(t *testing.T) {
	origin, _ := upstream(t, "here")
	dir := t.TempDir()
	ca := newAuthority(t, dir, "ca")
	soon := time.Now().Add(30 * time.Minute).Truncate(time.Second)
	first := ca.pair("edge", "edge.example", soon)
	cfg := edgeConfig(origin)
	cfg.TLS.Listen = "127.0.0.1:0"
	cfg.TLS.CertFile, cfg.TLS.KeyFile = filepath.Join(dir, "edge.pem"), filepath.Join(dir, "edge.key")
	src := &rereader{cfg: cfg}
	e := startEdge(t, cfg, func(o *Options[config.Edge]) { o.Reread = src.read })
	url := "https://" + e.Addrs().ViewersTLS + "/live/a.ts"
	for _, h2 := range []bool{true, false} {
		if code, body, err := getOver(ca.client(h2, ""), url); code != 200 || body != "here" {
			t.Errorf("h2 %v: %d %q %v", h2, code, body, err)
		}
	}
	if code, body := ask(t, "GET", "http://"+e.Addrs().Viewers+"/live/a.ts"); code != 200 || body != "here" {
		t.Errorf("in the clear: %d %q", code, body)
	}
	if at := e.counter(t, "weir_tls_certificate_expiry_seconds", "name", "edge.example"); at != float64(soon.Unix()) {
		t.Errorf("expires at %v, want %v", at, soon.Unix())
	}
	if n := e.counter(t, "weir_tls_handshakes_total", "listener", "viewers-tls", "result", "h2"); n != 1 {
		t.Errorf("%v handshakes of HTTP/2", n)
	}

	shown := func() *x509.Certificate {
		t.Helper()
		c, err := tls.Dial("tcp", e.Addrs().ViewersTLS, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0]
	}
	certs := e.certs // what its ticker does is done at once
	// A renewal that is half done: the certificate is new and its key is not yet.
	oldKey, err := os.ReadFile(cfg.TLS.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	second := ca.pair("edge", "edge.example", time.Now().Add(50*time.Minute))
	newKey, err := os.ReadFile(cfg.TLS.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	write(t, cfg.TLS.KeyFile, string(oldKey))
	certs.look()
	certs.look()
	if !shown().Equal(first) {
		t.Error("a broken pair was taken")
	}
	if n := strings.Count(e.log.String(), "cannot be used"); n != 1 || !strings.Contains(e.log.String(), "tls.key_file") {
		t.Errorf("told %d times:\n%s", n, e.log)
	}
	time.Sleep(10 * time.Millisecond) // another time on the file
	write(t, cfg.TLS.KeyFile, string(newKey))
	certs.look()
	if !shown().Equal(second) {
		t.Error("the renewed pair was not taken")
	}
	if a, r := e.counter(t, "weir_tls_certificate_changes_total", "result", "applied"), e.counter(t, "weir_tls_certificate_changes_total", "result", "refused"); a != 1 || r != 1 {
		t.Errorf("%v applied, %v refused", a, r)
	}

	// At a reload: another name, TLS 1.3 only, other limits.
	ca.pair("other", "other.example", soon)
	src.set(func(c *config.Edge) {
		c.TLS.Certificates = []config.KeyPair{{CertFile: filepath.Join(dir, "other.pem"), KeyFile: filepath.Join(dir, "other.key")}}
		c.TLS.MinVersion = "1.3"
		c.TLS.Streams = 200
	})
	if done, err := e.Reload(); err != nil || len(done.Live) != 3 || len(done.Restart) != 0 {
		t.Fatalf("%+v %v", done, err)
	}
	c, err := tls.Dial("tcp", e.Addrs().ViewersTLS, &tls.Config{InsecureSkipVerify: true, ServerName: "other.example"})
	if err != nil {
		t.Fatal(err)
	}
	if name := c.ConnectionState().PeerCertificates[0].Subject.CommonName; name != "other.example" {
		t.Errorf("shown to who asks for other.example: %s", name)
	}
	c.Close()
	if c, err := tls.Dial("tcp", e.Addrs().ViewersTLS, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}); err == nil {
		c.Close()
		t.Error("TLS 1.2 is still spoken")
	}
	src.set(func(c *config.Edge) { c.TLS.KeyFile = filepath.Join(dir, "other.key") })
	if _, err := e.Reload(); err == nil || !strings.Contains(err.Error(), "tls.key_file") {
		t.Errorf("a pair that does not fit: %v", err)
	}
	if code, _, err := getOver(ca.client(true, ""), url); code != 200 {
		t.Errorf("after a reload that was refused: %d %v", code, err)
	}
}

// Viewers that come while limits change are served over TLS too, every one, on
// connections that are kept and on new ones.
func TestReloadOfLimitsLosesNobodyOverTLS(t *testing.T) {
	origin, _ := upstream(t, "here")
	dir := t.TempDir()
	ca := newAuthority(t, dir, "ca")
	ca.pair("edge", "edge.example", time.Now().Add(time.Hour))
	cfg := edgeConfig(origin)
	cfg.TLS.Listen = "127.0.0.1:0"
	cfg.TLS.CertFile, cfg.TLS.KeyFile = filepath.Join(dir, "edge.pem"), filepath.Join(dir, "edge.key")
	src := &rereader{cfg: cfg}
	e := startEdge(t, cfg, func(o *Options[config.Edge]) { o.Reread = src.read })
	ctx, stop := context.WithCancel(t.Context())
	var viewers sync.WaitGroup
	var served atomic.Int64
	for i := range 4 {
		viewers.Go(func() {
			c := ca.client(i%2 == 0, "")
			for n := 0; ctx.Err() == nil; n++ {
				resp, err := c.Get(fmt.Sprintf("https://%s/live/%d.ts", e.Addrs().ViewersTLS, n%3))
				if err != nil {
					t.Errorf("viewer %d: %v", i, err)
					return
				}
				body, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || resp.StatusCode != 200 || string(body) != "here" {
					t.Errorf("viewer %d: %d %q %v", i, resp.StatusCode, body, err)
					return
				}
				served.Add(1)
				if n%5 == 4 {
					c.CloseIdleConnections()
				}
			}
		})
	}
	for i := range 5 {
		src.set(func(c *config.Edge) { c.Limits.Connections = 100 + i })
		if _, err := e.Reload(); err != nil {
			t.Error(err)
		}
		before := served.Load()
		eventually(t, "viewers go on", func() bool { return t.Failed() || served.Load() > before+20 })
	}
	stop()
	viewers.Wait()
}

// The whole way encrypted: viewers ask an edge over TLS, and the edge an origin that admits
// only whoever shows a certificate of its authority. An edge without one, or with another's,
// serves nobody and says which keys to give; one that renews its own goes on.
func TestAnEdgeShowsItsCertificateToAnOriginThatWantsIt(t *testing.T) {
	dir := t.TempDir()
	ca, other := newAuthority(t, dir, "ca"), newAuthority(t, dir, "other")
	ca.pair("origin", "origin.example", time.Now().Add(30*24*time.Hour))
	ca.pair("edge", "edge.example", time.Now().Add(30*24*time.Hour))
	other.pair("stranger", "edge.example", time.Now().Add(30*24*time.Hour))
	ofile := write(t, filepath.Join(dir, "origin.yaml"), `
listen: none
tls: {listen: "127.0.0.1:0", cert_file: origin.pem, key_file: origin.key, client_ca_file: ca.pem}
access: {mode: mtls}
ingest: {listen: "127.0.0.1:0"}
store: {memory: 64MiB}
admin: {listen: "127.0.0.1:0"}
drain: {delay: 0s, timeout: 5s}
`)
	ocfg, _, err := config.LoadOrigin(ofile)
	if err != nil {
		t.Fatal(err)
	}
	o := startOrigin(t, ocfg)
	pushClip(t, o.Addrs().Ingest, "", "news")

	file := filepath.Join(dir, "edge.yaml")
	text := func(show string) string {
		return `
tls: {listen: "127.0.0.1:0", cert_file: edge.pem, key_file: edge.key}
origins: ["https://` + o.Addrs().ViewersTLS + `"]
origin_tls: {ca_file: ca.pem, server_name: origin.example` + show + `}
`
	}
	src := &rereader{cfg: fromFile(t, file, text(""))}
	e := startEdge(t, src.cfg, func(o *Options[config.Edge]) { o.Reread = src.read })
	viewer := ca.client(true, "")
	get := func(name string) (int, string) {
		t.Helper()
		code, body, err := getOver(viewer, "https://"+e.Addrs().ViewersTLS+"/live/news/main/"+name)
		if err != nil {
			t.Fatal(err)
		}
		return code, body
	}
	reload := func(show string) {
		t.Helper()
		src.set(func(c *config.Edge) { *c = *fromFile(t, file, text(show)) })
		if done, err := e.Reload(); err != nil || len(done.Restart) > 0 {
			t.Fatalf("%+v %v", done, err)
		}
	}
	refused := func() {
		t.Helper()
		before := e.counter(t, "weir_upstream_requests_total", "outcome", "upstream_tls")
		eventually(t, "the origin to refuse", func() bool {
			code, body := get("index.m3u8")
			if code == 200 || strings.Contains(body, "#EXTM3U") {
				t.Fatalf("%d %.60q", code, body)
			}
			return e.counter(t, "weir_upstream_requests_total", "outcome", "upstream_tls") > before
		})
	}
	refused()
	if !strings.Contains(e.log.String(), "origin_tls.cert_file") {
		t.Error("the log does not name the key to give")
	}
	reload(", cert_file: stranger.pem, key_file: stranger.key")
	refused()

	reload(", cert_file: edge.pem, key_file: edge.key")
	var list string
	eventually(t, "the edge to be let in", func() bool {
		code, body := get("index.m3u8")
		list = body
		return code == 200
	})
	want, err := os.ReadFile("../../../bench/clip/144p/0.m4s")
	if err != nil {
		t.Fatal(err)
	}
	name := ""
	for line := range strings.Lines(list) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			name = line
			break
		}
	}
	if code, body := get(name); code != 200 || body != string(want) {
		t.Errorf("%s: %d, %d bytes of %d; the playlist is\n%s", name, code, len(body), len(want), list)
	}
	ca.pair("edge", "edge.example", time.Now().Add(60*24*time.Hour)) // renewed, under the same names
	reload(", cert_file: edge.pem, key_file: edge.key")
	if code, _ := get("index.m3u8"); code != 200 {
		t.Errorf("with the renewed certificate: %d", code)
	}
}

// Whoever takes the encrypted listener out of the config hears that it goes with a restart;
// until then it serves on, and what else has changed counts at once. An origin that is to
// have it, and to ask there for certificates, lets in who may come now until it does.
func TestTheEncryptedListenerGoesAndComesByARestart(t *testing.T) {
	origin, _ := upstream(t, "here")
	dir := t.TempDir()
	ca := newAuthority(t, dir, "ca")
	ca.pair("edge", "edge.example", time.Now().Add(30*24*time.Hour))
	file := filepath.Join(dir, "edge.yaml")
	src := &rereader{cfg: fromFile(t, file, "tls: {listen: \"127.0.0.1:0\", cert_file: edge.pem, key_file: edge.key}\norigins: ["+origin+"]\n")}
	e := startEdge(t, src.cfg, func(o *Options[config.Edge]) { o.Reread = src.read })
	src.set(func(c *config.Edge) {
		*c = *fromFile(t, file, "origins: ["+origin+"]\nlimits: {connections: 77}\n")
	})
	done, err := e.Reload()
	if err != nil || !slices.Equal(done.Live, []string{"limits.connections"}) || !slices.Contains(done.Restart, "tls.listen") || !slices.Contains(done.Restart, "tls.cert_file") {
		t.Fatalf("%+v %v", done, err)
	}
	if code, body, err := getOver(ca.client(true, ""), "https://"+e.Addrs().ViewersTLS+"/live/a.ts"); code != 200 || body != "here" {
		t.Errorf("%d %q %v", code, body, err)
	}

	old := originConfig()
	next := *old
	next.TLS.Listen, next.TLS.ClientCAFile, next.Access.Mode = ":8443", "ca.pem", config.AccessMTLS
	if merged := config.Live(old, &next); merged.Access.Mode != config.AccessOpen {
		t.Errorf("access.mode %s where nobody can show a certificate", merged.Access.Mode)
	}
}
