package playlist

import (
	"strings"
	"testing"
	"time"
)

// An operator who marks an ad break wrongly is told what is wrong with it, and by name: once
// published it can never be taken back.
func TestADateRangeSaysWhatIsWrongWithIt(t *testing.T) {
	start := time.Date(2026, 11, 25, 20, 15, 0, 0, time.UTC)
	f := func(want string, d DateRange) {
		t.Helper()
		if d.ID == "" && want != "ID" {
			d.ID = "a"
		}
		if d.Start.IsZero() && want != "START-DATE is required" {
			d.Start = start
		}
		err := d.Check()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%+v: %v, want %q", d, err, want)
		}
		m := Media{TargetDuration: 2, DateRanges: []DateRange{d}, Segments: []Segment{{URI: "a", Duration: time.Second, ProgramDateTime: start}}}
		got, perr := ParseMedia(m.Append(nil))
		if perr != nil || (len(got.DateRanges) == 1) != (err == nil) {
			t.Errorf("rendered as %s, parsed with %v", m.Append(nil), perr)
		}
	}
	f("", DateRange{})
	f("", DateRange{Class: "c", EndOnNext: true})
	f("", DateRange{Duration: new(30 * time.Second), End: start.Add(30 * time.Second)})
	f("", DateRange{Duration: new(time.Duration(0)), X: []Attribute{{"X-A", `""`}, {"X-B", "0xfe"}, {"X-C", "1.5"}}})
	f("", DateRange{Cue: "POST,ONCE", SCTE35Cmd: "0xFC00"})
	f("ID", DateRange{})
	f("ID is", DateRange{ID: `a"b`})
	f("ID is", DateRange{ID: "a\nb"})
	f("ID is", DateRange{ID: "\xff"})
	f("CLASS", DateRange{Class: "\u0085"})
	f("CUE", DateRange{Cue: "PRE,POST"})
	f("SCTE35-OUT", DateRange{SCTE35Out: "FC00"})
	f("START-DATE is required", DateRange{})
	f("START-DATE", DateRange{Start: start.AddDate(9000, 0, 0)})
	f("before START-DATE", DateRange{End: start.Add(-time.Second)})
	f("DURATION", DateRange{Duration: new(-time.Second)})
	f("PLANNED-DURATION", DateRange{Planned: new(2 * MaxDateRange)})
	f("needs a CLASS", DateRange{EndOnNext: true})
	f("neither DURATION", DateRange{Class: "c", EndOnNext: true, Duration: new(time.Second)})
	f("END-DATE is not", DateRange{Duration: new(30 * time.Second), End: start.Add(29 * time.Second)})
	f("no name", DateRange{X: []Attribute{{"x-a", "1"}}})
	f("no name", DateRange{X: []Attribute{{"X-", "1"}}})
	f("twice", DateRange{X: []Attribute{{"X-A", "1"}, {"X-A", "2"}}})
	f("sorted", DateRange{X: []Attribute{{"X-B", "1"}, {"X-A", "2"}}})
	f("X-A", DateRange{X: []Attribute{{"X-A", "word"}}})
	f("X-A", DateRange{X: []Attribute{{"X-A", `"a",X-B="c"`}}})
	f("X-A", DateRange{X: []Attribute{{"X-A", "1\n#EXT-X-ENDLIST"}}})
	f("at most", DateRange{X: []Attribute{{"X-A", `"` + strings.Repeat("a", 20000) + `"`}}})
}

// A viewer's player that has seen an attribute keeps it: what contradicts it is not told.
func TestWhatIsSaidTwiceOfADateRangeIsOneRange(t *testing.T) {
	text := `#EXTM3U
#EXT-X-TARGETDURATION:2
#EXT-X-DATERANGE:ID="a",CLASS="c",START-DATE="2026-11-25T20:15:00Z",X-B=1
#EXT-X-DATERANGE:ID="a",DURATION=5,X-A="new"
#EXT-X-DATERANGE:ID="a",X-B=2,X-C=3
#EXT-X-DATERANGE:ID="a",END-ON-NEXT=YES
`
	m, err := ParseMedia([]byte(text))
	if err != nil || len(m.DateRanges) != 1 {
		t.Fatalf("%+v, %v", m, err)
	}
	d := m.DateRanges[0]
	if *d.Duration != 5*time.Second || len(d.X) != 2 || d.X[0] != (Attribute{"X-A", `"new"`}) || d.X[1].Value != "1" || d.EndOnNext {
		t.Errorf("%+v", d)
	}
}

// An operator whose correction of an ad break is refused is told which attribute stands.
func TestMergeNamesWhatWouldBeAltered(t *testing.T) {
	start := time.Date(2026, 11, 25, 20, 15, 0, 0, time.UTC)
	is := DateRange{ID: "a", Class: "c", Start: start, Planned: new(30 * time.Second), SCTE35Out: "0xFC", X: []Attribute{{"X-B", "1"}}}
	f := func(want string, d DateRange) {
		t.Helper()
		m := is
		if got := m.Merge(&d); got != want {
			t.Errorf("%+v: altered %q, want %q", d, got, want)
		}
		if again := m; want != "" && (again.Merge(&is) != "" || len(m.X) != 1 || m.Class != "c" || m.Duration != nil) {
			t.Errorf("%+v changed %+v", d, m)
		}
	}
	f("", DateRange{})
	f("", is)
	f("", DateRange{End: start.Add(time.Minute), Duration: new(time.Minute), Cue: "PRE", SCTE35In: "0x01", X: []Attribute{{"X-A", "1"}, {"X-B", "1"}}})
	f("CLASS", DateRange{Class: "d", Duration: new(time.Minute)})
	f("START-DATE", DateRange{Start: start.Add(time.Millisecond)})
	f("PLANNED-DURATION", DateRange{Planned: new(time.Minute)})
	f("SCTE35-OUT", DateRange{SCTE35Out: "0xFD"})
	f("X-B", DateRange{X: []Attribute{{"X-A", "1"}, {"X-B", "2"}}})
	if len(is.X) != 1 {
		t.Errorf("%+v", is)
	}
}
