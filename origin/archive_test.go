package origin

import (
	"fmt"
	"testing"
	"time"

	"weir/internal/seglog"
)

// An encoder that changes its init segment all the time costs a channel that runs for years no
// memory that grows, and nobody gets media with the wrong one, or with none.
func TestInitSegmentsComeAndGo(t *testing.T) {
	a := newArchive()
	start := time.Date(2026, 11, 25, 20, 0, 0, 0, time.UTC)
	for i := range uint64(70_000) {
		at := start.Add(time.Duration(i) * time.Second)
		init := &initSegment{name: fmt.Sprint(i)}
		a.add(shelved{number: i + 1, date: at.UnixNano(), dur: time.Second, body: seglog.Ref{File: i + 1}}, ".m4s", init)
		a.expire(at, 5*time.Second, 0)
		if _, _, got, ok := a.find(i + 1); !ok || got != init {
			t.Fatalf("segment %d has another init segment", i)
		}
		if need := a.needs(); need != a.all[0].body.File {
			t.Fatalf("file %d is needed, and %d is said to be", a.all[0].body.File, need)
		}
	}
	if len(a.inits) > 20 {
		t.Errorf("%d places for init segments", len(a.inits))
	}
}

// The oldest file that is needed is known at once, whatever order bodies are written in, and
// what becomes of them.
func TestTheOldestFileThatIsNeeded(t *testing.T) {
	a := newArchive()
	is := func(want uint64) {
		t.Helper()
		if got := a.needs(); got != want {
			t.Errorf("file %d, want %d", got, want)
		}
	}
	add := func(number, file uint64) {
		a.add(shelved{number: number, until: 1 << 62, body: seglog.Ref{File: file}}, ".ts", nil)
	}
	is(0)
	add(1, 7)
	add(2, 5)
	add(3, 0)
	is(5)
	a.spoil(2)
	is(7)
	a.fill(3, seglog.Ref{File: 6})
	is(6)
	a.expire(time.Unix(1, 0), 0, 6)
	is(7)
	add(4, 8)
	a.expire(time.Unix(1, 0), 0, 7)
	is(8)
}

// A channel's second of retention, over a day of DVR: 14,400 segments of a rendition.
func BenchmarkRetentionOfADay(b *testing.B) {
	a := newArchive()
	for i := range uint64(14_400) {
		a.add(shelved{number: i + 1, date: int64(i), body: seglog.Ref{File: i/100 + 1}}, ".ts", nil)
	}
	for b.Loop() {
		a.expire(time.Unix(1, 0), time.Hour, 0)
		a.needs()
		a.due(time.Unix(1, 0), time.Minute, time.Minute)

	}
}
