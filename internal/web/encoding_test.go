package web

import "testing"

func TestGzipIsSentOnlyToThoseWhoAcceptIt(t *testing.T) {
	f := func(want bool, lines ...string) {
		t.Helper()
		var h Header
		for _, l := range lines {
			h.Add("accept-encoding", l)
		}
		if got := AcceptsGzip(&h); got != want {
			t.Errorf("AcceptsGzip(%q) = %v", lines, got)
		}
	}
	f(true, "gzip")
	f(true, "GZIP")
	f(true, "x-gzip")
	f(true, "deflate, gzip;q=1.0, *;q=0.5")
	f(true, "br", "gzip")
	f(true, "*")
	f(true, "gzip; q=0.001")
	f(true, "*;q=0, gzip")
	f(false)
	f(false, "")
	f(false, "identity")
	f(false, "gzip;q=0")
	f(false, "gzip;q=0.000, *")
	f(false, "gzip;q=")
	f(false, "gzip;q=x")
	f(false, "gzip;q=0.0001")
	f(false, "gzip;q=-1")
	f(false, "gzip;level=9")
	f(false, "*;q=0")
	f(false, "gzipx, agzip")
}
