package web

import "testing"

// A key or token in a path is in no log, where it belongs and where it does not.
func TestMaskedPathHoldsNoSecret(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		if got := MaskPath(in); got != want {
			t.Errorf("%q is logged as %q, want %q", in, got, want)
		}
	}
	f("/live/news/index.m3u8", "/live/news/index.m3u8")
	f("/t/SECRET/live/news/index.m3u8", "/t/***/live/news/index.m3u8")
	f("/t/SECRET", "/t/***")
	f("/t/SECRET/t/SECRET/live", "/t/***/t/***/live")
	f("/ingest/k/SECRET/news/a.ts", "/ingest/k/***/news/a.ts")
	f("/T/eyJhbGciOi.eyJleHAi.SECRET/live", "/T/***/live")
	f("/live/eyJhbGciOi.eyJleHAi.SECRET", "/live/***")
	f("/live/token=eyJhbGciOi.eyJleHAi.SECRET/eyJ", "/live/token=***/***")
	f("/t/a/t/b/c", "/t/***/t/***/c")
	f("/t/", "/t/***")
	f("", "")
}
