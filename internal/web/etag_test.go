package web

import "testing"

func TestEntityTagsMatchWeakly(t *testing.T) {
	f := func(list, etag string, want bool) {
		t.Helper()
		if got := MatchETag(list, etag); got != want {
			t.Errorf("MatchETag(%q, %q) = %v", list, etag, got)
		}
	}
	f(`"a"`, `"a"`, true)
	f(`W/"a"`, `"a"`, true)
	f(`"a"`, `W/"a"`, true)
	f(`W/"a"`, `W/"a"`, true)
	f(`"b", "a"`, `"a"`, true)
	f(`"b","a"`, `"a"`, true)
	f(`,, "b" , W/"a",`, `"a"`, true)
	f(`"b,""a"`, `"a"`, false) // no comma between
	f(`"a,b"`, `"a,b"`, true)
	f(`*`, `"a"`, true)
	f(` * `, ``, true)
	f(`"b"`, `"a"`, false)
	f(``, `"a"`, false)
	f(`a`, `a`, false)
	f(`"a"`, ``, false)
	f(`""`, `""`, true)
	f(`w/"a"`, `"a"`, false)
	f(`W/a`, `"a"`, false)
	f(`"a`, `"a"`, false)
	f(`"b" "a"`, `"a"`, false)
	f(`"a b"`, `"a b"`, false)
}

func TestStrongComparisonRefusesWeakTags(t *testing.T) {
	f := func(list, etag string, want bool) {
		t.Helper()
		if got := matchStrong(list, etag); got != want {
			t.Errorf("matchStrong(%q, %q) = %v", list, etag, got)
		}
	}
	f(`"b", "a"`, `"a"`, true)
	f(`*`, `W/"a"`, true)
	f(`W/"a"`, `W/"a"`, false)
	f(`"a"`, `W/"a"`, false)
	f(`W/"a"`, `"a"`, false)
}

func FuzzMatchETag(f *testing.F) {
	f.Add(`W/"a", "b"`, `"a"`)
	f.Add(`,,,"`, `W/`)
	f.Add(`*`, ``)
	f.Fuzz(func(t *testing.T, list, etag string) {
		if matchStrong(list, etag) && !MatchETag(list, etag) {
			t.Fatal("a strong match that is no weak one")
		}
		n := 0
		for range eachETag(list) {
			n++
		}
		if n > len(list) {
			t.Fatal("more tags than bytes")
		}
	})
}
