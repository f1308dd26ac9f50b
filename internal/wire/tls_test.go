package wire

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"testing"
	"time"

	"weir/internal/web"
	"weir/internal/wire/wiretest"
)

// certificate makes one that a parent signs, or itself where parent is nil.
func certificate(t testing.TB, name string, parent *tls.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true, IsCA: parent == nil,
	}
	by, signer := tmpl, any(key)
	if parent == nil {
		tmpl.KeyUsage |= x509.KeyUsageCertSign
	} else {
		by, signer = parent.Leaf, parent.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, by, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// always a config.
func identity(t testing.TB, i Identity) func() *tls.Config {
	t.Helper()
	c, err := ServerConfig(i)
	if err != nil {
		t.Fatal(err)
	}
	return func() *tls.Config { return c }
}

func newTLSFor(t testing.TB, o TLSOptions) *TLS {
	t.Helper()
	if o.Config == nil {
		o.Config = identity(t, Identity{Certificates: []tls.Certificate{certificate(t, "weir.example", nil)}})
	}
	s, err := NewTLS(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func startTLS(t testing.TB, o TLSOptions) (s *TLS, addr string) {
	t.Helper()
	s = newTLSFor(t, o)
	addr, stop := run(t, s)
	t.Cleanup(stop)
	return s, addr
}

func conforming(t *testing.T, scheme string) func(*testing.T, web.Handler) (string, func()) {
	cert := identity(t, Identity{Certificates: []tls.Certificate{certificate(t, "weir.example", nil)}})
	return func(t *testing.T, h web.Handler) (string, func()) {
		addr, stop := run(t, newTLSFor(t, TLSOptions{Config: cert, FastOptions: FastOptions{Handler: h, Name: t.Name(),
			MaxHeader: wiretest.MaxHeader, MaxBody: wiretest.MaxBody, MinSendRate: wiretest.MinSendRate, WriteStall: wiretest.WriteStall}}))
		return scheme + addr, stop
	}
}

// Viewers over TLS cannot tell it from the plain one.
func TestFastOverTLSConforms(t *testing.T) {
	t.Parallel()
	wiretest.Run(t, conforming(t, "https://"))
}

// Nor which protocol they speak. What HTTP/2 does not have is tested with its own frames.
func TestHTTP2Conforms(t *testing.T) {
	t.Parallel()
	wiretest.Run(t, conforming(t, "h2://"), "Smuggling", "HTTP10GetsAGrowingBodyWithItsLength", "OversizeHeaderIs431",
		"HeaderWithoutEndIsCut", "HeaderOfManyFieldsIs431", "InterimAnswersAreForHTTP11")
}
