package wire

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"weir/internal/web"
)

// A doorman counts each address to a bound.
type doorman struct {
	most int
	mu   sync.Mutex
	in   map[netip.Addr]int
	left int // Leaves of what never came in
}

func (d *doorman) Enter(a netip.Addr) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.in == nil {
		d.in = map[netip.Addr]int{}
	}
	if d.in[a] >= d.most {
		return false
	}
	d.in[a]++
	return true
}

func (d *doorman) Leave(a netip.Addr) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.in[a]--; d.in[a] < 0 {
		d.left++
	}
}

func (d *doorman) count() (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, k := range d.in {
		n += k
	}
	return n
}

func statusOf(t *testing.T, c net.Conn) int {
	t.Helper()
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: weir\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// One address that opens connections by the hundred gets its share and hears
// 503 for the rest; another is not touched by that; places that are given back
// are there again, also at a listener that took the first one's place.
func TestConnectionsOfOneAddressAreBounded(t *testing.T) {
	gate, reg := &doorman{most: 3}, prometheus.NewRegistry()
	var book logBook
	start := func() (string, *Fast, func()) {
		f := newFast(t, FastOptions{Handler: ok200("in"), Gate: gate, Name: "viewers", Registerer: reg, Log: slog.New(slog.NewTextHandler(&book, nil))})
		addr, stop := run(t, f)
		return addr, f, stop
	}
	addr, f, stop := start()
	var in []net.Conn
	for range 3 {
		c, _ := dialRaw(t, addr)
		if s := statusOf(t, c); s != 200 {
			t.Fatal(s)
		}
		in = append(in, c)
	}
	for range 5 {
		c, r := dialRaw(t, addr)
		resp, err := http.ReadResponse(r, nil)
		if err != nil || resp.StatusCode != 503 || !resp.Close || resp.Header.Get("Retry-After") == "" {
			t.Fatalf("%v %v", resp, err)
		}
		_ = c.Close()
	}
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	other, err := d.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if s := statusOf(t, other); s != 200 {
		t.Errorf("another address is answered %d", s)
	}
	if s := statusOf(t, in[0]); s != 200 {
		t.Errorf("one that is in is answered %d", s)
	}
	if n := testutil.ToFloat64(f.room.turned[tooManyOfOne]); n != 5 {
		t.Errorf("%v counted, want 5", n)
	}
	if said := book.String(); strings.Count(said, "its address has as many") != 1 {
		t.Error(said)
	}

	second, _, stop2 := start() // as after a reload: the same gate
	c, _ := dialRaw(t, second)
	if s := statusOf(t, c); s != 503 {
		t.Errorf("the listener's successor forgets what is open: %d", s)
	}
	_ = c.Close()
	_ = in[1].Close()
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		c, _ := dialRaw(t, second)
		s := statusOf(t, c)
		_ = c.Close()
		if s == 200 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("a place that was given back is lost")
		}
	}
	_ = other.Close()
	for _, c := range in {
		_ = c.Close()
	}
	stop()
	stop2()
	if n := gate.count(); n != 0 || gate.left != 0 {
		t.Errorf("%d are still counted, %d left who were not in", n, gate.left)
	}
}

// The bound of all connections is heard of as well: fasthttp's own answers
// without a word to the operator.
func TestViewersBeyondAllConnectionsAreTurnedAway(t *testing.T) {
	gate := &doorman{most: 100}
	f := newFast(t, FastOptions{Handler: ok200("in"), Concurrency: 2, Gate: gate})
	addr, stop := run(t, f)
	for range 2 {
		c, _ := dialRaw(t, addr)
		if s := statusOf(t, c); s != 200 {
			t.Fatal(s)
		}
	}
	c, _ := dialRaw(t, addr)
	if s := statusOf(t, c); s != 503 {
		t.Error(s)
	}
	if n := testutil.ToFloat64(f.room.turned[tooMany]); n != 1 || gate.count() != 2 {
		t.Errorf("%v counted, %d at the gate", n, gate.count())
	}
	stop()
	if gate.count() != 0 {
		t.Errorf("%d are still counted", gate.count())
	}
}

// A meter shows what goes out while it goes out, over listeners that share it.
func TestMeterShowsWhatIsUnderWay(t *testing.T) {
	m := new(Meter)
	in, out := make(chan bool), make(chan bool)
	h := web.HandlerFunc(func(_ context.Context, req *web.Request) (*web.Response, error) {
		in <- true
		<-out
		return web.NewResponse(200, web.Bytes(make([]byte, 100_000))), nil
	})
	fast, stop := run(t, newFast(t, FastOptions{Handler: h, Meter: m}))
	defer stop()
	plain, _ := startNet(t, NetOptions{Handler: h, Meter: m})
	var all sync.WaitGroup
	for _, addr := range []string{fast, plain} {
		all.Go(func() { served(t, addr) })
		<-in
	}
	if n := m.InFlight(); n != 2 || m.Sent() != 0 {
		t.Errorf("%d in flight, %d sent", n, m.Sent())
	}
	close(out)
	all.Wait()
	for end := time.Now().Add(5 * time.Second); m.InFlight() != 0 || m.Sent() != 200_000; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d in flight, %d sent", m.InFlight(), m.Sent())
		}
	}
}
