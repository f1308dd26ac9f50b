package origin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"

	"weir/internal/web"
)

// AccessMode says how viewers' requests are told from those of edges.
type AccessMode uint8

// The modes of access.
const (
	AccessOpen    AccessMode = iota // everybody may ask
	AccessPullKey                   // whoever sends one of Keys, in Weir-Pull-Key or as Bearer token
	AccessCIDR                      // whoever connects from one of CIDRs
	AccessMTLS                      // whoever showed a certificate that was verified
)

func (m AccessMode) String() string { return [...]string{"open", "pull-key", "cidr", "mtls"}[m] }

// PullKeyHeader is the request field in which edges and CDNs send the pull key.
const PullKeyHeader = "Weir-Pull-Key"

// Access guards the viewers' side of an origin, so that the tokens that edges check cannot
// be walked round. An Access that names nobody lets nobody in.
type Access struct {
	Mode  AccessMode
	Keys  func() []string       // asked at each request; what it returned must not change
	CIDRs func() []netip.Prefix // asked at each request; what it returned must not change
	Log   *slog.Logger          // who was refused is told here, a few lines a while; nil: discard
}

// Guard returns h behind the check. Who fails it gets 403 with a reason, which no cache may
// keep: the next to ask may be let in.
func (a Access) Guard(h web.Handler) web.Handler {
	if a.Mode == AccessOpen {
		return h
	}
	if a.Log == nil {
		a.Log = slog.New(slog.DiscardHandler)
	}
	return &guard{access: a, h: h, throttle: newThrottle()}
}

type guard struct {
	access   Access
	h        web.Handler
	throttle *throttle
}

// Serve implements [web.Handler].
func (g *guard) Serve(ctx context.Context, req *web.Request) (*web.Response, error) {
	if err := g.access.check(req); err != nil {
		reason := web.ReasonOf(err)
		if dropped, ok := g.throttle.allow(reason, ""); ok {
			g.access.Log.Warn("viewer refused: no edge or CDN of ours, or its key is wrong", "reason", reason,
				"remote", req.Remote.Addr().String(), "path", web.MaskPath(req.Path), "dropped", dropped)
		}
		return nil, err
	}
	return g.h.Serve(ctx, req)
}

func (a Access) check(req *web.Request) error {
	switch a.Mode {
	case AccessOpen:
		return nil
	case AccessPullKey:
		if a.Keys != nil && hasKey(a.Keys(), pullKey(req)) {
			return nil
		}
		return refuse(http.StatusForbidden, "pull_key", "this origin answers those who send a pull key (access.keys_file) in %s", PullKeyHeader)
	case AccessCIDR:
		if a.CIDRs != nil {
			from := req.Remote.Addr().Unmap().WithZone("")
			for _, p := range a.CIDRs() {
				if p.Contains(from) {
					return nil
				}
			}
		}
		return refuse(http.StatusForbidden, "cidr", "this origin does not answer your address (access.cidrs)")
	case AccessMTLS:
		if req.ClientCert {
			return nil
		}
		return refuse(http.StatusForbidden, "mtls", "this origin answers those who show a certificate (tls.client_ca_file)")
	}
	return refuse(http.StatusForbidden, "access", "this origin's access mode is not known")
}

func pullKey(req *web.Request) string {
	if k := req.Header.Get(PullKeyHeader); k != "" {
		return k
	}
	scheme, value, _ := strings.Cut(req.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(value)
	}
	return ""
}

// hasKey compares key with all keys, in a time that tells nothing of where they differ.
func hasKey(keys []string, key string) bool {
	got, found := sha256.Sum256([]byte(key)), 0
	for _, k := range keys {
		want := sha256.Sum256([]byte(k))
		if k != "" {
			found |= subtle.ConstantTimeCompare(got[:], want[:])
		}
	}
	return found == 1 && key != ""
}
