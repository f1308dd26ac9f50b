// Package cluster knows which edges live, and which of them owns a key.
//
// It promises an answer at once: owners are computed from an immutable
// snapshot of the members, never by asking anybody.
package cluster

import (
	"context"
	"log/slog"
	"time"

	"weir/internal/web"

	"github.com/hashicorp/memberlist"
	"github.com/prometheus/client_golang/prometheus"
)

type Options struct {
	Name        string
	Bind        string
	Advertise   string
	PeerAddr    string
	Join        []string
	Label       string
	Secret      []byte
	Zone        string
	Weight      int
	Dial        func(name, addr string) web.Handler
	RejoinEvery time.Duration
	Transport   memberlist.NodeAwareTransport
	OnChange    func()
	Log         *slog.Logger
	Registerer  prometheus.Registerer
}

type Cluster struct{}

func New(opts Options) (*Cluster, error)             { return &Cluster{}, nil }
func (c *Cluster) Run(ctx context.Context) error     { <-ctx.Done(); return nil }
func (c *Cluster) Leave(timeout time.Duration) error { return nil }
func (c *Cluster) Drain(timeout time.Duration) error { return nil }
func (c *Cluster) Close() error                      { return nil }
func (c *Cluster) Addr() string                      { return "" }
func (c *Cluster) Owner(key string) (Peer, bool)     { return nil, true }
func (c *Cluster) Owners(key string, n int) []Owner  { return nil }
func (c *Cluster) Alive() int                        { return 1 }
func (c *Cluster) Failed(name string)                {}
func (c *Cluster) Succeeded(name string)             {}
func (c *Cluster) Members() []Member                 { return nil }
func (c *Cluster) Sign(req *web.Request)             {}
func (c *Cluster) Verify(req *web.Request) error     { return nil }

// Peer is another edge that can be asked. It is an alias, so that package edge
// can declare the same interface without importing this package.
type Peer = interface {
	web.Handler
	Name() string
}

type Owner struct {
	Name string
	Self bool
	Peer Peer
}

type Member struct {
	Name, Addr, PeerAddr, Zone, State string
	Weight                            int
	Draining                          bool
	Share                             float64
}
