package e2e

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"weir/token"
)

// A forger has a key of his own, the public key of ours, an old token, somebody
// else's token, and time. He is told 403 and a reason, his tokens are counted
// and never logged, and who plays goes on.
func TestBadTokensAreRefusedWithAReason(t *testing.T) {
	h := build(t, 2)
	live := h.clip(t, "live")
	for range 4 {
		if err := live.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	h.eventually(5*time.Second, "the channel", func() error { _, err := h.get(h.url(0, "live")); return err })
	const path = "/live/live/index.m3u8"
	var secrets []string
	refused := func(t *testing.T, what, raw, reason string) {
		t.Helper()
		secrets = append(secrets, signatureOf(raw))
		sent := 0.0
		counted := h.metric("e1", `weir_token_verdicts_total{result="`+strings.TrimPrefix(reason, "token_")+`"}`)
		for _, c := range []struct{ url, name, value string }{
			{"/t/" + raw + path, "", ""}, {path + "?token=" + raw, "", ""}, {path, "Authorization", "Bearer " + raw}, {path, "Cookie", "weir_token=" + raw},
		} {
			var pairs []string
			if c.name != "" {
				pairs = []string{c.name, c.value}
			}
			r := send(t, "GET", h.edges[0]+c.url, nil, pairs...)
			r.is(t, 403, reason)
			if t.Failed() {
				t.Fatalf("at: %s", what)
			}
			if r.header.Get("Access-Control-Allow-Origin") == "" || r.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: a page cannot read why, or a cache may keep it: %v", what, r.header)
			}
			sent++
		}
		if n := h.metric("e1", `weir_token_verdicts_total{result="`+strings.TrimPrefix(reason, "token_")+`"}`) - counted; n != sent {
			t.Errorf("%s: %v verdicts counted of %v", what, n, sent)
		}
	}
	mark := h.bookmark("e1")
	for _, f := range h.forgeries(t) {
		t.Run(f.reason+"/"+strings.ReplaceAll(f.what, " ", "-"), func(t *testing.T) { refused(t, f.what, f.raw, f.reason) })
	}
	for _, reason := range []string{"token_signature", "token_expired", "token_path", "token_algorithm", "token_malformed"} {
		mark.says(t, "viewer refused", "reason="+reason, "status=403", "path="+path)
		if n := h.metric("e1", `weir_edge_refused_total{reason="`+reason+`"}`); n == 0 {
			t.Errorf("no refusal is counted for %s", reason)
		}
	}
	t.Run("Shapes", func(t *testing.T) { badShapes(t, h, path) })
	t.Run("Prefix", func(t *testing.T) { // a token for /live/live/ is none for /live/live2
		raw := strings.TrimSpace(h.weir("token", "sign", "--key", filepath.Join(h.dir, "k1.pem"), "--id", "k1", "--path", "/live/live/"))
		secrets = append(secrets, signatureOf(raw))
		send(t, "GET", h.edges[0]+"/t/"+raw+"/live/live2/index.m3u8", nil).is(t, 403, "token_path")
		send(t, "GET", h.edges[0]+"/t/"+raw+path, nil).is(t, 200, "")
	})
	if err := live.Step(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := h.get(h.url(0, "live")); err != nil {
		t.Errorf("the viewer with a good token: %v", err)
	}
	h.quiet(t, append(secrets, signatureOf(h.token), "AAAAAAAAAAAAAAAAAAAA")...)
}

// signatureOf is what no log may hold of a token.
func signatureOf(raw string) string {
	if sig := raw[strings.LastIndexByte(raw, '.')+1:]; len(sig) > 20 {
		return sig
	}
	return raw
}

type forgery struct{ what, raw, reason string }

// forgeries are tokens that nobody may play with.
func (h *house) forgeries(t *testing.T) []forgery {
	t.Helper()
	private, err := os.ReadFile(filepath.Join(h.dir, "k1.pem"))
	if err != nil {
		t.Fatal(err)
	}
	public, err := os.ReadFile(filepath.Join(h.dir, "k1.pub.pem"))
	if err != nil {
		t.Fatal(err)
	}
	key := func(id string, alg token.Alg, text []byte) token.Key {
		k, err := token.ParseKey(id, alg, text)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	stolen, _, err := token.GenerateKey("ES256", "k1")
	if err != nil {
		t.Fatal(err)
	}
	edKey, _, err := token.GenerateKey("EdDSA", "k1")
	if err != nil {
		t.Fatal(err)
	}
	ours := key("k1", "ES256", private)
	now := time.Now()
	good := token.Claims{Expires: now.Add(time.Hour), IssuedAt: now, Paths: []string{"/live/"}}
	sign := func(k token.Key, change func(*token.Claims)) string {
		c := good
		if change != nil {
			change(&c)
		}
		raw, err := token.Sign(k, c)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	b64 := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	head, body, sig := cut3(sign(ours, nil))
	_, wider, _ := cut3(sign(ours, func(c *token.Claims) { c.Paths = []string{"/"} }))
	flipped := []byte(sig)
	if flipped[5] != 'A' {
		flipped[5] = 'A'
	} else {
		flipped[5] = 'B'
	}
	return []forgery{
		{"another's key under our id", sign(key("k1", "ES256", stolen), nil), "token_signature"},
		{"a payload exchanged", head + "." + wider + "." + sig, "token_signature"},
		{"a bit of the signature", head + "." + body + "." + string(flipped), "token_signature"},
		{"an unknown id", sign(key("k2", "ES256", stolen), nil), "token_key"},
		{"expired", sign(ours, func(c *token.Claims) { c.Expires = now.Add(-time.Minute) }), "token_expired"},
		{"not yet", sign(ours, func(c *token.Claims) { c.NotBefore = now.Add(time.Hour) }), "token_not_yet"},
		{"wrong path", sign(ours, func(c *token.Claims) { c.Paths = []string{"/live/other/"} }), "token_path"},
		{"wrong audience", sign(ours, func(c *token.Claims) { c.Audience = []string{"elsewhere"} }), "token_audience"},
		{"none", b64(`{"alg":"none","kid":"k1"}`) + "." + body + "." + sig, "token_algorithm"},
		{"None", b64(`{"alg":"nOnE","kid":"k1"}`) + "." + body + "." + sig, "token_algorithm"},
		{"none without signature", b64(`{"alg":"none"}`) + "." + body + ".", "token_malformed"},
		{"HS256 with the public key", hs256(b64(`{"alg":"HS256","kid":"k1"}`)+"."+body, public), "token_algorithm"},
		{"HS256 without kid", hs256(b64(`{"alg":"HS256"}`)+"."+body, public), "token_algorithm"},
		{"EdDSA", sign(key("k1", "EdDSA", edKey), nil), "token_algorithm"},
		{"crit", b64(`{"alg":"ES256","kid":"k1","crit":["exp"]}`) + "." + body + "." + sig, "token_critical"},
		{"jwk in the header", b64(`{"alg":"HS256","kid":"k1","jwk":{"kty":"oct","k":"AAAA"}}`) + "." + body + "." + sig, "token_algorithm"},
		{"two parts", head + "." + body, "token_malformed"},
		{"four parts", head + "." + body + "." + sig + "." + sig, "token_malformed"},
		{"garbage", "this-is-no-token-at-all", "token_malformed"},
		{"header no JSON", b64(`{"alg":`) + "." + body + "." + sig, "token_malformed"},
		{"member twice", b64(`{"alg":"ES256","alg":"none","kid":"k1"}`) + "." + body + "." + sig, "token_malformed"},
		{"5 KiB", head + "." + body + "." + strings.Repeat("A", 5<<10), "token_too_long"},
	}
}

// hs256 signs with a key of any shape.
func hs256(signed string, secret []byte) string {
	m := hmac.New(sha256.New, secret)
	m.Write([]byte(signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

func cut3(raw string) (head, body, sig string) {
	p := strings.Split(raw, ".")
	return p[0], p[1], p[2]
}

// Tokens in no shape at all.
func badShapes(t *testing.T, h *house, path string) {
	huge := strings.Repeat("A", 1<<20)
	for _, c := range []struct{ target, fields string }{
		{"/t/" + huge + path, ""}, {path + "?token=" + huge, ""}, {path, "Authorization: Bearer " + huge + "\n"}, {path, "Cookie: weir_token=" + huge + "\n"},
	} {
		requests := h.metric("e1", `weir_http_requests_total{code_class="4xx"`)
		raw(t, h.edges[0], "GET", c.target, c.fields).is(t, http.StatusRequestHeaderFieldsTooLarge, "header_too_large")
		if n := h.metric("e1", `weir_http_requests_total{code_class="4xx"`) - requests; n < 1 {
			t.Errorf("a token of 1 MB was not counted")
		}
	}
	f := func(status int, reason, target, fields string) {
		t.Helper()
		raw(t, h.edges[0], "GET", target, fields).is(t, status, reason)
	}
	f(403, "token_missing", path, "")
	f(403, "token_missing", path, "Authorization: Basic "+basic("x")+"\n")
	f(403, "token_malformed", path, "Authorization: Bearer \n")
	f(403, "token_malformed", path+"?token=", "")
	f(403, "token_malformed", path+"?token="+h.token+"&token="+h.token, "")
	f(403, "token_malformed", path+"?%74oken="+h.token, "")
	f(403, "token_malformed", "/t/"+h.token+"/t/"+h.token+path, "")
	f(403, "token_malformed", path, "Cookie: weir_token=a; weir_token=b\n")
	f(403, "token_malformed", "/t/"+h.token, "")
	f(403, "token_malformed", "/t/a%20b.c.d"+path, "")
	f(400, "bad_path", "/t//"+h.token+path, "")
	f(400, "bad_path", "/t/"+h.token+"%2f.."+path, "")
	f(400, "bad_path", "//t/"+h.token+path, "")
	f(400, "", "/t/"+h.token+"\x00"+path, "")
	// A good token at the wrong place is none, and stays out of the log too.
	for target, said := range map[string]string{"/live/" + h.token + "/index.m3u8": "path=/live/***/index.m3u8", "/T/" + h.token + path: "path=/T/***" + path} {
		time.Sleep(1100 * time.Millisecond) // a line a second for each reason
		mark := h.bookmark("e1")
		f(403, "token_missing", target, "")
		mark.says(t, "viewer refused", "reason=token_missing", said)
	}
}

// Whoever reaches a listener that is not for him gets no stream, no member's
// answer and no lever.
func TestNobodyWalksRoundTheTokens(t *testing.T) {
	h := build(t, 2)
	live := h.clip(t, "live")
	for range 4 {
		if err := live.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	h.eventually(5*time.Second, "the channel", func() error { _, err := h.get(h.url(0, "live")); return err })
	t.Run("PullKey", func(t *testing.T) { withoutPullKey(t, h) })
	t.Run("PeerProof", func(t *testing.T) { withoutProof(t, h) })
	t.Run("Admin", func(t *testing.T) { withoutAdminToken(t, h) })
	t.Run("CIDR", func(t *testing.T) { outsideCIDR(t, h) })
	h.quiet(t, "no-pull-key-of-ours", "admin-token-0123456789")
}

func withoutPullKey(t *testing.T, h *house) {
	held := h.holdings(t, "live")
	paths := []string{"/live/live/index.m3u8", media("live"), "/live/none/index.m3u8", "/"}
	for uri := range held {
		paths = append(paths, "/live/live/"+rendition+"/"+uri)
	}
	before := h.metric("origin", `weir_origin_answers_total`)
	for _, p := range paths {
		for _, pairs := range [][]string{
			nil, {"Weir-Pull-Key", "no-pull-key-of-ours"}, {"Authorization", "Bearer no-pull-key-of-ours"}, {"Authorization", "Bearer " + publishKey},
			{"Authorization", "Bearer " + h.token}, {"Weir-Pull-Key", ""}, {"Authorization", "Basic " + basic(pullKey)}, {"X-Forwarded-For", "127.0.0.1"},
		} {
			r := send(t, "GET", h.origin+p, nil, pairs...)
			r.is(t, 403, "pull_key")
			if r.header.Get("Cache-Control") != "no-store" {
				t.Errorf("a refusal may be kept: %v", r.header)
			}
		}
	}
	if r := send(t, "HEAD", h.origin+media("live"), nil); r.status != 403 {
		t.Errorf("HEAD: %d", r.status)
	}
	if n := h.metric("origin", `weir_origin_answers_total`) - before; n != 0 {
		t.Errorf("%v of them got as far as the streams", n)
	}
	send(t, "GET", h.origin+media("live"), nil, "Weir-Pull-Key", pullKey).is(t, 200, "")
}

var peersLine = regexp.MustCompile(`peers: ([0-9.:]+)`)

func withoutProof(t *testing.T, h *house) {
	text, err := os.ReadFile(filepath.Join(h.dir, "e1.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	peers := "http://" + peersLine.FindStringSubmatch(string(text))[1]
	mark := h.bookmark("e1")
	proof := fmt.Sprintf("v1 node=e2;to=e1;ts=%d;nonce=AAAAAAAAAAAAAAAAAAAAAA;members=0;mac=%s", time.Now().Unix(), strings.Repeat("A", 43))
	for _, c := range []struct{ field, reason string }{
		{"", "peer_unsigned"}, {proof, "peer_proof"}, {"v1", "peer_proof"}, {strings.Repeat("x", 4096), "peer_proof"}, {"v0 " + proof[3:], "peer_proof"},
	} {
		for _, p := range []string{media("live"), "/t/" + h.token + media("live")} {
			send(t, "GET", peers+p, nil, "Weir-Peer", c.field, "Weir-Pull-Key", pullKey, "Authorization", "Bearer "+h.token).is(t, 403, c.reason)
		}
	}
	for _, reason := range []string{"peer_unsigned", "peer_proof"} {
		mark.says(t, "peer refused", "reason="+reason, "path="+media("live"), "remote=127.0.0.1:")
	}
	if n := h.metric("e1", "weir_cluster_verify_failures_total"); n != 10 {
		t.Errorf("%v refusals of peers are counted, want 10", n)
	}
}

func withoutAdminToken(t *testing.T, h *house) {
	reload := h.admin["origin"] + "/-/reload"
	send(t, "POST", reload, nil).is(t, 403, "")
	send(t, "POST", reload, nil, "Authorization", "Bearer ").is(t, 403, "")
	h.file("admin.token", "admin-token-0123456789\n")
	h.reload(t, "admin: {listen:", "admin: {token_file: admin.token, listen:")
	for _, pairs := range [][]string{nil, {"Authorization", "Bearer wrong"}, {"Authorization", "admin-token-0123456789"}, {"Authorization", "Basic " + basic("admin-token-0123456789")}} {
		r := send(t, "POST", reload, nil, pairs...)
		if r.is(t, 401, ""); r.header.Get("WWW-Authenticate") == "" {
			t.Error("a 401 without a challenge")
		}
	}
	right := []string{"Authorization", "Bearer admin-token-0123456789"}
	send(t, "GET", reload, nil, right...).is(t, 405, "")
	send(t, "POST", reload, nil, right...).is(t, 200, "")
	// A page in the operator's browser, by way of a name that leads here.
	for _, p := range []string{"/-/reload", "/metrics", "/debug/config", "/-/ready"} {
		send(t, map[bool]string{true: "POST", false: "GET"}[p == "/-/reload"], h.admin["origin"]+p, nil, append(right, "Host", "rebound.example")...).is(t, http.StatusMisdirectedRequest, "")
	}
	if r := send(t, "GET", h.admin["origin"]+"/debug/config", nil, right...); r.status != 200 || strings.Contains(r.body, publishKey) || strings.Contains(r.body, pullKey) ||
		strings.Contains(r.body, "admin-token-0123456789") {
		t.Errorf("/debug/config: %d, or with a secret in it", r.status)
	}
}

func outsideCIDR(t *testing.T, h *house) {
	access := "access: {mode: pull-key, keys_file: pull.keys}"
	h.reload(t, access, "access: {mode: cidr, cidrs: [203.0.113.0/24, \"2001:db8::/32\"]}")
	for _, pairs := range [][]string{nil, {"Weir-Pull-Key", pullKey}, {"X-Forwarded-For", "203.0.113.7"}, {"Forwarded", "for=203.0.113.7"}, {"X-Real-IP", "203.0.113.7"}} {
		send(t, "GET", h.origin+media("live"), nil, pairs...).is(t, 403, "cidr")
	}
	h.reload(t, "203.0.113.0/24", "127.0.0.0/8")
	send(t, "GET", h.origin+media("live"), nil).is(t, 200, "")
}

// reload changes the origin's config and waits until it is in force.
func (h *house) reload(t *testing.T, old, new string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(h.dir, "origin.yaml"))
	if err != nil || !strings.Contains(string(text), old) {
		t.Fatalf("origin.yaml has no %q: %v", old, err)
	}
	h.file("origin.yaml", strings.Replace(string(text), old, new, 1))
	done := h.metric("origin", `weir_node_reloads_total{result="`)
	_ = h.nodes["origin"].cmd.Process.Signal(syscall.SIGHUP)
	h.eventually(5*time.Second, "the reload", func() error {
		if h.metric("origin", `weir_node_reloads_total{result="`) == done {
			return errNotYet
		}
		return nil
	})
	if n := h.metric("origin", `weir_node_reloads_total{result="refused"}`); n != 0 {
		t.Errorf("%v reloads were refused", n)
	}
}
