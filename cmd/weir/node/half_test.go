package node

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"weir/cmd/weir/config"
)

// A reload for which there are no files left changes nothing at all: neither origins nor keys
// nor one of two listeners.
func TestAReloadThatCannotOpenItsListenersChangesNothing(t *testing.T) {
	cfg := edgeConfig("http://127.0.0.1:1")
	cfg.Cluster.Secret = "a secret for tests only"
	n, err := newNode(&Options[config.Edge]{Config: cfg, Registry: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	b := &edgeNode{Node: n, o: Options[config.Edge]{Config: cfg, Registry: prometheus.NewRegistry()}}
	b.live.current.Store(cfg)
	b.drain = func() config.Drain { return config.Drain{} }
	if err := b.build(); err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	key, _ := tokenKey(t, "new")
	next := *cfg
	next.Limits.Connections = 7
	next.Origins = []string{"http://127.0.0.1:2"}
	next.Tokens.Keys = []config.TokenKey{key}
	_ = b.peerDoor.ln.Close() // it cannot be duplicated any more
	before := b.entrance.plainDoor.now
	if err := b.apply(cfg, &next); err == nil {
		t.Fatal("applied")
	}
	if got := b.origins.list()[0].Name; got != cfg.Origins[0] {
		t.Error("the origins changed:", got)
	}
	if b.tokens.Load() != nil {
		t.Error("the token keys changed")
	}
	if b.entrance.plainDoor.now != before {
		t.Error("the viewers' listener changed")
	}
}
