package cache

import (
	"errors"
	"hash/maphash"
	"time"

	"weir/internal/web"
)

// passTTL is for how long it is remembered that the answers to a key cannot be
// shared, so that those who ask for it do not wait for each other in vain. The
// first answer to one of them that could be shared ends it.
const passTTL = 5 * time.Second

// maxRemembered bounds how many failures, and how many unshareable keys, a
// shard remembers.
const maxRemembered = 1024

var (
	errPanic          = errors.New("fill panicked")
	errUnfinished     = errors.New("fill ended without an answer")
	errUpstreamStatus = errors.New("upstream answered with an error")
	errCut            = errors.New("upstream ended before its end")
	errLeft           = errors.New("whoever asked has left")
	errSettled        = errors.New("those who asked have their answer")
	errOvertaken      = errors.New("another fill answered first")
	errTooMany        = errors.New("too many wait for answers: raise MaxWaiters")
)

// A failure is a fill's error, and until when it answers others.
type failure struct {
	err   error
	until time.Time
}

// failure returns how the flight with this key failed just now.
func (s *shard) failure(hash uint64, now time.Time) (error, bool) {
	m, ok := s.failed[hash]
	if ok && !now.Before(m.until) {
		delete(s.failed, hash)
		return nil, false
	}
	return m.err, ok
}

// troubleTTL is for how long the failure of a fill answers those who ask the
// same: an upstream in trouble sees two questions a second for each object, not
// one for each viewer's retry.
func (c *Cache) troubleTTL(class Class, err error) time.Duration {
	status := 0
	if errors.Is(err, errUpstreamStatus) {
		status = web.StatusOf(err)
	}
	return c.negative(min(class, classes-1), status).Default
}

func (s *shard) remember(hash uint64, err error, now time.Time, ttl time.Duration) {
	makeRoom(s.failed, func(m failure) bool { return !now.Before(m.until) })
	s.failed[hash] = failure{err, now.Add(ttl)}
}

// passes reports whether answers for the key are taken to be unshareable.
func (s *shard) passes(hash uint64, now time.Time) bool {
	until, ok := s.passing[hash]
	if ok && !now.Before(until) {
		delete(s.passing, hash)
		return false
	}
	return ok
}

func (s *shard) pass(hash uint64, now time.Time) {
	makeRoom(s.passing, func(until time.Time) bool { return !now.Before(until) })
	s.passing[hash] = now.Add(passTTL)
}

// makeRoom makes room for one more, at the cost of what is over or else of
// whatever comes first.
func makeRoom[V any](m map[uint64]V, over func(V) bool) {
	if len(m) < maxRemembered {
		return
	}
	for h, v := range m {
		if over(v) {
			delete(m, h)
		}
	}
	for h := range m {
		if len(m) < maxRemembered {
			return
		}
		delete(m, h)
	}
}

// flightHash stands for a flight's key where something is remembered about it:
// a viewer can make keys long.
func (c *Cache) flightHash(fk flightKey) uint64 {
	var h maphash.Hash
	h.SetSeed(c.seed)
	_, _ = h.WriteString(fk.variant)
	if fk.noPeer {
		_ = h.WriteByte(1)
	} else {
		_ = h.WriteByte(0)
	}
	_, _ = h.WriteString(fk.key)
	return h.Sum64()
}
