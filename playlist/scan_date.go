package playlist

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// dateRange reads EXT-X-DATERANGE. "Clients SHOULD ignore EXT-X-DATERANGE tags with illegal
// syntax" (HLSbis 4.4.5.1): media are not lost for what is said beside them. Ignored too is
// a tag that contradicts an earlier one of its ID.
func (s *mediaScan) dateRange(value string) {
	list, err := parseAttributes(value)
	if err != nil {
		return
	}
	d, ok := list.dateRange()
	if !ok {
		return
	}
	if s.ranges == nil {
		s.ranges = make(map[string]int)
	}
	i, again := s.ranges[d.ID]
	if again {
		merged := s.media.DateRanges[i]
		if merged.Merge(&d) != "" || merged.Check() != nil {
			return
		}
		s.media.DateRanges[i] = merged
		return
	}
	if d.Check() != nil {
		return
	}
	s.ranges[d.ID] = len(s.media.DateRanges)
	s.media.DateRanges = append(s.media.DateRanges, d)
}

// dateRange is what the attributes say, false where one of them is not of its type.
func (l attributes) dateRange() (d DateRange, ok bool) {
	ok = true
	quoted := func(a attribute) string { ok = ok && a.quoted; return a.value }
	bare := func(a attribute) string { ok = ok && !a.quoted; return a.value }
	for _, a := range l {
		switch a.name {
		case "ID":
			d.ID = quoted(a)
		case "CLASS":
			d.Class = quoted(a)
		case "CUE":
			d.Cue = quoted(a)
		case "START-DATE", "END-DATE":
			t, good := parseDate(quoted(a))
			ok = ok && good
			if a.name == "START-DATE" {
				d.Start = t
			} else {
				d.End = t
			}
		case "DURATION", "PLANNED-DURATION":
			f, err := strconv.ParseFloat(bare(a), 64)
			if err != nil || !isDecimal(a.value) || f > MaxDateRange.Seconds() {
				return d, false
			}
			length := time.Duration(math.Round(f*1e6)) * time.Microsecond
			if a.name == "DURATION" {
				d.Duration = &length
			} else {
				d.Planned = &length
			}
		case "END-ON-NEXT":
			d.EndOnNext = bare(a) == "YES" // "MUST be YES"
			ok = ok && d.EndOnNext
		case "SCTE35-CMD":
			d.SCTE35Cmd = bare(a)
		case "SCTE35-OUT":
			d.SCTE35Out = bare(a)
		case "SCTE35-IN":
			d.SCTE35In = bare(a)
		default:
			if !strings.HasPrefix(a.name, "X-") {
				continue
			}
			if a.quoted {
				a.value = `"` + a.value + `"`
			}
			d.X = append(d.X, Attribute{a.name, a.value})
		}
	}
	slices.SortFunc(d.X, byName)
	return d, ok
}

// parseDate takes what ISO 8601 the packagers write: FFmpeg's "+0000" has no colon, and "if
// no time zone is given, UTC" is how the rest is read. It is cut to milliseconds.
func parseDate(value string) (time.Time, bool) {
	for _, layout := range []string{
		"2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05Z07", "2006-01-02T15:04:05",
	} {
		if t, err := time.Parse(layout, value); err == nil {
			return t.UTC().Truncate(time.Millisecond), isDate(t)
		}
	}
	return time.Time{}, false
}
