package schedule

import (
	"strconv"
	"strings"
	"time"
)

// An affix is what the names of a rendition's segments have in common: all but
// a number.
type affix struct{ before, after string }

// A pattern is how the names of a rendition's segments follow from their
// numbers. The zero pattern is none.
type pattern struct {
	affix
	width int    // digits, zero-padded; 0: as many as it takes
	last  uint64 // the number in the last segment's name
}

// sure is how many versions must have gone on as a pattern says, or segments
// follow it within one, before anything is foretold from it.
const sure = 3

// ofNames finds the pattern of three names in a row.
func ofNames(a, b, c string) (pattern, bool) {
	p, n, ok := between(b, c)
	if !ok {
		return pattern{}, false
	}
	q, before, ok := between(a, b)
	if !ok || q.affix != p.affix || n != before+1 || q.width != p.width {
		return pattern{}, false
	}
	p.last = n
	return p, true
}

// between returns the pattern of two names that differ in one number, the
// second's being one more.
func between(a, b string) (p pattern, n uint64, ok bool) {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	for i > 0 && digit(b[i-1]) { // the number begins with its first digit
		i--
	}
	x, y := digits(a[i:]), digits(b[i:])
	if x == "" || y == "" || a[i+len(x):] != b[i+len(y):] || len(x) > 15 || len(y) > 15 {
		return p, 0, false
	}
	m, _ := strconv.ParseUint(x, 10, 64)
	n, _ = strconv.ParseUint(y, 10, 64)
	if n != m+1 {
		return p, 0, false
	}
	if y[0] == '0' || len(x) == len(y) && x[0] == '0' {
		p.width = len(y)
	}
	p.affix = affix{b[:i], b[i+len(y):]}
	return p, n, true
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

func digits(s string) string {
	for i := 0; i < len(s); i++ {
		if !digit(s[i]) {
			return s[:i]
		}
	}
	return s
}

// number returns the number in a key of this pattern.
func (p pattern) number(key string) (uint64, bool) {
	d, ok := strings.CutPrefix(key, p.before)
	if ok {
		d, ok = strings.CutSuffix(d, p.after)
	}
	if !ok || d == "" || len(d) > 15 || digits(d) != d {
		return 0, false
	}
	if p.width == 0 && d[0] == '0' && len(d) > 1 || p.width > 0 && len(d) != p.width && (len(d) < p.width || d[0] == '0') {
		return 0, false
	}
	n, err := strconv.ParseUint(d, 10, 64)
	return n, err == nil
}

// name returns the key of number n.
func (p pattern) name(n uint64) string {
	d := strconv.FormatUint(n, 10)
	if pad := p.width - len(d); pad > 0 {
		d = strings.Repeat("0", pad) + d
	}
	return p.before + d + p.after
}

// learn finds out whether the names of r follow a pattern, and whether they went
// on as was foretold.
func (b *Book) learn(r *rendition, v Verdict) {
	if v == Same {
		return
	}
	was := r.pattern
	if r.kind == VOD { // nothing follows, and a live one may have the same names
		if b.patterns[was.affix] == r {
			delete(b.patterns, was.affix)
		}
		r.pattern, r.confirmed = pattern{}, 0
		return
	}
	n := len(r.entries)
	var p pattern
	ok := n >= sure
	for i := n - sure; ok && i < n; i++ {
		ok = r.entries[i].obj != nil
	}
	if ok {
		p, ok = ofNames(r.entries[n-3].obj.key, r.entries[n-2].obj.key, r.entries[n-1].obj.key)
	}
	switch {
	case !ok:
		r.pattern, r.confirmed = pattern{}, 0
	case p.affix == was.affix && p.width == was.width && p.last > was.last:
		r.pattern = p
		r.confirmed++
	case p.affix != was.affix || p.width != was.width || p.last < was.last:
		r.pattern, r.confirmed, r.lost = p, 0, lost{}
	}
	if was.affix != r.pattern.affix && b.patterns[was.affix] == r {
		delete(b.patterns, was.affix)
	}
	if r.pattern.after != "" || r.pattern.before != "" {
		if r.first > r.mark.sequence {
			b.noteLong(r.pattern.affix, r.since)
		}
		if o := b.patterns[r.pattern.affix]; o != nil && o != r && o.pattern.last > r.pattern.last && o.current(r.since) {
			return // of two with the same names the one that is farther says what there may be
		}
		b.patterns[r.pattern.affix] = r
	}
}

// maxLong bounds the affixes of long lists that are remembered.
const maxLong = 1024

// noteLong remembers that segments are listed which are not in the book.
func (b *Book) noteLong(a affix, now time.Time) {
	if _, known := b.long[a]; !known && len(b.long) >= maxLong {
		for old := range b.long { // any
			delete(b.long, old)
			break
		}
	}
	b.long[a] = now
}

// follows returns the rendition whose names key follows, and its number in them.
func (b *Book) follows(key string) (*rendition, uint64, bool) {
	end := len(key)
	floor := strings.LastIndexByte(key, '/')
	for range 4 { // numbers in a name: the last are the likeliest
		for end > floor+1 && !digit(key[end-1]) {
			end--
		}
		start := end
		for start > floor+1 && digit(key[start-1]) {
			start--
		}
		if start == end {
			return nil, 0, false
		}
		if r := b.patterns[affix{key[:start], key[end:]}]; r != nil {
			if n, ok := r.pattern.number(key); ok {
				return r, n, true
			}
		}
		end = start
	}
	return nil, 0, false
}

// lost is what upstream no longer has of what left a rendition's window.
type lost struct {
	numbers [sure]uint64 // distinct numbers that it said 404 to, the lowest known first
	n       int
	at      time.Time
}
