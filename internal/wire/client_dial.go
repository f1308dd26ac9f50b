package wire

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// attemptDelay is how long one address is tried alone: "One recommended value
// for a default delay is 250 milliseconds" (RFC 8305 section 5).
const attemptDelay = 250 * time.Millisecond

// maxAddresses is how many addresses of one name are tried, and remembered.
const maxAddresses = 16

// A dialer connects to one upstream: to whichever of its addresses answers
// first, beginning with another each time.
type dialer struct {
	names   *names
	timeout time.Duration
	connect func(ctx context.Context, network, addr string) (net.Conn, error)
	acc     *clientMetrics
}

// dial is an [net/http.Transport]'s DialContext.
func (d *dialer) dial(ctx context.Context, _, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	addrs, err := d.names.resolve(ctx, host)
	if err != nil {
		return nil, err
	}
	c, err := d.race(ctx, addrs, port)
	if err != nil {
		return nil, err
	}
	d.acc.connections.Inc()
	return &openConn{Conn: c, gone: func() { d.acc.connections.Dec() }}, nil
}

type attempt struct {
	conn net.Conn
	err  error
}

// race connects to the addresses one after the other: to the next as soon as
// the one before failed, or has not answered for attemptDelay (RFC 8305
// section 5). The first that stands wins, and the others are closed.
func (d *dialer) race(ctx context.Context, addrs []netip.Addr, port string) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan attempt, len(addrs))
	next, pending := 0, 0
	start := func() {
		addr := net.JoinHostPort(addrs[next].String(), port)
		next++
		pending++
		go func() { // ends by ctx
			c, err := d.connect(ctx, "tcp", addr)
			results <- attempt{c, err}
		}()
	}
	delay := time.NewTimer(attemptDelay)
	defer delay.Stop()
	var first error
	for start(); pending > 0; {
		select {
		case r := <-results:
			pending--
			if r.err == nil {
				go closeLate(results, pending)
				return r.conn, nil
			}
			if first == nil {
				first = r.err
			}
			if next < len(addrs) && ctx.Err() == nil {
				start()
				delay.Reset(attemptDelay)
			}
		case <-delay.C:
			if next < len(addrs) {
				start()
				delay.Reset(attemptDelay)
			}
		}
	}
	if len(addrs) > 1 {
		return nil, fmt.Errorf("none of %d addresses answers: %w", len(addrs), first)
	}
	return nil, first
}

// closeLate closes what stands after the race was won. It ends as soon as the
// attempts have noticed that, which their context tells them.
func closeLate(results <-chan attempt, pending int) {
	for range pending {
		if r := <-results; r.err == nil {
			_ = r.conn.Close()
		}
	}
}
