package node

import (
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"weir/cmd/weir/config"
	"weir/edge"
	"weir/internal/wire"
	"weir/origin"
	"weir/token"
)

// upstreams are the origins that an edge asks now.
type upstreams struct {
	now atomic.Pointer[[]edge.Origin] // never changed, only replaced
}

func (u *upstreams) list() []edge.Origin { return *u.now.Load() }

// A dialer makes a client of an upstream: of who and how o says, with the
// limits that hold for all.
type dialer func(o wire.ClientOptions) (*wire.Client, error)

// build makes clients for the origins of new and puts them in force. Those
// that were there already under old, with the same rules, keep their connections.
func (u *upstreams) build(dial dialer, new, old *config.Edge) error {
	kept := map[string]edge.Origin{}
	same := old != nil && sameRules(old, new)
	if same {
		for _, o := range u.list() {
			kept[o.Name] = o
		}
	}
	rules, err := rulesOf(new)
	if err != nil {
		return err
	}
	next := make([]edge.Origin, 0, len(new.Origins))
	for i, text := range new.Origins {
		if o, ok := kept[text]; ok {
			next = append(next, o)
			delete(kept, text)
			continue
		}
		base, err := url.Parse(text)
		if err != nil {
			return fmt.Errorf("origins[%d]: %w", i, err)
		}
		o := rules
		o.Name, o.Base = base.Host, base
		c, err := dial(o)
		if err != nil {
			return fmt.Errorf("origins[%d]: %w", i, err)
		}
		next = append(next, edge.Origin{Name: text, Handler: c})
	}
	former := u.now.Swap(&next)
	if former == nil {
		return nil
	}
	for _, o := range *former {
		if _, gone := kept[o.Name]; gone || !same {
			o.Handler.(*wire.Client).Close() // only connections that are idle
		}
	}
	return nil
}

// close closes the connections that are idle.
func (u *upstreams) close() {
	for _, o := range u.list() {
		o.Handler.(*wire.Client).Close()
	}
}

// sameRules reports whether origins are asked by both in the same way.
func sameRules(a, b *config.Edge) bool {
	return a.OriginKey == b.OriginKey && a.OriginHost == b.OriginHost && maps.Equal(a.OriginHeaders, b.OriginHeaders) && a.OriginTLS == b.OriginTLS
}

// rulesOf is how each origin is asked, whichever it is.
func rulesOf(cfg *config.Edge) (o wire.ClientOptions, err error) {
	for name, value := range cfg.OriginHeaders {
		o.Header.Set(name, value)
	}
	if cfg.OriginKey != "" {
		o.Header.Set(origin.PullKeyHeader, cfg.OriginKey)
	}
	if cfg.OriginHost != config.OriginHostUpstream {
		o.Host = cfg.OriginHost
	}
	o.TLS, err = cfg.OriginTLS.Config()
	return o, err
}

// verifierOf makes the verifier of a config's token keys; nil: there are none,
// and everybody is served.
func verifierOf(cfg *config.Edge, reg prometheus.Registerer) (*token.Verifier, error) {
	if len(cfg.Tokens.Keys) == 0 {
		return nil, nil
	}
	o := cfg.Tokens.Options()
	o.Registerer = reg
	v, err := token.New(o)
	if err != nil {
		return nil, fmt.Errorf("tokens.keys: %w", err)
	}
	return v, nil
}

// setLevel changes what is logged.
func setLevel(v *slog.LevelVar, l config.Log) {
	var level slog.Level
	if v != nil && level.UnmarshalText([]byte(l.Level)) == nil {
		v.Set(level)
	}
}

// memo returns a function that derives a value from the config in force, and
// derives it again only when that was replaced.
func memo[C, V any](current *atomic.Pointer[C], derive func(*C) V) func() V {
	type entry struct {
		of *C
		v  V
	}
	var last atomic.Pointer[entry]
	return func() V {
		c := current.Load()
		if e := last.Load(); e != nil && e.of == c {
			return e.v
		}
		e := &entry{c, derive(c)}
		last.Store(e)
		return e.v
	}
}
