package node

import (
	"os"
	"path/filepath"
	"testing"
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

func TestOpenFilesAreRaised(t *testing.T) {
	n, err := raiseOpenFiles()
	if err != nil || n == 0 {
		t.Fatal(n, err)
	}
}
