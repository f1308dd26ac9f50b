package node

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"weir/cmd/weir/api"
	"weir/cmd/weir/config"
	"weir/internal/web"
	"weir/origin"
)

const adminToken = "0123456789abcdef"

// say makes one request to an API and reads its JSON into answer.
func say(t *testing.T, method, url, token, body string, answer any) int {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.Body.Close() != nil {
		t.Fatal(err)
	}
	if kind := resp.Header.Get("Content-Type"); kind != "application/json" {
		t.Errorf("%s %s: %d, Content-Type %q: %s", method, url, resp.StatusCode, kind, text)
	}
	if answer != nil {
		d := json.NewDecoder(bytes.NewReader(text))
		d.DisallowUnknownFields()
		if err := d.Decode(answer); err != nil {
			t.Errorf("%s %s: %v in %s", method, url, err, text)
		}
	}
	return resp.StatusCode
}

// An operator ends a channel, opens it again and removes it, over the API of a whole node:
// what viewers and encoders get follows at once.
func TestOperatorsDoThingsToChannels(t *testing.T) {
	c := originConfig()
	c.Admin.Token = adminToken
	n := startOrigin(t, c)
	a := n.Addrs()
	url, viewers, ingest := "http://"+a.Admin+api.ChannelsPath, "http://"+a.Viewers+"/live/news/", "http://"+a.Ingest+"/ingest/news/"
	var all api.Channels
	if code := say(t, "GET", url, "", "", &all); code != 200 || all.Channels == nil || len(all.Channels) != 0 {
		t.Error(code, all)
	}
	pushClip(t, a.Ingest, "", "news")
	eventually(t, "the multivariant playlist", func() bool { code, _, _ := try("GET", viewers+"index.m3u8"); return code == 200 })
	if code := say(t, "GET", url, "", "", &all); code != 200 || len(all.Channels) != 1 || all.Channels[0].Name != "news" {
		t.Error(code, all)
	}
	var one api.Channel
	if code := say(t, "GET", url+"/news", "", "", &one); code != 200 || one.State != api.Live || one.TargetDuration.Duration() != 2*time.Second || len(one.Renditions) != 1 || one.Complete {
		t.Errorf("%d %+v", code, one)
	}
	playlist := func(end bool, status int) {
		t.Helper()
		code, text := ask(t, "GET", viewers+"main/index.m3u8")
		if code != status || strings.Contains(text, "#EXT-X-ENDLIST") != end {
			t.Errorf("%d %s", code, text)
		}
	}
	playlist(false, 200)
	if code := say(t, "POST", url+"/news/end", adminToken, "", &one); code != 200 || one.State != api.Ended || !one.Complete || one.StateSince.IsZero() {
		t.Errorf("%d %+v", code, one)
	}
	playlist(true, 200)
	if code := push(t, ingest+"4.m4s", "", []byte("x")); code != 409 {
		t.Error("an upload to what ended is", code)
	}
	if code := say(t, "POST", url+"/news/resume", adminToken, "", &one); code != 200 || one.State != api.Live {
		t.Errorf("%d %+v", code, one)
	}
	if code := push(t, ingest+"4.m4s", "", []byte("x")); code != 200 {
		t.Error("an upload to what was resumed is", code)
	}
	_, media := ask(t, "GET", viewers+"main/index.m3u8")
	lines := strings.Split(strings.TrimSpace(media), "\n")
	if code := say(t, "DELETE", url+"/news", adminToken, "", &one); code != 200 || one.State != api.Removed || !one.GoneAt.After(time.Now()) {
		t.Errorf("%d %+v", code, one)
	}
	playlist(false, 410)
	if code, _ := ask(t, "GET", viewers+lines[len(lines)-2]); code == 200 {
		t.Error("the last line but one is no segment's: ", lines)
	}
	if code, _ := ask(t, "GET", viewers+"main/"+lines[len(lines)-2]); code != 200 {
		t.Error("a segment that was listed is", code)
	}
	if code := push(t, ingest+"4.m4s", "", []byte("x")); code != 410 {
		t.Error("an upload to what was removed is", code)
	}
	var e api.Error
	if code := say(t, "POST", url+"/news/resume", adminToken, "", &e); code != 410 || e.Reason != "channel_removed" || !strings.Contains(e.Text, "news") {
		t.Errorf("%d %+v", code, e)
	}
	for _, words := range []string{"msg=operator method=POST path=/api/v1/channels/news/end", "status=410", `msg="channel removed"`} {
		if !strings.Contains(n.log.String(), words) {
			t.Errorf("the log lacks %s:\n%s", words, n.log)
		}
	}
}

// An operator marks an ad break, first roughly, then to the frame.
func TestOperatorsTellDateRanges(t *testing.T) {
	c := originConfig()
	c.Admin.Token = adminToken
	n := startOrigin(t, c)
	a := n.Addrs()
	pushClip(t, a.Ingest, "", "news")
	url := "http://" + a.Admin + api.ChannelsPath + "/news/dateranges"
	start := time.Now().Add(20 * time.Second).UTC().Truncate(time.Millisecond)
	var d api.DateRange
	body := `{"id":"break-7","class":"com.example.ad","start":"` + start.Format(time.RFC3339Nano) + `","planned_duration":30,
		"x":{"X-TEXT":"two words","X-NUMBER":1.5,"X-HEX":"0xFC30","X-AS-IT-IS":"\"0xFC30\""}}`
	if code := say(t, "POST", url, adminToken, body, &d); code != 201 || d.ID != "break-7" {
		t.Fatalf("%d %+v", code, d)
	}
	if code := say(t, "POST", url, adminToken, `{"id":"break-7","duration":29.96,"scte35_out":"0xFC30"}`, &d); code != 200 || d.Duration.Duration() != 29960*time.Millisecond || d.Class == "" {
		t.Errorf("%d %+v", code, d)
	}
	_, text := ask(t, "GET", "http://"+a.Viewers+"/live/news/main/index.m3u8")
	want := `#EXT-X-DATERANGE:ID="break-7",CLASS="com.example.ad",START-DATE="` + start.Format("2006-01-02T15:04:05.000Z") +
		`",DURATION=29.960,PLANNED-DURATION=30.000,X-AS-IT-IS="0xFC30",X-HEX=0xFC30,X-NUMBER=1.5,X-TEXT="two words",SCTE35-OUT=0xFC30` + "\n"
	if !strings.Contains(text, want) {
		t.Errorf("want %s in\n%s", want, text)
	}
	var all api.DateRanges
	if code := say(t, "GET", url, "", "", &all); code != 200 || len(all.DateRanges) != 1 {
		t.Fatalf("%d %+v", code, all)
	}
	// What the API tells it takes again: it adds nothing.
	again, err := json.Marshal(all.DateRanges[0])
	if err != nil {
		t.Fatal(err)
	}
	if code := say(t, "POST", url, adminToken, string(again), &d); code != 200 {
		t.Errorf("%d for %s", code, again)
	}
	f := func(status int, reason, words, body string) {
		t.Helper()
		var e api.Error
		if code := say(t, "POST", url, adminToken, body, &e); code != status || e.Reason != reason || !strings.Contains(e.Text, words) {
			t.Errorf("%.60s: %d %+v", body, code, e)
		}
	}
	f(409, "date_range_altered", "DURATION", `{"id":"break-7","duration":28}`)
	f(400, "bad_date_range", "START-DATE", `{"id":"break-8"}`)
	f(400, "bad_request", `"ID": unknown field; there are id, class`, `{"ID":"break-8"}`)
	f(400, "bad_request", "id: given twice", `{"id":"a","id":"b"}`)
	f(400, "bad_request", "class: a JSON number", `{"id":"a","class":7}`)
	f(400, "bad_request", "X-A", `{"id":"a","x":{"X-A":[1]}}`)
	f(400, "bad_request", "seconds", `{"id":"a","duration":1e12}`)
	f(400, "bad_request", "no JSON object", `[]`)
	f(400, "bad_request", "no JSON object", ``)
	f(400, "bad_request", "ends within", `{"id":"a"`)
	f(400, "bad_request", "behind its object", `{"id":"a"}{}`)
	f(400, "bad_request", "", `{"id":"a","start":"tomorrow"}`)
	f(413, "too_large", "65536", `{"id":"`+strings.Repeat("a", api.MaxBody)+`"}`)
}

// Who may do what: reading is free on this machine, changing never.
func TestTheAPIAsksForTheToken(t *testing.T) {
	calls := []string{"GET " + api.ChannelsPath, "GET " + api.ChannelsPath + "/x", "DELETE " + api.ChannelsPath + "/x", "POST " + api.ChannelsPath + "/x/end",
		"POST " + api.ChannelsPath + "/x/resume", "GET " + api.ChannelsPath + "/x/dateranges", "POST " + api.ChannelsPath + "/x/dateranges",
		"GET " + api.AssetsPath, "POST " + api.AssetsPath, "DELETE " + api.AssetsPath + "/x"}
	o, err := origin.New(origin.Options{})
	if err != nil {
		t.Fatal(err)
	}
	serve := func(cfg config.Admin, method, path, from, token string) *httptest.ResponseRecorder {
		g := &adminGuard{cfg: func() config.Admin { return cfg }}
		routes := append(channelAPI{func() *origin.Origin { return o }}.routes(), assetAPI{func() assets { return o }}.routes()...)
		h := g.host(apiHandler(routes, g, (&record{}).logger()))
		r := httptest.NewRequest(method, path, strings.NewReader(`{"id":"a","start":"2026-11-25T20:00:00Z"}`))
		if strings.HasSuffix(path, "/vod") {
			r = httptest.NewRequest(method, path, strings.NewReader(`{"asset":"a","channel":"x"}`))
		}
		r.Host, r.RemoteAddr = "localhost", from
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	locked := config.Admin{Token: adminToken}
	for _, call := range calls {
		method, path, _ := strings.Cut(call, " ")
		f := func(denied int, cfg config.Admin, from, token string) {
			t.Helper()
			w := serve(cfg, method, path, from, token)
			isDenied := w.Code == 401 || w.Code == 403
			if isDenied != (denied != 0) || isDenied && w.Code != denied {
				t.Errorf("%s from %s with token %q: %d %s", call, from, token, w.Code, w.Body)
			}
			var e api.Error
			if w.Code/100 != 2 && (json.Unmarshal(w.Body.Bytes(), &e) != nil || e.Text == "" || e.Reason == "") {
				t.Errorf("%s: %d %s", call, w.Code, w.Body)
			}
		}
		change := func(code int) int {
			if method == "GET" {
				return 0
			}
			return code
		}
		f(change(403), config.Admin{}, "127.0.0.1:1", "")
		f(change(401), locked, "127.0.0.1:1", "")
		f(change(401), locked, "127.0.0.1:1", "wrong")
		f(401, locked, "192.0.2.1:1", "")
		f(0, locked, "127.0.0.1:1", adminToken)
		f(0, locked, "192.0.2.1:1", adminToken)
	}
	for _, c := range []struct {
		status       int
		method, path string
	}{
		{405, "PUT", api.ChannelsPath}, {405, "GET", api.ChannelsPath + "/x/end"}, {405, "POST", api.ChannelsPath + "/x"},
		{404, "GET", "/api/v1/nothing"}, {404, "GET", "/api/"}, {404, "GET", api.ChannelsPath + "/x"}, {404, "DELETE", api.ChannelsPath + "/x"},
		{409, "POST", api.AssetsPath}, {409, "DELETE", api.AssetsPath + "/x"}, {400, "DELETE", api.AssetsPath + "/X"}, {200, "HEAD", api.ChannelsPath},
	} {
		w := serve(locked, c.method, c.path, "127.0.0.1:1", adminToken)
		if w.Code != c.status || c.status == 405 && w.Header().Get("Allow") == "" {
			t.Errorf("%s %s: %d %s", c.method, c.path, w.Code, w.Body)
		}
	}
}

// programmes are assets in memory.
type programmes struct{ made []origin.AssetInfo }

func (p *programmes) MakeAsset(_ context.Context, r origin.AssetRequest) (origin.AssetInfo, error) {
	for _, i := range p.made {
		if i.Asset == r.Asset {
			e := web.Errorf(http.StatusConflict, "asset %s: %w", r.Asset, origin.ErrAssetExists)
			e.Reason = "asset_exists"
			return origin.AssetInfo{}, e
		}
	}
	i := origin.AssetInfo{Asset: r.Asset, Channel: r.Channel, Start: r.Start, End: r.End, Duration: r.End.Sub(r.Start), Bytes: 7, Renditions: []string{"hi"}}
	p.made = append(p.made, i)
	return i, nil
}

func (p *programmes) Assets() []origin.AssetInfo { return p.made }

func (p *programmes) RemoveAsset(name string) error {
	for i := range p.made {
		if p.made[i].Asset == name {
			p.made = append(p.made[:i], p.made[i+1:]...)
			return nil
		}
	}
	return web.Errorf(http.StatusNotFound, "asset %s: %w", name, origin.ErrNoAsset)
}

// An operator makes a finished programme of a channel, sees it and removes it.
func TestOperatorsCutAssets(t *testing.T) {
	p := &programmes{}
	g := &adminGuard{cfg: func() config.Admin { return config.Admin{Token: adminToken} }}
	s := httptest.NewServer(apiHandler(assetAPI{func() assets { return p }}.routes(), g, (&record{}).logger()))
	defer s.Close()
	url := s.URL + api.AssetsPath
	var all api.Assets
	if code := say(t, "GET", url, "", "", &all); code != 200 || all.Assets == nil {
		t.Error(code, all)
	}
	const body = `{"asset":"match","channel":"news","start":"2026-11-25T20:00:00+01:00","end":"2026-11-25T21:45:00+01:00"}`
	var one api.Asset
	if code := say(t, "POST", url, adminToken, body, &one); code != 201 || one.Path != "/vod/match/index.m3u8" || one.Duration.Duration() != 105*time.Minute {
		t.Errorf("%d %+v", code, one)
	}
	var e api.Error
	if code := say(t, "POST", url, adminToken, body, &e); code != 409 || e.Reason != "asset_exists" {
		t.Errorf("%d %+v", code, e)
	}
	for _, bad := range []string{`{"asset":"a","name":"b"}`, `{"start":"20:00"}`, `{"asset":"a","start":"2026-11-25T20:00:00Z","end":"2026-11-25T20:00:00Z"}`} {
		if code := say(t, "POST", url, adminToken, bad, &e); code != 400 || e.Reason != "bad_request" {
			t.Errorf("%s: %d %+v", bad, code, e)
		}
	}
	if code := say(t, "GET", url, "", "", &all); code != 200 || len(all.Assets) != 1 || all.Assets[0].Bytes != 7 {
		t.Error(code, all)
	}
	if code := say(t, "DELETE", url+"/match", adminToken, "", nil); code != 200 || len(p.made) != 0 {
		t.Error(code)
	}
	if code := say(t, "DELETE", url+"/match", adminToken, "", &e); code != 404 {
		t.Error(code)
	}
}

// Whatever is sent as a body, it is read as the one object that it is, or refused with 400 or
// 413 and a reason.
func FuzzReadBody(f *testing.F) {
	for _, s := range []string{`{"id":"a","start":"2026-11-25T20:00:00Z","duration":1.5,"x":{"X-A":"0x1"}}`, `{"id":"a","id":"b"}`, `{"ID":"a"}`,
		`[{}]`, `{"id":"a"}{}`, `{"x":{"X-A":{"a":[1]}}}`, "{\"id\":\"\\ud800\"}", `{"end_on_next":1}`, strings.Repeat("[", 200)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var d api.DateRange
		r := httptest.NewRequest("POST", "/", bytes.NewReader(body))
		r.Body = http.MaxBytesReader(httptest.NewRecorder(), r.Body, api.MaxBody)
		err := readBody(r, &d)
		if err != nil {
			if s := web.StatusOf(err); s != 400 && s != 413 || web.ReasonOf(err) == "" {
				t.Errorf("%v: %d", err, s)
			}
			return
		}
		p, err := playlistRange(&d)
		if err != nil || p.Check() != nil {
			return
		}
		// What can be told is told back as it was said.
		back := rangeOf(&p)
		again, err := playlistRange(&back)
		if err != nil || again.Merge(&p) != "" || p.Merge(&again) != "" {
			t.Errorf("%+v became %+v: %v", p, again, err)
		}
	})
}
