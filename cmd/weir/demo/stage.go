package demo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"weir/cmd/weir/config"
	"weir/cmd/weir/node"
	"weir/internal/web"
	"weir/internal/wire"
	"weir/token"
)

// A stage is the demo's nodes and what holds them together.
type stage struct {
	log     *slog.Logger
	key     token.Key // signs viewers' tokens; the edges know its public half
	publish string    // the encoder's key

	origin    *node.Node
	originReg *prometheus.Registry
	edges     []*node.Node
	edgeRegs  []*prometheus.Registry
	clients   []web.Handler // reach the edges as viewers do
	hlsjs     bool          // the page has hls.js
	taken     []int         // usual ports that other programs have
}

// tokenLife is how long a token of the demo is good.
const tokenLife = 12 * time.Hour

// build puts the nodes together and opens their listeners: on the usual ports
// where they are free, on others where not.
func build(o Options) (_ *stage, err error) {
	s := &stage{log: o.Log, publish: "demo-" + rand.Text()}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	private, public, err := token.GenerateKey(token.ES256, "demo")
	if err != nil {
		return nil, err
	}
	if s.key, err = token.ParseKey("demo", token.ES256, private); err != nil {
		return nil, err
	}
	check, err := token.ParseKey("demo", token.ES256, public)
	if err != nil {
		return nil, err
	}
	pull, secret := rand.Text(), rand.Text()

	oc := config.DefaultOrigin()
	oc.Listen, oc.Ingest.Listen, oc.Admin.Listen = s.free(8080), s.free(8081), s.free(9180)
	oc.Access.Mode, oc.Access.Keys = config.AccessPullKey, []config.Secret{{Name: "edges", Secret: pull}}
	oc.Ingest.Publishers = []config.Publisher{{Name: "encoder", Secret: s.publish, Channels: []string{Channel}}}
	oc.Drain = config.Drain{Timeout: 3 * time.Second}
	s.originReg = prometheus.NewRegistry()
	if s.origin, err = node.NewOrigin(node.Options[config.Origin]{Config: oc, Log: o.Log.With("node", "origin"), Registry: s.originReg, Version: o.Version}); err != nil {
		return nil, fmt.Errorf("the demo's origin: %w", err)
	}
	gossip := ""
	for i := range o.Edges {
		ec := config.DefaultEdge()
		ec.Name = fmt.Sprintf("edge%d", i+1)
		ec.Listen, ec.Admin.Listen = s.free(8090+10*i), s.free(9190+10*i)
		ec.Origins, ec.OriginKey = []string{"http://" + s.origin.Addrs().Viewers}, pull
		ec.Cache.Memory = 256 * config.MiB
		ec.Cluster.Bind, ec.Cluster.Peers, ec.Cluster.Secret = s.free(7946+10*i), s.free(8091+10*i), secret
		if gossip == "" {
			gossip = ec.Cluster.Bind
		} else {
			ec.Cluster.Join = []string{gossip}
		}
		ec.Tokens.Keys = []config.TokenKey{{ID: "demo", Alg: string(token.ES256), Key: check}}
		ec.Drain = config.Drain{Timeout: 3 * time.Second}
		if err := s.addEdge(ec, o); err != nil {
			return nil, fmt.Errorf("the demo's %s: %w", ec.Name, err)
		}
	}
	return s, nil
}

func (s *stage) addEdge(ec *config.Edge, o Options) error {
	reg := prometheus.NewRegistry()
	var page *Page
	var pageErr error
	n, err := node.NewEdge(node.Options[config.Edge]{Config: ec, Log: o.Log.With("node", ec.Name), Registry: reg, Version: o.Version,
		Viewers: func(next web.Handler) web.Handler {
			page, pageErr = NewPage(next, s.session)
			return page
		}})
	if err = errors.Join(err, pageErr); err != nil {
		return err
	}
	s.hlsjs = page.HasHLSJS()
	s.edges, s.edgeRegs = append(s.edges, n), append(s.edgeRegs, reg)
	c, err := wire.NewClient(wire.ClientOptions{Base: &url.URL{Scheme: "http", Host: n.Addrs().Viewers}, Log: o.Log, Name: ec.Name, MaxConns: 10_000})
	if err != nil {
		return err
	}
	s.clients = append(s.clients, c)
	return nil
}

// start runs the nodes until ctx is done, each once the one before is up, so
// that edges find those they join. One that fails ends the demo.
func (s *stage) start(ctx context.Context, fail context.CancelCauseFunc) *sync.WaitGroup {
	var nodes sync.WaitGroup
	for _, n := range append([]*node.Node{s.origin}, s.edges...) {
		nodes.Go(func() {
			if err := n.Run(ctx); err != nil {
				fail(fmt.Errorf("%s: %w", n.Name(), err))
			}
		})
		select {
		case <-n.Up():
		case <-ctx.Done():
		}
	}
	return &nodes
}

// close frees what build made.
func (s *stage) close() {
	for _, c := range s.clients {
		if c, ok := c.(*wire.Client); ok {
			c.Close()
		}
	}
	for _, n := range append([]*node.Node{s.origin}, s.edges...) {
		if n != nil {
			_ = n.Close()
		}
	}
}

// ingest is where the encoder pushes.
func (s *stage) ingest() target {
	return target{url: "http://" + s.origin.Addrs().Ingest + "/ingest/" + Channel, key: s.publish}
}

// session is what a page gets to play with: the part of the provider's back end.
func (s *stage) session() (Session, error) {
	path, err := s.path()
	if err != nil {
		return Session{}, err
	}
	var edges []string
	for _, n := range s.edges {
		edges = append(edges, "http://"+n.Addrs().Viewers)
	}
	return Session{Edges: edges, Path: path}, nil
}

// path is the channel's multivariant playlist with a new token before it.
func (s *stage) path() (string, error) {
	now := time.Now()
	raw, err := token.Sign(s.key, token.Claims{Expires: now.Add(tokenLife), IssuedAt: now, Paths: []string{"/live/" + Channel + "/"}})
	if err != nil {
		return "", err
	}
	return "/t/" + raw + "/live/" + Channel + "/index.m3u8", nil
}

// introduce tells a person where to look: what is short first, the address with
// a token last and on a line of its own, so that it can be copied whole.
func (s *stage) introduce(out io.Writer, duration time.Duration) {
	line := func(what, format string, args ...any) {
		fmt.Fprintf(out, "%-10s %s\n", what, fmt.Sprintf(format, args...))
	}
	what := "open"
	for _, n := range s.edges {
		line(what, "http://%s/", n.Addrs().Viewers)
		what = ""
	}
	if !s.hlsjs {
		line("", "(this weir was built without hls.js, which npm brings: only browsers that play HLS natively will)")
	}
	line("admin", "http://%s/ origin", s.origin.Addrs().Admin)
	for _, n := range s.edges {
		line("", "http://%s/ %s", n.Addrs().Admin, n.Name())
	}
	if len(s.taken) > 0 {
		line("ports", "other programs have %s: others were chosen", strings.Trim(fmt.Sprint(s.taken), "[]"))
	}
	if duration > 0 {
		line("ends", "by itself after %v, or with Ctrl-C", duration)
	} else {
		line("ends", "with Ctrl-C")
	}
	if path, err := s.path(); err == nil {
		fmt.Fprintf(out, "\nffplay http://%s%s\n", s.edges[0].Addrs().Viewers, path)
	}
	fmt.Fprintln(out)
}

// free returns the loopback address with the port wanted, or with any that is
// free where another program has it, TCP and UDP both.
func (s *stage) free(port int) string {
	for _, p := range []int{port, 0, 0, 0} {
		l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: p})
		if err != nil {
			continue
		}
		at := l.Addr().(*net.TCPAddr)
		u, err := net.ListenUDP("udp", &net.UDPAddr{IP: at.IP, Port: at.Port})
		_ = l.Close()
		if err != nil {
			continue
		}
		_ = u.Close()
		if at.Port != port {
			s.taken = append(s.taken, port)
		}
		return at.String()
	}
	return fmt.Sprintf("127.0.0.1:%d", port)
}
