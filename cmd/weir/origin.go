package main

import (
	"context"

	"weir/cmd/weir/config"
	"weir/cmd/weir/node"
)

type originCmd struct {
	nodeFlags  `embed:""`
	Ingest     string `placeholder:"ADDR" help:"Where encoders push (default :8081; without --publish-key on this machine only)."`
	PublishKey string `placeholder:"FILE" help:"Publishers, one NAME SECRET CHANNELS a line, as in: studio 4f1c2b9a sport-*,news."`
	Watch      string `placeholder:"DIR" help:"Take in what FFmpeg writes with -f hls into DIR/CHANNEL/, too."`
	Data       string `placeholder:"DIR" help:"Keep what is published here, so that a restart goes on where it was, and for DVR (default: memory only)."`
	PullKey    string `placeholder:"FILE" help:"Answer only edges and CDNs that send a key; one NAME SECRET a line."`
}

// Help implements kong's HelpProvider.
func (originCmd) Help() string {
	return `Encoders push to http://HOST:8081/ingest/CHANNEL/..., and edges ask
http://HOST:8080/live/CHANNEL/index.m3u8. A channel appears when its encoder first pushes.

Signals: TERM and INT drain and stop (a second one stops at once), HUP reloads the config.
Exit codes: 0 stopped when told to, 1 failed, 2 wrong command line or config.

Examples:
  weir origin
  weir origin --config /etc/weir/origin.yaml
  weir origin --listen :8080 --ingest :8081 --publish-key publishers.keys --pull-key pull.keys
  ffmpeg ... -f hls -method PUT http://127.0.0.1:8081/ingest/test/index.m3u8
  ffmpeg ... -f hls -method PUT http://HOST:8081/ingest/k/SECRET/test/index.m3u8
  weir origin --watch /var/spool/weir; ffmpeg ... -f hls /var/spool/weir/test/index.m3u8`
}

// Run implements the command.
func (c *originCmd) Run(ctx context.Context, e env) error {
	load := func() (*config.Origin, config.Problems, error) { return config.LoadOrigin(c.Config, c.all()...) }
	return runNode(ctx, e, load, node.NewOrigin)
}

func (c *originCmd) all() flags {
	fs := c.flags().
		add("--watch", "ingest.watch.dir", c.Watch).
		add("--memory", "store.memory", c.Memory).
		add("--ingest", "ingest.listen", c.Ingest).
		add("--data", "store.dir", c.Data).
		add("--publish-key", "ingest.keys_file", c.PublishKey).
		add("--pull-key", "access.keys_file", c.PullKey)
	if c.PullKey != "" {
		fs = fs.add("--pull-key", "access.mode", config.AccessPullKey)
	}
	return fs
}
