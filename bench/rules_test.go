package bench

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/playlist"
)

// live is a playlist of one letter a segment, two seconds each: a lower-case one is media, an
// upper-case one a gap, "|" a discontinuity. Dates begin at its first number.
func live(first, disc uint64, word string) *playlist.Media {
	m := &playlist.Media{TargetDuration: 2, MediaSequence: first, DiscontinuitySequence: disc, EmitDiscontinuitySequence: true}
	at, broken := time.Unix(1e9+int64(first)*2, 0).UTC(), false
	for _, c := range word {
		if c == '|' {
			broken = true
			continue
		}
		low := strings.ToLower(string(c))
		m.Segments = append(m.Segments, playlist.Segment{URI: low + ".ts", Duration: 2 * time.Second, ProgramDateTime: at,
			Gap: low != string(c), Discontinuity: broken})
		at, broken = at.Add(2*time.Second), false
	}
	return m
}

func edit(m *playlist.Media, f func(m *playlist.Media)) *playlist.Media { f(m); return m }

// What a live playlist may do breaks no rule.
func TestTheRulesLetALiveStreamPass(t *testing.T) {
	r := Rulebook{Strict: true, Fetch: func(string) error { return nil }}
	for _, m := range []*playlist.Media{
		live(10, 3, "abc"), live(10, 3, "abcd"), live(10, 3, "abcd|efgh"), live(11, 3, "bcd|efghij"),
		live(14, 4, "efghijklm"), live(15, 4, "fGhijklmN"), live(24, 5, "o"),
	} {
		if broken := r.Check(m); len(broken) > 0 {
			t.Errorf("%+v: %v", m, broken)
		}
	}
	if r.Turned != 1 {
		t.Errorf("%d segments turned into gaps", r.Turned)
	}
}

// Each lie is seen, and by the rule that it breaks.
func TestTheRulesCatchEachLie(t *testing.T) {
	f := func(rule string, fetch func(string) error, versions ...*playlist.Media) {
		t.Helper()
		r := Rulebook{Strict: true, Fetch: fetch}
		var broken []string
		for _, m := range versions {
			broken = append(broken, r.Check(m)...)
		}
		if !slices.ContainsFunc(broken, func(s string) bool { return strings.Contains(s, rule+":") || strings.Contains(s, rule+",") }) {
			t.Errorf("%s was not seen to be broken: %q", rule, broken)
		}
	}
	f("P1", nil, edit(live(1, 0, "a"), func(m *playlist.Media) { m.Segments[0].Duration = 2500 * time.Millisecond }))
	f("P2", nil, live(1, 0, "abc"), edit(live(1, 0, "abc"), func(m *playlist.Media) { m.TargetDuration = 3 }))
	f("P4", nil, live(1, 0, "abc"), live(1, 0, "ab"))
	f("P5", nil, live(5, 0, "abc"), live(4, 0, "zabc"))
	f("P5", nil, live(5, 0, "abc"), live(9, 0, "efg"))
	f("P6", nil, live(1, 0, "abc"), live(1, 0, "axc"))
	f("P6", nil, live(1, 0, "abc"), live(2, 0, "abc"))
	f("P6", nil, live(1, 0, "aBc"), live(1, 0, "abc"))
	f("P6", nil, live(1, 0, "abc"), edit(live(1, 0, "abc"), func(m *playlist.Media) { m.Segments[1].Duration = time.Second }))
	f("P7", nil, live(1, 0, "ab|c"), live(1, 0, "abc"))
	f("P7", nil, live(1, 2, "ab"), live(1, 1, "ab"))
	silent := func(m *playlist.Media) { m.EmitDiscontinuitySequence = false }
	f("P7", nil, edit(live(1, 0, "ab|cdefgh"), silent), edit(live(2, 0, "b|cdefgh"), silent))
	f("P8", nil, edit(live(1, 0, "ab"), func(m *playlist.Media) { m.Segments[1].URI = "b.m4s" }))
	f("P9", nil, live(1, 0, "abcdef"), live(2, 0, "bcdef"))
	f("P12", func(string) error { return errors.New("404") }, live(1, 0, "a"))
	f("P16", nil, edit(live(1, 0, "ab"), func(m *playlist.Media) { m.EndList = true }), live(1, 0, "ab"))
	f("P17", nil, live(1, 0, "ab"), edit(live(1, 0, "ab"), func(m *playlist.Media) { m.Type = playlist.Event }))
	event := func(m *playlist.Media) { m.Type = playlist.Event }
	f("P17", nil, edit(live(1, 0, "abcdefgh"), event), edit(live(2, 0, "bcdefgh"), event))
	late := func(by time.Duration) func(m *playlist.Media) {
		return func(m *playlist.Media) {
			m.Segments[1].ProgramDateTime = m.Segments[1].ProgramDateTime.Add(by)
		}
	}
	f("P20", nil, edit(live(1, 0, "ab"), late(50*time.Millisecond)))
	f("P20", nil, edit(live(1, 0, "a|b"), late(-2*time.Second)))
	f("P20", nil, edit(live(1, 0, "a|b"), func(m *playlist.Media) { m.Segments[1].ProgramDateTime = time.Time{} }))
}

// Variants that tell different discontinuity numbers for the same moment are seen.
func TestVariantsAreHeldTogether(t *testing.T) {
	if broken := Together(live(10, 3, "abc|de"), live(12, 3, "c|def")); len(broken) > 0 {
		t.Error(broken)
	}
	if broken := Together(live(10, 3, "abc|de"), live(12, 3, "cdef")); len(broken) == 0 {
		t.Error("nothing was seen")
	}
	if broken := Together(live(10, 3, "abc"), edit(live(10, 3, "abc"), func(m *playlist.Media) { m.TargetDuration = 4 })); len(broken) != 1 {
		t.Error(broken)
	}
}

// What is long past is forgotten, so that a swarm can watch for days.
func TestARulebookForgets(t *testing.T) {
	r := Rulebook{Remember: 10}
	for i := range uint64(100) {
		m := live(i, 0, "abcdefgh")
		for j := range m.Segments {
			m.Segments[j].URI = fmt.Sprint(i+uint64(j), ".ts")
		}
		if broken := r.Check(m); len(broken) > 0 {
			t.Fatal(broken)
		}
	}
	if len(r.seen) > 20 || len(r.numbers) > 20 {
		t.Errorf("%d numbers and %d names are remembered", len(r.seen), len(r.numbers))
	}
}
