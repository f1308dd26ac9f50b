package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A process is a child of the test: a node, an encoder or a player. Its output
// is kept, and it is ended with the test.
type process struct {
	t    *testing.T
	name string
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // how; read after done

	mu  sync.Mutex
	out bytes.Buffer
}

func start(t *testing.T, name, program string, args ...string) *process {
	t.Helper()
	p := &process{t: t, name: name, cmd: exec.Command(program, args...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p, p
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // what it starts is of its group, also after its end
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() { p.err = p.cmd.Wait(); close(p.done) }()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("---- %s said:\n%s", name, p.tail(6000))
		}
	})
	return p
}

// Write implements io.Writer: what the process says.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.out.Len() < 4<<20 {
		p.out.Write(b)
	}
	return len(b), nil
}

func (p *process) tail(n int) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.out.Bytes()
	return string(b[max(0, len(b)-n):])
}

// kill ends the process as a power cut would.
func (p *process) kill() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.done
}

// end asks the process to end and returns its exit code.
func (p *process) end(bound time.Duration) int {
	p.t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	return p.wait(bound)
}

// wait returns the exit code.
func (p *process) wait(bound time.Duration) int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(bound):
		p.kill()
		p.t.Errorf("%s did not end within %v", p.name, bound)
	}
	return p.cmd.ProcessState.ExitCode()
}

// A house is an origin and edges in a cluster, as processes.
type house struct {
	t      *testing.T
	dir    string
	ingest string // base URL
	origin string // base URL of viewers' side
	admin  map[string]string
	edges  []string // base URLs
	nodes  map[string]*process
	token  string // a viewer's, for everything
}

const (
	publishKey = "e2e-publisher-key-0123456789"
	pullKey    = "e2e-pull-key-0123456789abcdef"
)

// build starts an origin and n edges with tokens, pull key and cluster secret,
// and returns once all are ready.
func build(t *testing.T, n int) *house {
	t.Helper()
	h := &house{t: t, dir: t.TempDir(), admin: map[string]string{}, nodes: map[string]*process{}}
	h.file("publishers", "e2e "+publishKey+" *\n")
	h.file("pull.keys", "edges "+pullKey+"\n")
	h.file("pull.key", pullKey+"\n")
	h.file("cluster.key", "e2e-cluster-secret-0123456789abcdef\n")
	keygen := h.weir("token", "keygen", "--alg", "ES256", "--id", "k1", "--out", filepath.Join(h.dir, "k1"))
	if keygen != "" {
		t.Log(strings.TrimSpace(keygen))
	}
	port := ports(t, 3+4*n)
	view, ingest, admin := port(), port(), port()
	h.origin, h.ingest, h.admin["origin"] = "http://"+view, "http://"+ingest, "http://"+admin
	h.file("origin.yaml", fmt.Sprintf(`
listen: %s
access: {mode: pull-key, keys_file: pull.keys}
ingest: {listen: %s, keys_file: publishers}
admin: {listen: %s}
log: {level: info}
`, view, ingest, admin))
	h.run("origin", "origin", "--config", filepath.Join(h.dir, "origin.yaml"))
	seed := ""
	for i := range n {
		name := fmt.Sprintf("e%d", i+1)
		view, peers, gossip, admin := port(), port(), port(), port()
		if seed == "" {
			seed = gossip
		}
		h.edges = append(h.edges, "http://"+view)
		h.admin[name] = "http://" + admin
		h.file(name+".yaml", fmt.Sprintf(`
listen: %s
name: %s
origins: [%s]
origin_key_file: pull.key
cache: {memory: 256MiB}
cluster: {bind: %s, advertise: %s, peers: %s, join: [%s], secret_file: cluster.key}
tokens: {keys: [{id: k1, alg: ES256, file: k1.pub.pem}]}
admin: {listen: %s}
drain: {delay: 0s}
`, view, name, h.origin, gossip, gossip, peers, seed, admin))
		h.run(name, "edge", "--config", filepath.Join(h.dir, name+".yaml"))
	}
	for name := range h.nodes {
		h.eventually(20*time.Second, name+" ready", func() error { _, err := h.get(h.admin[name] + "/-/ready"); return err })
	}
	h.eventually(20*time.Second, "the edges know each other", func() error {
		for i := range n {
			if m := h.metric(fmt.Sprintf("e%d", i+1), `weir_cluster_members{state="alive"}`); int(m) != n {
				return fmt.Errorf("e%d sees %v of %d", i+1, m, n)
			}
		}
		return nil
	})
	h.token = strings.TrimSpace(h.weir("token", "sign", "--key", filepath.Join(h.dir, "k1.pem"), "--alg", "ES256", "--id", "k1",
		"--path", "/live/", "--ttl", "1h"))
	return h
}

func (h *house) file(name, text string) {
	h.t.Helper()
	if err := os.WriteFile(filepath.Join(h.dir, name), []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) run(name string, args ...string) {
	h.t.Helper()
	h.nodes[name] = start(h.t, name, weirBinary, args...)
}

// weir runs a command of the binary to its end.
func (h *house) weir(args ...string) string {
	h.t.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command(weirBinary, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		h.t.Fatalf("weir %s: %v\n%s%s", strings.Join(args, " "), err, out, stderr.String())
	}
	return string(out)
}

// url is where a viewer with a token finds a channel's multivariant playlist.
func (h *house) url(edge int, channel string) string {
	return h.edges[edge] + "/t/" + h.token + "/live/" + channel + "/index.m3u8"
}

// get returns the body of a 200 answer.
func (h *house) get(url string) (string, error) { return get(h.t.Context(), url) }

func get(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+pullKey) // for the origin; edges take tokens from the path first
	if strings.Contains(url, "/t/") {
		req.Header.Del("Authorization")
	}
	resp, err := (&http.Client{Timeout: 10 * time.Second}).Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, b)
	}
	return string(b), err
}

// metric returns the value of a node's series, summed over all whose name and
// labels begin with prefix, up to a closing brace if it has one.
func (h *house) metric(node, prefix string) float64 {
	h.t.Helper()
	page, err := h.get(h.admin[node] + "/metrics")
	if err != nil {
		h.t.Fatalf("metrics of %s: %v", node, err)
	}
	sum := 0.0
	for line := range strings.Lines(page) {
		if rest, ok := strings.CutPrefix(line, prefix); ok {
			fields := strings.Fields(rest)
			v, err := strconv.ParseFloat(fields[len(fields)-1], 64)
			if err != nil {
				h.t.Fatalf("metric %q: %v", line, err)
			}
			sum += v
		}
	}
	return sum
}

func (h *house) eventually(bound time.Duration, what string, f func() error) {
	h.t.Helper()
	eventually(h.t, bound, what, f)
}

func eventually(t *testing.T, bound time.Duration, what string, f func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(bound); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if err = f(); err == nil {
			return
		}
	}
	t.Fatalf("%s: not within %v: %v", what, bound, err)
}

// ports returns a function that yields n different free loopback addresses.
func ports(t *testing.T, n int) func() string {
	t.Helper()
	var addrs []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() // all at the end, so that none comes twice
		addrs = append(addrs, l.Addr().String())
	}
	return func() string { a := addrs[0]; addrs = addrs[1:]; return a }
}

var tokenPattern = regexp.MustCompile(`/t/[^/]+/`)

// masked hides tokens in what a test logs.
func maskedText(s string) string { return tokenPattern.ReplaceAllString(s, "/t/***/") }
