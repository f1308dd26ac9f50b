package e2e

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
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// selfSigned writes FILE.pem and FILE.key into the house.
func (h *house) selfSigned(file, name string) {
	h.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		h.t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(30 * 24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		h.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		h.t.Fatal(err)
	}
	h.file(file+".pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	h.file(file+".key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
}

// An edge whose only door is encrypted: FFmpeg and mpv play through it (HTTP/1.1), a client
// of HTTP/2 gets the same, a certificate that was renewed is shown after SIGHUP, and the
// edge ends in good order under its viewers.
func TestPlayersOverTLS(t *testing.T) {
	need(t, "ffmpeg", "mpv")
	h := build(t, 0)
	h.selfSigned("edge", "one.example")
	port := ports(t, 2)
	view, admin := port(), port()
	file := func(name string) string { return filepath.Join(h.dir, name) }
	h.run("edge", "edge", "--listen", "none", "--tls-listen", view, "--tls-cert", file("edge.pem"), "--tls-key", file("edge.key"),
		"--origin", h.origin, "--origin-key", file("pull.key"), "--admin", admin)
	h.admin["edge"] = "http://" + admin
	h.eventually(20*time.Second, "the edge", func() error { _, err := h.get(h.admin["edge"] + "/-/ready"); return err })
	h.encode(t, "live", fmp4, persistent)
	base := "https://" + view + "/live/live/"
	h2 := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	fetch := func(url string) (proto string, body []byte, err error) {
		resp, err := h2.Get(url)
		if err != nil {
			return "", nil, err
		}
		defer resp.Body.Close()
		if body, err = io.ReadAll(resp.Body); err == nil && resp.StatusCode != 200 {
			err = fmt.Errorf("%s: %s", resp.Status, body)
		}
		return resp.Proto, body, err
	}
	h.eventually(20*time.Second, "the channel", func() error { _, _, err := fetch(base + "index.m3u8"); return err })
	players := []*process{ffmpegPlays(t, base+"index.m3u8", 10*time.Second), mpvPlays(t, base+"index.m3u8", 10*time.Second)}
	got := map[string]bool{}
	for end := time.Now().Add(8 * time.Second); time.Now().Before(end); time.Sleep(500 * time.Millisecond) {
		proto, text, err := fetch(base + "144p/index.m3u8")
		if err != nil || proto != "HTTP/2.0" {
			t.Fatalf("over %s: %v", proto, err)
		}
		for line := range strings.Lines(string(text)) {
			name := strings.TrimSpace(line)
			if name == "" || name[0] == '#' || got[name] {
				continue
			}
			got[name] = true
			if _, body, err := fetch(base + "144p/" + name); err != nil || len(body) == 0 {
				t.Errorf("%s: %d bytes, %v", name, len(body), err)
			}
		}
	}
	if len(got) < 4 {
		t.Errorf("%d segments over HTTP/2", len(got))
	}

	shown := func() string {
		c, err := tls.Dial("tcp", view, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			return err.Error()
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	if name := shown(); name != "one.example" {
		t.Errorf("shown: %s", name)
	}
	h.selfSigned("edge", "two.example")
	_ = h.nodes["edge"].cmd.Process.Signal(syscall.SIGHUP)
	h.eventually(5*time.Second, "the renewed certificate", func() error {
		if name := shown(); name != "two.example" {
			return fmt.Errorf("shown: %s", name)
		}
		return nil
	})
	for i, p := range players {
		plays(t, p, 60*time.Second, i == 0)
	}
	if n := h.metric("edge", `weir_tls_handshakes_total{listener="viewers-tls",result="h2"}`); n == 0 {
		t.Error("no connection of HTTP/2 was counted")
	}
	h.askedOnce(t)
	if code := h.nodes["edge"].end(15 * time.Second); code != 0 {
		t.Errorf("the edge ended with %d", code)
	}
}
