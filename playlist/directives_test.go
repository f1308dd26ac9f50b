package playlist

import "testing"

// A player that waits for a part gets it; the rest of its query does not matter.
func TestDirectivesAreFoundAmongWhateverElseIsAsked(t *testing.T) {
	f := func(query string, want Directives, canonical string) {
		t.Helper()
		d, err := ParseDirectives(query)
		if err != nil || d != want {
			t.Errorf("%q: %+v, %v, want %+v", query, d, err, want)
		}
		if got := d.Canonical(); got != canonical {
			t.Errorf("%q: canonical %q, want %q", query, got, canonical)
		}
	}
	f("", Directives{-1, -1, ""}, "")
	f("a=b&c", Directives{-1, -1, ""}, "")
	f("_HLS_msn=0", Directives{0, -1, ""}, "_HLS_msn=0")
	f("_HLS_skip=YES&x=1&_HLS_part=3&_HLS_msn=0012", Directives{12, 3, "YES"}, "_HLS_msn=12&_HLS_part=3&_HLS_skip=YES")
	f("_HLS_skip=v2", Directives{-1, -1, "v2"}, "_HLS_skip=v2")
	f("_HLS%5Fmsn=%37&_HLS_push=1", Directives{7, -1, ""}, "_HLS_msn=7")
	f("%zz=1&_HLS_msn=1", Directives{1, -1, ""}, "_HLS_msn=1")
	f("&&_hls_msn=x&_HLS_pathway=%22A%22", Directives{-1, -1, ""}, "")
}

// LL-13 and LL-21: nonsense is the client's fault and is told so, at once.
func TestNonsensicalDirectivesAreRefused(t *testing.T) {
	for _, query := range []string{
		"_HLS_part=1", "_HLS_part=1&_HLS_skip=YES", "_HLS_msn=abc", "_HLS_msn=-1", "_HLS_msn=+1", "_HLS_msn=1.5", "_HLS_msn=",
		"_HLS_msn", "_HLS_msn=1&_HLS_msn=1", "_HLS_msn=1&_HLS_part=2&_HLS_part=2", "_HLS_msn=111111111111111111111",
		"_HLS_msn=18446744073709551615", "_HLS_msn=1&_HLS_part=", "_HLS_skip=yes", "_HLS_skip=", "_HLS_skip=YES&_HLS_skip=YES",
		"_HLS_msn=%31%zz", "_HLS_msn=0x10", "_HLS_msn=1%00", "_HLS_msn=1&_HLS%5Fmsn=1",
	} {
		if d, err := ParseDirectives(query); err == nil || !d.None() {
			t.Errorf("%q: %+v, %v", query, d, err)
		}
	}
}

// Plain requests are most of all requests.
func TestParsingDirectivesAllocatesNothing(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() {
		d, _ := ParseDirectives("_HLS_msn=273&_HLS_part=2&CMCD=br%3D3200")
		e, _ := ParseDirectives("")
		_, _ = d, e.Canonical()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzParseDirectives(f *testing.F) {
	for _, s := range []string{"", "_HLS_msn=1&_HLS_part=2&_HLS_skip=v2", "_HLS_part=1", "_HLS%5Fmsn=%37", "a&b=%"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, query string) {
		d, err := ParseDirectives(query)
		if err != nil {
			return
		}
		again, err := ParseDirectives(d.Canonical())
		if err != nil || again != d {
			t.Errorf("%q: %+v became %q, then %+v, %v", query, d, d.Canonical(), again, err)
		}
	})
}
