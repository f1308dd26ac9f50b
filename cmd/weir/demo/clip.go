package demo

import (
	"context"
	"log/slog"
	"net/url"

	"weir/bench"
	"weir/internal/wire"
)

// A clip is the encoder where FFmpeg is missing: a few seconds, looped.
type clip struct {
	missing string // the program that was not found
	log     *slog.Logger
}

func (c *clip) name() string {
	return "an embedded clip, looped (no program " + c.missing + " was found)"
}

func (c *clip) push(ctx context.Context, to target) error {
	base, err := url.Parse(to.url)
	if err != nil {
		return err
	}
	client, err := wire.NewClient(wire.ClientOptions{Base: &url.URL{Scheme: base.Scheme, Host: base.Host}, Log: c.log, Name: "ingest"})
	if err != nil {
		return err
	}
	defer client.Close()
	e, err := bench.NewEncoder(bench.EncoderOptions{Ingest: client, Channel: Channel, Key: to.key, Log: c.log})
	if err != nil {
		return err
	}
	return e.Run(ctx)
}
