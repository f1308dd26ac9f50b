package node

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"weir/cmd/weir/config"
)

// What a viewer may ask one edge, that edge may ask another: a request that fills
// limits.header, and grows on its way, by the proof of membership and because what a viewer
// wrote as it is has to be encoded, is no reason to take the other edge for dead.
func TestTheLongestRequestOfAViewerFailsNoPeer(t *testing.T) {
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		fmt.Fprint(w, "here")
	}))
	defer origin.Close()
	var edges []*running
	for i := range 2 {
		c := edgeConfig(origin.URL)
		c.Name, c.Query = fmt.Sprintf("edge%d", i), config.QueryAll
		c.Cluster.Secret = "cluster-secret-16"
		if i > 0 {
			c.Cluster.Join = []string{edges[0].Addrs().Gossip}
		}
		edges = append(edges, startEdge(t, c))
	}
	for _, e := range edges {
		eventually(t, "the edges find each other", func() bool {
			code, body, err := try("GET", "http://"+e.Addrs().Admin+"/-/ready")
			return err == nil && code == 200 && strings.Contains(body, `"members": 2`)
		})
	}
	e := edges[0]
	for i := range 16 { // some of them belong to the other
		f := func(want int, suffix, more string) {
			t.Helper()
			request := fmt.Sprintf("GET /live/%d%s HTTP/1.1\r\nHost: weir\r\n%sConnection: close\r\n\r\n", i, suffix, more)
			if code := statusOf(t, e.Addrs().Viewers, request); code != want {
				t.Fatalf("%.20s: %d, want %d", suffix, code, want)
			}
		}
		f(200, ".ts?"+strings.Repeat("q", 16_000), "")
		f(200, strings.Repeat("é", 1300)+".ts", "X-Player: "+strings.Repeat("p", 13_000)+"\r\n")
		f(400, strings.Repeat("é", 4000)+".ts", "") // 24,000 bytes as it would be asked for
	}
	if n := e.counter(t, "weir_cluster_peer_failures_total"); n != 0 {
		t.Errorf("a peer was taken for dead %v times", n)
	}
	if n := e.counter(t, "weir_edge_failovers_total", "upstream", "peer"); n != 0 {
		t.Errorf("the origin was asked in a peer's place %v times", n)
	}
	if n := edges[1].counter(t, "weir_edge_peer_requests_total"); n == 0 {
		t.Error("the other edge was never asked")
	}
}

// statusOf sends a request as it is written, and returns the status of its answer.
func statusOf(t *testing.T, addr, request string) int {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, request)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode
}
