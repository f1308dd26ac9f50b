// Package e2e proves weir from outside: whole binaries with FFmpeg in and real
// players out.
//
// It promises nothing to importers: it holds tests only, which build the
// binary once, run nodes of it as processes on loopback and end what they
// started.
package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// weirBinary is the binary under test, built once for all tests.
var weirBinary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "weir-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	weirBinary = filepath.Join(dir, "weir")
	build := exec.Command("go", "build", "-o", weirBinary, "../../cmd/weir")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build weir:", err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// need skips the test, with its reason, where a program is not installed. CI
// installs them all: there a missing one is a failure.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err == nil {
			continue
		}
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is not installed, and CI installs it", p)
		}
		t.Skipf("%s is not installed here (make deps installs it)", p)
	}
}

// artefacts is the folder that a test's screenshots and logs are kept in.
func artefacts(t *testing.T) string {
	t.Helper()
	dir := filepath.Join("artefacts", t.Name())
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}
