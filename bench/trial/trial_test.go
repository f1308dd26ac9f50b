// Package trial puts whole origins on trial: killed at any moment, for hours,
// under the load of fifty channels.
//
// It promises nothing to importers: it holds tests only, which build the
// binary once, run it as processes on loopback and end what they started. How
// long and how much is said by flags; `make crash`, `make chaos`, `make soak`
// and `make bench-ingest` say it.
package trial

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
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

	"weir/bench"
	"weir/internal/web"
	"weir/internal/wire"
)

// binary is the weir under trial, built once for all tests, and data whether it
// can keep media on disk.
var (
	binary string
	data   bool
)

func TestMain(m *testing.M) {
	flag.Parse()
	dir, err := os.MkdirTemp("", "weir-trial-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary = filepath.Join(dir, "weir")
	build := exec.Command("go", "build", "-o", binary, "../../cmd/weir")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build weir:", err)
		os.Exit(1)
	}
	help, _ := exec.Command(binary, "origin", "--help").CombinedOutput()
	data = bytes.Contains(help, []byte("--data"))
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// A node is an origin as a process, in one life after the other: its addresses
// and its directory stay.
type node struct {
	testing.TB
	dir                 string
	args                []string
	view, ingest, admin string // base URLs
	client              *http.Client

	life atomic.Int64 // counts lives; odd while the process runs
	mu   sync.Mutex   // guards what follows
	cmd  *exec.Cmd
	done chan struct{}
	born time.Time

	said sync.Mutex // guards out
	out  bytes.Buffer
}

// newNode prepares an origin with a config file of the given text; it keeps
// media on disk where persist is set.
func newNode(t testing.TB, persist bool, config string) *node {
	t.Helper()
	port := ports(t, 3)
	n := &node{TB: t, dir: t.TempDir(), client: &http.Client{Timeout: 10 * time.Second,
		Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}}}
	view, ingest, admin := port(), port(), port()
	n.view, n.ingest, n.admin = "http://"+view, "http://"+ingest, "http://"+admin
	file := filepath.Join(n.dir, "origin.yaml")
	config = fmt.Sprintf("listen: %s\ningest: {listen: %s}\nadmin: {listen: %s}\ndrain: {delay: 0s, timeout: 2s}\nlog: {level: warn}\n%s", view, ingest, admin, config)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	n.args = []string{"origin", "--config", file}
	if persist {
		n.args = append(n.args, "--data", n.data())
	}
	t.Cleanup(func() {
		n.end(syscall.SIGKILL)
		if t.Failed() {
			n.said.Lock()
			defer n.said.Unlock()
			b := n.out.Bytes()
			t.Logf("---- the origin said last:\n%s", b[max(0, len(b)-6000):])
		}
	})
	return n
}

func (n *node) data() string { return filepath.Join(n.dir, "data") }

// start begins a life.
func (n *node) start() {
	n.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	cmd := exec.Command(binary, n.args...)
	cmd.Stdout, cmd.Stderr = n, n
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // the terminal's signals are not for it
	if err := cmd.Start(); err != nil {
		n.Fatal(err)
	}
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	n.cmd, n.done, n.born = cmd, done, time.Now()
	n.life.Add(1)
}

// end ends the life that there is by a signal.
func (n *node) end(sig syscall.Signal) {
	n.mu.Lock()
	cmd, done := n.cmd, n.done
	n.cmd = nil
	n.mu.Unlock()
	if cmd == nil {
		return
	}
	n.life.Add(1)
	_ = cmd.Process.Signal(sig)
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		n.Errorf("the origin did not end within 10 s of signal %v", sig)
		_ = cmd.Process.Kill()
		<-done
	}
}

// pid is that of the present life.
func (n *node) pid() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cmd == nil {
		return 0
	}
	return n.cmd.Process.Pid
}

// gone reports whether the process ended though nobody ended it.
func (n *node) gone() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cmd == nil {
		return false
	}
	select {
	case <-n.done:
		return true
	default:
		return false
	}
}

// ready waits until the origin says that it is.
func (n *node) ready(bound time.Duration) {
	n.Helper()
	var last string
	for end := time.Now().Add(bound); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if n.gone() {
			n.Fatal("the origin ended by itself")
		}
		resp, err := n.client.Get(n.admin + "/-/ready")
		if err != nil {
			last = err.Error()
			continue
		}
		b, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return
		}
		last = resp.Status + " " + strings.TrimSpace(string(b))
	}
	n.Fatalf("the origin is not ready after %v: %s", bound, last)
}

// Write implements io.Writer: what the processes say.
func (n *node) Write(b []byte) (int, error) {
	n.said.Lock()
	defer n.said.Unlock()
	if n.out.Len() > 4<<20 {
		n.out.Reset()
	}
	n.out.Write(b)
	return len(b), nil
}

// get returns an answer with its whole body.
func (n *node) get(target string) (status int, header http.Header, body []byte, err error) {
	resp, err := n.client.Get(target)
	if err != nil {
		return 0, nil, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	return resp.StatusCode, resp.Header, body, err
}

// feed returns an encoder that pushes to a channel of the node, over connections of its own
// unless it is told which.
func (n *node) feed(o bench.FeedOptions) *bench.Feed {
	n.Helper()
	if o.Ingest == nil {
		o.Ingest = n.uplink()
	}
	f, err := bench.NewFeed(o)
	if err != nil {
		n.Fatal(err)
	}
	return f
}

// uplink is an encoder's way to the node.
func (n *node) uplink() web.Handler {
	n.Helper()
	u, err := url.Parse(n.ingest)
	if err != nil {
		n.Fatal(err)
	}
	c, err := wire.NewClient(wire.ClientOptions{Base: u, HeadTimeout: 5 * time.Second})
	if err != nil {
		n.Fatal(err)
	}
	n.Cleanup(c.Close)
	return c
}

// ports returns a function that yields n different free loopback addresses.
func ports(t testing.TB, n int) func() string {
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
