package edge

import (
	"sync"
	"time"

	"weir/cache"
)

// An origin that failed is passed over for firstRest, and for twice as long at
// each further failure, up to longestRest. Then one request tries it, while
// the others still pass it over.
const (
	firstRest   = time.Second
	longestRest = 16 * time.Second
)

// hedgesLost is after how many hedges lost in a row, without an answer of its
// own, an origin counts as failed: it may well be silent, and whoever is asked
// beside it hides that.
const hedgesLost = 3

// origins remembers how the origins do.
type origins struct {
	list func() []Origin

	mu     sync.Mutex // guards states and what is in them
	states map[string]*state
}

// A state is what is known of one origin.
type state struct {
	mark    *mark // nil: it did not fail
	probe   health
	retries bucket               // of those that may be asked of it
	heads   [headKinds]quantiles // how long the heads of its answers take
	lost    int                  // hedges, in a row
}

// A mark is what is known of an origin that failed.
type mark struct {
	until   time.Time
	rest    time.Duration
	probing bool // one request is trying it
}

// resting reports whether an origin is to be asked only for want of another.
func (s *state) resting(now time.Time) bool {
	return s != nil && (s.probe.down || s.mark != nil && now.Before(s.mark.until))
}

// of returns the state of an origin. The caller holds mu.
func (o *origins) of(name string) *state {
	s := o.states[name]
	if s == nil {
		if o.states == nil {
			o.states = map[string]*state{}
		}
		s = &state{retries: bucket{max: retryBurst, rate: retryRate}}
		o.states[name] = s
	}
	return s
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
		s := o.states[origin.Name]
		if s.resting(now) {
			resting = append(resting, origin)
			continue
		}
		if s != nil && s.mark != nil {
			s.mark.until, s.mark.probing = now.Add(s.mark.rest), true
		}
		well = append(well, origin)
	}
	o.prune(all)
	return well, resting
}

// prune forgets origins that are no longer configured.
func (o *origins) prune(all []Origin) {
	if len(o.states) <= len(all) {
		return
	}
	kept := map[string]*state{}
	for _, origin := range all {
		if s := o.states[origin.Name]; s != nil {
			kept[origin.Name] = s
		}
	}
	o.states = kept
}

// failed marks an origin and reports whether it was well before. Of the many
// requests that find out at the same time one counts.
func (o *origins) failed(name string, now time.Time) (news bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.of(name).failed(now)
}

func (s *state) failed(now time.Time) (news bool) {
	m := s.mark
	switch {
	case m == nil:
		s.mark = &mark{until: now.Add(firstRest), rest: firstRest}
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
	s := o.of(name)
	news = s.mark != nil
	s.mark, s.lost = nil, 0
	return news
}

// outran says that the named origin had still not answered when another, asked
// later, did. It reports whether that makes it one that fails.
func (o *origins) outran(name string, class cache.Class, took time.Duration, now time.Time) (news bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.of(name)
	s.heads[headKind(class)].add(took, now) // it would have taken longer still
	if s.lost++; s.lost >= hedgesLost || s.mark != nil {
		s.lost = 0
		return s.failed(now)
	}
	return false
}

// up counts the origins that are not resting.
func (o *origins) up(now time.Time) (up, all int) {
	for _, well := range o.each(now) {
		if all++; well {
			up++
		}
	}
	return up, all
}

// each yields the origins and whether they are well.
func (o *origins) each(now time.Time) func(yield func(name string, well bool) bool) {
	list := o.list()
	well := make([]bool, len(list))
	o.mu.Lock()
	for i, origin := range list {
		well[i] = !o.states[origin.Name].resting(now)
	}
	o.mu.Unlock()
	return func(yield func(string, bool) bool) {
		for i, origin := range list {
			if !yield(origin.Name, well[i]) {
				return
			}
		}
	}
}
