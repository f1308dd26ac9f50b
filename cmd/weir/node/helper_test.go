package node

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"weir/cmd/weir/config"
)

// record is a log that tests read.
type record struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.b.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.b.String()
}

func (r *record) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(r, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// running is a node that a test started.
type running struct {
	*Node
	log  *record
	reg  *prometheus.Registry
	stop context.CancelFunc
	done chan struct{}
	err  error // of Run; to be read after done
}

func (r *running) wait(t *testing.T) error {
	t.Helper()
	select {
	case <-r.done:
		return r.err
	case <-time.After(20 * time.Second):
		t.Fatalf("the node does not end:\n%s", r.log)
		return nil
	}
}

func start(t *testing.T, n *Node, log *record, reg *prometheus.Registry) *running {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	r := &running{Node: n, log: log, reg: reg, stop: stop, done: make(chan struct{})}
	go func() { r.err = n.Run(ctx); close(r.done) }()
	t.Cleanup(func() {
		stop()
		if err := r.wait(t); err != nil {
			t.Errorf("Run: %v", err)
		}
		if t.Failed() {
			lines := strings.Split(log.String(), "\n")
			t.Logf("end of the log of %s:\n%s", n.Name(), strings.Join(lines[max(0, len(lines)-60):], "\n"))
		}
	})
	select {
	case <-n.Up():
	case <-r.done:
		t.Fatalf("ended at once: %v", r.err)
	case <-time.After(20 * time.Second):
		t.Fatalf("not up:\n%s", log)
	}
	return r
}

// edgeConfig is an edge on free ports of loopback that is quick to stop.
func edgeConfig(origins ...string) *config.Edge {
	c := config.DefaultEdge()
	c.Listen, c.Admin.Listen = "127.0.0.1:0", "127.0.0.1:0"
	c.Cluster.Bind, c.Cluster.Peers = "127.0.0.1:0", "127.0.0.1:0"
	c.Origins = origins
	c.Cache.Memory, c.Cache.MaxObject = 64*config.MiB, 16*config.MiB
	c.Drain = config.Drain{Timeout: 5 * time.Second}
	return c
}

func startEdge(t *testing.T, c *config.Edge, more ...func(*Options[config.Edge])) *running {
	t.Helper()
	o := Options[config.Edge]{Config: c, Registry: prometheus.NewRegistry()}
	log := &record{}
	o.Log = log.logger()
	for _, f := range more {
		f(&o)
	}
	n, err := NewEdge(o)
	if err != nil {
		t.Fatal(err)
	}
	return start(t, n, log, o.Registry)
}

func originConfig() *config.Origin {
	c := config.DefaultOrigin()
	c.Listen, c.Ingest.Listen, c.Admin.Listen = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	c.Store.Memory = 64 * config.MiB
	c.Drain = config.Drain{Timeout: 5 * time.Second}
	return c
}

func startOrigin(t *testing.T, c *config.Origin, more ...func(*Options[config.Origin])) *running {
	t.Helper()
	o := Options[config.Origin]{Config: c, Registry: prometheus.NewRegistry()}
	log := &record{}
	o.Log = log.logger()
	for _, f := range more {
		f(&o)
	}
	n, err := NewOrigin(o)
	if err != nil {
		t.Fatal(err)
	}
	return start(t, n, log, o.Registry)
}

// ask makes one request over a connection of its own.
func ask(t *testing.T, method, url string, header ...string) (status int, body string) {
	t.Helper()
	status, body, err := try(method, url, header...)
	if err != nil {
		t.Fatal(err)
	}
	return status, body
}

func try(method, url string, header ...string) (status int, body string, err error) {
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		return 0, "", err
	}
	req.Close = true
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
		}
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), errors.Join(err, resp.Body.Close())
}

// eventually waits for something another goroutine does.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("did not happen: %s", what)
}

// counter returns the value of a metric, summed over the labels not named.
func (r *running) counter(t *testing.T, name string, labels ...string) (sum float64) {
	t.Helper()
	families, err := r.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
	metric:
		for _, m := range f.GetMetric() {
			for i := 0; i < len(labels); i += 2 {
				found := false
				for _, l := range m.GetLabel() {
					found = found || l.GetName() == labels[i] && l.GetValue() == labels[i+1]
				}
				if !found {
					continue metric
				}
			}
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return sum
}

// push is an encoder that sends one file.
func push(t *testing.T, url, key string, body []byte) int {
	t.Helper()
	req, err := http.NewRequest(http.MethodPut, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	return resp.StatusCode
}

// pushClip pushes a rendition of the demo's clip to channel: four segments of
// fragmented MP4 and a playlist that lists them.
func pushClip(t *testing.T, ingest, key, channel string) {
	t.Helper()
	base := "http://" + ingest + "/ingest/" + channel + "/"
	var list strings.Builder
	list.WriteString("#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-MAP:URI=\"init.mp4\"\n")
	files := []string{"init.mp4", "0.m4s", "1.m4s", "2.m4s", "3.m4s"}
	for _, name := range files {
		body, err := os.ReadFile("../../../bench/clip/144p/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if code := push(t, base+name, key, body); code/100 != 2 {
			t.Fatalf("PUT %s: %d", name, code)
		}
		if name != "init.mp4" {
			list.WriteString("#EXTINF:2.000000,\n" + name + "\n")
		}
	}
	if code := push(t, base+"index.m3u8", key, []byte(list.String())); code/100 != 2 {
		t.Fatalf("PUT index.m3u8: %d", code)
	}
}
