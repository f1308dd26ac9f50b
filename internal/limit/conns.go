package limit

import (
	"net/netip"
	"sync"
)

// connections counts the open connections of each address. It holds no more
// addresses than there are connections, whose number the listener bounds.
type connections struct {
	mu   sync.Mutex
	open map[netip.Addr]int32 // guarded by mu; none is 0
}

func (c *connections) enter(a netip.Addr, most int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.open[a]
	if most > 0 && int(n) >= most {
		return false
	}
	if c.open == nil {
		c.open = make(map[netip.Addr]int32)
	}
	c.open[a] = n + 1
	return true
}

func (c *connections) leave(a netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch n := c.open[a]; {
	case n > 1:
		c.open[a] = n - 1
	case n == 1:
		delete(c.open, a)
		if len(c.open) == 0 {
			c.open = nil // a map keeps the size it once had
		}
	default:
		panic("BUG: limit: Leave without Enter")
	}
}

func (c *connections) addresses() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.open)
}
