package playlist

import (
	"bytes"
	"strings"
	"testing"
)

// A viewer whose token came in the query gets every segment, map and key with it.
func TestAQueryReachesEveryURIOfThePlaylist(t *testing.T) {
	in := "#EXTM3U\r\n" + `#EXT-X-MAP:URI="init.mp4",BYTERANGE="1@0"
#EXT-X-KEY:METHOD=AES-128,URI="k?id=1"
#EXT-X-MEDIA:TYPE=AUDIO,NAME="a,URI=",URI="a/index.m3u8#x"
#EXT-X-PART:DURATION=0.3,URI="p.m4s"
#EXTINF:2.0,title, URI="not me"
/live/s1.ts
## URI="x"
#EXT-X-SESSION-DATA:DATA-ID="URI=",VALUE="x"

../s2.ts?
s3.ts?a=b&`
	want := "#EXTM3U\r\n" + `#EXT-X-MAP:URI="init.mp4?token=T",BYTERANGE="1@0"
#EXT-X-KEY:METHOD=AES-128,URI="k?id=1&token=T"
#EXT-X-MEDIA:TYPE=AUDIO,NAME="a,URI=",URI="a/index.m3u8?token=T#x"
#EXT-X-PART:DURATION=0.3,URI="p.m4s?token=T"
#EXTINF:2.0,title, URI="not me"
/live/s1.ts?token=T
## URI="x"
#EXT-X-SESSION-DATA:DATA-ID="URI=",VALUE="x"

../s2.ts?token=T
s3.ts?a=b&&token=T`
	if got := string(AppendQuery(nil, []byte(in), "token=T")); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := string(AppendQuery([]byte("x"), []byte(in), "")); got != "x"+in {
		t.Errorf("without a query it changed: %q", got)
	}
}

// A playlist must not be able to send a viewer's token to another host.
func TestATokenIsNotTakenToAnotherHost(t *testing.T) {
	for _, uri := range []string{
		"https://evil.example/s.ts", "HTTP://evil.example", "//evil.example/s.ts", `\\evil.example`, `/\evil.example/s`, `\/evil.example`,
		"skd://key", "data:text/plain,x", "javascript:x", " //evil", "\t//evil", "/\t/evil.example", "{$host}/s.ts", "a{$x}", "x:y",
	} {
		in := "#EXTM3U\n" + uri + "\n"
		if got := string(AppendQuery(nil, []byte(in), "token=SECRET")); got != in {
			t.Errorf("%q became %q", uri, got)
		}
		in = `#EXT-X-KEY:METHOD=AES-128,URI="` + uri + `"` + "\n"
		if got := string(AppendQuery(nil, []byte(in), "token=SECRET")); got != in {
			t.Errorf("%q became %q", in, got)
		}
	}
}

// What comes from a viewer's query must not become a tag for the player.
func TestAQueryCannotLeaveItsURI(t *testing.T) {
	got := string(AppendQuery(nil, []byte("a.ts\n"), "x=\n#EXT\"\r &%0a"))
	if want := "a.ts?x=%0A%23EXT%22%0D%20&%0a\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzAppendQuery(f *testing.F) {
	for _, c := range readCases(f) {
		f.Add(c.in, "token=x")
	}
	f.Fuzz(func(t *testing.T, p []byte, query string) {
		if len(p) > 1<<16 || len(query) > 1<<8 {
			t.Skip("the product of both is what it costs")
		}
		got := AppendQuery(nil, p, query)
		if bytes.Count(got, []byte("\n")) != bytes.Count(p, []byte("\n")) || bytes.Count(got, []byte(`"`)) != bytes.Count(p, []byte(`"`)) {
			t.Errorf("lines or quotes changed: %q %q %q", p, query, got)
		}
		if len(got) > len(p)+(bytes.Count(p, []byte("\n"))+1)*(3*len(query)+1) {
			t.Errorf("%d bytes became %d", len(p), len(got))
		}
		if !strings.Contains(query, "%") && query != "" && len(p) == 0 && len(got) != 0 {
			t.Errorf("nothing became %q", got)
		}
	})
}
