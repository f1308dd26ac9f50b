package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"weir/cmd/weir/config"
	"weir/cmd/weir/node"
)

// configured is what both configs have.
type configured interface {
	Warnings() []string
	LogConfig() config.Log
	MemoryConfig() (key string, size config.Size)
}

// runNode loads a config, and runs the node it describes until ctx is done.
func runNode[C config.Origin | config.Edge, P interface {
	*C
	configured
}](ctx context.Context, e env, load func() (*C, config.Problems, error), start func(node.Options[C]) (*node.Node, error)) error {
	cfg, places, err := load()
	if err != nil {
		return usageError{err}
	}
	log, level := newLogger(e, P(cfg).LogConfig())
	warn(log, P(cfg).Warnings(), places)
	key, size := P(cfg).MemoryConfig()
	if err := node.TuneProcess(log, key, size); err != nil {
		return usageError{err}
	}
	n, err := start(node.Options[C]{
		Config: cfg, Log: log, Level: level, Version: buildVersion(),
		Reread: func() (*C, error) {
			next, places, err := load()
			if err == nil {
				warn(log, P(next).Warnings(), places)
			}
			return next, err
		},
	})
	if err != nil {
		return err
	}
	defer reloadOnHangup(n)()
	return n.Run(ctx)
}

func warn(log *slog.Logger, warnings []string, places config.Problems) {
	for _, w := range warnings {
		log.Warn(w)
	}
	for _, p := range places {
		log.Warn(p.String())
	}
}

// reloadOnHangup reloads n at each SIGHUP, until the function returned is
// called. What comes of it is in the log.
func reloadOnHangup(n *node.Node) (stop func()) {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-hup:
				_, _ = n.Reload()
			case <-end:
				return
			}
		}
	}()
	return func() { signal.Stop(hup); close(end); <-ended }
}
