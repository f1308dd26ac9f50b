package cache

import (
	"context"
	"testing"

	"weir/internal/web"
)

// What waits and what is in the air shows while it is, and not after.
func TestLoadShowsWhatIsUnderWay(t *testing.T) {
	c, err := New(Options{Bytes: 1 << 20, MaxWaiters: 7})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	in, out := make(chan struct{}), make(chan struct{})
	done := make(chan error, 1)
	go func() {
		o, _, err := c.Get(context.Background(), Query{Key: "/a"}, func(context.Context, *Object) (*web.Response, error) {
			close(in)
			<-out
			return web.Text(200, "a"), nil
		})
		if err == nil {
			o.Release()
		}
		done <- err
	}()
	<-in
	if l := c.Load(); l.InAir != 1 || l.Waiters != 1 || l.MaxWaiters != 7 || l.Limit != 1<<20 {
		t.Errorf("%+v", l)
	}
	close(out)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if l := c.Load(); l.Waiters != 0 {
		t.Errorf("%+v", l)
	}
}
