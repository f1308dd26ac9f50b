package origin

import "time"

// Numbers are reserved on disk before they are used, so that none is used twice whatever
// happens to the process or the power. Publishing waits for no disk all the same: where a
// disk does not answer, numbers beyond the reservation may be used, but only so fast that a
// successor can tell from the clock how many at most.

const (
	// grantWait is how old a reservation is before numbers beyond it may be used. A
	// successor that finds a younger one knows that there are none.
	grantWait = 5 * time.Second
	// firstPace holds before anything is reserved: a channel of which nothing is on disk
	// begins at the seconds since 2025, and so does its successor, later.
	firstPace  = time.Second
	maxReserve = 64 // numbers reserved ahead at most
)

// A grant is a reservation of numbers that is on disk.
type grant struct {
	until uint64        // numbers below may be used
	at    time.Time     // when that was decided
	wait  time.Duration // from then on one more may be used
	pace  time.Duration // each
}

// ceiling is the first number that may not be used at now. What a process holds itself to and
// what its successor reckons with is this one function.
func (g grant) ceiling(now time.Time) uint64 {
	late := now.Sub(g.at) - g.wait
	if late < 0 || g.pace <= 0 {
		return g.until
	}
	return g.until + uint64(late/g.pace)
}

// nextGrant reserves for a rendition whose next number is next, whose segments last each on
// average, and which needs so many numbers at once.
func nextGrant(next uint64, need int, each time.Duration, now time.Time) grant {
	each = max(each, 100*time.Millisecond)
	ahead := int(grantWait/each) + 2
	return grant{
		until: next + uint64(need+min(ahead, maxReserve)),
		at:    now,
		wait:  grantWait,
		pace:  each / 2, // an encoder at twice its speed is none of a live stream
	}
}
