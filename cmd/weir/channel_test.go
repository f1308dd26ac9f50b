package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/cmd/weir/api"
	"weir/cmd/weir/config"
	"weir/cmd/weir/node"
)

const adminToken = "0123456789abcdef"

// runOrigin runs a whole origin, and returns where it listens and the file of its token.
func runOrigin(t *testing.T) (a node.Addrs, tokenFile string) {
	t.Helper()
	c := config.DefaultOrigin()
	c.Listen, c.Ingest.Listen, c.Admin.Listen = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	c.Store.Memory = 64 * config.MiB
	c.Drain = config.Drain{Timeout: 5 * time.Second}
	c.Admin.Token = adminToken
	n, err := node.NewOrigin(node.Options[config.Origin]{Config: c})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	<-n.Up()
	tokenFile = filepath.Join(t.TempDir(), "admin.token")
	if err := os.WriteFile(tokenFile, []byte(adminToken+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return n.Addrs(), tokenFile
}

func put(t *testing.T, url, body string) int {
	t.Helper()
	req, err := http.NewRequest(http.MethodPut, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

func fetch(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// A night with a channel: an operator looks, marks an ad break, ends the channel, opens it
// again and removes it, and each time viewers get what the command said.
func TestAnOperatorAndAChannel(t *testing.T) {
	a, file := runOrigin(t)
	admin := []string{"--admin", "http://" + a.Admin}
	keyed := append(admin, "--admin-token", file)
	does := func(want string, args ...string) string {
		t.Helper()
		code, out, errs := weir(t, "", args...)
		if code != 0 || errs != "" || !strings.Contains(out, want) {
			t.Errorf("weir %v: exit code %d, want %q in\n%s%s", args, code, want, out, errs)
		}
		return out
	}
	fails := func(code int, want string, args ...string) {
		t.Helper()
		got, out, errs := weir(t, "", args...)
		if got != code || out != "" || !strings.Contains(errs, want) {
			t.Errorf("weir %v: exit code %d, want %q in\n%s%s", args, got, want, out, errs)
		}
	}
	on := func(cmd string, more ...string) []string { return append(strings.Fields(cmd), more...) }

	does("No channels", on("channel list", admin...)...)
	fails(1, `channel "news": there is no such channel`, on("channel show news", admin...)...)
	base := "http://" + a.Ingest + "/ingest/news/"
	for _, name := range []string{"x0.ts", "x1.ts"} {
		if code := put(t, base+name, name); code != 200 {
			t.Fatal(code)
		}
	}
	list := "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2.0,\nx0.ts\n#EXTINF:2.0,\nx1.ts\n"
	if code := put(t, base+"index.m3u8", list); code != 200 {
		t.Fatal(code)
	}
	does("news     live   1 ", on("channel list", admin...)...)
	does("target duration  2s\n", on("channel show news", admin...)...)
	var all api.Channels
	if err := json.Unmarshal([]byte(does("", on("channel list --json", admin...)...)), &all); err != nil || len(all.Channels) != 1 || all.Channels[0].Name != "news" {
		t.Error(all, err)
	}

	media := "http://" + a.Viewers + "/live/news/main/index.m3u8"
	does("Date range break-7 is told:\n", on("channel daterange news --id break-7 --class ads --start +30s --planned-duration 90s --set X-N=1.5 --set X-T=word", keyed...)...)
	does("added", on("channel daterange news --id break-7 --duration 88.5s", keyed...)...)
	fails(1, "DURATION: what was told", on("channel daterange news --id break-7 --duration 80s", keyed...)...)
	does("break-7     ads", on("channel show news", admin...)...)
	if _, text := fetch(t, media); !strings.Contains(text, `DURATION=88.500,PLANNED-DURATION=90.000,X-N=1.5,X-T="word"`) {
		t.Error(text)
	}

	fails(1, "this needs the token of admin.token_file, as Authorization: Bearer TOKEN (--admin-token FILE sends it)", on("channel end news", admin...)...)
	does("news is ended", on("channel end news", keyed...)...)
	if code, text := fetch(t, media); code != 200 || !strings.HasSuffix(text, "#EXT-X-ENDLIST\n") {
		t.Error(code, text)
	}
	does("news     ended 0s ago  1 ", on("channel list", admin...)...)
	if code := put(t, base+"x2.ts", "x2"); code != 409 {
		t.Error(code)
	}
	does("news is open", on("channel resume news", keyed...)...)
	if code := put(t, base+"x2.ts", "x2"); code != 200 {
		t.Error(code)
	}
	does(`"state": "ended"`, on("channel end news --json", keyed...)...)
	does("news is removed: its playlists are gone, its media go, its name is free at ", on("channel remove news", keyed...)...)
	if code, _ := fetch(t, media); code != 410 {
		t.Error(code)
	}
	does("removed 0s ago", on("channel show news", admin...)...)
	fails(1, "removed", on("channel resume news", keyed...)...)

	// Without a store on disk there is nothing to cut from, and the origin says so.
	does("No assets", on("vod list", admin...)...)
	fails(1, "live to VOD needs store.dir", on("vod cut news show --start=-1h", keyed...)...)
	fails(1, "live to VOD needs store.dir", on("vod remove show", keyed...)...)
}

// Nobody who types removes anything by one word; a script does.
func TestRemovingAsksForYes(t *testing.T) {
	screen, err := os.Open("/dev/ptmx")
	if err != nil {
		t.Fatal(err)
	}
	defer screen.Close()
	f := func(code int, args ...string) {
		t.Helper()
		var out, errs bytes.Buffer
		got := run(t.Context(), env{screen, &out, &errs}, append(args, "--admin", "http://127.0.0.1:1"))
		if got != code || (code == 2) != strings.Contains(errs.String(), "say --yes") {
			t.Errorf("%v: exit code %d: %s", args, got, &errs)
		}
	}
	f(2, "channel", "remove", "news")
	f(2, "vod", "remove", "show")
	f(1, "channel", "remove", "news", "--yes")
	f(1, "vod", "remove", "show", "-y")
	if code, _, errs := weir(t, "", "channel", "remove", "news", "--admin", "http://127.0.0.1:1"); code != 1 || strings.Contains(errs, "--yes") {
		t.Errorf("%d %s", code, errs)
	}
}

// Programmes are cut and removed by the commands as the API says.
func TestAnOperatorAndAssets(t *testing.T) {
	var asked []string
	now := time.Now()
	made := api.Asset{Name: "show", Path: "/vod/show/index.m3u8", Channel: "news", Start: now.Add(-time.Hour), End: now,
		Duration: api.Seconds(30 * time.Minute), Bytes: 1 << 30, Gaps: 2, Renditions: []string{"hi", "lo"}, Made: now}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = append(asked, r.Method+" "+r.URL.Path+" "+string(body))
		w.Header().Set("Content-Type", "application/json")
		var answer any = made
		switch r.Method {
		case http.MethodGet:
			answer = api.Assets{Assets: []api.Asset{made}}
		case http.MethodDelete:
			answer = struct{}{}
		}
		_ = json.NewEncoder(w).Encode(answer)
	}))
	defer s.Close()
	f := func(cmd, want string) {
		t.Helper()
		code, out, errs := weir(t, "", append(strings.Fields(cmd), "--admin", s.URL)...)
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("%s: %d, want %q in\n%s%s", cmd, code, want, out, errs)
		}
	}
	f("vod cut news show --start 2026-11-25T20:00:00+01:00", "show is made: /vod/show/index.m3u8")
	f("vod list", "30m 0s  2     1.0 GiB  hi,lo       0s ago")
	f("vod list --json", `"asset": "show"`)
	f("vod remove show", "show is removed")
	want := []string{`POST /api/v1/vod {"asset":"show","channel":"news","start":"2026-11-25T20:00:00+01:00"}`, "GET /api/v1/vod ", "GET /api/v1/vod ", "DELETE /api/v1/vod/show "}
	if strings.Join(asked, "\n") != strings.Join(want, "\n") {
		t.Errorf("%q", asked)
	}
}

// What a person reads of times and amounts.
func TestAmountsAreReadable(t *testing.T) {
	f := func(got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	f(span(1400*time.Millisecond), "1s")
	f(span(-90*time.Second), "1m 30s")
	f(span(25*time.Hour+5*time.Minute), "25h 5m")
	f(span(50*time.Hour), "2d 2h")
	f(bytesOf(0), "0 B")
	f(bytesOf(1500), "1.5 KiB")
	f(bytesOf(200<<20), "200 MiB")
	f(bytesOf(3<<40), "3.0 TiB")
	f(rate(800_000), "800 kbit/s")
	f(rate(5_130_000), "5.1 Mbit/s")
	now := time.Date(2026, 11, 25, 20, 0, 0, 0, time.UTC)
	f(at(now.Add(-time.Minute), now), "2026-11-25 19:59:00Z (1m 0s ago)")
	f(at(now.Add(time.Hour), now), "2026-11-25 21:00:00Z (in 1h 0m)")
	f(ago(time.Time{}, now), "never")
	var w when
	for s, off := range map[string]time.Duration{"now": 0, "+30s": 30 * time.Second, "-2h": -2 * time.Hour} {
		if err := w.UnmarshalText([]byte(s)); err != nil || time.Until(w.Time.Add(-off)).Abs() > time.Second {
			t.Error(s, w, err)
		}
	}
	for _, s := range []string{"", "20:15", "2h", "+x", "2026-11-25"} {
		if err := w.UnmarshalText([]byte(s)); err == nil {
			t.Errorf("%q is taken", s)
		}
	}
}
