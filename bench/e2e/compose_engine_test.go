package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// An engine runs containers: Docker as it is found, or a podman of the test's
// own, with its own storage, networks and socket, so that nothing stays behind.
type engine struct {
	client  []string // builds images
	compose []string // brings them up
	env     []string
	prefix  string // of image names
	project string
}

func (e *engine) tag(name string) string { return e.prefix + name + ":test" }

func (e *engine) build(ctx context.Context, c *composition, args ...string) {
	c.t.Helper()
	all := append(append(append([]string{}, e.client[1:]...), "build", "-q", "--network=none"), args...)
	cmd := exec.CommandContext(ctx, e.client[0], all...)
	cmd.Env = append(os.Environ(), e.env...)
	c.must(cmd)
}

// startEngine finds an engine that can run a container, or skips the test with
// the reason.
func startEngine(t *testing.T, ctx context.Context) *engine {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("images are made of this machine's FFmpeg and libraries, which needs Linux")
	}
	for _, program := range []string{"ffmpeg", "prometheus"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("no %s on this machine to make an image of", program)
		}
	}
	e := docker(ctx)
	if e == nil {
		var why string
		if e, why = podman(t, ctx); e == nil {
			t.Skip("no container engine at hand: no Docker daemon answers, and " + why)
		}
	}
	e.project = fmt.Sprintf("weir-e2e-%d", os.Getpid())
	t.Cleanup(func() {
		for _, image := range []string{"probe", "prometheus", "base", ""} {
			name := e.tag(strings.TrimSuffix("weir-e2e-"+image, "-"))
			cmd := exec.Command(e.client[0], append(append([]string{}, e.client[1:]...), "rmi", "-f", name)...)
			cmd.Env = append(os.Environ(), e.env...)
			cmd.Run() // what was not built cannot be removed
		}
	})
	if why := e.probe(t, ctx); why != "" {
		t.Skip("the container engine cannot run a container here: " + why)
	}
	return e
}

// docker returns nil where no daemon answers or no compose is installed.
func docker(ctx context.Context) *engine {
	if exec.CommandContext(ctx, "docker", "version", "--format", "{{.Server.Version}}").Run() != nil {
		return nil
	}
	e := &engine{client: []string{"docker"}, compose: []string{"docker", "compose"}}
	if exec.CommandContext(ctx, "docker", "compose", "version").Run() != nil {
		e.compose = []string{"docker-compose"}
		if _, err := exec.LookPath("docker-compose"); err != nil {
			return nil
		}
	}
	return e
}

// podman starts an API service for docker-compose to talk to. Without an engine
// it says why there is none.
func podman(t *testing.T, ctx context.Context) (e *engine, why string) {
	for _, program := range []string{"podman", "runc", "docker-compose"} {
		if _, err := exec.LookPath(program); err != nil {
			return nil, "there is no " + program
		}
	}
	if os.Getuid() != 0 {
		return nil, "podman is only tried as root"
	}
	dir, err := os.MkdirTemp("", "weir-e2e-podman") // a short path: it holds a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })

	// runc and cgroupfs need no systemd, and the limits no capability to raise them.
	conf, sock := filepath.Join(dir, "containers.conf"), filepath.Join(dir, "sock")
	text := fmt.Sprintf(`[containers]
default_ulimits = ["nofile=20000:20000","nproc=32768:32768"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
[network]
network_backend = "netavark"
network_config_dir = %q
`, filepath.Join(dir, "networks"))
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	e = &engine{
		client:  []string{"podman", "--root", filepath.Join(dir, "root"), "--runroot", filepath.Join(dir, "run")},
		compose: []string{"docker-compose"},
		env:     []string{"CONTAINERS_CONF=" + conf, "DOCKER_HOST=unix://" + sock},
		prefix:  "localhost/",
	}
	service := exec.Command(e.client[0], append(e.client[1:], "system", "service", "--time=0", "unix://"+sock)...)
	service.Env = append(os.Environ(), "CONTAINERS_CONF="+conf)
	if err := service.Start(); err != nil {
		return nil, "podman's service does not start: " + err.Error()
	}
	t.Cleanup(func() { // runs after the composition is down
		service.Process.Kill()
		service.Wait()
		umount := exec.Command("umount", filepath.Join(dir, "root", "overlay"))
		umount.Run() // podman binds it upon itself; not everywhere
	})
	for range 100 {
		if _, err := os.Stat(sock); err == nil {
			return e, ""
		}
		time.Sleep(100 * time.Millisecond)
	}
	return nil, "podman's service opens no socket"
}

// probe runs the smallest container there is, /bin/sh of this machine, and
// returns what went wrong.
func (e *engine) probe(t *testing.T, ctx context.Context) string {
	c := &composition{t: t, engine: e, dir: t.TempDir()}
	c.closure(ctx, "weir-e2e-probe", "true")
	cmd := exec.CommandContext(ctx, e.client[0], append(append([]string{}, e.client[1:]...), "run", "--rm", e.tag("weir-e2e-probe"))...)
	cmd.Env = append(os.Environ(), e.env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Sprintf("%v: %s", err, strings.TrimSpace(string(out)))
	}
	return ""
}
