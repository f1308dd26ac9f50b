package schedule

import (
	"slices"
	"time"
)

// A mark is how far a playlist has got.
type mark struct {
	publishing    string // which the numbers belong to, where upstream says so
	sequence      uint64 // the first number
	next          uint64 // the number behind the last
	discontinuity uint64
	parts         int // behind the last segment
	end           bool
}

// An order is how a version stands to the newest one known.
type order uint8

const (
	same   order = iota // as far
	ahead               // farther, and nothing went back
	behind              // not so far
	aside               // as far or farther, but something went back that never may
)

// against tells how m stands to the mark that was.
func (m mark) against(was mark) order {
	back := m.sequence < was.sequence || m.discontinuity < was.discontinuity
	switch {
	case m.next < was.next:
		return behind
	case m.next > was.next:
		if back {
			return aside
		}
		return ahead
	case m.parts < was.parts || was.end && !m.end:
		return behind
	case back:
		return aside
	case m.parts > was.parts || m.end && !was.end || m.sequence > was.sequence || m.discontinuity > was.discontinuity:
		return ahead
	}
	return same
}

// A suspect is a version that went back and may be a new beginning.
type suspect struct {
	since time.Time // zero: there is none
	named string    // its publishing
	next  uint64    // the number behind the last, when it was seen first
}

// LagTargets is for how many target durations the newer copy is shown while
// upstream has only older ones.
const LagTargets = 3

// A Verdict is what a version turned out to be.
type Verdict uint8

// The verdicts.
const (
	First     Verdict = iota // of this rendition nothing was known
	Same                     // what is known already
	Newer                    // what comes next
	Restarted                // the numbers begin anew
	Older                    // less than was shown before: not to be shown
	Ignored                  // too much for the Book: nothing is known of the rendition
)

func (v Verdict) String() string {
	return [...]string{"first", "same", "newer", "restarted", "older", "ignored"}[v]
}

// compare judges a version with mark m that ends with the URI last.
//
// What is not so far and ends with something known lags. All else that went back
// may be a new beginning, or another origin that has its own numbers: it is taken
// for one when it is still there a target duration later, and nothing newer came
// meanwhile. That holds for a publishing that upstream names too: our origin's
// numbers never go back, so that one with lower numbers is another origin's.
//
// An encoder that was started anew may use its old names too, with which it
// looks like an origin that lags. But no origin that goes on lags so far.
func (r *rendition) compare(m mark, last string, now time.Time) Verdict {
	how := m.against(r.mark)
	named := m.publishing != "" && r.mark.publishing != "" && m.publishing != r.mark.publishing
	resumed := r.mark.end && !m.end && m.next == r.mark.next // ENDLIST is gone, and that is all
	lags := how == behind && !named && !resumed && r.knows(last)
	switch {
	case how == same && !named:
		r.lagging, r.suspect = time.Time{}, suspect{}
		return Same
	case how == ahead || how == same:
		return Newer
	case lags && !r.farBehind(m):
		return Older
	case r.suspect.since.IsZero() || r.suspect.named != m.publishing || m.next < r.suspect.next:
		r.suspect = suspect{now, m.publishing, m.next}
		return Older
	case now.Sub(r.suspect.since) < r.target:
		return Older
	case lags && m.next == r.suspect.next: // and stands still: that origin has stopped
		return Older
	case resumed || how == aside && !named:
		return Newer
	}
	return Restarted
}

// maxLag is how many segments an origin may lag behind another and go on, where
// the window does not tell.
const maxLag = 12

// farBehind reports whether all that m lists is older than what is listed now, or
// than any origin's that merely lags.
func (r *rendition) farBehind(m mark) bool {
	return m.next <= r.mark.sequence || r.mark.next-m.next > maxLag
}

// knows reports whether a segment of that name is listed, or was not long ago.
func (r *rendition) knows(uri string) bool {
	return slices.ContainsFunc(r.entries, func(e entry) bool { return e.uri == uri }) || slices.Contains(r.past, uri)
}
