package origin

import (
	"slices"
	"testing"

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
