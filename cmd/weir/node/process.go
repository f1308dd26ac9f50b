package node

import (
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"weir/cmd/weir/config"
)

// TuneProcess fits the process to its machine and says in the log what it
// found: it is for commands that run one node and nothing else. Key and size are
// the setting that takes most of the memory; it is an error if that cannot fit,
// unless nobody asked for it.
//
// The limit of open files is raised as far as it goes, and Go is told to stay
// below goMemory of what there is (the least of the cgroups' limits and the
// machine's), unless GOMEMLIMIT says otherwise.
func TuneProcess(log *slog.Logger, key string, size config.Size) error {
	total, from := memoryLimit("/")
	limit := goMemory(total)
	switch {
	case os.Getenv("GOMEMLIMIT") != "":
		limit = debug.SetMemoryLimit(-1)
		log.Info("memory: GOMEMLIMIT is set and kept", "bytes", limit, key, size)
	case total > 0:
		debug.SetMemoryLimit(limit)
		log.Info("memory: limit set to what there is less a reserve", "limit", mebibytes(limit), "reserve", mebibytes(total-limit),
			"from", from, key, size, "left_for_connections", mebibytes(limit-int64(size)))
	}
	if files, err := raiseOpenFiles(); err != nil {
		log.Warn("open files: the limit could not be raised", "limit", files, "error", err)
	} else {
		log.Info("open files: limit raised as far as allowed", "limit", files)
	}
	return fits(log, key, size, total, limit)
}

// goMemory is how much of the memory there is Go may use. The rest is what Go
// does not see and a cgroup counts: the sockets' buffers, pages on their way to
// the disk. Bodies lie on the Go heap, so that the budget for media is a part of
// Go's memory and not beside it: were it mapped outside, it would have to be
// taken off here.
func goMemory(total int64) int64 { return total - max(total/10, min(64<<20, total/4)) }

// fits says whether media find their memory. Near the limit Go collects all the
// time and still does not come below it: the system ends the process.
func fits(log *slog.Logger, key string, size config.Size, total, limit int64) error {
	switch {
	case total <= 0 || int64(size) <= total/10*7:
		return nil
	case int64(size) > limit && size != config.DefaultMemory:
		return fmt.Errorf("%s: %s does not fit: of %s of memory weir may use %s, connections included; set it to %s or less, or add memory",
			key, size, mebibytes(total), mebibytes(limit), mebibytes(total/10*7))
	}
	log.Warn("memory: "+key+" leaves too little for connections and garbage: lower it to seven tenths of the memory, or add memory",
		key, size, "memory", mebibytes(total))
	return nil
}

func mebibytes(n int64) config.Size { return config.Size(n/int64(config.MiB)) * config.MiB }

// raiseOpenFiles raises the soft limit to the hard one and returns the limit now.
func raiseOpenFiles() (uint64, error) {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return 0, err
	}
	was := r.Cur
	if r.Cur >= r.Max {
		return uint64(r.Cur), nil
	}
	r.Cur = r.Max
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return uint64(was), err
	}
	return uint64(r.Cur), nil
}

// memoryLimit returns how many bytes this process may use, and where that is
// said; 0: not known. Root is "/" but in tests.
func memoryLimit(root string) (limit int64, from string) {
	limit = math.MaxInt64
	take := func(n int64, where string) {
		if n > 0 && n < limit {
			limit, from = n, where
		}
	}
	take(memTotal(read(root, "proc/meminfo")), "machine")
	for line := range strings.Lines(read(root, "proc/self/cgroup")) {
		id, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, group, _ := strings.Cut(rest, ":")
		dir, file := "sys/fs/cgroup", "memory.max"
		if id != "0" || controllers != "" {
			if !strings.Contains(","+controllers+",", ",memory,") {
				continue
			}
			dir, file = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
		}
		// A group's limit binds all below it. In a container the group's own
		// path is often not there, and its top is what is mounted.
		for g := filepath.Clean("/" + group); ; g = filepath.Dir(g) {
			n, _ := strconv.ParseInt(strings.TrimSpace(read(root, dir+g+"/"+file)), 10, 64)
			take(n, "cgroup "+g)
			if g == "/" {
				break
			}
		}
	}
	if limit == math.MaxInt64 {
		return 0, ""
	}
	return limit, from
}

func read(root, name string) string {
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		return ""
	}
	return string(text)
}

// memTotal finds the machine's memory in /proc/meminfo, in bytes.
func memTotal(meminfo string) int64 {
	for line := range strings.Lines(meminfo) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "MemTotal:" && f[2] == "kB" {
			n, _ := strconv.ParseInt(f[1], 10, 64)
			return n << 10
		}
	}
	return 0
}
