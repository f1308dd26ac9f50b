package origin

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/internal/web"
	"weir/playlist"
)

// push sends segment i of n bytes and its playlist to a channel, and returns the first error.
func (r *rig) push(channel string, i int, n int64) error {
	path := "/ingest/" + channel + "/"
	if _, err := r.send("PUT", fmt.Sprintf("%sx%d.ts", path, i), zeros(n)); err != nil {
		return err
	}
	_, err := r.send("PUT", path+"index.m3u8", strings.NewReader(window("x", i+1)))
	return err
}

// A channel with a budget is refused more with 507, which names channel and knob; what it
// published stays, others are not touched, and when its old media are over it goes on.
func TestAChannelThatSpentItsMemoryIsTold507(t *testing.T) {
	o := Options{Channels: map[string]Channel{
		"greedy": {Memory: 8 << 20, Window: 12 * time.Second, Retention: 12 * time.Second}, "c": {Window: 12 * time.Second, Retention: 12 * time.Second}}}
	underClock(t, o, func(r *rig) {
		var err error
		for i := 0; err == nil && i < 20; i++ {
			err = r.push("greedy", i, 1<<20)
		}
		if web.StatusOf(err) != 507 || web.ReasonOf(err) != "channel_memory" || !strings.Contains(err.Error(), "channel greedy") ||
			!strings.Contains(err.Error(), "channels.greedy") {
			t.Fatalf("%v", err)
		}
		c := r.o.channel("greedy")
		if n := c.held.Load(); n > 8<<20+memoryEvery {
			t.Errorf("%d bytes are held", n)
		}
		r.logged("status=507", "channel=greedy", "reason=channel_memory")
		for i := range 10 {
			if err := r.push("c", i, 2<<20); err != nil {
				t.Error("another channel:", err)
			}
		}
		if n := strings.Count(r.get("/live/greedy/main/index.m3u8").body, "#EXTINF"); n < 6 {
			t.Errorf("%d segments are left", n)
		}
		r.same()
		// At a pace for which the budget is enough it plays on.
		time.Sleep(2 * staleAfter)
		for i := range 30 {
			if err := r.push("greedy", 100+i, 400<<10); err != nil {
				t.Fatal(i, err)
			}
			time.Sleep(2 * time.Second)
		}
		r.same()
	})
}

// One upload that does not fit is refused before its body where its length is known, and else
// as soon as it does not fit.
func TestAnUploadThatCannotFitIsNotTakenIn(t *testing.T) {
	r := newRig(t, Options{Defaults: Channel{Memory: 8 << 20}})
	defer r.close()
	if err := r.push("c", 0, 1<<20); err != nil {
		t.Fatal(err)
	}
	err := r.o.BeforeBody(&web.Request{Method: "PUT", Path: "/ingest/c/x1.ts", Header: web.NewHeader("Content-Length", fmt.Sprint(7<<20))})
	if web.StatusOf(err) != 507 {
		t.Errorf("of known length: %v", err)
	}
	if err := r.o.BeforeBody(&web.Request{Method: "PUT", Path: "/ingest/c/x1.ts", Header: web.NewHeader("Content-Length", fmt.Sprint(6<<20))}); err != nil {
		t.Errorf("what fits: %v", err)
	}
	body := &pieces{32 << 20}
	if _, err := r.send("PUT", "/ingest/c/x1.ts", body); web.StatusOf(err) != 507 {
		t.Errorf("of unknown length: %v", err)
	}
	if n := 32<<20 - body.left; n > 8<<20 {
		t.Errorf("%d bytes were read", n)
	}
	if n := r.o.channel("c").held.Load(); n > 2<<20 {
		t.Errorf("%d bytes are still charged", n)
	}
}

// same compares what channels are charged with what their memory is.
func (r *rig) same() {
	r.Helper()
	synctest.Wait() // for the tick of this moment
	var held int64
	for _, c := range *r.o.channels.Load() {
		held += c.held.Load()
	}
	if n := r.slab.InUse() + r.o.texts.Load(); n != held {
		r.Errorf("channels are charged %d bytes, and %d are in use", held, n)
	}
	if n := r.metric("weir_origin_bytes"); n != float64(held) {
		r.Errorf("the metric says %v, and %d are in use", n, held)
	}
}

// What is cut, refused, repeated, replaced, deleted and forgotten is charged no more.
func TestABudgetIsGivenBackToTheByte(t *testing.T) {
	underClock(t, Options{MaxUpload: 100_000, Defaults: Channel{Memory: 64 << 20, Window: 6 * time.Second, Retention: 6 * time.Second}}, func(r *rig) {
		for i := range 30 {
			if err := r.push("c", i, 50_000); err != nil {
				t.Fatal(err)
			}
			switch i % 6 {
			case 0:
				_, _ = r.send("PUT", "/ingest/c/cut.ts", broken{zeros(30_000), fmt.Errorf("cut")})
			case 1:
				_, _ = r.send("PUT", "/ingest/c/large.ts", zeros(100_001))
			case 2:
				_ = r.push("c", i, 50_000)
			case 3:
				r.put(fmt.Sprintf("x%d.ts", i), "other bytes")
			case 4:
				r.put("junk.ts", "junk")
				r.del("/ingest/c/junk.ts")
			case 5:
				_, _ = r.send("PUT", "/ingest/c/empty.ts", zeros(0))
				r.del("/ingest/c/index.m3u8")
			}
			r.same()
			time.Sleep(time.Second)
		}
		time.Sleep(2 * idleFor) // the channel goes
		r.same()
		if n := r.o.texts.Load(); n != 0 || r.slab.InUse() != 0 {
			t.Errorf("%d bytes of playlists are held, and %d of media", n, r.slab.InUse())
		}
	})
}

// Pushed playlists are kept for encoders that read them back: they count as memory, and all
// of a channel's together are bounded.
func TestPushedPlaylistsCountAsMemory(t *testing.T) {
	underClock(t, Options{}, func(r *rig) {
		r.put("x0.ts", "0")
		text := list(0, "x0.ts") + strings.Repeat("#"+strings.Repeat("x", 9998)+"\n", playlist.MaxBytes/13_000)
		for i := range 40 {
			r.put(fmt.Sprintf("v%d.m3u8", i), text)
			r.same()
		}
		c := r.o.channel("c")
		if n := c.texts.bytes; n > maxTextBytes || n < maxTextBytes/2 {
			t.Errorf("%d bytes of playlists are kept", n)
		}
		r.is("the first", r.readBack("v0.m3u8"), text)
		r.is("the last", r.readBack("v39.m3u8"), "404")
		// One that has no room any more is not read back as it was before.
		short := list(1, "x1.ts")
		r.put("v39.m3u8", short)
		r.is("a short one", r.readBack("v39.m3u8"), short)
		r.put("v39.m3u8", strings.Replace(text, "SEQUENCE:0", "SEQUENCE:2", 1))
		r.is("too long again", r.readBack("v39.m3u8"), "404")
	})
}

// What is no playlist makes no channel, whatever it is called: a stranger's garbage costs
// no channel's place.
func TestGarbageMakesNoChannel(t *testing.T) {
	r := newRig(t, Options{MaxChannels: 1})
	defer r.close()
	for _, text := range []string{"<html>", "", "#EXTM3U\n#EXT-X-WHAT\n", list(0, "../d/x.ts"), list(0, "http://evil.example/x.ts"),
		"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nhttp://evil.example/x.m3u8\n", strings.Repeat("#EXTM3U\n", 1<<17)} {
		if _, err := r.send("PUT", "/ingest/d/index.m3u8", strings.NewReader(text)); err == nil {
			t.Errorf("taken: %.40q", text)
		}
	}
	for _, text := range []string{"#EXTM3U\n", "#EXTM3U\n#EXT-X-VERSION:3\n", "#EXTM3U\n#EXT-X-TARGETDURATION:2\n"} { // no fault, and nothing said
		if _, err := r.send("PUT", "/ingest/d/index.m3u8", strings.NewReader(text)); err != nil {
			t.Error(err)
		}
	}
	if n := len(r.o.Streams()); n != 0 {
		t.Errorf("%d channels", n)
	}
	r.put("index.m3u8", list(0, "x0.ts"))
	if n := len(r.o.Streams()); n != 1 {
		t.Errorf("%d channels", n)
	}
}
