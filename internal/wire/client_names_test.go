package wire

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"weir/internal/web"
)

// resolver is a name's addresses, or why there are none.
type resolver struct {
	mu    sync.Mutex
	addrs []netip.Addr
	err   error
	asked int
	hangs bool
}

func (r *resolver) lookup(ctx context.Context, _ string) ([]netip.Addr, error) {
	r.mu.Lock()
	r.asked++
	addrs, err, hangs := r.addrs, r.err, r.hangs
	r.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return addrs, err
}

func (r *resolver) set(err error, addrs ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err, r.addrs = err, nil
	for _, a := range addrs {
		r.addrs = append(r.addrs, netip.MustParseAddr(a))
	}
}

func resolvesTo(addr string) func(context.Context, string) ([]netip.Addr, error) {
	return func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr(addr)}, nil
	}
}

func newNames(r *resolver) *names {
	return &names{lookup: r.lookup, log: logger(nil), acc: newClientMetrics(nil, "o1")}
}

func spell(addrs []netip.Addr) string { return strings.Trim(fmt.Sprint(addrs), "[]") }

// The families take turns, and each connection begins with another address of
// the one that the system prefers.
func TestConnectionsSpreadOverTheAddressesOfAName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &resolver{}
		r.set(nil, "2001:db8::1", "2001:db8::2", "192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1", "::ffff:192.0.2.1")
		n := newNames(r)
		for _, want := range []string{
			"2001:db8::1 192.0.2.1 2001:db8::2 192.0.2.2 192.0.2.3",
			"2001:db8::2 192.0.2.2 192.0.2.3 2001:db8::1 192.0.2.1",
			"2001:db8::1 192.0.2.1 2001:db8::2 192.0.2.2 192.0.2.3",
		} {
			addrs, err := n.resolve(context.Background(), "o1")
			if got := spell(addrs); got != want || err != nil {
				t.Errorf("%s, want %s", got, want)
			}
		}
		if r.asked != 1 {
			t.Errorf("the resolver was asked %d times within a moment", r.asked)
		}
		var many []string
		for i := range 100 {
			many = append(many, fmt.Sprintf("192.0.2.%d", i))
		}
		r.set(nil, many...)
		time.Sleep(addressesFresh)
		if addrs, _ := n.resolve(context.Background(), "o1"); len(addrs) != maxAddresses {
			t.Errorf("%d addresses", len(addrs))
		}
	})
}

// A resolver that fails does not take away an origin that answers; a name that
// does not exist any more is not asked for ever.
func TestTheLastKnownAddressesAreUsedForABoundedTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &resolver{}
		r.set(nil, "192.0.2.1")
		n := newNames(r)
		resolve := func(want string) {
			t.Helper()
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			defer cancel()
			start := time.Now()
			addrs, err := n.resolve(ctx, "o1")
			if got := spell(addrs); got != want || (err == nil) != (want != "") {
				t.Errorf("%q %v, want %q", got, err, want)
			}
			if want != "" && time.Since(start) > time.Second {
				t.Errorf("after %v: no time is left to connect", time.Since(start))
			}
		}
		resolve("192.0.2.1")
		time.Sleep(addressesFresh)
		r.set(nil, "192.0.2.7") // it has moved
		resolve("192.0.2.7")
		time.Sleep(addressesFresh)
		r.set(errors.New("server misbehaving"))
		resolve("192.0.2.7")
		time.Sleep(addressesFresh)
		r.hangs = true
		resolve("192.0.2.7")
		asked := r.asked
		resolve("192.0.2.7")
		if r.asked != asked {
			t.Error("a resolver that hangs delays each connection")
		}
		r.hangs = false
		time.Sleep(addressesKept)
		resolve("")
		r.set(nil, "192.0.2.8")
		resolve("192.0.2.8")
		time.Sleep(addressesFresh)
		r.set(&net.DNSError{Err: "no such host", Name: "o1", IsNotFound: true})
		resolve("")
		time.Sleep(addressesFresh)
		r.set(errors.New("server misbehaving"))
		resolve("")
		for result, want := range map[string]float64{"ok": 3, "kept": 2, "failed": 3} {
			if got := testutil.ToFloat64(n.acc.lookups.WithLabelValues(result)); got != want {
				t.Errorf("%v counted as %s, want %v", got, result, want)
			}
		}
	})
}

func TestAnAddressNeedsNoResolver(t *testing.T) {
	for _, host := range []string{"192.0.2.1", "2001:db8::1", "fe80::1%eth0"} {
		r := &resolver{}
		r.set(errors.New("asked"))
		if addrs, err := newNames(r).resolve(context.Background(), host); err != nil || spell(addrs) != host || r.asked != 0 {
			t.Errorf("%s: %v %v", host, addrs, err)
		}
	}
}

// dials is a network in which each address is as the map says.
type dials struct {
	mu    sync.Mutex
	order []string
	at    map[string]func(ctx context.Context) (net.Conn, error)
	open  int
}

func (d *dials) connect(ctx context.Context, _, addr string) (net.Conn, error) {
	d.mu.Lock()
	d.order = append(d.order, addr)
	d.mu.Unlock()
	return d.at[addr](ctx)
}

type fakeConn struct {
	net.Conn
	d *dials
}

func (c fakeConn) Close() error {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	c.d.open--
	return nil
}

func (d *dials) stands(after time.Duration) func(context.Context) (net.Conn, error) {
	return func(context.Context) (net.Conn, error) { // also when it is called off: it stood at that moment
		time.Sleep(after)
		d.mu.Lock()
		defer d.mu.Unlock()
		d.open++
		return fakeConn{d: d}, nil
	}
}

func refuses(context.Context) (net.Conn, error) { return nil, errors.New("connection refused") }

func hangs(ctx context.Context) (net.Conn, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// One address of several that is dead costs a quarter of a second, one that
// refuses nothing, and whatever stands too late is closed.
func TestTheFirstAddressThatAnswersIsTaken(t *testing.T) {
	f := func(took time.Duration, tried int, good bool, at ...func(*dials) func(context.Context) (net.Conn, error)) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			r, net := &resolver{}, &dials{at: map[string]func(context.Context) (net.Conn, error){}}
			var addrs []string
			for i, make := range at {
				addrs = append(addrs, fmt.Sprintf("192.0.2.%d", i+1))
				net.at[addrs[i]+":80"] = make(net)
			}
			r.set(nil, addrs...)
			n := newNames(r)
			d := &dialer{names: n, timeout: 2 * time.Second, connect: net.connect, acc: n.acc}
			start := time.Now()
			c, err := d.dial(context.Background(), "tcp", "o1:80")
			if (err == nil) != good || time.Since(start) != took || len(net.order) != tried {
				t.Errorf("%v after %v with %v; want %v, %v and %d", err, time.Since(start), net.order, good, took, tried)
			}
			want := 0.0
			if good {
				want = 1
			}
			time.Sleep(3 * time.Second) // whatever stands later
			synctest.Wait()
			if got := testutil.ToFloat64(n.acc.connections); got != want || net.open != int(want) {
				t.Errorf("%v connections counted, %d open", got, net.open)
			}
			if c != nil {
				_ = c.Close()
				_ = c.Close()
			}
			if testutil.ToFloat64(n.acc.connections) != 0 {
				t.Error("a connection that is closed is still counted, or twice")
			}
		})
	}
	plain := func(f func(context.Context) (net.Conn, error)) func(*dials) func(context.Context) (net.Conn, error) {
		return func(*dials) func(context.Context) (net.Conn, error) { return f }
	}
	stands := func(after time.Duration) func(*dials) func(context.Context) (net.Conn, error) {
		return func(d *dials) func(context.Context) (net.Conn, error) { return d.stands(after) }
	}
	f(0, 1, true, stands(0))
	f(0, 1, true, stands(0), stands(0))
	f(0, 2, true, plain(refuses), stands(0))
	f(attemptDelay, 2, true, plain(hangs), stands(0))
	f(2*attemptDelay, 3, true, plain(hangs), plain(hangs), stands(0))
	f(attemptDelay+50*time.Millisecond, 2, true, stands(time.Second), stands(50*time.Millisecond))
	f(300*time.Millisecond, 2, true, stands(300*time.Millisecond), stands(time.Second))
	f(0, 2, false, plain(refuses), plain(refuses))
	f(2*time.Second, 2, false, plain(hangs), plain(hangs))
}

// An origin that moves to another address is followed, without a restart and
// without anything being cut.
func TestAnOriginThatMovesIsFollowed(t *testing.T) {
	servers := map[string]*httptest.Server{}
	for _, addr := range []string{"192.0.2.1", "192.0.2.2"} {
		servers[addr] = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write([]byte(addr + " " + r.Host))
		}))
		defer servers[addr].Close()
	}
	r := &resolver{}
	r.set(nil, "192.0.2.1")
	c := newClient(t, "http://origin.example:8080", ClientOptions{ConnLifetime: 50 * time.Millisecond, Lookup: r.lookup,
		Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			host, port, _ := net.SplitHostPort(addr)
			if port != "8080" || servers[host] == nil {
				t.Errorf("dialled %s", addr)
				return nil, errors.New("no such address")
			}
			return (&net.Dialer{}).DialContext(ctx, network, servers[host].Listener.Addr().String())
		}})
	fetch := func() string {
		t.Helper()
		resp, err := c.Serve(context.Background(), get("/"))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Close()
		b, err := web.ReadAll(context.Background(), resp.Body, 100)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if got := fetch(); got != "192.0.2.1 origin.example:8080" {
		t.Fatal(got)
	}
	r.set(nil, "192.0.2.2")
	c.names.mu.Lock()
	c.names.tried = time.Time{} // the next connection is not made within moments
	c.names.mu.Unlock()
	await(t, "the new address to be asked", func() bool { return fetch() == "192.0.2.2 origin.example:8080" })
}

func TestIPv6LiteralsAreAddressesToAsk(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(r.Host)) }))
	defer srv.Close()
	for base, dials := range map[string]string{
		"http://[2001:db8::1]:8080": "[2001:db8::1]:8080", "http://[2001:db8::1]": "[2001:db8::1]:80", "http://[fe80::1%25eth0]:8080": "[fe80::1%eth0]:8080",
	} {
		r := &resolver{err: errors.New("no name to look up")}
		c := newClient(t, base, ClientOptions{Lookup: r.lookup, Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if addr != dials {
				t.Errorf("%s: dialled %s, want %s", base, addr, dials)
			}
			return (&net.Dialer{}).DialContext(ctx, network, srv.Listener.Addr().String())
		}})
		resp, err := c.Serve(context.Background(), get("/"))
		if err != nil {
			t.Fatal(err)
		}
		b, _ := web.ReadAll(context.Background(), resp.Body, 100)
		resp.Close()
		// "A zone identifier is of local significance only": it is not sent (RFC 6874 section 4).
		if want, _, _ := strings.Cut(strings.TrimPrefix(base, "http://"), "%"); !strings.HasPrefix(string(b), strings.TrimSuffix(want, "]")) || strings.Contains(string(b), "eth0") {
			t.Errorf("%s: Host %q", base, b)
		}
	}
}

// Whatever a request's path or Host says, the connection goes to the upstream.
func TestNothingInARequestChangesWhoIsAsked(t *testing.T) {
	var asked []string
	c := newClient(t, "http://origin.example", ClientOptions{PassHost: true, Lookup: resolvesTo("192.0.2.1"), Dial: func(_ context.Context, _, addr string) (net.Conn, error) {
		asked = append(asked, addr)
		return nil, errors.New("refused")
	}})
	for _, path := range []string{"//169.254.169.254/latest/meta-data", "/@169.254.169.254/", "/http://127.0.0.1/", "/\\\\127.0.0.1\\x", "/?x", "/%2f%2f127.0.0.1", "/;x", "/a:80"} {
		if _, err := c.Serve(context.Background(), &web.Request{Method: "GET", Path: path, Query: "u=http://127.0.0.1/", Host: "169.254.169.254"}); err == nil {
			t.Error("answered")
		}
	}
	if slices.ContainsFunc(asked, func(a string) bool { return a != "192.0.2.1:80" }) || len(asked) != 8 {
		t.Errorf("%v", asked)
	}
}
