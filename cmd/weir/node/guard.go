package node

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"

	"weir/cmd/weir/config"
)

// adminGuard decides who may do what on the admin listener.
type adminGuard struct{ cfg func() config.Admin }

// host refuses requests for names that are not this listener's. A web page in
// a browser on this machine can point a name of its own at 127.0.0.1 (DNS
// rebinding), but cannot change the Host its browser sends.
func (g *adminGuard) host(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if !g.knows(r.Host) {
			http.Error(w, "host: ask for this listener by address, as localhost, or by a name in admin.hosts", http.StatusMisdirectedRequest)
			return
		}
		h.ServeHTTP(w, r)
	})
}

func (g *adminGuard) knows(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.Trim(host, "[]"), ".")
	if _, err := netip.ParseAddr(host); err == nil || strings.EqualFold(host, "localhost") {
		return true
	}
	own, err := os.Hostname()
	if err == nil && host != "" && strings.EqualFold(host, own) {
		return true
	}
	return slices.ContainsFunc(g.cfg().Hosts, func(name string) bool { return strings.EqualFold(name, host) })
}

// challenge is what a 401 asks for.
const challenge = `Bearer realm="weir admin"`

// A denial is why somebody may not do what he asks for.
type denial struct {
	status int
	why    string
}

// mayLook lets those see who are on this machine, or show the token.
func (g *adminGuard) mayLook(r *http.Request) *denial {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if local := err == nil && from.Addr().Unmap().IsLoopback(); !local && !g.token(r) {
		return &denial{http.StatusUnauthorized, "from other machines this needs the token of admin.token_file, as Authorization: Bearer TOKEN"}
	}
	return nil
}

// mayChange lets nobody change anything without the token.
func (g *adminGuard) mayChange(r *http.Request) *denial {
	switch {
	case g.cfg().Token == "":
		return &denial{http.StatusForbidden, "what changes something needs a token, and none is configured: set admin.token_file (to reload, SIGHUP does without)"}
	case !g.token(r):
		return &denial{http.StatusUnauthorized, "this needs the token of admin.token_file, as Authorization: Bearer TOKEN"}
	}
	return nil
}

// look guards what shows something.
func (g *adminGuard) look(h http.Handler) http.Handler { return guarded(g.mayLook, h) }

// change guards what changes something.
func (g *adminGuard) change(h http.Handler) http.Handler { return guarded(g.mayChange, h) }

func guarded(may func(*http.Request) *denial, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if d := may(r); d != nil {
			if d.status == http.StatusUnauthorized {
				w.Header().Set("WWW-Authenticate", challenge)
			}
			http.Error(w, d.why, d.status)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// token compares in a time that says nothing about where two tokens differ.
func (g *adminGuard) token(r *http.Request) bool {
	scheme, got, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	a, b := sha256.Sum256([]byte(got)), sha256.Sum256([]byte(g.cfg().Token))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1 && strings.EqualFold(scheme, "Bearer") && g.cfg().Token != ""
}
