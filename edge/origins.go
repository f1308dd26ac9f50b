package edge

import (
	"sync"
	"time"
)

// An origin that failed is passed over for firstRest, and for twice as long at
// each further failure, up to longestRest. Then one request tries it, while
// the others still pass it over.
const (
	firstRest   = time.Second
	longestRest = 16 * time.Second
)

// origins remembers which origins failed.
type origins struct {
	list func() []Origin

	mu    sync.Mutex // guards marks
	marks map[string]*mark
}

// A mark is what is known of an origin that failed.
type mark struct {
	until   time.Time
	rest    time.Duration
	probing bool // one request is trying it
}

// order returns the origins to ask now: those that are well, in the order
// configured, and those that rest, for want of better. Where an origin's rest
// is over this call is the one that tries it.
func (o *origins) order(now time.Time) (well, resting []Origin) {
	all := o.list()
	o.mu.Lock()
	defer o.mu.Unlock()
	well = make([]Origin, 0, len(all))
	for _, origin := range all {
		m := o.marks[origin.Name]
		switch {
		case m == nil:
			well = append(well, origin)
		case now.Before(m.until):
			resting = append(resting, origin)
		default:
			m.until, m.probing = now.Add(m.rest), true
			well = append(well, origin)
		}
	}
	o.prune(all)
	return well, resting
}

// prune forgets marks of origins that are no longer configured.
func (o *origins) prune(all []Origin) {
	if len(o.marks) <= len(all) {
		return
	}
	kept := map[string]*mark{}
	for _, origin := range all {
		if m := o.marks[origin.Name]; m != nil {
			kept[origin.Name] = m
		}
	}
	o.marks = kept
}

// failed marks an origin and reports whether it was well before. Of the many
// requests that find out at the same time one counts.
func (o *origins) failed(name string, now time.Time) (news bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	m := o.marks[name]
	switch {
	case m == nil:
		if o.marks == nil {
			o.marks = map[string]*mark{}
		}
		o.marks[name] = &mark{until: now.Add(firstRest), rest: firstRest}
		return true
	case m.probing || !now.Before(m.until):
		m.rest, m.probing = min(2*m.rest, longestRest), false
		m.until = now.Add(m.rest)
	}
	return false
}

// succeeded takes a mark away and reports whether there was one.
func (o *origins) succeeded(name string) (news bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, news = o.marks[name]
	delete(o.marks, name)
	return news
}

// up counts the origins that are not resting.
func (o *origins) up(now time.Time) (up, all int) {
	list := o.list()
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, origin := range list {
		if m := o.marks[origin.Name]; m == nil || !now.Before(m.until) {
			up++
		}
	}
	return up, len(list)
}
