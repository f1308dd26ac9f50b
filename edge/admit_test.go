package edge

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/internal/web"
	"weir/token"
)

func TestATokenTravelsInEveryCarrier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, sign := signer(t)
		origin := &fake{answer: media}
		e := newEdge(t, Options{Tokens: src}, origin)
		f := func(target string, pairs ...string) {
			t.Helper()
			if g := get(t, e, target, pairs...); g.Status != 200 || g.text != "bytes of /live/news/s.m4s" {
				t.Errorf("%s: %d %q", target, g.Status, g.text)
			}
		}
		f("/t/" + sign(time.Hour, "/live/news") + "/live/news/s.m4s")
		f("/live/news/s.m4s?token=" + sign(time.Hour, "/live/"))
		f("/live/news/s.m4s?a=b&token=" + sign(time.Hour, "/live/") + "&c")
		f("/live/news/s.m4s", "Cookie", "x=y; weir_token="+sign(time.Hour, "/live/news/s.m4s"))
		f("/live/news/s.m4s", "Authorization", "Bearer "+sign(time.Hour, "/"))
		// Five viewers with five tokens: one object, asked for once.
		if origin.count() != 1 {
			t.Errorf("%d origin requests", origin.count())
		}
		for _, req := range origin.asked {
			if req.Path != "/live/news/s.m4s" || req.Query != "" || req.Header.Has("Cookie") || req.Header.Has("Authorization") {
				t.Errorf("the origin was asked %s?%s %v", req.Path, req.Query, req.Header)
			}
		}
	})
}

// Whoever is refused learns why, costs the origin nothing, and finds his
// token in no log.
func TestWithoutAGoodTokenNothingHappens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, sign := signer(t)
		_, foreign := signer(t)
		origin := &fake{answer: media}
		var log bytes.Buffer
		e := newEdge(t, Options{Tokens: src, Log: slog.New(slog.NewTextHandler(&log, nil))}, origin)
		good := sign(time.Hour, "/live/news")
		get(t, e, "/t/"+good+"/live/news/s.m4s") // it is in the cache: that must not help
		dot := strings.LastIndexByte(good, '.')
		f := func(reason, target string, pairs ...string) {
			t.Helper()
			g := get(t, e, target, pairs...)
			if g.Status != 403 || !strings.HasPrefix(g.text, reason+":") || g.Get("Cache-Control") != "no-store" ||
				g.Get("Access-Control-Allow-Origin") != "*" || g.Get("Cache-Status") != "" {
				t.Errorf("%s: %d %q, want %s", target, g.Status, g.text, reason)
			}
			if strings.Contains(g.text, good[:20]) {
				t.Errorf("the answer shows the token: %q", g.text)
			}
		}
		f("token_missing", "/live/news/s.m4s")
		f("token_path", "/t/"+good+"/live/news10/s.m4s")
		f("token_path", "/t/"+good+"/live/other/s.m4s")
		f("token_path", "/t/"+good+"/live/new")
		f("token_malformed", "/t/"+good)                        // nothing behind it
		f("token_path", "/t/"+good+"/live/news/../other/s.m4s") // CleanPath refuses it at the wire already
		f("token_path", "/t/"+good+"//live/news/s.m4s")
		f("token_path", "/t/"+good+"/live/NEWS/s.m4s")
		f("token_signature", "/t/"+good[:dot+1]+strings.Repeat("A", len(good)-dot-1)+"/live/news/s.m4s")
		f("token_malformed", "/t/"+good[:dot+1]+"/live/news/s.m4s")
		f("token_malformed", "/t/"+good[:dot]+"/live/news/s.m4s")
		f("token_malformed", "/t/x/live/news/s.m4s")
		f("token_malformed", "/t/"+good+"/t/"+good+"/live/news/s.m4s")
		f("token_malformed", "/live/news/s.m4s?token="+good+"&token="+good)
		f("token_malformed", "/live/news/s.m4s?tok%65n="+good)
		f("token_malformed", "/live/news/s.m4s?token=")
		f("token_too_long", "/t/"+strings.Repeat("a", 5000)+"/live/news/s.m4s")
		f("token_malformed", "/live/news/s.m4s?token=x", "Authorization", "Bearer "+good) // the first carrier decides
		f("token_path", "/live/news/s.m4s", "Cookie", "weir_token="+foreign(time.Hour, "/elsewhere"))
		if origin.count() != 1 {
			t.Errorf("%d origin requests", origin.count())
		}
		if strings.Contains(log.String(), good[dot:]) || strings.Contains(log.String(), good[:20]) {
			t.Errorf("the log shows a token: %s", log.String())
		}
		if !strings.Contains(log.String(), "token_missing") || !strings.Contains(log.String(), "/live/news/s.m4s") {
			t.Errorf("the log does not say what was refused: %s", log.String())
		}
	})
}

// An audience whose tokens are all wrong fills no disk.
func TestRefusalsAreLoggedOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, _ := signer(t)
		var log bytes.Buffer
		e := newEdge(t, Options{Tokens: src, Log: slog.New(slog.NewTextHandler(&log, nil))}, &fake{answer: media})
		for range 1000 {
			get(t, e, "/s.m4s")
		}
		time.Sleep(time.Second)
		get(t, e, "/s.m4s")
		if lines := strings.Count(log.String(), "\n"); lines != 2 || !strings.Contains(log.String(), "not_logged_before=999") {
			t.Errorf("%d lines: %s", lines, log.String())
		}
	})
}

func TestAnInvalidTokenJoinsNoFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, sign := signer(t)
		origin := &fake{answer: func(ctx context.Context, req *web.Request) (*web.Response, error) {
			time.Sleep(3 * time.Second)
			return media(ctx, req)
		}}
		e := newEdge(t, Options{Tokens: src}, origin)
		good, bad := sign(time.Hour, "/l"), sign(time.Hour, "/other")
		answers := crowd(e, 1000, func(i int) *web.Request {
			if i%2 == 0 {
				return request("GET", "/t/"+bad+"/l/s.m4s")
			}
			return request("GET", "/t/"+good+"/l/s.m4s")
		})
		for i, g := range answers {
			if want := []int{403, 200}[i%2]; g.Status != want {
				t.Fatalf("viewer %d: %d", i, g.Status)
			}
		}
		if origin.count() != 1 {
			t.Errorf("%d origin requests", origin.count())
		}
		start := time.Now()
		get(t, e, "/t/"+bad+"/l/new.m4s")
		if time.Since(start) != 0 || origin.count() != 1 {
			t.Error("a refusal waited, or asked the origin")
		}
	})
}

// A hit does not outlive the token that asks for it, nor does a wait.
func TestExpiryIsCheckedOnEveryRequestAndAfterAWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, sign := signer(t)
		e := newEdge(t, Options{Tokens: src}, &fake{answer: func(ctx context.Context, req *web.Request) (*web.Response, error) {
			if req.Query != "" {
				time.Sleep(10 * time.Second)
			}
			return media(ctx, req)
		}})
		tok := "/t/" + sign(5*time.Second, "/l")
		if g := get(t, e, tok+"/l/s.m4s"); g.Status != 200 {
			t.Fatalf("%d", g.Status)
		}
		waited := make(chan got)
		go func() { waited <- get(t, e, tok+"/l/i.m3u8?_HLS_msn=7") }()
		time.Sleep(5*time.Second - time.Nanosecond)
		if g := get(t, e, tok+"/l/s.m4s"); g.Status != 200 {
			t.Errorf("%d a moment before its end", g.Status)
		}
		time.Sleep(time.Nanosecond)
		if g := get(t, e, tok+"/l/s.m4s"); g.Status != 403 || !strings.HasPrefix(g.text, "token_expired") {
			t.Errorf("%d %q on a hit", g.Status, g.text)
		}
		if g := <-waited; g.Status != 403 || !strings.HasPrefix(g.text, "token_expired") {
			t.Errorf("%d %q after a wait", g.Status, g.text)
		}
	})
}

// A key that is taken away admits nobody from then on, also not who waits.
func TestKeysCanBeTakenAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, sign := signer(t)
		e := newEdge(t, Options{Tokens: src}, &fake{answer: func(ctx context.Context, req *web.Request) (*web.Response, error) {
			time.Sleep(time.Second)
			return media(ctx, req)
		}})
		tok := "/t/" + sign(time.Hour, "/l")
		waited := make(chan got)
		go func() { waited <- get(t, e, tok+"/l/s.m4s") }()
		synctest.Wait()
		key, err := token.ParseKey("k2", token.HS256, []byte("raw:another-secret-of-32-bytes-or-more"))
		if err != nil {
			t.Fatal(err)
		}
		v, err := token.New(token.Options{Keys: []token.Key{key}})
		if err != nil {
			t.Fatal(err)
		}
		src.Store(v)
		if g := <-waited; g.Status != 403 {
			t.Errorf("%d after a wait", g.Status)
		}
		if g := get(t, e, tok+"/l/s.m4s"); g.Status != 403 {
			t.Errorf("%d on a hit", g.Status)
		}
	})
}

func TestWithoutAKeyEverybodyIsServedAndTokensStillStayHere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		origin := &fake{answer: media}
		e := newEdge(t, Options{Tokens: new(token.Source)}, origin)
		for _, target := range []string{"/l/s.m4s", "/t/whatever/l/s.m4s", "/l/s.m4s?token=x", "/l/s.m4s?token=x&token=y"} {
			if g := get(t, e, target); g.Status != 200 {
				t.Errorf("%s: %d", target, g.Status)
			}
		}
		if origin.count() != 1 {
			t.Errorf("%d origin requests", origin.count())
		}
	})
}

func TestAQueryTokenIsHandedDownByPlaylists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, sign := signer(t)
		origin := &fake{answer: media}
		e := newEdge(t, Options{Tokens: src}, origin)
		a, b := sign(time.Hour, "/l"), sign(time.Hour, "/l")
		for _, tok := range []string{a, b} {
			g := get(t, e, "/l/i.m3u8?token="+tok, "Accept-Encoding", "gzip")
			if !strings.Contains(g.text, "\nseg1.m4s?token="+tok+"\n") || !strings.Contains(g.text, `URI="init.mp4?token=`+tok+`"`) {
				t.Errorf("%q", g.text)
			}
			if coding := origin.last().Header.Get("Accept-Encoding"); coding != "identity" {
				t.Errorf("asked upstream for %s, to be unpacked here", coding)
			}
			if g.Get("Cache-Control") != "private, no-store" || g.Get("ETag") != "" || g.Get("Content-Encoding") != "" {
				t.Errorf("an answer for one viewer: %v", g.Flatten())
			}
			if g := get(t, e, "/l/seg1.m4s?token="+tok); g.Status != 200 || g.Get("Cache-Control") != "max-age=3600, immutable" {
				t.Errorf("%d %v", g.Status, g.Flatten())
			}
		}
		// By prefix or cookie the text is the same for all, byte for byte.
		if g := get(t, e, "/t/"+a+"/l/i.m3u8"); g.text != mediaPlaylist || g.Get("ETag") != `"p1"` {
			t.Errorf("%q", g.text)
		}
		if g := get(t, e, "/l/i.m3u8?token="+a, "If-None-Match", `"p1"`); g.Status != 200 {
			t.Errorf("%d: the validator names another text", g.Status)
		}
		if n := origin.count(); n != 2 {
			t.Errorf("%d origin requests for two objects", n)
		}
	})
}

func TestAPlaylistPackedAgainstOurWillIsUnpacked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, sign := signer(t)
		e := newEdge(t, Options{Tokens: src}, &fake{answer: func(_ context.Context, req *web.Request) (*web.Response, error) {
			return web.NewResponse(200, web.Bytes(zipped(t, mediaPlaylist)), "Content-Type", "audio/mpegurl; charset=utf-8",
				"Content-Encoding", "gzip", "Cache-Control", "max-age=1"), nil
		}})
		tok := sign(time.Hour, "/l")
		if g := get(t, e, "/l/i?token="+tok); !strings.Contains(g.text, "seg1.m4s?token="+tok) || g.Get("Content-Encoding") != "" {
			t.Errorf("%d %q", g.Status, g.text)
		}
	})
}
