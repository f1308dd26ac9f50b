package cache

import (
	"slices"
	"time"
)

// Stats is what a Cache is doing, for people to look at.
type Stats struct {
	Limit   int64    `json:"limit"` // bytes
	Bytes   int64    `json:"bytes"` // charged now
	Held    int64    `json:"held"`  // of these: in the air, or evicted and still being read
	Young   Tier     `json:"young"`
	Memory  Tier     `json:"memory"`
	Waiters int64    `json:"waiters"` // askers waiting for a head
	Parked  int64    `json:"parked"`  // bytes of theirs
	InAir   int64    `json:"in_air"`  // fills in the air
	Flights []Flight `json:"flights"` // at most maxFlights of them, the longest in the air first
}

// Tier is what a tier holds.
type Tier struct {
	Bytes   int64 `json:"bytes"`
	Share   int64 `json:"share"` // bytes it may hold
	Objects int64 `json:"objects"`
}

// Flight is one fill in the air.
type Flight struct {
	Key        string        `json:"key"`
	Class      string        `json:"class"`
	Age        time.Duration `json:"age_ns"`
	Idle       time.Duration `json:"idle_ns"`   // since it last got on
	Waiters    int           `json:"waiters"`   // for its head
	Followers  int64         `json:"followers"` // of its body
	Bytes      int64         `json:"bytes"`     // arrived
	Length     int64         `json:"length"`    // of the whole body; -1: not known
	NoPeer     bool          `json:"no_peer"`
	Pass       bool          `json:"pass"`       // for one asker only
	Revalidate bool          `json:"revalidate"` // something stale is there
}

const maxFlights = 1000

// Stats looks at the cache.
func (c *Cache) Stats() Stats {
	s := Stats{Limit: c.budget.limit, Held: c.held(), Bytes: c.budget.used.Load(),
		Waiters: c.waiters.Load(), Parked: c.parked.Load(), InAir: c.inFlight.Load()}
	for t, to := range map[tier]*Tier{young: &s.Young, memory: &s.Memory} {
		to.Bytes, to.Objects = c.tiers.usage(t)
		to.Share = c.tiers.max[t]
	}
	flights := c.air.list()
	slices.SortFunc(flights, func(a, b *flight) int { return a.started.Compare(b.started) })
	for _, f := range flights[:min(len(flights), maxFlights)] {
		s.Flights = append(s.Flights, f.stats())
	}
	return s
}

func (a *air) list() []*flight {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := make([]*flight, 0, len(a.flights))
	for f := range a.flights {
		all = append(all, f)
	}
	return all
}

func (f *flight) stats() Flight {
	age := time.Since(f.started)
	s := Flight{Key: f.fk.key, Age: age, Idle: age - time.Duration(f.progress.Load()),
		Length: -1, NoPeer: f.fk.noPeer, Pass: f.solo, Revalidate: f.stale != nil}
	f.s.mu.RLock()
	s.Class = min(f.q.Class, classes-1).String()
	s.Waiters = len(f.waiters)
	f.s.mu.RUnlock()
	if in := f.taking.Load(); in != nil {
		s.Bytes, s.Length = in.blob.Size(), in.blob.Len()
		s.Followers = max(0, in.blob.refs.Count()-2) // less the flight's own and the store's
	}
	return s
}

// held returns the bytes charged that stand in no tier.
func (c *Cache) held() int64 {
	n := c.budget.used.Load()
	for t := young; t < tierCount; t++ {
		bytes, _ := c.tiers.usage(t)
		n -= bytes
	}
	return max(0, n)
}
