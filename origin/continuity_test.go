package origin

import (
	"testing"
	"time"
)

// Whether an encoder lost time, had its clock set or went on is told from media times and
// the wall clock together, not from its numbers: a viewer sees a gap as long as the loss, a
// discontinuity where the clock was set, and nothing where EXTINF is merely imprecise.
func TestHowASegmentFollows(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	f := func(what string, unproven bool, owed, jump, passed time.Duration, how follow, lost time.Duration) {
		t.Helper()
		r := &rendition{rule: &rule{target: 4}, placed: true, timed: true, format: formatTS, expect: time.Minute, date: start, unproven: unproven, owed: owed}
		s := &step{entry: entry{dur: 4 * time.Second}, up: &upload{done: start.Add(passed + 4*time.Second), probe: probe{format: formatTS}}}
		got, n := r.judge(s, &material{start: time.Minute + jump, timed: true})
		if got != how || n != lost {
			t.Errorf("%s: %v, %v; want %v, %v", what, got, n, how, lost)
		}
	}
	const s = time.Second
	f("in a row", false, 0, 0, 0, followsOn, 0)
	f("EXTINF in whole seconds", false, 0, s, s/2, followsOn, 0)
	f("EXTINF in whole seconds, too long", false, 0, -s, 0, followsOn, 0)
	f("the input paused for three segments", false, 0, 12*s, 12*s, followsLoss, 12*s)
	f("the same, and the upload was late", false, 0, 12*s, 15*s, followsLoss, 12*s)
	f("the clock was set forward", false, 0, 12*s, 0, followsNot, 0)
	f("the clock was set back", false, 0, -12*s, 0, followsNot, 0)
	f("a pause, and the clock went on", false, 0, 0, 60*s, followsOn, 0)
	f("a new run that goes on", true, 0, s/10, 0, followsOn, 0)
	f("a new run on the same clock, later", true, 0, 8*s, 9*s, followsLoss, 8*s)
	f("a new run on a clock of its own", true, 0, s, s/4, followsNot, 0)
	f("numbers are missing, and time with them", false, 8*s, 7*s, 0, followsLoss, 7*s)
	f("numbers are missing, but no time", false, 8*s, 0, 0, followsOn, 0)
}

// All renditions change over at the same moment, also those whose own media would go on.
func TestRenditionsJoinANewTimeline(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	r := &rendition{rule: &rule{target: 4}, timeline: 7, date: start}
	f := func(number uint64, at, lost time.Duration, want bool) {
		t.Helper()
		if got := r.joins(&timeline{number: number, date: start.Add(at)}, lost); got != want {
			t.Errorf("timeline %d at %v, %v lost: %v", number, at, lost, got)
		}
	}
	f(7, 0, 0, false)
	f(8, 0, 0, true)
	f(8, time.Second, 0, true)
	f(8, 4*time.Second, 0, false)
	f(8, 4*time.Second, 4*time.Second, true)
	f(8, -time.Minute, 0, true)
}
