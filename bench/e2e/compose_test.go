package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/playlist"
)

// TestTheComposeFilePlays brings docker-compose.yml up from images built on
// this machine, without a registry: the same file an operator starts with
// "docker compose up", all services but Grafana. A viewer of any of the three
// edges sees the test channel, and Prometheus sees every node.
func TestTheComposeFilePlays(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 230*time.Second)
	defer cancel()
	engine := startEngine(t, ctx)
	c := newComposition(t, ctx, engine)

	playlists := make([]string, len(c.edges))
	for i, edge := range c.edges {
		playlists[i] = fmt.Sprintf("http://127.0.0.1:%s/t/%s/live/test/index.m3u8", edge, c.token)
		c.eventually(60*time.Second, "a playlist at edge "+edge, func() error {
			body, err := c.fetch(ctx, playlists[i])
			if err == nil && strings.Count(body, "#EXT-X-STREAM-INF") != 3 {
				err = fmt.Errorf("not three renditions yet:\n%s", body)
			}
			return err
		})
	}
	if _, err := c.fetch(ctx, fmt.Sprintf("http://127.0.0.1:%s/live/test/index.m3u8", c.edges[0])); err == nil || !strings.Contains(err.Error(), "403") {
		t.Errorf("without a token an edge says %v, want a 403", err)
	}

	watch := func(list, seconds string) {
		t.Helper()
		cmd := exec.CommandContext(ctx, "ffmpeg", "-nostdin", "-v", "error", "-xerror", "-i", list, "-t", seconds, "-f", "null", "-")
		if out, err := cmd.CombinedOutput(); err != nil || len(bytes.TrimSpace(out)) > 0 {
			t.Errorf("ffmpeg played %s: %v\n%s", masked(list, c.token), err, masked(string(out), c.token))
		}
	}
	watch(playlists[0], "10")
	watch(playlists[1], "2")
	watch(playlists[2], "2")

	// The origin's container is another one, its volume is the same: the channel goes on.
	was, err := c.newest(ctx, playlists[0])
	if err != nil {
		t.Fatal(err)
	}
	c.must(c.compose(ctx, "up", "-d", "--no-build", "--force-recreate", "--no-deps", "origin"))
	c.eventually(40*time.Second, "the channel to go on from the origin's volume", func() error {
		is, err := c.newest(ctx, playlists[0])
		if err == nil && (is.epoch != was.epoch || is.number <= was.number+10) {
			err = fmt.Errorf("it is at %v, before it was at %v", is, was)
		}
		return err
	})

	c.eventually(40*time.Second, "four nodes up in Prometheus", func() error { return c.nodesUp(ctx, 4) })
	c.eventually(20*time.Second, "no alert firing", func() error { return c.rulesHealthy(ctx) })
}

// A composition is the compose file, up.
type composition struct {
	t          *testing.T
	engine     *engine
	dir        string
	env        []string
	compose    func(ctx context.Context, args ...string) *exec.Cmd
	edges      []string // host ports
	prometheus string
	token      string
}

func newComposition(t *testing.T, ctx context.Context, e *engine) *composition {
	dir := t.TempDir()
	c := &composition{t: t, engine: e, dir: dir}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}

	// The binary, and the keys it makes.
	bin := filepath.Join(dir, "context", "bin", "weir")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", bin, "./cmd/weir")
	build.Dir, build.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	c.must(build)
	keys := filepath.Join(dir, "keys")
	c.must(exec.CommandContext(ctx, filepath.Join(root, "deploy/compose/keygen"), bin, keys))
	token, err := os.ReadFile(filepath.Join(keys, "token"))
	if err != nil {
		t.Fatal(err)
	}
	c.token = strings.TrimSpace(string(token))

	// The configs, with the keys where they lie here.
	for _, name := range []string{"origin.yaml", "edge.yaml"} {
		text, err := os.ReadFile(filepath.Join(root, "deploy/compose", name))
		if err != nil {
			t.Fatal(err)
		}
		copied := filepath.Join(dir, name)
		if err := os.WriteFile(copied, bytes.ReplaceAll(text, []byte("/run/secrets"), []byte(keys)), 0o600); err != nil {
			t.Fatal(err)
		}
		c.must(exec.CommandContext(ctx, bin, "check", copied))
	}

	// The images: what FFmpeg and Prometheus of this machine are linked with,
	// a shell and mkdir, then the Dockerfile of the repository upon it.
	c.closure(ctx, "weir-e2e-base", "ffmpeg")
	c.closure(ctx, "weir-e2e-prometheus", "prometheus")
	e.build(ctx, c, "-f", filepath.Join(root, "Dockerfile"), "--target", "local",
		"--build-arg", "BASE="+e.tag("weir-e2e-base"), "-t", e.tag("weir-e2e"), filepath.Join(dir, "context"))

	ports := composePorts(t, 5)
	c.edges, c.prometheus = ports[:3], ports[3]
	c.env = append(os.Environ(), e.env...)
	c.env = append(c.env, "WEIR_KEYS="+keys, "WEIR_IMAGE="+e.tag("weir-e2e"), "PROMETHEUS_IMAGE="+e.tag("weir-e2e-prometheus"),
		"EDGE1_PORT="+ports[0], "EDGE2_PORT="+ports[1], "EDGE3_PORT="+ports[2], "PROMETHEUS_PORT="+ports[3], "INGEST_PORT="+ports[4],
		"COMPOSE_PROJECT_NAME="+e.project, "COMPOSE_HTTP_TIMEOUT=120")
	if os.Getuid() != 0 {
		c.env = append(c.env, fmt.Sprintf("WEIR_USER=%d:%d", os.Getuid(), os.Getgid()))
	}
	c.compose = func(ctx context.Context, args ...string) *exec.Cmd {
		args = append(append(e.compose[1:], "-f", filepath.Join(root, "docker-compose.yml")), args...)
		cmd := exec.CommandContext(ctx, e.compose[0], args...)
		cmd.Env = c.env
		return cmd
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
		defer cancel()
		if t.Failed() {
			out, _ := c.compose(ctx, "logs", "--no-color", "--tail=40").CombinedOutput()
			t.Logf("the containers said:\n%s", masked(string(out), c.token))
		}
		if out, err := c.compose(ctx, "down", "-v", "-t", "3").CombinedOutput(); err != nil {
			t.Errorf("compose down: %v\n%s", err, out)
		}
	})
	c.must(c.compose(ctx, "up", "-d", "--no-build", "origin", "edge1", "edge2", "edge3", "channel", "prometheus"))
	return c
}

// A place is where a channel is: numbers go on within an epoch.
type place struct {
	epoch  string
	number uint64
}

// newest returns the last segment that a channel lists.
func (c *composition) newest(ctx context.Context, multivariant string) (p place, err error) {
	text, err := c.fetch(ctx, strings.TrimSuffix(multivariant, "index.m3u8")+"144p/index.m3u8")
	if err != nil {
		return p, err
	}
	m, err := playlist.ParseMedia([]byte(text))
	if err != nil || len(m.Segments) == 0 {
		return p, fmt.Errorf("%w in\n%s", err, text)
	}
	epoch, _, ok := strings.Cut(m.Segments[len(m.Segments)-1].URI, "-")
	if !ok {
		return p, fmt.Errorf("a media name without an epoch in\n%s", text)
	}
	return place{epoch, m.MediaSequence + uint64(len(m.Segments)) - 1}, nil
}

func (c *composition) must(cmd *exec.Cmd) {
	c.t.Helper()
	began := time.Now()
	out, err := cmd.CombinedOutput()
	if err != nil {
		c.t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	c.t.Logf("%s: %.1f s", filepath.Base(cmd.Path), time.Since(began).Seconds())
}

// closure builds an image of one program of this machine: the program, a
// shell, and the libraries that the two are linked with.
func (c *composition) closure(ctx context.Context, image, program string) {
	c.t.Helper()
	dir := filepath.Join(c.dir, image)
	script := `set -eu
		mkdir -p "$1/rootfs/lib" "$1/rootfs/bin"
		cp -L "$2" /bin/sh /bin/mkdir "$1/rootfs/bin/"
		ldd "$2" /bin/sh /bin/mkdir | awk '/=> \//{print $3}' | sort -u | xargs -I{} cp -L {} "$1/rootfs/lib/"
		loader=$(ldd /bin/sh | awk '/^\t\/.*ld-/{print $1}')
		mkdir -p "$1/rootfs$(dirname "$loader")"
		cp -L "$loader" "$1/rootfs$loader"
		printf 'FROM scratch\nENV PATH=/usr/local/bin:/usr/bin:/bin\nCOPY rootfs /\nENTRYPOINT ["%s"]\n' "$3" >"$1/Dockerfile"`
	path, err := exec.LookPath(program)
	if err != nil {
		c.t.Fatal(err)
	}
	c.must(exec.CommandContext(ctx, "sh", "-c", script, "sh", dir, path, program))
	c.engine.build(ctx, c, "-t", c.engine.tag(image), dir)
}

// eventually polls until ok has no error, and fails the test with its last one.
func (c *composition) eventually(within time.Duration, what string, ok func() error) {
	c.t.Helper()
	began := time.Now()
	for {
		err := ok()
		switch {
		case err == nil:
			c.t.Logf("%s after %.1f s", what, time.Since(began).Seconds())
			return
		case time.Since(began) > within:
			c.t.Fatalf("no %s within %v: %s", what, within, masked(err.Error(), c.token))
		}
		time.Sleep(500 * time.Millisecond) // a real clock: there are processes behind it
	}
}

func (c *composition) query(ctx context.Context, path string, into any) error {
	body, err := c.fetch(ctx, "http://127.0.0.1:"+c.prometheus+path)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(body), into)
}

// nodesUp checks that Prometheus scrapes n nodes and finds metrics of ours in each.
func (c *composition) nodesUp(ctx context.Context, n int) error {
	for _, expr := range []string{`count(up == 1)`, `count(count by (instance) (weir_http_requests_total))`} {
		var answer struct {
			Data struct {
				Result []struct{ Value [2]any }
			}
		}
		if err := c.query(ctx, "/api/v1/query?query="+url.QueryEscape(expr), &answer); err != nil {
			return err
		}
		if r := answer.Data.Result; len(r) != 1 || r[0].Value[1] != fmt.Sprint(n) {
			return fmt.Errorf("%s is %v, want %d", expr, r, n)
		}
	}
	return nil
}

// rulesHealthy checks that Prometheus can evaluate every alert and that none fires.
func (c *composition) rulesHealthy(ctx context.Context) error {
	var answer struct {
		Data struct {
			Groups []struct {
				Rules []struct{ Name, Health, State, LastError string }
			}
		}
	}
	if err := c.query(ctx, "/api/v1/rules", &answer); err != nil {
		return err
	}
	if len(answer.Data.Groups) == 0 {
		return fmt.Errorf("no rules are loaded")
	}
	for _, g := range answer.Data.Groups {
		for _, r := range g.Rules {
			if r.Health != "ok" || r.State == "firing" {
				return fmt.Errorf("rule %s is %s and %s: %s", r.Name, r.Health, r.State, r.LastError)
			}
		}
	}
	return nil
}

func (c *composition) fetch(ctx context.Context, url string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, body)
	}
	return string(body), err
}

// composePorts returns n ports of loopback that nobody listened on a moment ago.
func composePorts(t *testing.T, n int) (ports []string) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		_, port, _ := net.SplitHostPort(l.Addr().String())
		ports = append(ports, port)
	}
	return ports
}

func masked(s, token string) string { return strings.ReplaceAll(s, token, "***") }
