package cache

import "time"

// A landing is what comes of a flight for those who waited for it.
type landing struct {
	object *Object // for all who may have it
	lead   *Object // for who started the flight, instead of object; nil: the same
	err    error   // for those who get no object

	how    Outcome // of who started it
	joined Outcome // of the others

	keep     *kept                // to be published at the same moment
	renews   *head                // what keep is another head for; nil: for nothing
	also     []renewal            // to be published with it
	vary     []string             // the request fields that the answer depends on
	shared   bool                 // it also serves those who wait for the twin flight
	remember error                // the failure, for those who ask right after
	pass     bool                 // answers for this key cannot be shared: remember that
	fate     func(w *waiter) fate // of those who did not start it; nil: all get the answer
}

// A fate is what becomes of one who waited.
type fate uint8

const (
	gets      fate = iota // gets the answer
	asksAgain             // was not meant: asks again, together with others of its kind
	asksAlone             // cannot share: asks for itself
)

// settle ends the waiting: in one step under the shard's lock the flight stops
// being joinable, its answer can be found, and it is decided who gets it. Then
// all are told. False means that this had happened before, and that o was not
// used.
func (f *flight) settle(o landing) bool {
	c, s := f.c, f.s
	s.mu.Lock()
	if f.settled {
		s.mu.Unlock()
		return false
	}
	f.unlist()
	displaced := f.publish(o)
	leader := f.leader
	told, released := part(f, o, f.waiters)
	f.waiters, f.leader = nil, nil
	if o.shared && !f.outdated { // they may have asked after the key was invalidated
		more, again := f.overtake(o)
		told, released = append(told, more...), append(released, again...)
	}
	if o.lead == nil {
		o.lead = o.object
	}
	// Still under the lock: whoever finds the flight settled may let go of what
	// it holds at once.
	hold(o.lead, 1)
	hold(o.object, len(told))
	s.mu.Unlock()

	for _, k := range displaced {
		c.discard(k)
	}
	f.tell(o, leader, told)
	for _, w := range released {
		c.ask(w)
	}
	return true
}

// unlist takes the flight out of the way of who asks from now on. The caller
// holds s.mu.
func (f *flight) unlist() {
	f.settled = true
	if f.bell != nil {
		f.bell.Stop()
	}
	if f.s.flights[f.fk] == f {
		delete(f.s.flights, f.fk)
	}
}

// publish puts what o keeps into the store and remembers what it teaches. It
// returns what is to be discarded for it. The caller holds s.mu.
func (f *flight) publish(o landing) (displaced []*kept) {
	now := time.Now()
	if o.remember != nil && !f.solo && !f.outdated {
		f.s.remember(f.c.flightHash(f.fk), o.remember, now, f.c.troubleTTL(f.q.Class, o.remember))
	}
	if o.pass && !f.solo && !f.outdated {
		f.s.pass(f.c.hash(f.q.Key), now)
	}
	if f.outdated {
		f.drop(o.keep)
		for _, r := range o.also {
			f.drop(r.by)
		}
		return nil
	}
	displaced, _ = f.c.renewAll(f.s, o.also) // before what may do away with all variants
	k := o.keep
	if k != nil && f.found != nil {
		newer := f.s.find(k.key(), f.q.Header)
		if newer != nil && newer.stored.born.After(k.stored.born) || !f.found.Current() {
			f.drop(k) // upstream answered while the disk did
			k = nil
		}
	}
	if k != nil {
		k.stored.body.ref() // the store's
		displaced = append(displaced, f.s.put(k, o.vary, f.q.Header)...)
		k.arrived()
		f.c.superseded(f.s, k, o.renews)
		f.c.tiers.add(k)
	}
	return displaced
}

// part decides what becomes of each of those who wait for f. The caller holds
// s.mu.
func part(f *flight, o landing, waiting []*waiter) (told, released []*waiter) {
	told = make([]*waiter, 0, len(waiting))
	cost := int64(0)
	for _, w := range waiting {
		cost += w.cost
		what := gets
		if w != f.leader && o.fate != nil {
			what = o.fate(w)
		}
		w.f = nil
		if what == gets {
			w.settled = true
			told = append(told, w)
			continue
		}
		w.released++
		w.vary = union(w.vary, o.vary)
		w.alone = what == asksAlone || w.released > maxReleases
		released = append(released, w)
	}
	f.c.unpark(len(waiting), cost)
	return told, released
}

// overtake serves those who wait for the flight with the same question that
// differs only in NoPeer: the first to land serves both. If nobody is left to
// wait for that flight it ends. The caller holds s.mu.
func (f *flight) overtake(o landing) (told, released []*waiter) {
	fk := f.fk
	fk.noPeer = !fk.noPeer
	twin := f.s.flights[fk]
	if twin == nil {
		return nil, nil
	}
	twin.leader = nil // it is not the one whose fill this was
	told, released = part(twin, o, twin.waiters)
	twin.waiters = nil
	twin.unlist()
	twin.cancel(errOvertaken)
	return told, released
}

// tell calls back who gets an answer. There is a reference on o.object for each
// of them, and one on o.lead.
func (f *flight) tell(o landing, leader *waiter, told []*waiter) {
	spare := o.lead
	for _, w := range told {
		got, how, err := o.object, o.joined, o.err
		if w == leader {
			how = o.how
			got, spare = o.lead, o.object
		}
		if got != nil {
			err = nil
		}
		f.c.metrics.count(w.q.Class, how)
		w.done(got, how, err)
	}
	if spare != nil {
		spare.Release()
	}
}

// hold takes n references on an object for those who are about to get it.
func hold(o *Object, n int) {
	if o != nil && o.body != nil {
		o.body.refN(n)
	}
}
