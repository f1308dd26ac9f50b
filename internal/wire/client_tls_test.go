package wire

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"weir/internal/web"
)

// An authority signs certificates for a test.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t}
	der, key := a.make(&x509.Certificate{Subject: pkix.Name{CommonName: "test CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	a.key = key
	a.cert, _ = x509.ParseCertificate(der)
	return a
}

func (a *authority) make(template *x509.Certificate) (der []byte, key *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	if der, err = x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer); err != nil {
		a.t.Fatal(err)
	}
	return der, key
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// leaf makes a certificate for names, which change may alter.
func (a *authority) leaf(change func(*x509.Certificate), names ...string) tls.Certificate {
	c := &x509.Certificate{DNSNames: names, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	if change != nil {
		change(c)
	}
	der, key := a.make(c)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// An origin's certificate is for its name, of today, and signed by somebody
// who is trusted; or nothing is asked of it, and the log says which key of the
// config has to do with it. What viewers read says nothing of that.
func TestAnOriginIsTrustedOnlyByItsCertificate(t *testing.T) {
	ca, stranger := newAuthority(t), newAuthority(t)
	expired := func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	}
	f := func(name, says string, server, client *tls.Config) {
		t.Run(name, func(t *testing.T) {
			asked := 0
			srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked++
				_, _ = io.WriteString(w, r.Proto+" "+r.TLS.ServerName)
			}))
			srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
			if server != nil {
				srv.TLS = server
				srv.EnableHTTP2 = true // not that it is used
				srv.StartTLS()
			} else {
				srv.Start()
			}
			defer srv.Close()
			var log bytes.Buffer
			c := newClient(t, "https://origin.example", ClientOptions{Name: "o1", TLS: client, Log: slog.New(slog.NewTextHandler(&log, nil)),
				Lookup: resolvesTo("192.0.2.1"), Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
					return (&net.Dialer{}).DialContext(ctx, network, srv.Listener.Addr().String())
				}})
			resp, err := c.Serve(context.Background(), get("/"))
			if says == "" {
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Close()
				if b, _ := web.ReadAll(context.Background(), resp.Body, 100); !strings.HasPrefix(string(b), "HTTP/1.1 ") {
					t.Errorf("%q", b)
				}
				return
			}
			if err == nil {
				resp.Close()
				t.Fatal("answered")
			}
			if asked != 0 || web.StatusOf(err) != 502 || web.ReasonOf(err) != "upstream_tls" || strings.Contains(err.Error(), "origin.example") {
				t.Errorf("asked %d times; %d %s %v", asked, web.StatusOf(err), web.ReasonOf(err), err)
			}
			if !strings.Contains(log.String(), says) {
				t.Errorf("the log says %q, and not %q", log.String(), says)
			}
			await(t, "its connections to close", func() bool { return testutil.ToFloat64(c.acc.connections) == 0 })
		})
	}
	serves := func(c tls.Certificate) *tls.Config { return &tls.Config{Certificates: []tls.Certificate{c}} }
	trusts := func(c *tls.Config) *tls.Config {
		c.RootCAs, c.MinVersion = ca.pool(), max(c.MinVersion, tls.VersionTLS12)
		return c
	}
	right := ca.leaf(nil, "origin.example")
	f("right", "", serves(right), trusts(&tls.Config{}))
	f("right under another name", "", serves(ca.leaf(nil, "other.example")), trusts(&tls.Config{ServerName: "other.example"}))
	f("another name's", "origin_tls.server_name", serves(ca.leaf(nil, "other.example")), trusts(&tls.Config{}))
	f("expired", "expired", serves(ca.leaf(expired, "origin.example")), trusts(&tls.Config{}))
	f("a stranger's", "origin_tls.ca_file", serves(stranger.leaf(nil, "origin.example")), trusts(&tls.Config{}))
	f("nobody's by default", "origin_tls.ca_file", serves(right), nil)
	f("not for servers", "not valid", serves(ca.leaf(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }, "origin.example")), trusts(&tls.Config{}))
	f("no TLS", "http://", nil, trusts(&tls.Config{}))
	f("old TLS", "origin_tls.min_version", &tls.Config{Certificates: []tls.Certificate{right}, MaxVersion: tls.VersionTLS12}, trusts(&tls.Config{MinVersion: tls.VersionTLS13}))
	wants := func(version uint16) *tls.Config {
		return &tls.Config{Certificates: []tls.Certificate{right}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.pool(), MaxVersion: version}
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		f("no client certificate, "+tls.VersionName(version), "origin_tls.cert_file", wants(version), trusts(&tls.Config{}))
		f("a client certificate, "+tls.VersionName(version), "", wants(version), trusts(&tls.Config{Certificates: []tls.Certificate{ca.leaf(nil, "edge")}}))
	}
}
