package cache

import (
	"cmp"
	"slices"
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
	mu     sync.Mutex    // guards the lists, and the place of every kept object
	young  [groups]list  // each first in, first out
	memory list          // in the order of their coming; the policy says who goes
	share  [groups]int64 // bytes of the young that nobody else may take from a group
	max    [tierCount]int64
	policy *policy
}

func (t *tiers) init(c *Cache, youngMax, memoryMax int64, shares Shares) (err error) {
	t.max[young], t.max[memory] = youngMax, memoryMax
	for g, percent := range [groups]int{shares.Live, shares.Recorded, shares.Other} {
		t.share[g] = youngMax / 100 * int64(percent)
	}
	t.policy, err = newPolicy(memoryMax, policyEvents{
		gone:    func(k *kept) { c.expel(k) },
		evicted: func() { c.metrics.evicted(memory) },
		refused: func() { c.metrics.rejected[refusedByPolicy].Inc() },
	})
	return err
}

// list returns where k stands. t.mu is held.
func (t *tiers) list(k *kept) *list {
	if k.tier == memory {
		return &t.memory
	}
	return &t.young[k.group]
}

// add puts k among the young of its group. What its body costs is added once it
// is whole: until then it counts as in the air.
func (t *tiers) add(k *kept) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k.tier, k.cost = young, int64(k.overhead)
	if !k.stored.Filling() {
		k.cost += k.stored.body.charged.Load()
	}
	t.list(k).push(k)
}

// landed adds what the body of k costs, now that it is whole.
func (t *tiers) landed(k *kept) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if k.tier != nowhere && k.cost == int64(k.overhead) {
		n := k.stored.body.charged.Load()
		k.cost += n
		t.list(k).bytes += n
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
	t.list(k).unlink(k)
	k.tier = nowhere
	return was, true
}

// crowd returns the groups of the young that have more than their share, the
// one that has most beyond it first. t.mu is held.
func (t *tiers) crowd() []group {
	over := make([]group, 0, groups)
	for g := range groups {
		if t.young[g].bytes > t.share[g] {
			over = append(over, g)
		}
	}
	slices.SortFunc(over, func(a, b group) int {
		return cmp.Compare(t.young[b].bytes-t.share[b], t.young[a].bytes-t.share[a])
	})
	return over
}

func (t *tiers) youngBytes() (n, objects int64) {
	for g := range t.young {
		n += t.young[g].bytes
		objects += t.young[g].n
	}
	return n, objects
}

// overflow takes a whole object from the young if they are more than their
// bytes, the oldest of the group that has most beyond its share, and puts it to
// memory if it can still be of use.
func (t *tiers) overflow(now time.Time) (k *kept, to tier) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n, _ := t.youngBytes(); n <= t.max[young] {
		return nil, nowhere
	}
	for _, g := range t.crowd() {
		if k = t.young[g].oldest(func(k *kept) bool { return !k.stored.Filling() }); k != nil {
			break
		}
	}
	if k == nil {
		return nil, nowhere
	}
	t.list(k).unlink(k)
	k.tier = nowhere
	if k.stored.worthKeeping(now) {
		k.tier = memory
		t.memory.push(k)
	}
	return k, k.tier
}

// victim takes out of its tier the object to go first when the budget is spent
// and something of group g is to come in: of what has more than its share,
// memory first where the policy lags, then the young; then of memory; then of
// g's own young. What is live may take the last of the others, but never the
// other way round. What is read or in the air is spared, as no byte would come
// of it. The caller must forget the victim.
func (t *tiers) victim(g group) (*kept, tier) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var order [2*groups + 2]*list
	in := order[:0]
	if t.memory.bytes > t.max[memory] {
		in = append(in, &t.memory)
	}
	for _, over := range t.crowd() {
		in = append(in, &t.young[over])
	}
	in = append(in, &t.memory, &t.young[g])
	for other := range groups {
		if other != live && other != g {
			in = append(in, &t.young[other])
		}
	}
	for _, l := range in {
		if k := l.oldest(func(k *kept) bool { return k.stored.body.idle() }); k != nil { // a flight is no idler
			was := k.tier
			l.unlink(k)
			k.tier = nowhere
			return k, was
		}
	}
	return nil, nowhere
}

// usage returns how many bytes and objects a tier holds.
func (t *tiers) usage(of tier) (bytes, objects int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if of == memory {
		return t.memory.bytes, t.memory.n
	}
	return t.youngBytes()
}

// groups returns what each group holds of the young.
func (t *tiers) groups() (all []Group) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for g := range groups {
		all = append(all, Group{g.String(), Tier{Bytes: t.young[g].bytes, Share: t.share[g], Objects: t.young[g].n}})
	}
	return all
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
			c.retire(k, young)
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
		c.retire(k, nowhere)
	}
}

// forget ends the store's hold on k, which was moved from a tier to nowhere.
func (c *Cache) forget(k *kept, from tier) { c.takeOut(k, from, false) }

// retire is forget for what goes only because there is no room: the disk may
// have it.
func (c *Cache) retire(k *kept, from tier) { c.takeOut(k, from, true) }

func (c *Cache) takeOut(k *kept, from tier, toDisk bool) {
	s := c.shard(c.hash(k.key()))
	s.mu.Lock()
	vary, found := s.remove(k)
	if toDisk && found { // else something newer has its place
		c.toDisk(k, vary)
	}
	s.mu.Unlock()
	if from == memory {
		c.tiers.policy.del(k)
	}
	c.budget.give(int64(k.overhead))
	k.stored.body.Close()
}

// close gives up everything kept.
func (t *tiers) close(c *Cache) {
	t.policy.close()
	flush := c.flushing()
	lists := []*list{&t.memory}
	for g := range t.young {
		lists = append(lists, &t.young[g])
	}
	for _, l := range lists {
		for {
			t.mu.Lock()
			k := l.head
			t.mu.Unlock()
			if k == nil {
				break
			}
			if from, ok := t.leave(k, nowhere); ok {
				c.takeOut(k, from, flush(k))
			}
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
