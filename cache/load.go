package cache

// Load is how much of the cache is in use by what cannot be put off: cheaper
// than Stats, for whoever decides many times a second whether there is room.
type Load struct {
	Held, Limit int64 // bytes that eviction would not bring back, of all
	InAir       int64 // fills

	Waiters, MaxWaiters int64 // askers waiting for a head, and how many may
}

// Load returns what is in use now.
func (c *Cache) Load() Load {
	return Load{Held: c.held(), Limit: c.budget.limit, InAir: c.inFlight.Load(),
		Waiters: c.waiters.Load(), MaxWaiters: int64(c.opts.MaxWaiters)}
}
