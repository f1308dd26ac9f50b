package main

import (
	"context"

	"weir/cmd/weir/config"
	"weir/cmd/weir/node"
)

type edgeCmd struct {
	nodeFlags  `embed:""`
	Origin     []string `sep:"none" placeholder:"URL" help:"An origin, as in http://origin1:8080. Repeat it: the next is asked when one fails."`
	OriginKey  string   `placeholder:"FILE" help:"The key that origins with access.mode pull-key want."`
	CacheDir   string   `placeholder:"DIR" help:"Keep what memory does not hold in this directory, also over restarts."`
	Query      string   `placeholder:"hls|all" help:"What of the query names an object: hls (default) its _HLS_ directives, all the whole, for any web server."`
	TokenKey   []string `sep:"none" placeholder:"FILE" help:"Serve only viewers with a token signed by this key; the file's name is its id. May be repeated."`
	Join       []string `sep:"none" placeholder:"ADDR" help:"Another edge's gossip, host:port: share the work with its cluster. May be repeated."`
	ClusterKey string   `placeholder:"FILE" help:"The secret that all edges of the cluster share. Also starts a cluster of one, for others to join."`
	Gossip     string   `placeholder:"ADDR" help:"Where this edge gossips (default :7946)."`
	Peers      string   `placeholder:"ADDR" help:"Where other edges ask this one (default :8091)."`
	Name       string   `placeholder:"NAME" help:"This edge's name in the cluster (default: the machine's, and the port)."`
}

// Help implements kong's HelpProvider.
func (edgeCmd) Help() string {
	return `Viewers ask http://HOST:8090/live/CHANNEL/index.m3u8, with a token
http://HOST:8090/t/TOKEN/live/CHANNEL/index.m3u8. Without a token key everybody is served.

Signals: TERM and INT drain and stop (a second one stops at once), HUP reloads the config.
Exit codes: 0 stopped when told to, 1 failed, 2 wrong command line or config.

Examples:
  weir edge --origin http://origin1:8080 --origin http://origin2:8080
  weir edge --config /etc/weir/edge.yaml
  weir edge --origin http://origin1:8080 --token-key k1.pub.pem
  weir edge --origin http://origin1:8080 --cluster-key cluster.key --join edge1:7946
  weir edge --origin http://www.example.org --query all`
}

// Run implements the command.
func (c *edgeCmd) Run(ctx context.Context, e env) error {
	load := func() (*config.Edge, config.Problems, error) { return config.LoadEdge(c.Config, c.all()...) }
	return runNode(ctx, e, load, node.NewEdge)
}

func (c *edgeCmd) all() flags {
	return c.flags().
		add("--memory", "cache.memory", c.Memory).
		add("--origin", "origins", c.Origin...).
		add("--origin-key", "origin_key_file", c.OriginKey).
		add("--cache-dir", "cache.disk.dir", c.CacheDir).
		add("--query", "query", c.Query).
		add("--token-key", "tokens.keys", c.TokenKey...).
		add("--join", "cluster.join", c.Join...).
		add("--cluster-key", "cluster.secret_file", c.ClusterKey).
		add("--gossip", "cluster.bind", c.Gossip).
		add("--peers", "cluster.peers", c.Peers).
		add("--name", "name", c.Name)
}
