package node

import (
	"log/slog"
	"sync"
	"sync/atomic"

	"weir/cmd/weir/config"
)

// Applied says what a reload did, by key.
type Applied struct {
	Live    []string `json:"applied"`       // changed, and in force now
	Restart []string `json:"needs_restart"` // changed, and not in force until the node is started anew
}

// live holds the config in force and changes it as a whole.
type live[C config.Origin | config.Edge] struct {
	mu      sync.Mutex // held during a reload: one at a time
	current atomic.Pointer[C]
	reread  func() (*C, error)
	apply   func(old, new *C) error // must change nothing if it fails
	log     *slog.Logger
	metrics *metrics
}

func (l *live[C]) get() *C { return l.current.Load() }

// reload implements [Node.Reload].
func (l *live[C]) reload() (Applied, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	done := Applied{Live: []string{}, Restart: []string{}}
	if l.reread == nil {
		return done, nil
	}
	next, err := l.reread()
	if err == nil {
		old := l.get()
		live, restart := config.Split(config.Diff(old, next))
		done.Live, done.Restart = append(done.Live, live...), append(done.Restart, restart...)
		merged := config.Live(old, next)
		if err = l.apply(old, merged); err == nil {
			l.current.Store(merged)
		}
	}
	if err != nil {
		l.metrics.refused.Inc()
		l.log.Error("reload: nothing changed, the config is wrong", "error", err)
		return Applied{}, err
	}
	l.metrics.reloaded.Inc()
	l.metrics.pending.Set(float64(len(done.Restart)))
	l.log.Info("reload: applied", "keys", done.Live)
	if len(done.Restart) > 0 {
		l.log.Warn("reload: these keys changed and need a restart", "keys", done.Restart)
	}
	return done, nil
}
