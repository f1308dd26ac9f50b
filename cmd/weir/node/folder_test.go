package node

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"weir/cmd/weir/config"
)

// What an encoder of this machine writes into the folder is served, without a port or a key.
func TestAnOriginWatchesAFolder(t *testing.T) {
	cfg := originConfig()
	cfg.Ingest.Watch.Dir = t.TempDir()
	o := startOrigin(t, cfg)
	write := func(name, text string) {
		t.Helper()
		p := filepath.Join(cfg.Ingest.Watch.Dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p+".tmp", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(p+".tmp", p); err != nil {
			t.Fatal(err)
		}
	}
	write("news/x0.ts", "a segment")
	write("news/index.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nx0.ts\n")
	media := "http://" + o.Addrs().Viewers + "/live/news/main/index.m3u8"
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if code, text := ask(t, "GET", media); code == 200 {
			if _, body := ask(t, "GET", resolve(t, media, uris(text)[0])); body != "a segment" {
				t.Errorf("%q", body)
			}
			break
		}
		if time.Now().After(end) {
			t.Fatal("what was written is not served")
		}
	}
}

// A folder that is not there is told before anything is served.
func TestAFolderThatIsNotThereIsToldAtStart(t *testing.T) {
	cfg := originConfig()
	cfg.Ingest.Watch.Dir = filepath.Join(t.TempDir(), "none")
	n, err := NewOrigin(Options[config.Origin]{Config: cfg, Registry: prometheus.NewRegistry()})
	if err == nil || !strings.Contains(err.Error(), "ingest.watch.dir") {
		t.Errorf("%v, %v", n, err)
	}
}

// What a publisher's line and the config bound is bound: a channel that nobody named, and a
// file that is too large for this publisher.
func TestLimitsReachTheOrigin(t *testing.T) {
	cfg := originConfig()
	cfg.Ingest.Create = false
	cfg.Channels.Named = map[string]config.Channel{"news": cfg.Channels.Defaults}
	cfg.Ingest.Publishers = []config.Publisher{{Name: "studio", Secret: "studio-secret", Channels: []string{"*"}, MaxUpload: 10}}
	o := startOrigin(t, cfg)
	base := "http://" + o.Addrs().Ingest + "/ingest/"
	for path, want := range map[string]int{"news/x.ts": 200, "sport/x.ts": 404, "news/../x.ts": 403} {
		if code := push(t, base+path, "studio-secret", []byte("x")); code != want {
			t.Errorf("%s: %d, want %d", path, code, want)
		}
	}
	if code := push(t, base+"news/y.ts", "studio-secret", []byte("eleven bytes")); code != 413 {
		t.Errorf("a file that is too large: %d", code)
	}
}
