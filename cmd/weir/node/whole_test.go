package node

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"weir/cmd/weir/config"
)

// uris returns the lines of a playlist that are URIs.
func uris(playlist string) (out []string) {
	for line := range strings.Lines(playlist) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			out = append(out, line)
		}
	}
	return out
}

func resolve(t *testing.T, base, ref string) string {
	t.Helper()
	b, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	u, err := b.Parse(ref)
	if err != nil {
		t.Fatal(err)
	}
	return u.String()
}

// play asks for a stream as a player does, and returns its segments.
func play(t *testing.T, master string) (segments []string) {
	t.Helper()
	code, text := ask(t, "GET", master)
	if code != 200 || len(uris(text)) != 1 {
		t.Fatalf("%s: %d %s", master, code, text)
	}
	media := resolve(t, master, uris(text)[0])
	code, text = ask(t, "GET", media)
	if code != 200 {
		t.Fatalf("%s: %d %s", media, code, text)
	}
	for _, u := range uris(text) {
		code, body := ask(t, "GET", resolve(t, media, u))
		if code != 200 {
			t.Fatalf("%s: %d", u, code)
		}
		segments = append(segments, body)
	}
	return segments
}

// The whole path over real sockets: an encoder pushes to an origin that wants
// keys of both sides, two edges that found each other serve it to viewers with
// tokens, and the origin sees each segment once.
func TestOriginAndEdgesServeWhatIsPushed(t *testing.T) {
	oc := originConfig()
	oc.Ingest.Publishers = []config.Publisher{{Name: "studio", Secret: "studio-secret", Channels: []string{"news*"}}}
	oc.Access.Mode, oc.Access.Keys = config.AccessPullKey, []config.Secret{{Name: "edges", Secret: "edges-secret"}}
	o := startOrigin(t, oc)
	ingest := o.Addrs().Ingest
	if code := push(t, "http://"+ingest+"/ingest/news1/x.m4s", "wrong-secret", []byte("x")); code != 401 && code != 403 {
		t.Errorf("pushed with a wrong key: %d", code)
	}
	if code := push(t, "http://"+ingest+"/ingest/sport/x.m4s", "studio-secret", []byte("x")); code != 403 {
		t.Errorf("pushed to another's channel: %d", code)
	}
	pushClip(t, ingest, "studio-secret", "news1")
	if code, body := ask(t, "GET", "http://"+o.Addrs().Viewers+"/live/news1/index.m3u8"); code != 403 || !strings.Contains(body, "pull_key") {
		t.Errorf("tokens can be walked round: %d %s", code, body)
	}

	key, sign := tokenKey(t, "k1")
	var edges []*running
	for i := range 2 {
		ec := edgeConfig("http://" + o.Addrs().Viewers)
		ec.Name = fmt.Sprintf("edge%d", i)
		ec.OriginKey = "edges-secret"
		ec.Tokens.Keys = []config.TokenKey{key}
		ec.Cluster.Secret = "cluster-secret-16"
		if i > 0 {
			ec.Cluster.Join = []string{edges[0].Addrs().Gossip}
		}
		edges = append(edges, startEdge(t, ec))
	}
	for _, e := range edges {
		eventually(t, "the edges find each other", func() bool {
			code, body, err := try("GET", "http://"+e.Addrs().Admin+"/-/ready")
			return err == nil && code == 200 && strings.Contains(body, `"members": 2`)
		})
	}
	good := "/t/" + tokenFor(t, sign, "/live/news1/") + "/live/news1/index.m3u8"
	eventually(t, "the channel appears", func() bool {
		code, _, err := try("GET", "http://"+edges[0].Addrs().Viewers+good)
		return err == nil && code == 200
	})
	for _, e := range edges {
		base := "http://" + e.Addrs().Viewers
		segments := play(t, base+good)
		if len(segments) != 4 || len(segments[0]) < 100 {
			t.Errorf("%d segments", len(segments))
		}
		if code, _ := ask(t, "GET", base+"/live/news1/index.m3u8"); code != 403 {
			t.Errorf("without a token: %d", code)
		}
		if code, _ := ask(t, "GET", base+"/t/"+tokenFor(t, sign, "/live/other/")+"/live/news1/index.m3u8"); code != 403 {
			t.Errorf("with another channel's token: %d", code)
		}
		for _, page := range []string{"cluster", "cache", "config"} {
			code, body := ask(t, "GET", "http://"+e.Addrs().Admin+"/debug/"+page)
			if code != 200 || strings.Contains(body, "-secret") {
				t.Errorf("/debug/%s: %d %s", page, code, body)
			}
		}
	}
	// Per segment one request, whichever edge was asked.
	_, metrics := ask(t, "GET", "http://"+o.Addrs().Admin+"/metrics")
	if !strings.Contains(metrics, "weir_build_info") || !strings.Contains(metrics, "go_goroutines") || !strings.Contains(metrics, "weir_node_ready 1") {
		t.Error("metrics are missing")
	}
	segmentsAsked := 0
	for line := range strings.Lines(o.log.String()) {
		if strings.Contains(line, "listener=viewers") && strings.Contains(line, ".m4s") && strings.Contains(line, "200") {
			segmentsAsked++
		}
	}
	if segmentsAsked != 4 {
		t.Errorf("the origin was asked for %d segments, there are 4", segmentsAsked)
	}
	if _, body := ask(t, "GET", "http://"+o.Addrs().Admin+"/debug/streams"); !strings.Contains(body, `"news1"`) {
		t.Error(body)
	}
}

// Without publisher keys whoever is on this machine may push, and the whole is
// open: two commands and it plays.
func TestOpenOriginTakesWhatIsPushedHere(t *testing.T) {
	oc := originConfig()
	oc.Ingest.Listen = ":0"
	o := startOrigin(t, oc)
	if !strings.HasPrefix(o.Addrs().Ingest, "127.0.0.1:") {
		t.Fatalf("ingest without a key listens on %s", o.Addrs().Ingest)
	}
	pushClip(t, o.Addrs().Ingest, "", "test")
	master := "http://" + o.Addrs().Viewers + "/live/test/index.m3u8"
	eventually(t, "the channel appears", func() bool {
		code, _, err := try("GET", master)
		return err == nil && code == 200
	})
	if segments := play(t, master); len(segments) != 4 {
		t.Errorf("%d segments", len(segments))
	}
}

// Taking a pull key away shuts out its edges at the reload; a new publisher may
// push at once.
func TestReloadOfAnOriginsKeys(t *testing.T) {
	oc := originConfig()
	oc.Access.Mode, oc.Access.Keys = config.AccessPullKey, []config.Secret{{Name: "a", Secret: "secret-of-a"}}
	oc.Ingest.Publishers = []config.Publisher{{Name: "p", Secret: "secret-of-p", Channels: []string{"*"}}}
	next := *oc
	next.Access.Keys = []config.Secret{{Name: "b", Secret: "secret-of-b"}}
	next.Ingest.Publishers = []config.Publisher{{Name: "q", Secret: "secret-of-q", Channels: []string{"*"}}}
	next.Limits.Connections = 77
	o := startOrigin(t, oc, func(o *Options[config.Origin]) {
		o.Reread = func() (*config.Origin, error) { return &next, nil }
	})
	f := func(pull, publish string, pulls, publishes bool) {
		t.Helper()
		if code, _ := ask(t, "GET", "http://"+o.Addrs().Viewers+"/live/x/index.m3u8", "Weir-Pull-Key", pull); (code == 404) != pulls {
			t.Errorf("%s: %d", pull, code)
		}
		if code := push(t, "http://"+o.Addrs().Ingest+"/ingest/x/init.mp4", publish, []byte("x")); (code/100 == 2) != publishes {
			t.Errorf("%s: %d", publish, code)
		}
	}
	f("secret-of-a", "secret-of-p", true, true)
	f("secret-of-b", "secret-of-q", false, false)
	done, err := o.Reload()
	if err != nil || len(done.Live) != 3 || len(done.Restart) != 0 {
		t.Fatal(done, err)
	}
	f("secret-of-a", "secret-of-p", false, false)
	f("secret-of-b", "secret-of-q", true, true)
}
