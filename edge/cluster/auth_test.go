package cluster

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/internal/web"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

var secret = []byte("a secret of thirty-two bytes....")

func noDial(name, addr string) web.Handler { return nil }

func newCluster(t testing.TB, opts Options) *Cluster {
	t.Helper()
	if opts.Name == "" {
		opts.Name = "e1"
	}
	if opts.PeerAddr == "" {
		opts.PeerAddr = ":8091"
	}
	if opts.Dial == nil {
		opts.Dial = noDial
	}
	if opts.Bind == "" {
		opts.Bind = "127.0.0.1:0"
	}
	c, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func ask(path, query string) *web.Request {
	return &web.Request{Method: "GET", Path: path, Query: query}
}

func wantRefusal(t *testing.T, c *Cluster, req *web.Request, want error) {
	t.Helper()
	err := c.Verify(req)
	if !errors.Is(err, want) || want != nil && (web.StatusOf(err) != 403 || !strings.HasPrefix(web.ReasonOf(err), "peer_")) {
		t.Errorf("got %v, want %v", err, want)
	}
}

// An edge answers its peers, and each question once.
func TestSignedRequestIsAcceptedOnce(t *testing.T) {
	a, b := newCluster(t, Options{Name: "a", Secret: secret}), newCluster(t, Options{Name: "b", Secret: secret})
	req := ask("/live/ü x/1.m4s", "_HLS_msn=3&x=%20")
	a.sign(req, "b")
	wantRefusal(t, b, req, nil)
	wantRefusal(t, b, req, ErrReplayed)
	a.Sign(req) // signed anew it is another question
	wantRefusal(t, b, req, nil)
	if n := testutil.ToFloat64(b.metrics.refusals[replayed]); n != 1 {
		t.Errorf("%v replays counted", n)
	}
	if n := testutil.ToFloat64(b.metrics.disagreements); n != 2 { // each sees only itself
		t.Errorf("%v disagreements counted", n)
	}
}

// Somebody on the network cannot ask an edge for anything, nor change what a
// peer asks, nor ask another node the same.
func TestForgedPeerRequestsAreRefused(t *testing.T) {
	a, b := newCluster(t, Options{Name: "a", Secret: secret}), newCluster(t, Options{Name: "b", Secret: secret})
	f := func(want error, change func(*web.Request)) {
		t.Helper()
		req := ask("/live/x", "q=1")
		a.sign(req, "b")
		change(req)
		wantRefusal(t, b, req, want)
	}
	field := func(old, new string) func(*web.Request) {
		return func(r *web.Request) { r.Header.Set(Header, strings.Replace(r.Header.Get(Header), old, new, 1)) }
	}
	f(nil, func(*web.Request) {})
	f(nil, func(r *web.Request) { r.Header.Add("X-Other", "1") })
	f(ErrUnsigned, func(r *web.Request) { r.Header.Del(Header) })
	f(ErrUnsigned, func(r *web.Request) { r.Header.Set(Header, "") })
	f(ErrUnsigned, func(r *web.Request) {
		r.Header.Del(Header)
		r.Remote = netip.MustParseAddrPort("127.0.0.1:1")
	})
	f(ErrBadProof, func(r *web.Request) { r.Method = "HEAD" })
	f(ErrBadProof, func(r *web.Request) { r.Path = "/live/y" })
	f(ErrBadProof, func(r *web.Request) { r.Query = "" })
	f(ErrBadProof, func(r *web.Request) { r.Path, r.Query = "/live", "x?q=1" })
	f(ErrBadProof, field("node=a", "node=c"))
	f(ErrBadProof, field("to=b", "to="))
	f(ErrBadProof, field("ts=", "ts=1"))
	f(ErrBadProof, field("nonce=", "nonce=A"))
	f(ErrBadProof, field("members=", "members=0"))
	f(ErrBadProof, field("mac=", "mac=AAAA"))
	f(ErrBadProof, field("v1 ", "v2 "))
	f(ErrBadProof, field("v1 ", ""))
	f(ErrBadProof, field(";to=b", ""))
	f(ErrBadProof, field(";mac=", ";mac=;mac="))
	f(ErrBadProof, func(r *web.Request) { r.Header.Set(Header, r.Header.Get(Header)+";x=1") })
	f(ErrBadProof, func(r *web.Request) { r.Header.Set(Header, r.Header.Get(Header)+"=") })
	f(ErrBadProof, func(r *web.Request) { r.Header.Set(Header, strings.Repeat("x", 100_000)) })
	f(ErrMisdirected, func(r *web.Request) { a.sign(r, "c") })

	other := newCluster(t, Options{Name: "a", Secret: []byte("another secret of other bytes")})
	f(ErrBadProof, func(r *web.Request) { other.sign(r, "b") })
	label := newCluster(t, Options{Name: "a", Secret: secret, Label: "staging"})
	f(ErrBadProof, func(r *web.Request) { label.sign(r, "b") })
	if string(a.gossip) == string(a.peerKey) || string(a.gossip) == string(label.gossip) || len(a.gossip) != 32 {
		t.Error("keys for different uses are not different")
	}
}

// A recorded request is worthless half a minute later, and so is a node whose
// clock is wrong by more: it says so instead of failing at random.
func TestProofsAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newCluster(t, Options{Name: "a", Secret: secret}), newCluster(t, Options{Name: "b", Secret: secret})
		f := func(want error, wait time.Duration) {
			t.Helper()
			req := ask("/x", "")
			a.sign(req, "b")
			time.Sleep(wait)
			wantRefusal(t, b, req, want)
		}
		f(nil, 0)
		f(nil, 30*time.Second)
		f(ErrStale, 31*time.Second)
		f(ErrStale, time.Hour)
		// Of the future: b's clock is behind.
		req := ask("/x", "")
		head := "v1 node=a;to=b;ts=" + strconv.FormatInt(time.Now().Add(31*time.Second).Unix(), 10) + ";nonce=AAAAAAAAAAAAAAAAAAAAAA;members=0"
		req.Header.Set(Header, head+";mac="+base64.RawURLEncoding.EncodeToString(a.mac(req, head)))
		wantRefusal(t, b, req, ErrStale)
		time.Sleep(2 * time.Second)
		wantRefusal(t, b, req, nil) // by now it is within 30 s
		time.Sleep(55 * time.Second)
		wantRefusal(t, b, req, ErrReplayed) // and is known for as long as it could be sent again
	})
}

// However many requests come in, no request is accepted twice and memory is
// bounded: under too much load old ones are refused instead.
func TestNoncesAreBounded(t *testing.T) {
	const limit = 100
	n := newNonces(limit)
	at := func(i int) [16]byte { return [16]byte(binary.BigEndian.AppendUint64(make([]byte, 8), uint64(i))) }
	start := time.Unix(1_800_000_000, 0)
	accepted := map[int]int{}
	for i := range 2000 {
		now := start.Add(time.Duration(i) * 20 * time.Millisecond) // 50 a second: 100 last 2 s
		if n.first(at(i), now.Unix(), now) == nonceFirst {
			accepted[i]++
		}
		if len(n.young)+len(n.old) > 2*limit {
			t.Fatalf("%d remembered", len(n.young)+len(n.old))
		}
		for _, back := range []int{1, 50, 90, 150, 250, 1000} {
			if i >= back && n.first(at(i-back), start.Add(time.Duration(i-back)*20*time.Millisecond).Unix(), now) == nonceFirst {
				accepted[i-back]++
			}
		}
	}
	fresh := 0
	for i, times := range accepted {
		if times > 1 {
			t.Fatalf("request %d accepted %d times", i, times)
		}
		fresh++
	}
	if fresh < 1990 {
		t.Errorf("only %d of 2000 accepted at their time", fresh)
	}
	// In quiet times each is remembered for a minute, and then forgotten.
	q := newNonces(limit)
	q.first(at(1), start.Unix(), start)
	for s := range 60 {
		if v := q.first(at(1), start.Unix(), start.Add(time.Duration(s)*time.Second)); v != nonceSeen {
			t.Fatalf("after %d s: %v", s, v)
		}
	}
	q.first(at(2), start.Unix()+61, start.Add(61*time.Second))
	q.first(at(3), start.Unix()+130, start.Add(130*time.Second))
	if len(q.young)+len(q.old) != 2 {
		t.Errorf("%d remembered after two minutes", len(q.young)+len(q.old))
	}
}

// Without a secret there is nothing to prove, and only this machine may ask.
func TestWithoutSecretOnlyThisMachineMayAsk(t *testing.T) {
	c := newCluster(t, Options{})
	f := func(want error, remote string) {
		t.Helper()
		req := ask("/x", "")
		c.Sign(req)
		if req.Header.Has(Header) {
			t.Error("signed without a secret")
		}
		if remote != "" {
			req.Remote = netip.MustParseAddrPort(remote)
		}
		wantRefusal(t, c, req, want)
	}
	f(nil, "127.0.0.1:1000")
	f(nil, "[::1]:1000")
	f(nil, "[::ffff:127.0.0.1]:1000")
	f(ErrUnsigned, "10.0.0.1:1000")
	f(ErrUnsigned, "[::ffff:10.0.0.1]:1000")
	f(ErrUnsigned, "")
}

// No Weir-Peer field harms, and none is accepted from who has not the secret.
func FuzzVerifyPeer(f *testing.F) {
	a, b := newCluster(f, Options{Name: "a", Secret: []byte("another secret of other bytes")}), newCluster(f, Options{Name: "b", Secret: secret})
	req := ask("/x", "q")
	a.sign(req, "b")
	f.Add(req.Header.Get(Header), "/x", "q")
	f.Add("v1 node=a;to=;ts=1;nonce=AAAAAAAAAAAAAAAAAAAAAA;members=0;mac=", "/", "")
	f.Add("v1 ;;;;;", "/", "\n")
	f.Fuzz(func(t *testing.T, field, path, query string) {
		r := ask(path, query)
		r.Header.Set(Header, field)
		if err := b.Verify(r); web.StatusOf(err) != 403 {
			t.Fatalf("%q: %v", field, err)
		}
	})
}

func BenchmarkSignVerify(b *testing.B) {
	a, c := newCluster(b, Options{Name: "a", Secret: secret}), newCluster(b, Options{Name: "b", Secret: secret})
	b.ReportAllocs()
	for b.Loop() {
		req := ask("/live/news/hd/1.m4s", "")
		a.sign(req, "b")
		if err := c.Verify(req); err != nil {
			b.Fatal(err)
		}
	}
}
