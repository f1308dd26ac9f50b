package cluster

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"weir/internal/web"
)

// That this node had no connection free says nothing of the peer: to blame it
// would move its keys to others just when there is much to do.
func TestAPeerThatWasNotAskedIsNotToBlame(t *testing.T) {
	f := func(reason string, status, failures int) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			defer w.end()
			a := w.start("a", func(o *Options) {
				o.Dial = func(string, string) web.Handler {
					return web.HandlerFunc(func(context.Context, *web.Request) (*web.Response, error) {
						return nil, &web.Error{Status: status, Reason: reason, Err: errors.New("as many as may")}
					})
				}
			})
			w.start("b", nil)
			w.within(joinTime, all(2, "a", "b"))
			for _, o := range a.Owners("/x", 2) {
				if o.Self {
					continue
				}
				if _, err := o.Peer.Serve(t.Context(), ask("/x", "")); web.ReasonOf(err) != reason {
					t.Error(err)
				}
			}
			owned := 0
			for _, o := range a.Owners("/x", 2) {
				if !o.Self {
					owned++
				}
			}
			if owned != 1-failures {
				t.Errorf("%s: the peer is asked for %d keys of 1", reason, owned)
			}
		})
	}
	f("upstream_busy", 503, 0)
	f("upstream_unreachable", 502, 1)
}
