package node

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"weir/cmd/weir/config"
)

// A viewer in the middle of a segment gets the rest of it while the node
// leaves; load balancers hear of it first, and the operator can watch to the end.
func TestDrainEndsWhatIsUnderWay(t *testing.T) {
	rest := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		fmt.Fprint(w, "first half, ")
		w.(http.Flusher).Flush()
		<-rest
		fmt.Fprint(w, "second half")
	}))
	defer slow.Close()
	cfg := edgeConfig(slow.URL)
	cfg.Cluster.Secret = "0123456789abcdef"
	cfg.Drain = config.Drain{Delay: 300 * time.Millisecond, Timeout: 10 * time.Second}
	e := startEdge(t, cfg)
	resp, err := http.Get("http://" + e.Addrs().Viewers + "/live/a.ts")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	half := make([]byte, len("first half, "))
	if _, err := io.ReadFull(resp.Body, half); err != nil {
		t.Fatal(err)
	}

	e.stop()
	ready := "http://" + e.Addrs().Admin + "/-/ready"
	eventually(t, "it says that it is draining", func() bool {
		code, body, err := try("GET", ready)
		return err == nil && code == 503 && strings.Contains(body, "draining")
	})
	eventually(t, "the door closes", func() bool {
		c, err := net.Dial("tcp", e.Addrs().Viewers)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	if code, _, err := try("GET", ready); err != nil || code != 503 {
		t.Errorf("the admin listener went before the viewers: %d %v", code, err)
	}
	close(rest)
	if text, err := io.ReadAll(resp.Body); err != nil || string(text) != "second half" {
		t.Errorf("%q %v", text, err)
	}
	if err := e.wait(t); err != nil {
		t.Error(err)
	}
	if _, _, err := try("GET", ready); err == nil {
		t.Error("the admin listener is still there")
	}
	order := []string{`not ready any more`, `step="leave the cluster"`, `step="viewers listener"`, `step="peers listener"`,
		`step=cluster`, `step=gossip`, `step=cache`, `step="admin listener"`, "msg=stopped"}
	log := e.log.String()
	for _, want := range order {
		_, after, found := strings.Cut(log, want)
		if !found {
			t.Fatalf("%s is missing, or not in its place:\n%s", want, e.log)
		}
		log = after
	}
}

// What outlasts drain.timeout is cut, and the log says which knob to turn.
func TestDrainIsBounded(t *testing.T) {
	block := make(chan struct{})
	stuck := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		<-block
	}))
	defer stuck.Close()
	defer close(block)
	cfg := edgeConfig(stuck.URL)
	cfg.Drain = config.Drain{Timeout: 300 * time.Millisecond}
	e := startEdge(t, cfg)
	resp, err := http.Get("http://" + e.Addrs().Viewers + "/live/a.ts")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	e.stop()
	if err := e.wait(t); err != nil {
		t.Error(err)
	}
	if !strings.Contains(e.log.String(), "drain.timeout is over") {
		t.Errorf("not told:\n%s", e.log)
	}
	if _, err := io.ReadAll(resp.Body); err == nil {
		t.Error("half a segment was made to look whole")
	}
}

// A node that cannot have one of its ports says which key to change, and
// leaves none of the others taken.
func TestPortTakenIsNamed(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	f := func(key string, set func(*config.Edge)) {
		t.Helper()
		c := edgeConfig("http://127.0.0.1:1")
		set(c)
		_, err := NewEdge(Options[config.Edge]{Config: c})
		if err == nil || !strings.Contains(err.Error(), key+": ") || !strings.Contains(err.Error(), "address already in use") {
			t.Errorf("%s: %v", key, err)
		}
	}
	addr := taken.Addr().String()
	f("listen", func(c *config.Edge) { c.Listen = addr })
	f("admin.listen", func(c *config.Edge) { c.Admin.Listen = addr })
	f("cluster.peers", func(c *config.Edge) { c.Cluster.Peers, c.Cluster.Secret = addr, "0123456789abcdef" })
	o := originConfig()
	o.Ingest.Listen = addr
	if _, err := NewOrigin(Options[config.Origin]{Config: o}); err == nil || !strings.Contains(err.Error(), "ingest.listen: ") {
		t.Error(err)
	}
}
