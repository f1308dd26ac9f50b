package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A tap stands between a CDN and the origin, and counts what the CDN asks for.
type tap struct {
	addr string
	away atomic.Bool // the origin cannot be reached

	mu      sync.Mutex
	asked   map[string]int // by path and query
	strange []string       // requests that should not have come like that
}

func newTap(t *testing.T, origin string) *tap {
	t.Helper()
	to, err := url.Parse(origin)
	if err != nil {
		t.Fatal(err)
	}
	p := &tap{asked: map[string]int{}}
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(to) },
		FlushInterval: -1,
		ErrorHandler:  func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.asked[r.URL.RequestURI()]++
		for name, want := range map[string]string{"Weir-Pull-Key": pullKey, "Authorization": "", "Cookie": ""} {
			if got := r.Header.Get(name); got != want {
				p.strange = append(p.strange, fmt.Sprintf("%s: %s %q, want %q", r.URL, name, got, want))
			}
		}
		p.mu.Unlock()
		if p.away.Load() {
			panic(http.ErrAbortHandler) // the connection is closed without an answer
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	p.addr = strings.TrimPrefix(s.URL, "http://")
	return p
}

// count says how often what contains part was asked for: in all, the most for one URL, and
// how many URLs there were.
func (p *tap) count(part string) (all, most, urls int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for uri, n := range p.asked {
		if strings.Contains(uri, part) {
			all, most, urls = all+n, max(most, n), urls+1
		}
	}
	return all, most, urls
}

// A cdn is a cache of somebody else's before the origin, as deploy/cdn sets it up.
type cdn struct {
	name, program string
	start         func(t *testing.T, dir, listen, origin string)
}

var cdns = []cdn{
	{"nginx", "nginx", startNginx},
	{"varnish", "varnishd", startVarnish},
	{"trafficserver", "traffic_server", startTrafficServer},
}

// recipe writes a file of deploy/cdn into dir, with what an operator has to change in it
// changed: pairs of what stands there, which must, and what is to.
func recipe(t *testing.T, dir, file string, change ...string) string {
	t.Helper()
	b, err := os.ReadFile("../../deploy/cdn/" + file)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for i := 0; i < len(change); i += 2 {
		if !strings.Contains(text, change[i]) {
			t.Fatalf("deploy/cdn/%s lacks %q", file, change[i])
		}
		text = strings.ReplaceAll(text, change[i], change[i+1])
	}
	out := filepath.Join(dir, file)
	if err := os.WriteFile(out, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return out
}

func mkdirs(t *testing.T, dirs ...string) {
	t.Helper()
	for _, d := range dirs {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func startNginx(t *testing.T, dir, listen, origin string) {
	cache := filepath.Join(dir, "cache")
	mkdirs(t, cache)
	// Its workers would change to a user without rights here, if it is started with any.
	user := ""
	if os.Geteuid() == 0 {
		user = "user root; "
	}
	file := recipe(t, dir, "nginx.conf", "192.0.2.10:8080", origin, "listen 80;", "listen "+listen+";", "PULL-KEY", pullKey,
		"/var/cache/nginx", cache, "/run/nginx.pid", filepath.Join(dir, "pid"), "/var/log/nginx/error.log", "stderr")
	start(t, "nginx", "nginx", "-e", "stderr", "-p", dir, "-c", file, "-g", user+"daemon off;")
}

func startVarnish(t *testing.T, dir, listen, origin string) {
	host, port, _ := strings.Cut(origin, ":")
	file := recipe(t, dir, "varnish.vcl", `"192.0.2.10"`, `"`+host+`"`, `"8080"`, `"`+port+`"`, "PULL-KEY", pullKey)
	args := []string{"-F", "-a", listen, "-f", file, "-n", filepath.Join(dir, "n"), "-s", "malloc,64m"}
	if os.Geteuid() == 0 {
		args = append([]string{"-j", "none"}, args...)
	}
	p := start(t, "varnish", "varnishd", args...)
	t.Cleanup(func() { // its child is in a group of its own: killed, the parent could not end it
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		p.wait(10 * time.Second)
	})
}

func startTrafficServer(t *testing.T, dir, listen, origin string) {
	program, err := exec.LookPath("traffic_server")
	if err != nil {
		t.Fatal(err)
	}
	program, _ = filepath.Abs(program)
	// Where the package was unpacked and not installed, the rest of it is beside it.
	prefix := filepath.Dir(filepath.Dir(program))
	lib, etc := filepath.Join(prefix, "lib/trafficserver"), "/etc/trafficserver"
	if prefix != "/usr" {
		etc = filepath.Join(filepath.Dir(prefix), "etc/trafficserver")
	}
	conf, cache, run, log := filepath.Join(dir, "etc"), filepath.Join(dir, "cache"), filepath.Join(dir, "run"), filepath.Join(dir, "log")
	mkdirs(t, cache, run, log)
	if err := os.CopyFS(conf, os.DirFS(etc)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"records.config", "remap.config", "storage.config"} {
		if err := os.Remove(filepath.Join(conf, name)); err != nil {
			t.Fatal(err)
		}
	}
	host, port, _ := strings.Cut(listen, ":")
	records := recipe(t, conf, "records.config", "STRING 80\n", "STRING "+port+":ip-in="+host+"\n")
	recipe(t, conf, "remap.config", "192.0.2.10:8080", origin)
	recipe(t, conf, "weir.config", "PULL-KEY", pullKey)
	if err := os.WriteFile(filepath.Join(conf, "storage.config"), []byte(cache+" 64M\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	// What the package's own file says, which the recipe stands in for, and no user to change to.
	f, err := os.OpenFile(records, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(f, "CONFIG proxy.config.admin.user_id STRING #-1\nCONFIG proxy.config.plugin.plugin_dir STRING %s/modules\n"+
		"CONFIG proxy.config.body_factory.template_sets_dir STRING %s/body_factory\n", lib, conf)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	var root strings.Builder
	for key, path := range map[string]string{"prefix": dir, "exec_prefix": dir, "bindir": filepath.Dir(program), "sbindir": filepath.Dir(program),
		"sysconfdir": conf, "datadir": cache, "includedir": dir, "libdir": lib, "libexecdir": lib + "/modules", "localstatedir": run,
		"runtimedir": run, "logdir": log, "mandir": dir, "infodir": dir, "cachedir": cache} {
		fmt.Fprintf(&root, "%s: %s\n", key, path)
	}
	runroot := filepath.Join(dir, "runroot.yaml")
	if err := os.WriteFile(runroot, []byte(root.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	start(t, "trafficserver", "env", "LD_LIBRARY_PATH="+lib, program, "--run-root="+runroot)
}
