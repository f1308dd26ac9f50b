package cache

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weir/internal/web"
)

// Fills that hang take memory too: they are counted, and beyond the budget who
// asks is told to come again. What is kept goes before that.
func TestFillsInTheAirAreCharged(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const limit = 256 << 10
		c := newCache(t, Options{Bytes: limit})
		get(t, c, q("/kept"), says(200, string(make([]byte, 30<<10)), "Cache-Control", "max-age=600"), Miss, string(make([]byte, 30<<10)))
		end := make(chan struct{})
		hang := func(context.Context, *Object) (*web.Response, error) {
			<-end
			return web.NewResponse(200, web.String("x"), "Cache-Control", "no-store"), nil
		}
		var full, answered atomic.Int64
		for i := range 200 {
			c.Ask(q(fmt.Sprint("/", i)), hang, func(o *Object, _ Outcome, err error) {
				var e *web.Error
				switch {
				case err == nil:
					answered.Add(1)
					o.Release()
				case errors.As(err, &e) && e.Status == 503 && errors.Is(err, ErrNoRoom):
					full.Add(1)
				default:
					t.Errorf("%v", err)
				}
			})
			synctest.Wait()
			if n := c.budget.used.Load(); n > limit {
				t.Fatalf("%d bytes of %d", n, limit)
			}
		}
		if most, n := int64(limit/flightBytes), full.Load(); n < 200-most || n > 200-most+5 {
			t.Errorf("%d were sent away, of 200 with room for %d", n, most)
		}
		close(end)
		synctest.Wait()
		if full.Load()+answered.Load() != 200 {
			t.Errorf("%d and %d of 200", full.Load(), answered.Load())
		}
		time.Sleep(time.Second) // failures are forgotten
		get(t, c, q("/199"), says(200, "x", "Cache-Control", "max-age=600"), Miss, "x")
	})
}
