package cluster

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"weir/internal/web"
)

// Header carries the proof that a request comes from a member of the cluster:
//
//	Weir-Peer: v1 node=e1;to=e2;ts=1800000000;nonce=…;members=…;mac=…
//
// The mac is HMAC-SHA256 with a key derived from the cluster's secret over all
// of that, the method, and the path and query as they go over the wire.
const Header = "Weir-Peer"

// window is how far a peer's clock may be off, and so for how long a copy of a
// request must be recognised.
const window = 30 * time.Second

// maxHeader is the longest Weir-Peer field read, in bytes.
const maxHeader = 512

// Why a peer's request is refused. Verify wraps them in a *web.Error of status
// 403 whose Reason is the word after "peer_".
var (
	ErrUnsigned    = errors.New("request to the peer listener without a proof of membership")
	ErrBadProof    = errors.New("proof of membership wrong: is the cluster secret the same on both nodes?")
	ErrStale       = errors.New("proof of membership too old or too new: clocks of the nodes differ by more than 30 s")
	ErrReplayed    = errors.New("request to the peer listener seen before")
	ErrMisdirected = errors.New("request meant for another node: two nodes share an address or a name")
)

// A refusal is why Verify said no, as metrics name it.
type refusal uint8

const (
	unsigned refusal = iota
	badProof
	stale
	replayed
	misdirected
)

var refusals = [...]struct {
	label string
	err   error
}{
	{"unsigned", ErrUnsigned}, {"proof", ErrBadProof}, {"stale", ErrStale}, {"replayed", ErrReplayed}, {"misdirected", ErrMisdirected},
}

// derive makes one of the cluster's keys out of its secret (RFC 5869): gossip
// and peer requests have a different one each, and so have clusters that share
// a secret but not a label.
func derive(secret []byte, label, use string) ([]byte, error) {
	return hkdf.Key(sha256.New, secret, []byte(label), "weir "+use+" v1", 32)
}

// Sign adds to req the proof that this node asks it, for whichever member it
// is sent to. The request's method, path and query must not change any more;
// peers that Owner returns sign by themselves. Without a secret it adds nothing.
func (c *Cluster) Sign(req *web.Request) { c.sign(req, "") }

func (c *Cluster) sign(req *web.Request, to string) {
	if c.peerKey == nil {
		return
	}
	var nonce [16]byte
	rand.Read(nonce[:]) // never fails (crypto/rand)
	var b strings.Builder
	b.Grow(192)
	b.WriteString("v1 node=" + c.opts.Name + ";to=" + to + ";ts=")
	b.WriteString(strconv.FormatInt(time.Now().Unix(), 10))
	b.WriteString(";nonce=" + base64.RawURLEncoding.EncodeToString(nonce[:]))
	b.WriteString(";members=" + strconv.FormatUint(c.Hash(), 16))
	proof := c.mac(req, b.String())
	b.WriteString(";mac=" + base64.RawURLEncoding.EncodeToString(proof))
	req.Header.Set(Header, b.String())
}

// mac covers what a peer is asked and the head of the field that proves who
// asks. No part can run into the next: the method and the path have no line
// breaks, and a query is the rest of its line.
func (c *Cluster) mac(req *web.Request, head string) []byte {
	h := hmac.New(sha256.New, c.peerKey)
	h.Write([]byte(req.Method + "\n" + web.EscapePath(req.Path) + "?" + req.Query + "\n" + head))
	return h.Sum(nil)
}

// Verify says whether req comes from a member of the cluster: nil, or a
// *web.Error of status 403 that wraps one of the errors above. It accepts each
// signed request once. Without a secret there is nothing to prove: then only
// this machine may ask.
func (c *Cluster) Verify(req *web.Request) error {
	if c.peerKey == nil {
		if req.Remote.Addr().Unmap().IsLoopback() {
			return nil
		}
		return c.refuse(unsigned)
	}
	field := req.Header.Get(Header)
	if field == "" {
		return c.refuse(unsigned)
	}
	p, ok := parseProof(field)
	if !ok || !hmac.Equal(p.mac, c.mac(req, p.head)) {
		return c.refuse(badProof)
	}
	if p.to != "" && p.to != c.opts.Name {
		return c.refuse(misdirected)
	}
	now := time.Now()
	if sent := time.Unix(p.ts, 0); sent.Before(now.Add(-window)) || sent.After(now.Add(window)) {
		return c.refuse(stale)
	}
	// Only what was signed gets as far as this, so that nobody without the
	// secret can fill the memory of nonces.
	switch c.nonces.first(p.nonce, p.ts, now) {
	case nonceSeen:
		return c.refuse(replayed)
	case nonceTooOld:
		return c.refuse(stale)
	}
	if p.members != c.Hash() {
		c.metrics.disagreements.Inc()
	}
	return nil
}

func (c *Cluster) refuse(why refusal) error {
	c.metrics.refusals[why].Inc()
	return &web.Error{Status: http.StatusForbidden, Reason: "peer_" + refusals[why].label, Err: refusals[why].err}
}

// proof is a Weir-Peer field taken apart.
type proof struct {
	head     string // all before ";mac="
	node, to string
	ts       int64
	nonce    [16]byte
	members  uint64
	mac      []byte
}

// parseProof reads a field in exactly the form that sign writes: fields in one
// order, each once.
func parseProof(s string) (p proof, ok bool) {
	if len(s) > maxHeader {
		return p, false
	}
	rest, ok := strings.CutPrefix(s, "v1 ")
	if !ok {
		return p, false
	}
	var values [6]string
	for i, name := range [...]string{"node=", "to=", "ts=", "nonce=", "members=", "mac="} {
		part, after, more := strings.Cut(rest, ";")
		if values[i], ok = strings.CutPrefix(part, name); !ok || more != (i < 5) {
			return p, false
		}
		rest = after
	}
	p.node, p.to = values[0], values[1]
	p.head = s[:len(s)-len(";mac=")-len(values[5])]
	var errs [4]error
	p.ts, errs[0] = strconv.ParseInt(values[2], 10, 64)
	var nonce []byte
	nonce, errs[1] = base64.RawURLEncoding.Strict().DecodeString(values[3])
	p.members, errs[2] = strconv.ParseUint(values[4], 16, 64)
	p.mac, errs[3] = base64.RawURLEncoding.Strict().DecodeString(values[5])
	copy(p.nonce[:], nonce)
	return p, errors.Join(errs[:]...) == nil && len(nonce) == len(p.nonce) && len(p.mac) == sha256.Size && checkName(p.node) == nil
}
