package origin

import (
	"encoding/json"
	"net"
	"net/http"
	"path"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"weir/internal/wire"
	"weir/playlist"
)

// texts are all playlists that a viewer was given, media and multivariant.
func (s *show) texts() map[string]answer {
	out := map[string]answer{"multivariant": s.get("/live/c/index.m3u8")}
	s.each(func(x *reader, v version) { out[x.name+" "+v.at.String()] = v.answer })
	return out
}

// A player tells a playlist by its first line and reads no other encoding.
func TestPL01PlaylistsArePlainUTF8(t *testing.T) {
	inBoth(t, Options{}, func(s *show, e *encoder) {
		e.step(20)
		for what, a := range s.texts() {
			if !strings.HasPrefix(a.body, "#EXTM3U\n") || !utf8.ValidString(a.body) || strings.ContainsRune(a.body, '\uFEFF') {
				t.Errorf("%s: %q", what, a.body)
			}
			for _, c := range a.body {
				if c < ' ' && c != '\n' && c != '\r' || c >= 0x7f && c < 0xa0 {
					t.Errorf("%s holds the control character %q", what, c)
				}
			}
		}
	})
}

// A player may refuse a playlist of any other type.
func TestPL02PlaylistsHaveTheirType(t *testing.T) {
	inBoth(t, Options{}, func(s *show, e *encoder) {
		e.step(8)
		for what, a := range s.texts() {
			s.is(what, a.header.Get("Content-Type"), "application/vnd.apple.mpegurl")
		}
	})
}

// A player that takes gzip gets it, any other the text; a cache can tell the two apart.
func TestPL03PlaylistsAreCompressedForThoseWhoAsk(t *testing.T) {
	inBoth(t, Options{}, func(s *show, e *encoder) {
		e.step(12)
		for _, p := range []string{"/live/c/index.m3u8", "/live/c/hi/index.m3u8"} {
			plain, zipped := s.get(p), s.get(p, "Accept-Encoding", "br, gzip")
			s.is(p, zipped.header.Get("Content-Encoding"), "gzip")
			s.is(p, plain.header.Get("Content-Encoding"), "")
			s.is(p+" unzipped", unzip(t, zipped.body), plain.body)
			a, b := plain.header.Get("ETag"), zipped.header.Get("ETag")
			if a == b || !strings.HasPrefix(a, `"`) || !strings.HasPrefix(b, `"`) {
				t.Errorf("%s: tags %s and %s", p, a, b)
			}
			for _, x := range []answer{plain, zipped} {
				if !strings.Contains(x.header.Get("Vary"), "Accept-Encoding") {
					t.Errorf("%s: Vary %q", p, x.header.Get("Vary"))
				}
			}
			if q := s.get(p, "Accept-Encoding", "gzip;q=0, identity"); q.body != plain.body {
				t.Errorf("%s: gzip for one who refuses it", p)
			}
		}
	})
}

// A player of an old version reads what needs no newer one.
func TestPL19TheVersionIsTheLeastThatIsNeeded(t *testing.T) {
	inBoth(t, Options{}, func(s *show, e *encoder) {
		e.step(8)
		e.restart(time.Hour)
		e.step(8)
		s.each(func(x *reader, v version) {
			// Durations are decimal fractions: 3. An EXT-X-MAP: 6. There is nothing else.
			want := "#EXT-X-VERSION:3"
			if strings.Contains(v.answer.body, "#EXT-X-MAP") {
				want = "#EXT-X-VERSION:6"
			}
			if got := regexp.MustCompile(`(?m)^#EXT-X-VERSION:.*$`).FindAllString(v.answer.body, -1); len(got) != 1 || got[0] != want {
				t.Errorf("%v, want %s", got, want)
			}
			if known := regexp.MustCompile(`^(EXTM3U|EXTINF|EXT-X-(VERSION|TARGETDURATION|MEDIA-SEQUENCE|DISCONTINUITY-SEQUENCE|DISCONTINUITY|INDEPENDENT-SEGMENTS|MAP|PROGRAM-DATE-TIME|GAP|BITRATE)\b)`); true {
				for line := range strings.Lines(v.answer.body) {
					if tag, ok := strings.CutPrefix(line, "#"); ok && !known.MatchString(tag) {
						t.Errorf("%s: may need another version", line)
					}
				}
			}
		})
		if multi := s.get("/live/c/index.m3u8").body; strings.Count(multi, "#EXT-X-VERSION") > 1 {
			t.Error(multi)
		}
	})
}

// A player shows the time of day by it, in every zone.
func TestPL22DatesHaveZoneAndMilliseconds(t *testing.T) {
	inBoth(t, Options{}, func(s *show, e *encoder) {
		e.step(12)
		whole := regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3,}(Z|[+-]\d\d:\d\d)$`)
		s.each(func(x *reader, v version) {
			for _, tag := range regexp.MustCompile(`(?m)^#EXT-X-PROGRAM-DATE-TIME:(.*)$`).FindAllStringSubmatch(v.answer.body, -1) {
				if _, err := time.Parse(time.RFC3339Nano, tag[1]); err != nil || !whole.MatchString(tag[1]) {
					t.Errorf("%q: %v", tag[1], err)
				}
			}
		})
	})
}

// What a playlist names lies beside it, and is there without a redirect: a token in the path
// covers all of it, and so does a proxy's prefix.
func TestPL30URIsStayInTheirStream(t *testing.T) {
	inBoth(t, Options{}, func(s *show, e *encoder) {
		e.step(20)
		follow := func(from, uri string) {
			if strings.Contains(uri, "//") || strings.HasPrefix(uri, "/") || strings.Contains(uri, "..") || strings.Contains(uri, ":") {
				t.Errorf("%s names %q", from, uri)
			}
			full := path.Join(path.Dir(from), uri)
			if !strings.HasPrefix(full, "/live/c/") {
				t.Errorf("%s leads to %s", from, full)
			}
			if a := s.get(full); a.status != 200 {
				t.Errorf("%s: %d", full, a.status)
			}
		}
		multi, err := playlist.ParseMultivariant([]byte(s.get("/live/c/index.m3u8").body))
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range multi.Variants {
			follow("/live/c/index.m3u8", v.URI)
		}
		s.each(func(x *reader, v version) {
			for _, seg := range v.Segments {
				p := "/live/c/" + x.name + "/index.m3u8"
				follow(p, seg.URI)
				if seg.Map != nil {
					follow(p, seg.Map.URI)
				}
			}
		})
	})
}

// A player, a probe or a cache that asks with HEAD is told the same, without the bytes.
func TestPL31HEADIsGETWithoutABody(t *testing.T) {
	r := newRig(t, Options{})
	defer r.close()
	s := &show{rig: r, labels: map[[32]byte]string{}}
	base := s.listen()
	for i := range 4 {
		r.put("x"+string(rune('0'+i))+".ts", strings.Repeat("x", 100_000))
		r.put("index.m3u8", window("x", i+1))
	}
	r.o.tick(time.Now().Add(time.Minute)) // the multivariant playlist is due
	m := r.media("main")
	for _, p := range []string{"/live/c/index.m3u8", "/live/c/main/index.m3u8", "/live/c/main/" + m.Segments[0].URI} {
		for _, coding := range []string{"identity", "gzip"} {
			ask := func(method string) (http.Header, int) {
				req, err := http.NewRequest(method, base+p, nil)
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Accept-Encoding", coding)
				resp, err := http.DefaultTransport.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				n := 0
				for b := make([]byte, 1<<16); err == nil; {
					var k int
					k, err = resp.Body.Read(b)
					n += k
				}
				if resp.StatusCode != 200 {
					t.Errorf("%s %s: %s", method, p, resp.Status)
				}
				resp.Header.Del("Date")
				resp.Header.Del("Age")
				return resp.Header, n
			}
			get, n := ask(http.MethodGet)
			head, none := ask(http.MethodHead)
			if n == 0 || none != 0 {
				t.Errorf("%s: GET has %d bytes, HEAD %d", p, n, none)
			}
			a, _ := json.Marshal(get)
			b, _ := json.Marshal(head)
			r.is(p+" by HEAD", string(b), string(a))
		}
	}
}

// listen serves viewers on a socket, and returns its base URL.
func (s *show) listen() string {
	s.Helper()
	f, err := wire.NewFast(wire.FastOptions{Handler: s.o.Viewers(), Name: "viewers"})
	if err != nil {
		s.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.Fatal(err)
	}
	go func() { _ = f.Serve(ln) }()
	s.Cleanup(func() { _ = f.Shutdown(s.Context()) })
	return "http://" + ln.Addr().String()
}

// A cache judges age by it: a playlist that says it is older than it is would be kept too long.
func TestPL32LastModifiedIsRecent(t *testing.T) {
	inBoth(t, Options{}, func(s *show, e *encoder) {
		e.step(12)
		for _, p := range []string{"/live/c/index.m3u8", "/live/c/hi/index.m3u8"} {
			a := s.get(p)
			if said := a.header.Get("Last-Modified"); said != "" {
				if at, err := http.ParseTime(said); err != nil || time.Since(at).Abs() > 3*segment2s {
					t.Errorf("%s: Last-Modified %q, %v", p, said, err)
				}
			}
		}
	})
}
