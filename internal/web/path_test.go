package web

import (
	"errors"
	"strings"
	"testing"
)

func TestPathsAreDecodedOnce(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		if got, err := CleanPath(in); err != nil || got != want {
			t.Errorf("CleanPath(%q) = %q, %v", in, got, err)
		}
	}
	f("/", "/")
	f("/live/news/index.m3u8", "/live/news/index.m3u8")
	f("/live/news/", "/live/news/")
	f("/%6cive/a%20b", "/live/a b")
	f("/a%2Eb", "/a.b")
	f("/...", "/...")
	f("/a/..b/.c", "/a/..b/.c")
	f("/a;x=1", "/a;x=1")
	f("/Streams(v.cmfv)", "/Streams(v.cmfv)")
	f("/%252e%252e/", "/%2e%2e/") // an escaped percent sign is just that
	f("/%C3%A9", "/é")
	f("/a+b", "/a+b")
}

var badPaths = []string{
	"", "a", "*", "http://h/a", "//", "//a", "/a//b", "/a//", "/.", "/..", "/./", "/a/../b", "/a/..", "/a/./b",
	"/%2e%2e/b", "/a/%2E%2e", "/a/.%2e/b", "/%2e", "/a%2fb", "/a%2Fb", "/a%5cb", `/a\b`, "/a%00b", "/a\x00b", "/a\nb", "/a%0d%0ab", "/a%7f",
	"/%", "/%2", "/%zz", "/a%", "/%ff", "/\xff", "/%c3", "/%c0%ae%c0%ae/",
}

// What could be read in two ways is refused: a token for /live/a must not open
// /live/a/../b.
func TestPathTricksAreRefused(t *testing.T) {
	for _, in := range badPaths {
		if got, err := CleanPath(in); !errors.Is(err, ErrBadPath) {
			t.Errorf("CleanPath(%q) = %q, %v", in, got, err)
		}
	}
	if _, err := CleanPath("/" + strings.Repeat("a", MaxPath)); err == nil {
		t.Error("a path without bounds")
	}
}

func FuzzCleanPath(f *testing.F) {
	for _, in := range badPaths {
		f.Add(in)
	}
	f.Add("/live/news/index.m3u8")
	f.Add("/%252e/a%20b/")
	f.Add("/" + strings.Repeat("é", MaxPath/3)) // is longer on the wire
	f.Fuzz(func(t *testing.T, in string) {
		p, err := CleanPath(in)
		if err != nil {
			return
		}
		if p[0] != '/' || strings.Contains(p, "//") || strings.Contains(p+"/", "/../") || strings.Contains(p+"/", "/./") ||
			strings.ContainsAny(p, "\\\x00\r\n") || strings.ToValidUTF8(p, "") != p {
			t.Fatalf("CleanPath(%q) = %q", in, p)
		}
		if again, err := CleanPath(EscapePath(p)); err != nil || again != p {
			t.Fatalf("%q goes on the wire as %q and comes back as %q, %v", p, EscapePath(p), again, err)
		}
	})
}
