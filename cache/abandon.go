package cache

// smallRest is how many bytes of a body are fetched to their end although
// nobody wants them any more: the connection they come by is worth more.
const smallRest = 1 << 20

// goesOn reports whether a fill goes on when the last of those who wanted its
// answer has left: kept says that the answer can serve those who come later,
// got how many bytes of it are here, size how many there are, -1 if that is not
// known.
//
//	not kept                               it ends: nobody could have what it brings
//	a playlist, a segment or an init       it goes on: at the live edge the next
//	                                       viewer is a moment away
//	the length is not known                it goes on, up to MaxObject
//	at most smallRest is missing           it goes on
//	at least half is here                  it goes on
//	else                                   it ends: a large file that is hardly begun
func goesOn(class Class, kept bool, got, size int64) bool {
	switch {
	case !kept:
		return false
	case class != Other, size < 0:
		return true
	}
	rest := size - got
	return rest <= smallRest || rest <= got
}

// lonely looks after a flight whose head is not known yet when somebody has
// left. If all have, it ends where it only was for one, or has not begun its
// next attempt; else it goes on: heads are small, and by its head it is seen
// what to do with the body. The caller holds s.mu.
func (f *flight) lonely() {
	switch {
	case len(f.waiters) > 0 || f.settled:
	case f.solo:
		f.cancel(errLeft)
	case f.resting:
		f.unlist() // nobody may join what is over
		f.cancel(errLeft)
	}
}

// few is how many references on a body may be the cache's own: the flight's,
// and those of the heads kept with it.
const few = 4

// left is called when somebody has let go of the body that f takes in: readers
// count as followers. If the last one has, it is decided whether f goes on. It
// must not be called under a lock.
func (f *flight) left(b *blob) {
	if b.refs.Count() > few || f.background {
		return
	}
	s := f.s
	s.mu.Lock()
	kept := s.holding(f.fk.key, b)
	if b.filling.Load() != f || b.refs.Count() > int64(1+len(kept)) {
		s.mu.Unlock()
		return
	}
	if goesOn(f.q.Class, len(kept) > 0, b.Size(), b.Len()) {
		s.mu.Unlock()
		return
	}
	b.filling.Store(nil)
	for _, k := range kept {
		s.remove(k) // in the same step: who asks now starts anew and does not find half a body
	}
	s.mu.Unlock()
	f.c.metrics.abandoned.Inc()
	for _, k := range kept {
		f.c.discard(k)
	}
	f.cancel(errLeft)
}

// follow lets f know who lets go of its body, until the end of it.
func (f *flight) follow(b *blob) (end func()) {
	b.filling.Store(f)
	return func() {
		f.s.mu.Lock()
		b.filling.Store(nil)
		f.s.mu.Unlock()
	}
}
