package node

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"weir/cmd/weir/config"
)

func adminOf(t *testing.T, a config.Admin) http.Handler {
	t.Helper()
	reg := prometheus.NewRegistry()
	n, err := newNode(&Options[config.Edge]{Config: edgeConfig(), Registry: reg})
	if err != nil {
		t.Fatal(err)
	}
	n.reload = func() (Applied, error) { return Applied{Live: []string{"log.level"}}, nil }
	return n.adminHandler(func() config.Admin { return a }, adminPages{
		registry: reg,
		config:   func() []byte { return []byte("listen: :8090\n") },
		status:   func() status { return status{} },
		debug:    map[string]func() any{"cache": func() any { return 1 }},
	})
}

// Who may do what on the operator's listener: nobody changes anything without
// the token, other machines see nothing of /debug without it, and a web page
// whose name was pointed at 127.0.0.1 gets nothing at all.
func TestAdminLetsInOnlyWhoMay(t *testing.T) {
	const here, there = "127.0.0.1:5", "192.0.2.7:5"
	open := adminOf(t, config.Admin{})
	locked := adminOf(t, config.Admin{Token: "0123456789abcdef", Hosts: []string{"weir.example"}})
	f := func(h http.Handler, want int, method, path, from, host, auth string) {
		t.Helper()
		r := httptest.NewRequest(method, path, nil)
		r.RemoteAddr, r.Host = from, host
		if auth != "" {
			r.Header.Set("Authorization", auth)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%s %s from %s for %s with %q: %d, want %d: %s", method, path, from, host, auth, w.Code, want, w.Body)
		}
	}
	const good = "Bearer 0123456789abcdef"
	for _, path := range []string{"/metrics", "/-/healthy", "/debug/config", "/debug/cache", "/debug/pprof/", "/debug/pprof/cmdline", "/"} {
		f(open, 200, "GET", path, here, "localhost:9190", "")
		f(open, 200, "GET", path, here, "127.0.0.1:9190", "")
		f(open, 200, "GET", path, "[::1]:5", "[::1]:9190", "")
		f(open, 421, "GET", path, here, "evil.example", "")
		f(open, 421, "GET", path, here, "localhost.evil.example:9190", "")
		f(locked, 421, "GET", path, here, "evil.example", good)
		f(locked, 200, "GET", path, here, "WEIR.example:9190", "")
	}
	f(open, 503, "GET", "/-/ready", here, "localhost", "")
	f(open, 404, "GET", "/debug/cluster", here, "localhost", "")
	f(open, 421, "GET", "/", here, "", "")

	// Reading from elsewhere: numbers and health yes, the inside only with the token.
	f(locked, 200, "GET", "/metrics", there, "weir.example", "")
	f(locked, 200, "GET", "/-/healthy", there, "192.0.2.1:9190", "")
	for _, path := range []string{"/debug/config", "/debug/cache", "/debug/pprof/", "/debug/pprof/profile", "/debug/pprof/heap"} {
		f(locked, 401, "GET", path, there, "weir.example", "")
	}
	f(locked, 200, "GET", "/debug/config", there, "weir.example", good)
	f(locked, 200, "GET", "/debug/config", there, "weir.example", "bearer 0123456789abcdef")

	// Changing.
	f(open, 403, "POST", "/-/reload", here, "localhost", "")
	f(open, 403, "POST", "/-/reload", here, "localhost", "Bearer ")
	f(locked, 401, "POST", "/-/reload", here, "localhost", "")
	f(locked, 401, "POST", "/-/reload", here, "localhost", "Bearer 0123456789abcdee")
	f(locked, 401, "POST", "/-/reload", here, "localhost", "Basic 0123456789abcdef")
	f(locked, 401, "POST", "/-/reload", here, "localhost", "Bearer ")
	f(locked, 405, "GET", "/-/reload", here, "localhost", good)
	f(locked, 200, "POST", "/-/reload", here, "localhost", good)
	f(locked, 200, "POST", "/-/reload", there, "weir.example", good)
	f(locked, 421, "POST", "/-/reload", here, "evil.example", good)
}

// A page that names an endpoint that is not there sends an operator astray.
func TestAdminIndexNamesWhatIsThere(t *testing.T) {
	h := adminOf(t, config.Admin{})
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/", nil)
	r.Host, r.RemoteAddr = "localhost", "127.0.0.1:1"
	h.ServeHTTP(w, r)
	for line := range strings.Lines(w.Body.String()) {
		path := strings.Fields(line)[0]
		r := httptest.NewRequest("GET", path, nil)
		r.Host, r.RemoteAddr = "localhost", "127.0.0.1:1"
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code == http.StatusNotFound {
			t.Errorf("%s is not there", path)
		}
	}
}
