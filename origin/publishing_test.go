package origin

import (
	"strings"
	"testing"
	"time"
)

// An edge tells a publishing that goes on from one that begins anew by its name, which
// is that of its segments: in media playlists, also where they have not changed.
func TestMediaPlaylistsNameTheirPublishing(t *testing.T) {
	underClock(t, Options{}, func(r *rig) {
		named := func(path string, header ...string) string {
			a := r.get(path, header...)
			return a.header.Get("Weir-Publishing")
		}
		r.put("x0.ts", "0")
		r.put("index.m3u8", list(0, "x0.ts"))
		time.Sleep(time.Second)
		a := r.get("/live/c/main/index.m3u8")
		name := a.header.Get("Weir-Publishing")
		if name == "" || !strings.Contains(a.body, "\n"+name+"-") {
			t.Errorf("publishing %q of\n%s", name, a.body)
		}
		r.is("unchanged", named("/live/c/main/index.m3u8", "If-None-Match", a.header.Get("ETag")), name)
		r.is("multivariant", named("/live/c/index.m3u8"), "")
		r.put("x1.ts", "1")
		r.put("index.m3u8", list(0, "x0.ts", "x1.ts"))
		time.Sleep(time.Second)
		r.is("later", named("/live/c/main/index.m3u8"), name)
	})
}
