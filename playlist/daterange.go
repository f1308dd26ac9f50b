package playlist

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// DateRange is EXT-X-DATERANGE (HLSbis 4.4.5.1): a stretch of wall clock time and what is to
// be said of it. All that is said of one ID is one DateRange, also where the text says it in
// several tags.
//
// A playlist with a DateRange "MUST also contain at least one EXT-X-PROGRAM-DATE-TIME tag",
// and what was said once of an ID stays: attributes may be added later, never changed.
type DateRange struct {
	ID, Class string
	// Cue is PRE or POST, ONCE, or one of the former and the latter, with a comma between.
	Cue string
	// Start is required. A zero End is absent. Both are rendered in UTC with milliseconds.
	Start, End time.Time
	// Duration and Planned (PLANNED-DURATION) are nil where they are absent: a range of
	// no duration is a point in time and something else. They are rendered in
	// microseconds; at most MaxDateRange is taken.
	Duration, Planned *time.Duration
	// EndOnNext ends the range where the next of the same Class begins.
	EndOnNext bool
	// SCTE35Cmd, SCTE35Out and SCTE35In are splice information as "0x" and hexadecimal
	// digits.
	SCTE35Cmd, SCTE35Out, SCTE35In string
	// X are the attributes of clients' own, sorted by name.
	X []Attribute
}

// Attribute is a name and a value as they are written: the value is a quoted string with its
// quotes, "0x" and hexadecimal digits, or a decimal number.
type Attribute struct{ Name, Value string }

// Bounds of a DateRange.
const (
	MaxDateRange   = 1e9 * time.Second // of Duration and Planned
	maxDateRangeX  = 48                // attributes
	maxRangeLength = 12 << 10          // bytes of all values: the tag is one line
)

// Check says what makes d a date range that cannot be published: an error that names the
// attribute and what is allowed there. nil: none.
func (d *DateRange) Check() error {
	if err := d.checkWords(); err != nil {
		return err
	}
	if err := d.checkTimes(); err != nil {
		return err
	}
	return d.checkX()
}

func (d *DateRange) checkWords() error {
	switch {
	case d.ID == "":
		return errors.New("ID is required")
	case !isQuotable(d.ID):
		return fmt.Errorf("ID is %.40q: quotes and control characters cannot be written", d.ID)
	case !isQuotable(d.Class):
		return fmt.Errorf("CLASS is %.40q: quotes and control characters cannot be written", d.Class)
	}
	switch d.Cue {
	case "", "PRE", "POST", "ONCE", "PRE,ONCE", "ONCE,PRE", "POST,ONCE", "ONCE,POST":
	default:
		return fmt.Errorf("CUE is %.40q: it must be PRE or POST, ONCE, or one of the former and the latter", d.Cue)
	}
	for _, s := range [...]Attribute{{"SCTE35-CMD", d.SCTE35Cmd}, {"SCTE35-OUT", d.SCTE35Out}, {"SCTE35-IN", d.SCTE35In}} {
		if s.Value != "" && !isHexSequence(s.Value) {
			return fmt.Errorf("%s is %.40q: it must be 0x and hexadecimal digits", s.Name, s.Value)
		}
	}
	return nil
}

func (d *DateRange) checkTimes() error {
	switch {
	case d.Start.IsZero():
		return errors.New("START-DATE is required")
	case !isDate(d.Start):
		return fmt.Errorf("START-DATE is %v: years from 1 to 9999 can be written", d.Start)
	case d.End.IsZero():
	case !isDate(d.End):
		return fmt.Errorf("END-DATE is %v: years from 1 to 9999 can be written", d.End)
	case d.End.Before(d.Start):
		return errors.New("END-DATE is before START-DATE")
	}
	for _, p := range [...]struct {
		name string
		is   *time.Duration
	}{{"DURATION", d.Duration}, {"PLANNED-DURATION", d.Planned}} {
		if p.is != nil && (*p.is < 0 || *p.is > MaxDateRange) {
			return fmt.Errorf("%s is %v: it must be from 0 to %d seconds", p.name, *p.is, int64(MaxDateRange/time.Second))
		}
	}
	switch {
	case d.EndOnNext && d.Class == "":
		return errors.New("END-ON-NEXT needs a CLASS")
	case d.EndOnNext && (d.Duration != nil || !d.End.IsZero()):
		return errors.New("END-ON-NEXT goes with neither DURATION nor END-DATE")
	}
	// "the value of the END-DATE attribute MUST be equal to the value of the START-DATE
	// attribute plus the value of the DURATION attribute". Dates are in milliseconds.
	if d.Duration != nil && !d.End.IsZero() && d.Start.Add(*d.Duration).Sub(d.End).Abs() > time.Millisecond {
		return fmt.Errorf("END-DATE is not START-DATE and the %v of DURATION", *d.Duration)
	}
	return nil
}

func (d *DateRange) checkX() error {
	if len(d.X) > maxDateRangeX {
		return fmt.Errorf("%d X- attributes: at most %d are taken", len(d.X), maxDateRangeX)
	}
	n := len(d.ID) + len(d.Class) + len(d.SCTE35Cmd) + len(d.SCTE35Out) + len(d.SCTE35In)
	for i := range d.X {
		x := &d.X[i]
		n += len(x.Name) + len(x.Value)
		switch {
		case !strings.HasPrefix(x.Name, "X-") || len(x.Name) == 2 || !isAttributeName(x.Name):
			return fmt.Errorf("%.40q is no name: it must be X- and A-Z, 0-9, -", x.Name)
		case i > 0 && d.X[i-1].Name >= x.Name:
			return fmt.Errorf("%s stands twice, or is not sorted by name", x.Name)
		case !isValue(x.Value):
			return fmt.Errorf("%s is %.40q: it must be a quoted string, 0x and hexadecimal digits, or a decimal number", x.Name, x.Value)
		}
	}
	if n > maxRangeLength {
		return fmt.Errorf("it has %d bytes, at most %d are taken", n, maxRangeLength)
	}
	return nil
}

// isDate says whether t can be written in RFC 3339.
func isDate(t time.Time) bool { y := t.UTC().Year(); return y >= 1 && y <= 9999 }

// isQuotable says whether s can stand between quotes as it is.
func isQuotable(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return r == '"' || isControl(r) }) < 0
}

func isHexSequence(s string) bool {
	return len(s) > 2 && (s[:2] == "0x" || s[:2] == "0X") && strings.Trim(s[2:], "0123456789ABCDEFabcdef") == ""
}

// isValue says whether s is a quoted string, a hexadecimal sequence or a decimal number.
func isValue(s string) bool {
	if n := len(s); n >= 2 && s[0] == '"' && s[n-1] == '"' {
		return isQuotable(s[1 : n-1])
	}
	return isHexSequence(s) || isDecimal(s)
}

func (d *DateRange) append(dst []byte) []byte {
	dst = append(dst, `#EXT-X-DATERANGE:ID="`...)
	dst = append(append(dst, d.ID...), '"')
	dst = appendQuoted(dst, "CLASS", d.Class)
	dst = appendQuoted(dst, "CUE", d.Cue)
	dst = appendDate(dst, `,START-DATE="`, d.Start)
	if !d.End.IsZero() {
		dst = appendDate(dst, `,END-DATE="`, d.End)
	}
	if d.Duration != nil {
		dst = appendSeconds(append(dst, ",DURATION="...), *d.Duration)
	}
	if d.Planned != nil {
		dst = appendSeconds(append(dst, ",PLANNED-DURATION="...), *d.Planned)
	}
	for i := range d.X {
		dst = append(append(dst, ','), d.X[i].Name...)
		dst = append(append(dst, '='), d.X[i].Value...)
	}
	for _, s := range [...]Attribute{{",SCTE35-CMD=", d.SCTE35Cmd}, {",SCTE35-OUT=", d.SCTE35Out}, {",SCTE35-IN=", d.SCTE35In}} {
		if s.Value != "" {
			dst = append(append(dst, s.Name...), s.Value...)
		}
	}
	if d.EndOnNext {
		dst = append(dst, ",END-ON-NEXT=YES"...)
	}
	return append(dst, '\n')
}

func appendDate(dst []byte, name string, t time.Time) []byte {
	dst = append(dst, name...)
	return append(t.UTC().AppendFormat(dst, dateLayout), '"')
}

// Merge adds what o says of the same ID. HLSbis 4.4.5.1 lets a later tag add attributes and
// never change one: where o says something else of what d says already, Merge returns the
// attribute's name, and d stays as it is. What comes of it is to be checked again.
func (d *DateRange) Merge(o *DateRange) (altered string) {
	m := *d
	differs := func(name string, is bool) {
		if is && altered == "" {
			altered = name
		}
	}
	word := func(name string, a *string, b string) {
		if *a == "" {
			*a = b
		}
		differs(name, b != "" && *a != b)
	}
	date := func(name string, a *time.Time, b time.Time) {
		if a.IsZero() {
			*a = b
		}
		differs(name, !b.IsZero() && !a.Equal(b))
	}
	length := func(name string, a **time.Duration, b *time.Duration) {
		if *a == nil {
			*a = b
		}
		differs(name, b != nil && **a != *b)
	}
	word("CLASS", &m.Class, o.Class)
	word("CUE", &m.Cue, o.Cue)
	date("START-DATE", &m.Start, o.Start)
	date("END-DATE", &m.End, o.End)
	length("DURATION", &m.Duration, o.Duration)
	length("PLANNED-DURATION", &m.Planned, o.Planned)
	word("SCTE35-CMD", &m.SCTE35Cmd, o.SCTE35Cmd)
	word("SCTE35-OUT", &m.SCTE35Out, o.SCTE35Out)
	word("SCTE35-IN", &m.SCTE35In, o.SCTE35In)
	m.EndOnNext = m.EndOnNext || o.EndOnNext
	m.X = slices.Clone(d.X)
	for _, x := range o.X {
		i, found := slices.BinarySearchFunc(m.X, x, byName)
		if !found {
			m.X = slices.Insert(m.X, i, x)
		}
		differs(x.Name, found && m.X[i].Value != x.Value)
	}
	if altered == "" {
		*d = m
	}
	return altered
}

func byName(a, b Attribute) int { return strings.Compare(a.Name, b.Name) }
