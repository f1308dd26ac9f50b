package node

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"weir/cmd/weir/config"
)

// What the config says of clients holds at the listener, changes with a reload,
// and what was asked before the reload is not forgotten.
func TestClientsAreLimitedAndTheLimitsAreLive(t *testing.T) {
	url, _ := upstream(t, "here")
	cfg := edgeConfig(url)
	cfg.Clients.Rate, cfg.Clients.Burst = 1, 5
	src := &rereader{cfg: cfg}
	e := startEdge(t, cfg, func(o *Options[config.Edge]) { o.Reread = src.read })
	target := "http://" + e.Addrs().Viewers + "/live/a.ts"
	burst := func() (served, refused int) {
		t.Helper()
		for range 30 {
			switch code, body := ask(t, "GET", target); code {
			case 200:
				served++
			case 429:
				refused++
				if !strings.Contains(body, "rate_address") {
					t.Error(body)
				}
			default:
				t.Errorf("%d %s", code, body)
			}
		}
		return served, refused
	}
	if served, refused := burst(); served < 5 || refused < 15 {
		t.Errorf("%d served, %d refused", served, refused)
	}
	if n := e.counter(t, "weir_edge_refused_total", "reason", "rate_address"); n < 15 {
		t.Errorf("%v counted", n)
	}
	set := func(f func(*config.Edge)) {
		t.Helper()
		src.set(f)
		done, err := e.Reload()
		if err != nil || len(done.Restart) > 0 {
			t.Fatal(done, err)
		}
	}
	set(func(c *config.Edge) { c.Log.Requests = true }) // another listener in the place of the first
	if served, _ := burst(); served > 4 {
		t.Errorf("a reload gave %d requests for nothing", served)
	}
	set(func(c *config.Edge) { c.Clients.Exempt = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	if served, _ := burst(); served != 30 {
		t.Errorf("%d of 30 of an exempt address are served", served)
	}
	set(func(c *config.Edge) { c.Clients.Exempt, c.Clients.Rate, c.Clients.Connections = nil, 0, 2 })
	eventually(t, "a third connection is refused", func() bool {
		var conns []net.Conn
		defer func() {
			for _, c := range conns {
				_ = c.Close()
			}
		}()
		for range 2 {
			c, err := net.Dial("tcp", e.Addrs().Viewers)
			if err != nil {
				t.Fatal(err)
			}
			conns = append(conns, c)
			fmt.Fprintf(c, "GET /live/a.ts HTTP/1.1\r\nHost: x\r\n\r\n")
			if resp, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || resp.StatusCode != 200 {
				return false // one of before is still there
			}
		}
		code, _, err := try("GET", target)
		return code == 503 || err != nil
	})
	if n := e.counter(t, "weir_http_connections_refused_total", "listener", "viewers", "reason", "address"); n == 0 {
		t.Error("not counted")
	}
}

// A line that is full serves those who watch; whoever comes is told so, and the
// operator sees it.
func TestAFullLineIsForThoseWhoWatch(t *testing.T) {
	url, _ := upstream(t, strings.Repeat("x", 100<<10))
	cfg := edgeConfig(url)
	cfg.Overload.Bandwidth = 1 * config.MiB
	src := &rereader{cfg: cfg}
	e := startEdge(t, cfg, func(o *Options[config.Edge]) { o.Reread = src.read })
	at := "http://" + e.Addrs().Viewers
	if code, _ := ask(t, "GET", at+"/live/old/index.m3u8"); code != 200 {
		t.Fatal(code)
	}
	// A little more than the line has, but not 10 % more.
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				_, _, _ = try("GET", at+"/live/old/hi/seg.ts")
			}
		}
	}()
	i := 0
	eventually(t, "a new session is refused", func() bool {
		i++ // HEAD, because those who come must not fill the line themselves
		code, _, err := try("HEAD", fmt.Sprintf("%s/live/new%d/index.m3u8", at, i))
		return err == nil && code == 503
	})
	if code, _ := ask(t, "HEAD", at+"/live/old/index.m3u8"); code != 200 {
		t.Errorf("the running session gets %d", code)
	}
	if n := e.counter(t, "weir_edge_shed_total", "priority", "joining"); n == 0 {
		t.Error("not counted")
	}
	if l := e.counter(t, "weir_edge_overload_level"); l < 3 {
		t.Errorf("level %v", l)
	}
	if l := e.counter(t, "weir_edge_load_ratio", "limit", "bandwidth"); l < 0.8 {
		t.Errorf("load %v", l)
	}
	if code, body := ask(t, "GET", "http://"+e.Addrs().Admin+"/debug/overload"); code != 200 || !strings.Contains(body, `"joining"`) {
		t.Errorf("%d %s", code, body)
	}
	if !strings.Contains(e.log.String(), "overload: refusing more") {
		t.Error("the log says nothing")
	}
	close(stop)
	<-done
	eventually(t, "new sessions are served again", func() bool {
		code, _, err := try("HEAD", at+"/live/late/index.m3u8")
		return err == nil && code == 200
	})
}

// A viewer must take a quarter of a rendition's bitrate, or what a reload makes of that.
func TestTheRateASegmentDemandsIsAPartOfItsBitrate(t *testing.T) {
	cfg := edgeConfig("http://127.0.0.1:1")
	b := &edgeNode{}
	b.live.current.Store(cfg)
	if n := b.minRate("/live/news/hi/1.m4s"); n != 0 {
		t.Errorf("%d of a bitrate that nobody knows", n)
	}
	b.rate = func(string) int64 { return 1_000_000 }
	if n := b.minRate("/live/news/hi/1.m4s"); n != 250_000 {
		t.Errorf("%d, want a quarter", n)
	}
	next := *cfg
	next.Clients.MinRatePercent = 0
	b.live.current.Store(&next)
	if n := b.minRate("/live/news/hi/1.m4s"); n != 0 {
		t.Errorf("%d, want none", n)
	}
}

// What is not configured follows from what is.
func TestUsageHasTheLimitsOfTheConfig(t *testing.T) {
	url, _ := upstream(t, "here")
	cfg := edgeConfig(url)
	cfg.Fetch.Connections, cfg.Limits.Connections = 50, 400
	e := startEdge(t, cfg)
	_, text := ask(t, "GET", "http://"+e.Addrs().Admin+"/debug/overload")
	for _, want := range []string{`"max_requests": 400`, `"max_fills": 50`, `"max_held": 67108864`, `"max_rate": 0`} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is not in %s", want, text)
		}
	}
}
