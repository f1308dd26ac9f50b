package cluster

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// A Network is an in-memory network for gossip, for tests and simulations: it
// has no sockets, so that a cluster runs under a fake clock, and it can be cut.
// The zero Network is whole and ready to use.
type Network struct {
	mu    sync.Mutex // guards nodes and side
	nodes map[string]*wire
	side  map[string]int // by name: which part of a cut network it is in; nil: the network is whole
}

// Transport returns a new node's access to the network. Its address is
// 10.0.0.n:7946, where n counts calls from 1.
func (n *Network) Transport(name string) Transport {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.nodes == nil {
		n.nodes = map[string]*wire{}
	}
	i := len(n.nodes) + 1
	w := &wire{
		network: n,
		name:    name,
		ip:      net.IPv4(10, 0, byte(i>>8), byte(i)),
		packets: make(chan *memberlist.Packet, 1024),
		streams: make(chan net.Conn, 64),
		closed:  make(chan struct{}),
	}
	n.nodes[w.addr()] = w
	return w
}

// Cut parts the network: nodes reach each other if they are named in the same
// group. Nodes that are in no group are alone.
func (n *Network) Cut(groups ...[]string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.side = map[string]int{}
	for i, names := range groups {
		for _, name := range names {
			n.side[name] = i + 1
		}
	}
}

// Heal makes the network whole again.
func (n *Network) Heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.side = nil
}

// reach returns the node at addr, if from can reach it.
func (n *Network) reach(from *wire, addr string) (*wire, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	to := n.nodes[addr]
	if to == nil || n.side != nil && from != to && (n.side[to.name] == 0 || n.side[to.name] != n.side[from.name]) {
		return nil, fmt.Errorf("no route to %s", addr)
	}
	select {
	case <-to.closed:
		return nil, fmt.Errorf("connection to %s refused", addr)
	default:
		return to, nil
	}
}

// wire is one node's end of a Network.
type wire struct {
	network *Network
	name    string
	ip      net.IP
	packets chan *memberlist.Packet
	streams chan net.Conn
	once    sync.Once
	closed  chan struct{}
}

const wirePort = 7946

func (w *wire) addr() string { return net.JoinHostPort(w.ip.String(), strconv.Itoa(wirePort)) }

// FinalAdvertiseAddr implements [Transport].
func (w *wire) FinalAdvertiseAddr(string, int) (net.IP, int, error) { return w.ip, wirePort, nil }

// WriteTo implements [Transport].
func (w *wire) WriteTo(b []byte, addr string) (time.Time, error) {
	return w.WriteToAddress(b, memberlist.Address{Addr: addr})
}

// WriteToAddress implements [Transport]. As on a real network a packet that
// cannot be delivered is lost in silence.
func (w *wire) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	now := time.Now()
	if to, err := w.network.reach(w, a.Addr); err == nil {
		from := &net.UDPAddr{IP: w.ip, Port: wirePort}
		select {
		case to.packets <- &memberlist.Packet{Buf: slices.Clone(b), From: from, Timestamp: now}:
		default: // its queue is full
		}
	}
	return now, nil
}

// PacketCh implements [Transport].
func (w *wire) PacketCh() <-chan *memberlist.Packet { return w.packets }

// DialTimeout implements [Transport].
func (w *wire) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return w.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

// DialAddressTimeout implements [Transport].
func (w *wire) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	to, err := w.network.reach(w, a.Addr)
	if err != nil {
		return nil, err
	}
	near, far := net.Pipe()
	late := time.NewTimer(timeout)
	defer late.Stop()
	select {
	case to.streams <- far:
		return near, nil
	case <-to.closed:
		return nil, fmt.Errorf("connection to %s refused", a.Addr)
	case <-late.C:
		return nil, fmt.Errorf("connection to %s timed out", a.Addr)
	}
}

// StreamCh implements [Transport].
func (w *wire) StreamCh() <-chan net.Conn { return w.streams }

// Shutdown implements [Transport].
func (w *wire) Shutdown() error {
	w.once.Do(func() { close(w.closed) })
	return nil
}
