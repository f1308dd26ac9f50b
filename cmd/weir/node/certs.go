package node

import (
	"context"
	"crypto/tls"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"weir/cmd/weir/config"
	"weir/internal/wire"
)

// certsEvery is how often files of certificates are looked at: whoever renews them tells
// nobody.
const certsEvery = 30 * time.Second

// certs are the certificates in force on a node's TLS listener.
type certs struct {
	n       *Node
	cfg     func() *config.TLS // in force
	every   time.Duration
	metrics *certMetrics
	now     atomic.Pointer[tls.Config]

	mu    sync.Mutex
	tried string               // guarded by mu; the stamps of the files looked at last, also where they were wrong
	shown []config.Certificate // guarded by mu; in force
}

// openCerts loads the certificates of a node, and keeps them up to date while it runs.
func (n *Node) openCerts(cfg func() *config.TLS, every time.Duration, m *certMetrics) (*certs, error) {
	c := &certs{n: n, cfg: cfg, every: every, metrics: m}
	next, err := c.load(cfg())
	if err != nil {
		return nil, err
	}
	next.commit()
	n.background("certificates", c.watch)
	return c, nil
}

// loaded certificates are ready to be put in force.
type loaded struct {
	c      *certs
	config *tls.Config
	all    []config.Certificate
	stamp  string
}

// load reads the files that t names. All that can fail fails here.
func (c *certs) load(t *config.TLS) (*loaded, error) {
	l := &loaded{c: c, stamp: stampOf(t)}
	i := wire.Identity{ClientCAs: t.ClientCA.Pool()}
	if t.MinVersion == "1.3" {
		i.MinVersion = tls.VersionTLS13
	}
	for _, p := range t.Pairs() {
		one, err := config.LoadCertificate(p)
		if err != nil {
			return nil, fmt.Errorf("tls.cert_file and tls.key_file: %w", err)
		}
		l.all = append(l.all, one)
		i.Certificates = append(i.Certificates, one.TLS())
	}
	var err error
	l.config, err = wire.ServerConfig(i)
	return l, err
}

// commit shows them from the next handshake on.
func (l *loaded) commit() {
	c := l.c
	c.mu.Lock()
	defer c.mu.Unlock()
	former := c.shown
	c.tried, c.shown = l.stamp, l.all
	c.now.Store(l.config)
	c.metrics.show(l.all)
	for _, one := range l.all {
		if !slices.ContainsFunc(former, one.Equal) {
			c.n.log.Info("certificate in force", "name", one.Name(), "expires", one.Expires().UTC().Format(time.RFC3339))
		}
	}
}

// watch takes certificates that changed on disk until ctx is done.
func (c *certs) watch(ctx context.Context) error {
	t := time.NewTicker(c.every)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			c.look()
		case <-ctx.Done():
			return nil
		}
	}
}

// look reads the files again if they changed since they were last looked at. A pair may be
// half written at that moment: what is wrong is told, and tried again when it changes.
func (c *certs) look() {
	cfg := c.cfg()
	stamp := stampOf(cfg)
	c.mu.Lock()
	same := stamp == c.tried
	c.tried = stamp
	c.mu.Unlock()
	if same {
		return
	}
	next, err := c.load(cfg)
	if err != nil {
		c.metrics.refused.Inc()
		c.n.log.Error("certificates changed on disk and cannot be used: those from before stay in force", "error", err)
		return
	}
	c.metrics.applied.Inc()
	next.stamp = stamp
	next.commit()
}

// stampOf says whether files of certificates may have changed.
func stampOf(t *config.TLS) (s string) {
	for _, p := range t.Pairs() {
		s += config.Stamp(p.CertFile) + "\n" + config.Stamp(p.KeyFile) + "\n"
	}
	return s
}
