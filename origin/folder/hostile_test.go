package folder

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"weir/internal/web"
)

// A file that changes while it is read is not pushed as what it was, nor as what it is.
func TestAFileThatChangesWhileItIsReadIsNotPushed(t *testing.T) {
	dir := t.TempDir()
	d := newDesk(t, dir)
	root, err := open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	d.f.root.Store(root)
	long := strings.Repeat("x", 100_000)
	f := func(change func(p string), want outcome) {
		t.Helper()
		d.write("c/x.ts", long, 0)
		is, err := d.f.stat("c/x.ts")
		if err != nil {
			t.Fatal(err)
		}
		d.f.opts.Ingest = web.HandlerFunc(func(ctx context.Context, req *web.Request) (*web.Response, error) {
			var first [1000]byte
			_, _ = io.ReadFull(req.Body, first[:])
			change(filepath.Join(dir, "c/x.ts"))
			return d.Serve(ctx, req)
		})
		out, err := d.f.send(t.Context(), "c/x.ts", is)
		if err != nil || out != want {
			t.Errorf("%s, %v; want %s", out, err, want)
		}
	}
	f(func(string) {}, pushed)
	f(func(p string) { _ = os.WriteFile(p, []byte(long+"y"), 0o644) }, changed)
	f(func(p string) { _ = os.WriteFile(p, []byte("short"), 0o644) }, changed)
	f(func(p string) { _ = os.WriteFile(p, []byte(strings.Repeat("y", 100_000)), 0o644) }, changed)
	f(func(p string) { _ = os.Remove(p) }, pushed) // it was whole, and is read to its end
	d.write("c/x.ts", long, 0)
	is, _ := d.f.stat("c/x.ts")
	d.write("c/x.ts", "other", 9)
	if out, err := d.f.send(t.Context(), "c/x.ts", is); out == pushed || err == nil && out != changed {
		t.Error(out, err)
	}
}

// Links, pipes, devices, hidden files and whatever leads out of the folder are not read.
func TestNothingOutsideTheFolderIsRead(t *testing.T) {
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "secret.ts"), []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(outside, "index.m3u8"), []byte("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nsecret.ts\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	polled(t, func(d *desk) {
		d.write("c/x0.ts", "0", 0)
		d.write("d/x9.ts", "another's", 0)
		link := func(to, name string) {
			if err := os.Symlink(to, filepath.Join(d.dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		link(filepath.Join(outside, "secret.ts"), "c/x1.ts")
		link(outside, "c/out")
		link(outside, "linked")
		link("../d/x9.ts", "c/x2.ts")
		link(filepath.Join(outside, "index.m3u8"), "c/linked.m3u8")
		if err := syscall.Mkfifo(filepath.Join(d.dir, "c/x3.ts"), 0o644); err != nil {
			t.Fatal(err)
		}
		d.write("c/.hidden.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:2\n", 0)
		d.write("c/.git/index.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:2\n", 0)
		d.write("top.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:2\n", 0)
		d.list("c/index.m3u8", 0, 0, "x0.ts", "x1.ts", "x2.ts", "x3.ts", "out/secret.ts", "../d/x9.ts", "../../etc/passwd",
			"/etc/passwd", "file:///etc/passwd", "//host/x.ts", "%2e%2e/d/x9.ts", "a%00b.ts", "a/../x0.ts", "http://host/x.ts", ".", "..", "?")
		time.Sleep(30 * time.Second)
		d.is("c/x0.ts=0", "*c/index.m3u8")
		d.logged("no plain file", "channel=c", "c/x1.ts")
		d.logged("nobody's", "top.m3u8")
	})
}

// However much lies in the folder, what is watched is bounded, and said.
func TestTheFolderIsBounded(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, dir)
		d.f.noEvents, d.f.opts.MaxChannels = true, 2
		text := "#EXTM3U\n#EXT-X-TARGETDURATION:2\n"
		d.write("a/index.m3u8", text, 0)
		d.write("b/index.m3u8", text, 0)
		for i := range maxPlaylists + 10 {
			d.write(fmt.Sprintf("a/%d.m3u8", i), text, 0)
		}
		d.write("b/"+strings.Repeat("d/", maxDepth+1)+"index.m3u8", text, 0)
		var long []string
		for i := range 500 {
			name := fmt.Sprintf("x%d.ts", i)
			d.write("b/"+name, name, 0)
			long = append(long, name)
		}
		d.list("b/long.m3u8", 0, 0, long...)
		stop := d.run()
		defer stop()
		time.Sleep(5 * time.Second)
		d.write("c/index.m3u8", text, 0)
		time.Sleep(30 * time.Second)
		d.mu.Lock()
		defer d.mu.Unlock()
		got := map[string]int{}
		for _, p := range d.puts {
			got[strings.TrimPrefix(p, "*")[:1]]++
		}
		if got["a"] != maxPlaylists || got["b"] != maxListed+2 || got["c"] != 0 {
			t.Errorf("pushed: %v", got)
		}
		for _, words := range []string{"too many channels", "too many playlists"} {
			if !strings.Contains(d.log.String(), words) {
				t.Errorf("not said: %s", words)
			}
		}
	})
}
