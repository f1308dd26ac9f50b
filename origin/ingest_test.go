package origin

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/internal/web"
)

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// Who may push, and where to, is decided before the body; a refusal says why in a log line
// that names channel and path, and never the key.
func TestPublishersAreToldApart(t *testing.T) {
	o := Options{Publishers: func() []Publisher {
		return []Publisher{{Name: "all", Secret: "key-of-all"}, {Name: "sport", Secret: "key-of-sport", Channels: []string{"sport-*", "cup"}}, {Name: "empty", Secret: ""}}
	}}
	r := newRig(t, o)
	defer r.close()
	ok := func(path string, header ...string) {
		t.Helper()
		if _, err := r.send("PUT", path, strings.NewReader("x"), header...); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	no := func(status int, reason, path string, header ...string) {
		t.Helper()
		err := r.refused(path, "x", status, header...)
		if web.ReasonOf(err) != reason {
			t.Errorf("%s: reason %q, want %q", path, web.ReasonOf(err), reason)
		}
		e, _ := errors.AsType[*web.Error](err)
		if got := e.Header.Get("WWW-Authenticate"); (status == 401) != strings.HasPrefix(got, "Basic realm=") {
			t.Errorf("%s: %d with challenge %q", path, status, got)
		}
	}
	ok("/ingest/k/key-of-all/news/x.ts")
	ok("/ingest/news/x.ts", "Authorization", "Bearer key-of-all")
	ok("/ingest/news/x.ts", "Authorization", basic("any", "key-of-all"))
	ok("/ingest/sport-1/x.ts", "Authorization", basic("", "key-of-sport"))
	ok("/ingest/k/key-of-sport/cup/a/b/x.ts")
	ok("/ingest/k/key-of-all/k/x.ts")

	no(401, "publish_key_missing", "/ingest/news/x.ts")
	no(401, "publish_key", "/ingest/news/x.ts", "Authorization", "Bearer key-of-al")
	no(401, "publish_key", "/ingest/news/x.ts", "Authorization", basic("key-of-all", "wrong"))
	no(401, "publish_key_missing", "/ingest/news/x.ts", "Authorization", "Basic !!!")
	no(401, "publish_key_missing", "/ingest/news/x.ts", "Authorization", "Bearer ")
	no(401, "publish_key", "/ingest/news/x.ts", "Authorization", basic("empty", ""))
	no(403, "publish_key", "/ingest/k/wrong-key/news/x.ts", "Authorization", "Bearer key-of-all")
	no(403, "publish_channel", "/ingest/k/key-of-sport/news/x.ts")
	no(403, "publish_channel", "/ingest/cups/x.ts", "Authorization", "Bearer key-of-sport")
	no(403, "publish_channel", "/ingest/sport/x.ts", "Authorization", "Bearer key-of-sport")

	r.logged("channel=news", "path=x.ts", "status=401", "reason=publish_key_missing")
	r.logged("channel=cup", "publisher=sport")
	r.logged("channel=cups", "path=x.ts", "status=403", "reason=publish_channel")
	// FFmpeg with user:password in its URL asks before it shows the password, for each upload:
	// an operator is not woken for that, and still sees who never shows one.
	refusals, lines := r.metric("weir_origin_refusals_total"), r.log.String()
	no(401, "publish_key_missing", "/ingest/quiet/x.ts", "Expect", "100-continue")
	if got := r.metric("weir_origin_refusals_total"); got != refusals || r.log.String() != lines {
		t.Errorf("a challenge counts as a refusal: %v, %s", got-refusals, strings.TrimPrefix(r.log.String(), lines))
	}
	no(401, "publish_key", "/ingest/loud/x.ts", "Expect", "100-continue", "Authorization", basic("x", "wrong"))
	r.logged("channel=loud", "reason=publish_key", "ingest.keys_file")
	r.logged("channel=cups", "publisher sport")
	for _, secret := range []string{"key-of", "wrong-key"} {
		if strings.Contains(r.log.String(), secret) {
			t.Errorf("%q is in the log", secret)
		}
	}
	if n := r.metric("weir_origin_refusals_total", "publish_channel"); n != 3 {
		t.Errorf("%v refusals were counted", n)
	}
}

// With no key configured nobody publishes, unless ingest is said to be open.
func TestWithoutKeysIngestIsClosed(t *testing.T) {
	r := newRig(t, Options{Publishers: func() []Publisher { return nil }})
	r.refused("/ingest/c/x.ts", "x", 403)
	r = newRig(t, Options{Publishers: func() []Publisher { return nil }, OpenIngest: true})
	defer r.close()
	r.put("x.ts", "x")
}

func TestChannelPatterns(t *testing.T) {
	f := func(pattern, s string, want bool) {
		t.Helper()
		if glob(pattern, s) != want {
			t.Errorf("%q, %q: %v", pattern, s, !want)
		}
	}
	f("news", "news", true)
	f("news", "news2", false)
	f("*", "", true)
	f("*", "x", true)
	f("a*", "a", true)
	f("a*", "b", false)
	f("*b", "ab", true)
	f("a*b*c", "axbyc", true)
	f("a*b*c", "axyc", false)
	f("a*a", "a", false)
	f("**a", "a", true)
	f("", "a", false)
}

// Path tricks create nothing and reach nothing.
func TestPathTricksAreRefused(t *testing.T) {
	r := newRig(t, Options{})
	for _, path := range []string{
		"/ingest", "/ingest/", "/ingest/c", "/ingest/c/", "/ingest//x.ts", "/ingest/C/x.ts", "/ingest/_c/x.ts", "/ingest/-c/x.ts",
		"/ingest/c/../d/x.ts", "/ingest/c/a/../x.ts", "/ingest/c/./x.ts", "/ingest/c//x.ts", "/ingest/c/a/x.ts/", "/ingest/c/a\x00.ts",
		"/ingest/c/a\\b.ts", "/ingest/../c/x.ts", "/ingest/" + strings.Repeat("c", 65) + "/x.ts", "/ingest/c/" + strings.Repeat("a", 600) + ".ts",
		"/ingest/k/", "/ingest/k/key", "/ingest/k/key/c", "/ingest/k//c/x.ts", "/ingest/c\xc3\xa9/x.ts", "/live/c/x.ts", "",
	} {
		err := r.refused(path, "x", 403)
		if web.ReasonOf(err) != "bad_path" {
			t.Errorf("%q: %v", path, err)
		}
	}
	r.refused("/ingest/c/x.exe", "x", http.StatusUnsupportedMediaType)
	r.refused("/ingest/c/x", "x", http.StatusUnsupportedMediaType)
	if n := len(r.o.Streams()); n != 0 {
		t.Errorf("%d channels came to be", n)
	}
	r.logged("reason=bad_path", "channel=c", "path=../d/x.ts")
}

// PUT and POST are the same, DELETE takes nothing from viewers, GET and HEAD give back what was
// pushed, and anything else is no method.
func TestMethods(t *testing.T) {
	r := newRig(t, Options{})
	defer r.close()
	do := func(method, path, body string, want int) *web.Response {
		t.Helper()
		resp, err := r.send(method, "/ingest/c/"+path, strings.NewReader(body))
		if err != nil {
			resp = web.ErrorResponse(err)
		}
		if resp.Status != want {
			t.Errorf("%s %s: %d, want %d", method, path, resp.Status, want)
		}
		return resp
	}
	text := list(0, "x0.ts", "x1.ts")
	do("POST", "x0.ts", "0", 200)
	do("PUT", "x1.ts", "1", 200)
	do("POST", "index.m3u8", text, 200)
	do("DELETE", "x0.ts", "", 200)
	do("DELETE", "nothing.ts", "", 200)
	r.is("shown", r.shown("main"), "0 1")
	resp := do("GET", "index.m3u8", "", 200)
	p, _ := web.ReadAll(t.Context(), resp.Body, 1<<20)
	r.is("read back", string(p), text)
	do("GET", "x0.ts", "", 404)
	resp = do("HEAD", "x1.ts", "", 200)
	if resp.Body.Len() != 1 {
		t.Error(resp.Body.Len())
	}
	resp.Close()
	do("GET", "x9.ts", "", 404)
	do("GET", "other.m3u8", "", 404)
	do("PATCH", "x0.ts", "", 405)
	do("PUT", "manifest.mpd", "<MPD/>", 200) // nothing we publish
	// A late playlist is not what an encoder should read back.
	do("PUT", "index.m3u8", list(0, "x0.ts"), 200)
	resp = do("GET", "index.m3u8", "", 200)
	p, _ = web.ReadAll(t.Context(), resp.Body, 1<<20)
	r.is("read back", string(p), text)
}

// broken is a body that ends with an error after some bytes.
type broken struct {
	io.Reader
	err error
}

func (b broken) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		err = b.err
	}
	return n, err
}

// An upload that is cut in the middle is never published, not even when its playlist says so.
func TestACutUploadIsNeverPublished(t *testing.T) {
	underClock(t, Options{}, func(r *rig) {
		cut := broken{strings.NewReader("half of it"), io.ErrUnexpectedEOF}
		_, err := r.send("PUT", "/ingest/c/x1.ts", cut)
		if web.StatusOf(err) != 400 || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Error(err)
		}
		r.put("x0.ts", "0")
		r.put("index.m3u8", list(0, "x0.ts", "x1.ts"))
		if _, err := r.send("PUT", "/ingest/c/index.m3u8", broken{strings.NewReader(list(0, "x0.ts", "x1.ts", "END")), io.ErrUnexpectedEOF}); web.StatusOf(err) != 400 {
			t.Error(err)
		}
		time.Sleep(4 * time.Second)
		r.is("shown", r.shown("main"), "0 -")
		r.logged("channel=c", "path=x1.ts", "reason=upload_cut", "after 10 bytes")
		if n := r.metric("weir_origin_uploads_total", "cut"); n != 2 {
			t.Errorf("%v cut uploads were counted", n)
		}
		// The encoder tries again, in time.
		if _, err := r.send("PUT", "/ingest/c/x2.ts", broken{strings.NewReader("2"), io.ErrUnexpectedEOF}); err == nil {
			t.Error("a cut upload was taken")
		}
		r.put("index.m3u8", list(0, "x0.ts", "x1.ts", "x2.ts"))
		r.put("x2.ts", "2")
		r.is("shown", r.shown("main"), "0 - 2")
	})
}

// What is pushed may be read while it is pushed, and ends as it ends.
func TestUploadsHaveBounds(t *testing.T) {
	r := newRig(t, Options{MaxUpload: 1000})
	defer r.close()
	r.put("x0.ts", strings.Repeat("x", 1000))
	for _, length := range []string{"", "1001"} {
		err := r.refused("/ingest/c/x1.ts", strings.Repeat("x", 1001), 413, "Content-Length", length)
		if web.ReasonOf(err) != "too_large" || !strings.Contains(err.Error(), "max_upload") {
			t.Error(err)
		}
	}
	r.refused("/ingest/c/x2.ts", "", 400)
	if r.o.channel("c").store.total != 0 {
		t.Error("uploads are still under way")
	}
	r.logged("channel=c", "path=x1.ts", "reason=too_large", "status=413")
}

// A playlist of ten megabytes, garbage, or one that reaches for other hosts and channels is
// refused with a line that names it; what was there before plays on, and so do other channels.
func TestHostilePlaylistsHarmNobody(t *testing.T) {
	underClock(t, Options{}, func(r *rig) {
		other := func(i int) {
			t.Helper()
			if _, err := r.send("PUT", "/ingest/d/x.ts", strings.NewReader(fmt.Sprint(i))); err != nil {
				t.Error(err)
			}
			if _, err := r.send("PUT", "/ingest/d/index.m3u8", strings.NewReader(list(i, "x.ts"))); err != nil {
				t.Error(err)
			}
		}
		r.put("x0.ts", "0")
		r.put("index.m3u8", list(0, "x0.ts"))
		other(0)
		hundred := strings.Builder{}
		for i := range 100_000 {
			fmt.Fprintf(&hundred, "#EXTINF:2,\n%d.ts\n", i)
		}
		many := "#EXTM3U\n#EXT-X-TARGETDURATION:2\n" + hundred.String()
		bad := []struct {
			status int
			text   string
		}{
			{413, strings.Repeat("#EXTM3U\n", 10<<20/8)},
			{413, many},
			{400, "<html>"},
			{400, ""},
			{400, "\x00\xff\xfe"},
			{400, "#EXTM3U\n#EXT-X-WHAT\n"},
			{400, "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:x,\nx1.ts\n"},
			{400, strings.Replace(list(0, "x0.ts"), "DURATION:2", "DURATION:86400", 1)},
			{400, list(0, "http://evil.example/x.ts")},
			{400, list(0, "//evil.example/x.ts")},
			{400, list(0, "../d/x.ts")},
			{400, list(0, "../../etc/passwd")},
			{400, list(0, "%2e%2e/d/x.ts")},
			{400, list(0, "a/%2e%2e/%2e%2e/x.ts")},
			{400, list(0, "/etc/passwd")},
			{400, list(0, "/ingest/d/x.ts")},
			{400, list(0, "file:///etc/passwd")},
			{400, list(0, "x%00.ts")},
			{400, list(0, "x%5c.ts")},
			{400, list(0, "map=../i.mp4", "x0.ts")},
			{400, "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nhttp://evil.example/x.m3u8\n"},
			{415, strings.Replace(list(0, "x0.ts"), "#EXTINF", "#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n#EXTINF", 1)},
			{415, strings.Replace(list(0, "x0.ts"), "#EXTINF", "#EXT-X-BYTERANGE:10@0\n#EXTINF", 1)},
			{415, list(0, "x0.ts:4000")},
		}
		for _, b := range bad {
			r.refused("/ingest/c/index.m3u8", b.text, b.status)
			r.refused("/ingest/c/new.m3u8", b.text, b.status)
		}
		time.Sleep(throttlePeriod + time.Second) // another allowance of log lines
		r.refused("/ingest/c/index.m3u8", list(0, "../d/x.ts"), 400)
		r.logged("channel=c", "path=index.m3u8", "reason=uri_outside", "dropped=")
		r.put("x1.ts", "1")
		r.put("index.m3u8", list(0, "x0.ts", "x1.ts"))
		r.is("shown", r.shown("main"), "0 1")
		other(1)
		if a := r.get("/live/d/main/index.m3u8"); strings.Count(a.body, "#EXTINF") != 2 {
			t.Error(a.body)
		}
		if a := r.get("/live/c/new/index.m3u8"); a.status != 404 {
			t.Error(a.status)
		}
		// What FFmpeg writes when it knows no bit rates says nothing, and is no fault.
		r.put("master.m3u8", "#EXTM3U\n#EXT-X-VERSION:3\n")
		r.put("sub/deep/index.m3u8", list(0, "../../x0.ts", "/ingest/c/x1.ts?token=x#y", "a/../../x%31.ts"))
	})
}

// As many entries as fit a playlist cost no more than their text.
func TestAPlaylistOfThousandsIsBounded(t *testing.T) {
	underClock(t, Options{}, func(r *rig) {
		var words []string
		for i := range 20_000 {
			words = append(words, fmt.Sprintf("%d.ts:1", i))
		}
		r.put("0.ts", "0")
		r.put("index.m3u8", list(0, "0.ts:1"))
		r.put("index.m3u8", list(0, words...))
		if n := r.o.Streams()[0].Renditions[0].Pending; n > maxQueue {
			t.Errorf("%d entries wait", n)
		}
		time.Sleep(10 * time.Second)
		r.media("main")
		if len(playlistText(r)) > 200_000 {
			t.Errorf("the playlist has %d bytes", len(playlistText(r)))
		}
	})
}

func playlistText(r *rig) string { return r.get("/live/c/main/index.m3u8").body }

// There is an end to channels, renditions, uploads at once, files nobody lists and memory.
func TestIngestIsBounded(t *testing.T) {
	underClock(t, Options{MaxChannels: 3, Memory: 64 << 20, MaxUpload: 1 << 20}, func(r *rig) {
		for i := range 3 {
			if _, err := r.send("PUT", fmt.Sprintf("/ingest/c%d/x.ts", i), strings.NewReader("x")); err != nil {
				t.Error(err)
			}
		}
		err := r.refused("/ingest/c3/x.ts", "x", 503)
		if !strings.Contains(err.Error(), "max_channels") {
			t.Error(err)
		}
		time.Sleep(2 * staleAfter) // channels that never published go
		r.put("x0.ts", "0")
		r.put("index.m3u8", list(0, "x0.ts"))
		for i := range maxRenditions - 1 {
			r.put(fmt.Sprintf("v%d.m3u8", i), list(0, "x0.ts"))
		}
		r.refused("/ingest/c/more.m3u8", list(0, "x0.ts"), 503)
		for i := range 2000 {
			r.put(fmt.Sprintf("junk%d.ts", i), "junk")
		}
		c := r.o.channel("c")
		c.mu.Lock()
		if n, _ := c.store.pending(); n > maxFiles {
			t.Errorf("%d files wait", n)
		}
		c.mu.Unlock()
		if n := r.metric("weir_origin_uploads_total", "unused"); n < 900 {
			t.Errorf("%v unused uploads were counted", n)
		}
		for i := range 100 {
			_, err := r.send("PUT", fmt.Sprintf("/ingest/c/big%d.ts", i), strings.NewReader(strings.Repeat("x", 1<<20)))
			if err != nil && web.ReasonOf(err) != "memory_full" {
				t.Error(err)
			}
			if n := r.slab.InUse(); n > 66<<20 {
				t.Fatalf("%d bytes are held", n)
			}
		}
		time.Sleep(2 * staleAfter)
		r.put("x1.ts", "1")
		r.put("index.m3u8", list(0, "x0.ts", "x1.ts"))
		r.is("shown", r.shown("main"), "0 1")
	})
}

// Uploads at once are bounded, and each is counted once.
func TestUploadsAtOnceAreBounded(t *testing.T) {
	c := (&Origin{}).channelForTest()
	for i := range maxArriving {
		if _, ok := c.open(fmt.Sprint(i)); !ok {
			t.Fatal("refused at", i)
		}
	}
	if _, ok := c.open("one more"); ok {
		t.Error("more than the bound")
	}
	c.abandon("0")
	if _, ok := c.open("one more"); !ok {
		t.Error("an upload that ended still counts")
	}
}

func (o *Origin) channelForTest() *channel { return &channel{name: "c", o: o, store: newStore()} }

// The same bytes again are the same file; an upload that was overtaken is not taken.
func TestRepeatedUploadsAreCountedAndIgnored(t *testing.T) {
	underClock(t, Options{}, func(r *rig) {
		r.put("x0.ts", "0")
		r.put("index.m3u8", list(0, "x0.ts"))
		r.put("x0.ts", "0")
		r.put("index.m3u8", list(0, "x0.ts"))
		r.put("x1.ts", "1")
		r.put("index.m3u8", list(0, "x0.ts", "x1.ts"))
		r.is("shown", r.shown("main"), "0 1")
		if n := r.metric("weir_origin_uploads_total", "repeated"); n != 1 {
			t.Errorf("%v repeated uploads were counted", n)
		}
		m := r.media("main")
		for _, s := range m.Segments {
			if s.Discontinuity {
				t.Error("a discontinuity")
			}
		}
	})
}

// A rendition's playlist is not another's: URIs are resolved where they stand.
func TestURIsAreResolvedWithinTheChannel(t *testing.T) {
	f := func(from, uri, want string) {
		t.Helper()
		if got, err := resolve("c", from, uri); err != nil || got != want {
			t.Errorf("%s in %s: %q, %v", uri, from, got, err)
		}
	}
	f("index.m3u8", "x.ts", "x.ts")
	f("a/index.m3u8", "x.ts", "a/x.ts")
	f("a/index.m3u8", "../b/x.ts", "b/x.ts")
	f("a/b.m3u8", "./c/x.ts?q=1#f", "a/c/x.ts")
	f("a/b.m3u8", "x%20y.ts", "a/x y.ts")
	f("a/b.m3u8", "/ingest/c/x.ts", "x.ts")
}

// Of two uploads to one path the one that began later counts, whichever ends first.
func TestAnOvertakenUploadIsNotTaken(t *testing.T) {
	underClock(t, Options{}, func(r *rig) {
		slow := &gate{"old", make(chan error, 1)}
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = r.send("PUT", "/ingest/c/x0.ts", slow) })
		synctest.Wait()
		r.put("x0.ts", "new")
		slow.end <- io.EOF
		wg.Wait()
		r.put("index.m3u8", list(0, "x0.ts"))
		r.is("shown", r.shown("main"), "new")
		if n := r.metric("weir_origin_uploads_total", "stale"); n != 1 {
			t.Errorf("%v stale uploads were counted", n)
		}
	})
}
