package origin

import (
	"strings"
	"testing"
	"time"

	"weir/bench"
	"weir/internal/web"
)

// readBack returns what the encoder gets when it asks for a file of channel c, "404" where
// there is none.
func (r *rig) readBack(path string) string {
	r.Helper()
	resp, err := r.send("GET", "/ingest/c/"+path, nil)
	if web.StatusOf(err) == 404 {
		return "404"
	}
	if err != nil {
		r.Fatal(err)
	}
	defer resp.Close()
	p, err := web.ReadAll(r.Context(), resp.Body, 1<<20)
	if err != nil {
		r.Error(err)
	}
	return string(p)
}

func (r *rig) del(path string) {
	r.Helper()
	if resp, err := r.send("DELETE", path, nil); err != nil || resp.Status != 200 {
		r.Errorf("DELETE %s: %v", path, err)
	}
}

// IN-06: FFmpeg's delete_segments sends DELETE for what left its own list, which is shorter
// than ours. It is answered 200, the file is gone for the encoder, and viewers keep it until
// its Availability Duration and the retention are over (P13).
func TestIN06DeletedMediaStayForViewers(t *testing.T) {
	underClock(t, Options{Defaults: Channel{Window: 12 * time.Second, Retention: 20 * time.Second}}, func(r *rig) {
		r.put("x0.ts", "0")
		r.put("index.m3u8", list(0, "x0.ts"))
		uri := "/live/c/main/" + r.media("main").Segments[0].URI
		r.del("/ingest/c/x0.ts")
		r.is("read back", r.readBack("x0.ts"), "404")
		r.is("shown", r.shown("main"), "0")
		for i := range 7 {
			name := string(rune('a'+i)) + ".ts"
			r.put(name, name[:1])
			r.put("index.m3u8", list(i+1, name))
			time.Sleep(2 * time.Second)
		}
		if strings.HasPrefix(r.shown("main"), "0") {
			t.Fatal("the window has not moved on")
		}
		if a := r.get(uri); a.status != 200 || a.body != "0" {
			t.Errorf("deleted by the encoder, within its retention: %d", a.status)
		}
		time.Sleep(40 * time.Second)
		if a := r.get(uri); a.status != 404 {
			t.Errorf("after its retention: %d", a.status)
		}
		if n := r.metric("weir_origin_deletes_total", "kept"); n != 1 {
			t.Errorf("%v deletions of what stays", n)
		}
	})
}

// IN-06: what nobody was told of, and nobody waits for, goes at once with its memory; what is
// listed and waits for the one before it is published all the same.
func TestIN06WhatNobodyNeedsIsDroppedAtOnce(t *testing.T) {
	underClock(t, Options{}, func(r *rig) {
		r.put("x0.ts", "0")
		r.put("index.m3u8", list(0, "x0.ts"))
		before := r.slab.InUse()
		r.put("never.ts", strings.Repeat("x", 100_000))
		r.del("/ingest/c/never.ts")
		if n := r.slab.InUse(); n != before {
			t.Errorf("%d bytes are held, before it were %d", n, before)
		}
		r.is("read back", r.readBack("never.ts"), "404")

		r.put("x2.ts", "2")
		r.put("index.m3u8", list(0, "x0.ts", "x1.ts", "x2.ts"))
		r.del("/ingest/c/x2.ts") // it overtook x1
		r.is("read back", r.readBack("x2.ts"), "404")
		r.put("x1.ts", "1")
		r.is("shown", r.shown("main"), "0 1 2")

		r.put("x2.ts", "another") // and what is pushed there next is there again
		r.is("read back", r.readBack("x2.ts"), "another")
		for _, path := range []string{"/ingest/c/x2.ts", "/ingest/c/x9.ts", "/ingest/nobody/x.ts", "/ingest/c/a/b.exe", "/ingest/c/x2.ts"} {
			r.del(path)
		}
		if r.o.channel("nobody") != nil {
			t.Error("a DELETE has begun a channel")
		}
		if got := r.metric("weir_origin_deletes_total", "unknown"); got != 4 {
			t.Errorf("%v deletions of nothing", got)
		}
		if got := r.metric("weir_origin_deletes_total", "dropped"); got != 2 {
			t.Errorf("%v dropped", got)
		}
	})
}

// IN-06: the DELETE of a playlist, of the multivariant one and of the init segment take
// nothing from viewers, and the stream goes on.
func TestIN06DeletingAPlaylistEndsNothing(t *testing.T) {
	underClock(t, Options{}, func(r *rig) {
		e := r.clip(bench.EncoderOptions{Continuous: true})
		r.run(e, 3)
		for _, path := range []string{"180p/index.m3u8", "master.m3u8", "180p/init.mp4"} {
			r.del("/ingest/c/" + path)
			r.is(path, r.readBack(path), "404")
		}
		r.run(e, 3)
		for _, name := range []string{"180p", "144p", "90p"} {
			if m := r.media(name); len(m.Segments) != 6 || m.EndList || discontinuities(m) != 0 {
				t.Errorf("%s: %s", name, r.get("/live/c/"+name+"/index.m3u8").body)
			}
		}
		if r.readBack("180p/index.m3u8") == "404" {
			t.Error("the next playlist cannot be read back")
		}
		if n := r.metric("weir_origin_gaps_total"); n != 0 {
			t.Errorf("%v gaps", n)
		}
	})
}
