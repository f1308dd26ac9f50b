package node

import (
	"context"
	"net/url"

	"weir/cmd/weir/config"
	"weir/edge/cluster"
	"weir/internal/web"
	"weir/internal/wire"
)

// makeCluster makes the edge one of many, where it is to be.
func (b *edgeNode) makeCluster(cfg *config.Edge) (err error) {
	c := &cfg.Cluster
	if !c.On() {
		return nil
	}
	d, err := openDoor("cluster.peers", c.Peers, b.fail)
	if err != nil {
		return err
	}
	b.addrs.Peers = d.addr()
	b.peerDoor = d
	peerAddr := c.AdvertisePeers
	if peerAddr == "" {
		peerAddr = d.addr()
	}
	var secret []byte
	if c.Secret != "" {
		secret = []byte(c.Secret)
	}
	b.cluster, err = cluster.New(cluster.Options{
		Name: b.name, Bind: c.Bind, Advertise: c.Advertise, PeerAddr: peerAddr,
		Join: c.Join, Secret: secret, Zone: c.Zone, Weight: c.Weight,
		Dial: func(name, addr string) web.Handler {
			client, err := b.dial(wire.ClientOptions{Name: name, Base: &url.URL{Scheme: "http", Host: addr}})
			if err != nil { // an address that gossip let pass and no URL can hold
				return web.HandlerFunc(func(context.Context, *web.Request) (*web.Response, error) { return nil, err })
			}
			return client
		},
		Log: b.log, Registerer: b.o.Registry,
	})
	if err != nil {
		return err
	}
	b.gossip = b.cluster
	b.background("gossip", b.cluster.Run)
	b.onClose("cluster", func(context.Context) error { return b.cluster.Close() })
	return nil
}

// openPeers opens the listener that other edges ask, behind the proof that
// they know the cluster's secret.
func (b *edgeNode) openPeers(cfg *config.Edge) (err error) {
	if b.cluster == nil {
		return nil
	}
	b.peers, err = b.openViewers(b.peerDoor, "peers", b.edge.PeerHandler(), b.o.Registry, edgeBounds(cfg))
	return err
}

// members is what /debug/cluster shows.
func (b *edgeNode) members() any {
	if b.cluster == nil {
		return map[string]any{"node": b.name, "cluster": "off"}
	}
	return map[string]any{"node": b.name, "hash": b.cluster.Hash(), "members": b.cluster.Members()}
}
