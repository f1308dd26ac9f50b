package node

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weir/cmd/weir/config"
)

// The least limit on the way up binds, wherever it is said.
func TestMemoryLimitIsFound(t *testing.T) {
	f := func(want int64, from string, files ...string) {
		t.Helper()
		root := t.TempDir()
		for i := 0; i < len(files); i += 2 {
			name := filepath.Join(root, files[i])
			if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, []byte(files[i+1]), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if n, where := memoryLimit(root); n != want || where != from {
			t.Errorf("%d from %q, want %d from %q", n, where, want, from)
		}
	}
	const info = "MemFree:  1 kB\nMemTotal:       8388608 kB\n"
	f(0, "")
	f(8<<30, "machine", "proc/meminfo", info)
	f(8<<30, "machine", "proc/meminfo", info, "proc/self/cgroup", "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max", "max\n")
	f(1<<30, "cgroup /a/b", "proc/meminfo", info, "proc/self/cgroup", "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max", "1073741824\n")
	f(1<<20, "cgroup /a", "proc/meminfo", info, "proc/self/cgroup", "0::/a/b\n",
		"sys/fs/cgroup/a/b/memory.max", "1073741824\n", "sys/fs/cgroup/a/memory.max", "1048576\n")
	// In a container: the path is the host's, and the top is ours.
	f(2<<30, "cgroup /", "proc/meminfo", info, "proc/self/cgroup", "0::/../x\n", "sys/fs/cgroup/memory.max", "2147483648\n")
	// The first version of cgroups; no limit is a number near 2^63 there.
	f(3<<30, "cgroup /docker/1", "proc/meminfo", info, "proc/self/cgroup", "5:cpu:/x\n4:memory:/docker/1\n",
		"sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes", "3221225472\n", "sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")
}

// What cannot fit is refused before it is filled up, by the name of the key to
// turn; a default that nobody chose is only warned of.
func TestMemoryThatCannotFitIsRefused(t *testing.T) {
	f := func(size config.Size, total int64, want string) {
		t.Helper()
		var text bytes.Buffer
		err := fits(slog.New(slog.NewTextHandler(&text, nil)), "cache.memory", size, total, goMemory(total))
		got := "fits"
		switch {
		case err != nil && strings.Contains(err.Error(), "cache.memory"):
			got = "refused"
		case strings.Contains(text.String(), "cache.memory"):
			got = "warned"
		}
		if got != want {
			t.Errorf("%s of %d: %s, want %s: %v %s", size, total, got, want, err, text.String())
		}
	}
	f(5*config.GiB, 8<<30, "fits")
	f(6*config.GiB, 8<<30, "warned")
	f(8*config.GiB, 8<<30, "refused")
	f(800*config.MiB, 512<<20, "refused")
	f(config.DefaultMemory, 512<<20, "warned")
	f(16*config.TiB, 0, "fits") // it is not known what there is
	if e, o := config.DefaultEdge().Cache.Memory, config.DefaultOrigin().Store.Memory; e != config.DefaultMemory || o != config.DefaultMemory {
		t.Errorf("defaults are %s and %s, DefaultMemory is %s", e, o, config.DefaultMemory)
	}
}

// Go's limit leaves room for what Go does not see.
func TestGoLeavesAReserve(t *testing.T) {
	for total, want := range map[int64]int64{8 << 30: 8<<30 - 8<<30/10, 256 << 20: 192 << 20, 64 << 20: 48 << 20} {
		if got := goMemory(total); got != want {
			t.Errorf("of %d: %d, want %d", total, got, want)
		}
	}
}

func TestOpenFilesAreRaised(t *testing.T) {
	n, err := raiseOpenFiles()
	if err != nil || n == 0 {
		t.Fatal(n, err)
	}
}
