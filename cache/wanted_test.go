//go:build !race

// Under the race detector sync.Pool throws a quarter of what it is given away,
// and with that nearly all that ristretto notes about use.

package cache

import (
	"fmt"
	"testing"
	"testing/synctest"
)

// A crowd that watches live does not wash out what others come back for:
// objects that were wanted again and again stay in memory.
func TestWhatIsWantedStaysInMemory(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := full(t, Options{Bytes: 2 << 20})
		body := string(make([]byte, 20<<10))
		for seg := range 200 {
			get(t, c, q(fmt.Sprint("/live", seg)), says(200, body, "Cache-Control", "max-age=600"), Miss, body)
		}
		synctest.Wait()
		kept := 0
		for i := range 2 * int(c.opts.Bytes) / (10 << 10) {
			if o, ok := c.Lookup(q(fmt.Sprint("/old", i))); ok {
				o.Release()
				kept++
			}
		}
		if kept < 50 {
			t.Errorf("only %d of the objects that were wanted for 20 seconds are left: %+v", kept, c.Stats())
		}
	})
}
