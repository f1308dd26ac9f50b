package cache

import (
	"testing"
	"time"

	"weir/internal/web"
)

// An answer to HEAD that passes by says that what is kept is still good, or
// that it is not (RFC 9111 section 4.3.5).
func TestHEADRenewsOrDropsTheStoredGET(t *testing.T) {
	f := func(name string, status int, length int64, renewed, there bool, header ...string) {
		t.Helper()
		bubble(t, func(t *testing.T) {
			c := newCache(t, Options{})
			u := says(200, "body", "ETag", `"1"`, "Last-Modified", "Mon, 02 Jan 2006 15:04:05 GMT", "Cache-Control", "max-age=10", "X-Test", "old")
			get(t, c, q("/a"), u, Miss, "body")
			time.Sleep(8 * time.Second)
			head := web.NewResponse(status, nil, append(header, "X-Test", "new", "Cache-Control", "max-age=10")...)
			if got := c.Refresh(q("/a"), head, length, time.Now()); got != renewed {
				t.Errorf("%s: renewed is %v", name, got)
			}
			if o, ok := c.Lookup(q("/a")); ok != there {
				t.Errorf("%s: found is %v", name, ok)
			} else if ok {
				o.Release()
			}
			if !renewed {
				return
			}
			time.Sleep(5 * time.Second)
			if h := get(t, c, q("/a"), u, Hit, "body"); h.Get("X-Test") != "new" || h.Get("Age") != "5" {
				t.Errorf("%s: header %v", name, h)
			}
			if s := c.Stats(); s.Young.Objects != 1 || s.Held != 0 {
				t.Errorf("%s: %+v", name, s)
			}
		})
	}
	f("same", 200, 4, true, true, "ETag", `"1"`, "Last-Modified", "Mon, 02 Jan 2006 15:04:05 GMT")
	f("same tag, no length", 200, -1, true, true, "ETag", `"1"`)
	f("nothing to compare", 200, -1, true, true)
	f("other length", 200, 5, false, false, "ETag", `"1"`)
	f("other tag", 200, 4, false, false, "ETag", `"2"`)
	f("weak tag", 200, 4, false, false, "ETag", `W/"1"`)
	f("other date", 200, 4, false, false, "Last-Modified", "Mon, 02 Jan 2007 15:04:05 GMT")
	f("not there", 404, 4, false, true, "ETag", `"2"`)
	f("depends on more than it did", 200, 4, false, false, "ETag", `"1"`, "Vary", "X")
	f("broken", 503, 4, false, true)

	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{})
		get(t, c, q("/a"), says(200, "x", "Cache-Control", "max-age=10"), Miss, "x")
		if c.Refresh(q("/a"), web.NewResponse(200, nil, "Cache-Control", "no-store"), 1, time.Now()) {
			t.Error("renewed although it may not be kept any more")
		}
		if _, ok := c.Lookup(q("/a")); ok {
			t.Error("kept although it may not be")
		}
		if c.Refresh(q("/none"), web.NewResponse(200, nil), 1, time.Now()) {
			t.Error("renewed what is not there")
		}
	})
}
