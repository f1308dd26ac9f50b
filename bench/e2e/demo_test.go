package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// `weir demo` on a machine with FFmpeg is playable within six seconds, ends by
// itself with exit code 0, and leaves no encoder behind.
func TestDemoIsPlayableWithinSixSeconds(t *testing.T) {
	need(t, "ffmpeg")
	p := start(t, "demo", weirBinary, "demo", "--duration", "12s", "--viewers", "50")
	if during := groupOf(t, p.cmd.Process.Pid); len(during) == 0 {
		t.Error("its own processes are not seen: this test could not fail")
	}
	if code := p.wait(40 * time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
	said := p.tail(1 << 20)
	m := regexp.MustCompile(`playable\s+([0-9.]+) s after the start`).FindStringSubmatch(said)
	if m == nil {
		t.Fatalf("it was never playable:\n%s", maskedText(said))
	}
	if s, err := strconv.ParseFloat(m[1], 64); err != nil || s >= 6 {
		t.Errorf("playable after %s s, want under 6", m[1])
	}
	for _, want := range []string{"FFmpeg, testsrc2", "edges 2 of 2", "failures 0", "stopped"} {
		if !strings.Contains(said, want) {
			t.Errorf("it did not say %q:\n%s", want, maskedText(said))
		}
	}
	t.Logf("playable %s s after the start", m[1])
	if left := groupOf(t, p.cmd.Process.Pid); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// groupOf returns the processes that are of the group pid leads, or led.
func groupOf(t *testing.T, pid int) (processes []string) {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range stats {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // it has just ended
		}
		name, rest, _ := strings.Cut(string(b), ") ")
		if fields := strings.Fields(rest); len(fields) > 3 && fields[2] == strconv.Itoa(pid) {
			processes = append(processes, name+")")
		}
	}
	return processes
}
