package cache

// Invalidate makes everything kept for key unusable, in each of its variants,
// and so what fills in the air bring that asked before: those who wait get it,
// nobody else does. It is for "a successful unsafe request" (RFC 9111 section
// 4.4) and for purges: once it has returned no older answer is given to anybody
// who asks.
func (c *Cache) Invalidate(key string) {
	hash := c.hash(key)
	s := c.shard(hash)
	s.mu.Lock()
	gone := s.all(key)
	for _, k := range gone {
		k.purged = true
		s.remove(k) // in the same step: an answer to HEAD would else make a new head for it
	}
	if c.shelf != nil {
		c.shelf.Remove(key)
	}
	for fk, f := range s.flights {
		if fk.key == key {
			f.outdated = true
			delete(s.flights, fk) // nobody joins it any more
		}
	}
	delete(s.passing, hash)
	s.mu.Unlock()
	for _, k := range gone {
		c.discard(k)
	}
}

// Evict gives up what is kept for key, which nobody is expected to want any
// more. Readers finish, and a fill in the air is kept when it comes.
func (c *Cache) Evict(key string) {
	s := c.shard(c.hash(key))
	s.mu.Lock()
	gone := s.all(key)
	if c.shelf != nil {
		c.shelf.Forget(key)
	}
	s.mu.Unlock()
	for _, k := range gone {
		c.discard(k)
	}
}

// all returns every variant kept for key.
func (s *shard) all(key string) []*kept {
	if e := s.entries[key]; e != nil {
		return e.all()
	}
	return nil
}
