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

// look lets those see who are on this machine, or show the token.
func (g *adminGuard) look(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from, err := netip.ParseAddrPort(r.RemoteAddr)
		if local := err == nil && from.Addr().Unmap().IsLoopback(); !local && !g.token(r) {
			refuse(w, "from other machines this needs the token of admin.token_file")
			return
		}
		h.ServeHTTP(w, r)
	})
}

// change lets nobody change anything without the token.
func (g *adminGuard) change(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if g.cfg().Token == "" {
			http.Error(w, "what changes something needs a token, and none is configured: set admin.token_file, or send SIGHUP to reload", http.StatusForbidden)
			return
		}
		if !g.token(r) {
			refuse(w, "this needs the token of admin.token_file")
			return
		}
		h.ServeHTTP(w, r)
	})
}

func refuse(w http.ResponseWriter, why string) {
	w.Header().Set("WWW-Authenticate", `Bearer realm="weir admin"`)
	http.Error(w, why+", as Authorization: Bearer TOKEN", http.StatusUnauthorized)
}

// token compares in a time that says nothing about where two tokens differ.
func (g *adminGuard) token(r *http.Request) bool {
	scheme, got, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	a, b := sha256.Sum256([]byte(got)), sha256.Sum256([]byte(g.cfg().Token))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1 && strings.EqualFold(scheme, "Bearer") && g.cfg().Token != ""
}
