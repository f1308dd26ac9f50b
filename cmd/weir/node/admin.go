package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"weir/cmd/weir/config"
)

// adminPages are what differs between the admin listeners of nodes.
type adminPages struct {
	registry *prometheus.Registry
	config   func() []byte
	status   func() status
	debug    map[string]func() any // shown as JSON at /debug/{name}
	api      []apiRoute            // the operator's API, below /api/; nil: none
}

// status is what /-/ready says beside its yes or no.
type status struct {
	State    string         `json:"state"`
	Reasons  []string       `json:"reasons,omitempty"`  // why not ready
	Warnings []string       `json:"warnings,omitempty"` // what to look at although it is
	Origins  *originsStatus `json:"origins,omitempty"`
	Members  int            `json:"members,omitempty"` // of the cluster, alive
	Streams  int            `json:"streams,omitempty"`
	Store    *storeStatus   `json:"store,omitempty"`
}

// storeStatus is how an origin's disk does. None of its states makes the origin unready: the
// live edge does not need the disk.
type storeStatus struct {
	State  string    `json:"state"` // ok, slow, full, failing
	Since  time.Time `json:"since,omitzero"`
	Behind string    `json:"behind"` // how long the oldest segment has waited to be durable
	Queue  int64     `json:"queue_bytes"`
	Bytes  int64     `json:"bytes"`
	Free   int64     `json:"free_bytes"`
}

type originsStatus struct {
	Up  int `json:"up"` // not known to fail
	All int `json:"all"`
}

// openAdmin opens the operator's listener. It is the first to open and to
// serve, and the last to close, so that a start or an end that hangs can be
// looked at.
func (n *Node) openAdmin(cfg func() config.Admin, pages adminPages) (*door, error) {
	d, err := openDoor("admin.listen", cfg().Listen, n.fail)
	if err != nil {
		return nil, err
	}
	s := &http.Server{
		Handler:           n.adminHandler(cfg, pages),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          log.New(debugWriter{n.log}, "", 0),
	}
	n.onRun(func() {
		if _, err := d.serve(&httpServer{s}); err != nil {
			n.fail(d.key, err)
		}
	})
	n.onClose("admin listener", d.close)
	return d, nil
}

// adminHandler serves the admin listener behind its guard.
func (n *Node) adminHandler(cfg func() config.Admin, pages adminPages) http.Handler {
	mux := http.NewServeMux()
	g := &adminGuard{cfg: cfg}
	mux.Handle("GET /metrics", promhttp.HandlerFor(pages.registry, promhttp.HandlerOpts{ErrorLog: log.New(debugWriter{n.log}, "", 0)}))
	mux.HandleFunc("GET /-/healthy", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "healthy") })
	mux.HandleFunc("GET /-/ready", n.serveReady(pages.status))
	mux.Handle("POST /-/reload", g.change(http.HandlerFunc(n.serveReload)))
	for name, f := range pages.debug {
		mux.Handle("GET /debug/"+name, g.look(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, f()) })))
	}
	mux.Handle("GET /debug/config", g.look(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/yaml; charset=utf-8")
		_, _ = w.Write(pages.config())
	})))
	mux.Handle("GET /debug/pprof/", g.look(http.HandlerFunc(pprof.Index)))
	mux.Handle("GET /debug/pprof/cmdline", g.look(http.HandlerFunc(pprof.Cmdline)))
	mux.Handle("GET /debug/pprof/profile", g.look(http.HandlerFunc(pprof.Profile)))
	mux.Handle("GET /debug/pprof/symbol", g.look(http.HandlerFunc(pprof.Symbol)))
	mux.Handle("GET /debug/pprof/trace", g.look(http.HandlerFunc(pprof.Trace)))
	if pages.api != nil {
		mux.Handle("/api/", apiHandler(pages.api, g, n.log))
	}
	mux.HandleFunc("GET /{$}", serveIndex(pages))
	mux.HandleFunc("GET /debug/{$}", serveIndex(pages))
	return g.host(mux)
}

func serveIndex(pages adminPages) http.HandlerFunc {
	lines := []string{"/metrics", "/-/healthy", "/-/ready", "/-/reload (POST, admin token)", "/debug/config", "/debug/pprof/"}
	for name := range pages.debug {
		lines = append(lines, "/debug/"+name)
	}
	for _, route := range pages.api {
		if route.calls[http.MethodGet] != nil && !strings.Contains(route.path, "{") {
			lines = append(lines, route.path)
		}
	}
	slices.Sort(lines)
	text := strings.Join(lines, "\n") + "\n"
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) }
}

// serveReady says whether the node should get traffic: 200 or 503, and why.
func (n *Node) serveReady(more func() status) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		s := more()
		p := n.state.get()
		s.State = p.String()
		code := http.StatusOK
		if p != ready {
			code = http.StatusServiceUnavailable
			s.Reasons = append(s.Reasons, map[phase]string{starting: "starting: not all listeners serve yet",
				draining: "draining: told to stop"}[p])
		}
		writeJSON(w, code, s)
	}
}

func (n *Node) serveReload(w http.ResponseWriter, _ *http.Request) {
	done, err := n.Reload()
	if err != nil {
		http.Error(w, "nothing changed:\n"+err.Error(), http.StatusBadRequest)
		return
	}
	writeJSON(w, http.StatusOK, done)
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = w.Write(append(text, '\n'))
}

// httpServer is an http.Server as a door serves it.
type httpServer struct{ s *http.Server }

func (h *httpServer) Serve(ln net.Listener) error { return h.s.Serve(ln) }

// Shutdown is short: an operator's profile or scrape may be cut.
func (h *httpServer) Shutdown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if err := h.s.Shutdown(ctx); err != nil {
		return errors.Join(h.s.Close())
	}
	return nil
}

// debugWriter logs what net/http says of single connections.
type debugWriter struct{ log *slog.Logger }

func (w debugWriter) Write(p []byte) (int, error) {
	w.log.Debug("admin", "msg", strings.TrimSpace(string(p)))
	return len(p), nil
}
