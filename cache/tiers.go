package cache

import (
	"sync"
	"time"
)

// A tier is where a kept object stands.
type tier uint8

const (
	nowhere tier = iota // not in the store: not yet, or no longer
	young               // among the newest bytes, first in first out
	memory              // among what the policy thinks will be wanted again
	tierCount
)

func (t tier) String() string { return [...]string{"held", "young", "memory"}[t] }

// tiers is the order in which kept objects go. Whoever moves an object to
// nowhere, under mu, is the one to take it out of the index and to give its
// bytes back.
type tiers struct {
	mu     sync.Mutex // guards lists, and the place of every kept object
	lists  [tierCount]list
	max    [tierCount]int64 // bytes
	policy *policy
}

func (t *tiers) init(c *Cache, youngMax, memoryMax int64) (err error) {
	t.max[young], t.max[memory] = youngMax, memoryMax
	t.policy, err = newPolicy(memoryMax, policyEvents{
		gone:    func(k *kept) { c.expel(k) },
		evicted: func() { c.metrics.evicted(memory) },
		refused: func() { c.metrics.rejected[refusedByPolicy].Inc() },
	})
	return err
}

// add puts k among the young. What its body costs is added once it is whole:
// until then it counts as in the air.
func (t *tiers) add(k *kept) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k.tier, k.cost = young, k.overhead
	if !k.stored.Filling() {
		k.cost += k.stored.body.charged.Load()
	}
	t.lists[young].push(k)
}

// landed adds what the body of k costs, now that it is whole.
func (t *tiers) landed(k *kept) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if k.tier != nowhere && k.cost == k.overhead {
		n := k.stored.body.charged.Load()
		k.cost += n
		t.lists[k.tier].bytes += n
	}
}

// stands reports whether k is in the given tier.
func (t *tiers) stands(k *kept, in tier) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return k.tier == in
}

// leave moves k to nowhere, from the given tier or, if that is nowhere, from
// any. False means that somebody else did, and that nothing is to be done.
func (t *tiers) leave(k *kept, from tier) (tier, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	was := k.tier
	if was == nowhere || from != nowhere && from != was {
		return nowhere, false
	}
	t.lists[was].unlink(k)
	k.tier = nowhere
	return was, true
}

// overflow takes the oldest whole object from the young if they are more than
// their share, and puts it to memory if it can still be of use.
func (t *tiers) overflow(now time.Time) (k *kept, to tier) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.lists[young].bytes <= t.max[young] {
		return nil, nowhere
	}
	if k = t.lists[young].oldest(func(k *kept) bool { return !k.stored.Filling() }); k == nil {
		return nil, nowhere
	}
	t.lists[young].unlink(k)
	k.tier = nowhere
	if k.stored.worthKeeping(now) {
		k.tier = memory
		t.lists[memory].push(k)
	}
	return k, k.tier
}

// victim takes out of its tier the object to go first when the budget is
// spent: memory's oldest where the policy lags behind its share, else young's,
// else memory's. What is read or in the air is spared, as no byte would come
// of it. The caller must forget the victim.
func (t *tiers) victim() (*kept, tier) {
	t.mu.Lock()
	defer t.mu.Unlock()
	idle := func(k *kept) bool { return k.stored.body.idle() } // a flight is no idler
	order := [...]tier{young, memory}
	if t.lists[memory].bytes > t.max[memory] {
		order = [...]tier{memory, young}
	}
	for _, from := range order {
		if k := t.lists[from].oldest(idle); k != nil {
			t.lists[from].unlink(k)
			k.tier = nowhere
			return k, from
		}
	}
	return nil, nowhere
}

// usage returns how many bytes and objects a tier holds.
func (t *tiers) usage(of tier) (bytes, objects int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.lists[of].bytes, t.lists[of].n
}

// trim brings the young back to their share.
func (c *Cache) trim() {
	for {
		k, to := c.tiers.overflow(time.Now())
		switch {
		case k == nil:
			return
		case to == nowhere:
			c.metrics.evicted(young)
			c.forget(k, young)
		case !c.tiers.policy.set(k):
			// Dropped sets call nothing back: what was handed over is still ours.
			c.metrics.rejected[refusedByQueue].Inc()
			c.expel(k)
		case !c.tiers.stands(k, memory):
			c.tiers.policy.del(k) // it went before the policy had heard of it
		}
	}
}

// discard takes k out of the store, wherever it stands.
func (c *Cache) discard(k *kept) {
	if from, ok := c.tiers.leave(k, nowhere); ok {
		c.forget(k, from)
	}
}

// expel takes k out of memory because the policy let it go.
func (c *Cache) expel(k *kept) {
	if _, ok := c.tiers.leave(k, memory); ok {
		c.forget(k, nowhere)
	}
}

// forget ends the store's hold on k, which was moved from a tier to nowhere.
func (c *Cache) forget(k *kept, from tier) {
	s := c.shard(c.hash(k.key()))
	s.mu.Lock()
	s.remove(k)
	s.mu.Unlock()
	if from == memory {
		c.tiers.policy.del(k)
	}
	c.budget.give(k.overhead)
	k.stored.body.Close()
}

// close gives up everything kept.
func (t *tiers) close(c *Cache) {
	t.policy.close()
	for _, of := range [...]tier{young, memory} {
		for {
			t.mu.Lock()
			k := t.lists[of].tail
			t.mu.Unlock()
			if k == nil {
				break
			}
			c.discard(k)
		}
	}
}

// touch tells the policy that k is wanted, at most once a second: how many
// seconds an object was wanted in is a better measure of its worth than how
// often, and costs the hottest objects nothing.
func (c *Cache) touch(k *kept, now time.Time) {
	if sec := now.Unix(); k.touched.Load() != sec {
		k.touched.Store(sec)
		c.tiers.policy.touch(k.id)
	}
}

// worthKeeping reports whether the object can still answer somebody: fresh,
// or stale within what its answer allows, or once upstream says it is good.
func (o *Object) worthKeeping(now time.Time) bool {
	return o.fresh(now) || o.hasValidator() || o.staleFor(now, max(o.whileRevalidate, o.ifError))
}

// A list holds the objects of one tier, the newest at its head.
type list struct {
	head, tail *kept
	n, bytes   int64
}

func (l *list) push(k *kept) {
	k.newer, k.older = nil, l.head
	if l.head != nil {
		l.head.newer = k
	} else {
		l.tail = k
	}
	l.head = k
	l.n++
	l.bytes += k.cost
}

func (l *list) unlink(k *kept) {
	if k.newer != nil {
		k.newer.older = k.older
	} else {
		l.head = k.older
	}
	if k.older != nil {
		k.older.newer = k.newer
	} else {
		l.tail = k.newer
	}
	k.newer, k.older = nil, nil
	l.n--
	l.bytes -= k.cost
}

// searchDepth bounds how far behind the oldest object a victim is looked for.
const searchDepth = 256

// oldest returns the oldest object that may go, or nil if none of the oldest may.
func (l *list) oldest(may func(*kept) bool) *kept {
	k := l.tail
	for range searchDepth {
		if k == nil || may(k) {
			return k
		}
		k = k.newer
	}
	return nil
}
