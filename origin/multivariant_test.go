package origin

import (
	"slices"
	"testing"
	"time"

	"weir/playlist"
)

// Which language viewers hear first is the encoder's choice, then its order, and
// never whose upload happened to come first.
func TestAlternativesAreInTheEncodersOrder(t *testing.T) {
	f := func(x *expectation, want ...string) {
		t.Helper()
		c := &channel{expected: x}
		rs := []*rendition{{name: "fr", path: "fr.m3u8"}, {name: "de", path: "de.m3u8"}, {name: "en", path: "en.m3u8"}}
		for range 3 { // whatever the order of arrival
			rs = append(rs[1:], rs[0])
			got := slices.Clone(rs)
			slices.SortStableFunc(got, c.byRank)
			for i, r := range got {
				if r.name != want[i] {
					t.Errorf("place %d has %s, want %s", i, r.name, want[i])
				}
			}
		}
	}
	f(nil, "de", "en", "fr")
	f(&expectation{paths: []string{"fr.m3u8", "en.m3u8"}}, "fr", "en", "de")
	f(&expectation{paths: []string{"de.m3u8", "fr.m3u8", "en.m3u8"}, media: map[string]playlist.Rendition{"en.m3u8": {Default: true}}}, "en", "de", "fr")
}

// An operator names the renditions of a channel: viewers never see it with fewer of them
// when it begins, and when one of them does not come, not for ever, and the log says which.
func TestTheMultivariantPlaylistWaitsForTheRenditionsThatAreConfigured(t *testing.T) {
	push := func(r *rig, name string) {
		r.put(name+"/x0.ts", name)
		r.put(name+"/index.m3u8", list(0, "x0.ts"))
	}
	o := Options{Channels: map[string]Channel{"c": {Renditions: []string{"hi", "lo", "main"}}}}
	underClock(t, o, func(r *rig) {
		push(r, "hi")
		// Another one that the encoder knows, and one that nobody does, are not waited for.
		r.put("master.m3u8", "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nnever/index.m3u8\n")
		time.Sleep(5 * time.Second)
		push(r, "lo")
		if a := r.get("/live/c/index.m3u8"); a.status != 404 {
			t.Errorf("published without main: %s", a.body)
		}
		r.put("x0.ts", "m")
		r.put("index.m3u8", list(0, "x0.ts"))
		if m := r.multi(); len(m.Variants) != 3 {
			t.Errorf("%+v", m)
		}
	})
	underClock(t, o, func(r *rig) {
		push(r, "hi")
		time.Sleep(6*time.Second - 1)
		if a := r.get("/live/c/index.m3u8"); a.status != 404 {
			t.Error("published too early")
		}
		time.Sleep(2 * tickEvery)
		if m := r.multi(); len(m.Variants) != 1 {
			t.Errorf("%+v", m)
		}
		r.logged("level=WARN", "multivariant", "missing=\"lo main\"", "channel=c", "channels.*.renditions")
		push(r, "lo")
		if m := r.multi(); len(m.Variants) != 2 {
			t.Errorf("%+v", m)
		}
	})
	if _, err := New(Options{Defaults: Channel{Renditions: []string{"a/b"}}}); err == nil {
		t.Error("a name that no rendition can have is taken")
	}
}
