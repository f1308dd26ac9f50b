package limit

import (
	"flag"
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"

	"weir/internal/web"
)

var start = time.Date(2026, 3, 1, 20, 0, 0, 0, time.UTC)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func prefixes(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// A player that starts asks for many things at once, and then for few.
func TestABurstPassesAndThenTheRateHolds(t *testing.T) {
	c := New(Rules{Address: Rate{PerSecond: 10, Burst: 20}})
	a, now, passed := addr("192.0.2.1"), start, 0
	for range 100 {
		if c.Request(a, now) == 0 {
			passed++
		}
	}
	if passed != 20 {
		t.Errorf("%d of a burst passed, want 20", passed)
	}
	if wait := c.Request(a, now); wait != 100*time.Millisecond {
		t.Errorf("told to wait %v, want 100ms", wait)
	}
	for passed = 0; now.Before(start.Add(10 * time.Second)); now = now.Add(10 * time.Millisecond) {
		if c.Request(a, now) == 0 {
			passed++
		}
	}
	if passed < 98 || passed > 101 {
		t.Errorf("%d passed in 10 s, want 100", passed)
	}
	now = now.Add(time.Hour)
	for passed = 0; c.Request(a, now) == 0; passed++ {
	}
	if passed != 20 {
		t.Errorf("after an hour of silence %d pass at once, want 20", passed)
	}
}

// Whoever does what he is told is served: at the moment named there is room again.
func TestRetryAfterIsTrue(t *testing.T) {
	c := New(Rules{Address: Rate{PerSecond: 0.5, Burst: 3}})
	a, now := addr("192.0.2.1"), start
	for range 50 {
		if wait := c.Request(a, now); wait > 0 {
			if c.Request(a, now.Add(wait-time.Millisecond)) == 0 {
				t.Fatal("served before the time named")
			}
			if now = now.Add(wait); c.Request(a, now) != 0 {
				t.Fatal("refused at the time named")
			}
		}
	}
}

// One client's flood is nobody else's matter, also within one provider's network.
func TestClientsAreToldApart(t *testing.T) {
	c := New(Rules{Address: Rate{PerSecond: 1, Burst: 1}})
	f := func(a string, served bool) {
		t.Helper()
		if got := c.Request(addr(a), start) == 0; got != served {
			t.Errorf("%s: served %v", a, got)
		}
	}
	f("192.0.2.1", true)
	f("192.0.2.1", false)
	f("::ffff:192.0.2.1", false) // the same, seen through a socket for both families
	f("192.0.2.2", true)
	f("2001:db8:0:1::1", true)
	f("2001:db8:0:1:ffff::9", false) // of one /64
	f("2001:db8:0:2::1", true)
}

// Carriers' NAT and the operator's own monitoring are named once and left alone.
func TestExemptAddressesAreNotLimited(t *testing.T) {
	c := New(Rules{Connections: 1, Address: Rate{PerSecond: 1, Burst: 1}, Token: Rate{PerSecond: 1, Burst: 1}, Exempt: prefixes("10.0.0.0/8", "2001:db8::/32")})
	for _, a := range []string{"10.9.8.7", "2001:db8:1::1", "::ffff:10.0.0.1"} {
		for range 5 {
			if c.Request(addr(a), start) != 0 || c.Token("k", addr(a), start) != 0 || !c.Enter(addr(a)) {
				t.Errorf("%s is limited", a)
			}
		}
	}
}

func TestTokensAreLimitedByThemselves(t *testing.T) {
	c := New(Rules{Token: Rate{PerSecond: 1, Burst: 2}})
	home, away := addr("192.0.2.1"), addr("198.51.100.1")
	if c.Token("a", home, start) != 0 || c.Token("a", away, start) != 0 {
		t.Error("a burst of two is refused")
	}
	if c.Token("a", away, start) == 0 {
		t.Error("a token that is passed on is not limited")
	}
	if c.Token("b", away, start) != 0 {
		t.Error("another token is limited")
	}
	if c.Request(home, start) != 0 {
		t.Error("addresses are limited by no rule")
	}
}

// Connections are counted also while there is no bound, so that one that comes
// with a reload knows what is open.
func TestConnectionsAreCountedForEachAddress(t *testing.T) {
	c := New(Rules{})
	a := addr("192.0.2.1")
	for range 3 {
		if !c.Enter(a) {
			t.Fatal("refused without a rule")
		}
	}
	c.Store(Rules{Connections: 3})
	if c.Enter(a) {
		t.Error("a fourth connection")
	}
	if !c.Enter(addr("192.0.2.2")) {
		t.Error("another address is refused")
	}
	c.Leave(a)
	if !c.Enter(a) {
		t.Error("a place that was given back is lost")
	}
	for range 3 {
		c.Leave(a)
	}
	c.Leave(addr("192.0.2.2"))
	if n := c.Addresses(); n != 0 {
		t.Errorf("%d addresses are left over", n)
	}
}

// A limit that is changed holds at once, and nobody sits out a debt that he
// could not have under the new one.
func TestRulesChangeWhileClientsAreKnown(t *testing.T) {
	c := New(Rules{Address: Rate{PerSecond: 0.01, Burst: 10}})
	a := addr("192.0.2.1")
	for range 10 {
		_ = c.Request(a, start)
	}
	c.Store(Rules{Address: Rate{PerSecond: 10, Burst: 5}})
	if wait := c.Request(a, start); wait == 0 || wait > 100*time.Millisecond {
		t.Errorf("told to wait %v: what was asked is forgotten, or weighs as before", wait)
	}
	if c.Request(a, start.Add(200*time.Millisecond)) != 0 {
		t.Error("still refused")
	}
	c.Store(Rules{})
	if c.Request(a, start) != 0 {
		t.Error("limited without a rule")
	}
}

// invented is how many addresses a flood comes from. 10 million take a few seconds.
var invented = flag.Int("invented", 500_000, "addresses of a flood")

// Millions of invented addresses, more than there are places, cost what one does,
// and the one client that really floods is not forgotten behind them.
func TestInventedAddressesTakeNoMoreMemory(t *testing.T) {
	n := *invented
	c := New(Rules{Address: Rate{PerSecond: 1, Burst: 5}})
	flooder, refused := addr("192.0.2.1"), 0
	_ = c.Request(flooder, start)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range n {
		now := start.Add(time.Duration(i) * time.Microsecond)
		_ = c.Request(netip.AddrFrom16([16]byte{0x20, 0x01, 0xd, 0xb8, byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)}), now)
		if i%1000 == 0 && c.Request(flooder, now) != 0 {
			refused++
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 1<<20 {
		t.Errorf("%d addresses took %d bytes more", n, grown)
	}
	if asked := n / 1000; refused < asked*9/10 {
		t.Errorf("who floods was refused %d times of %d", refused, asked)
	}
	t.Logf("table: %d bytes for %d places", len(c.addresses.table.sets)*ways*16, len(c.addresses.table.sets)*ways)
}

// Two that ask at the same moment do not both get the last request.
func TestRatesHoldAmongManyAtOnce(t *testing.T) {
	c := New(Rules{Address: Rate{PerSecond: 1, Burst: 100}})
	_ = c.Request(addr("192.0.2.1"), start)
	var all sync.WaitGroup
	var mu sync.Mutex
	passed := 1
	for range 8 {
		all.Go(func() {
			for range 50 {
				if c.Request(addr("192.0.2.1"), start) == 0 {
					mu.Lock()
					passed++
					mu.Unlock()
				}
			}
		})
	}
	all.Wait()
	if passed != 100 {
		t.Errorf("%d passed, want 100", passed)
	}
}

func TestTheClientBehindAProxyIsWhoTheProxySays(t *testing.T) {
	f := func(remote, field, value, want string) {
		t.Helper()
		h := web.NewHeader(field, value, "X-Real-IP", "198.51.100.66")
		c := New(Rules{Proxies: prefixes("10.0.0.0/8", "fd00::/8"), Forwarded: field})
		if got := c.Who(addr(remote), &h); got != addr(want) {
			t.Errorf("from %s, %s: %s is taken for %s, want %s", remote, field, value, got, want)
		}
	}
	const x, std = "X-Forwarded-For", "Forwarded"
	f("10.0.0.1", x, "192.0.2.1", "192.0.2.1")
	f("10.0.0.1", x, "192.0.2.1:4711", "192.0.2.1")
	f("10.0.0.1", x, "2001:db8::1", "2001:db8::1")
	f("10.0.0.1", x, "[2001:db8::1]:443", "2001:db8::1")
	f("10.0.0.1", x, "[2001:db8::1]", "2001:db8::1")
	f("10.0.0.1", x, "192.0.2.1, 10.0.0.2 ,10.0.0.3", "192.0.2.1") // three of ours in a row
	f("fd00::1", x, "192.0.2.1", "192.0.2.1")
	f("10.0.0.1", std, `for=192.0.2.1;proto=https`, "192.0.2.1")
	f("10.0.0.1", std, `proto=https;For="[2001:db8::1]:4711";by=10.0.0.1`, "2001:db8::1")
	f("10.0.0.1", std, `for=203.0.113.9, for=192.0.2.1, for=10.0.0.2`, "192.0.2.1")

	// Whoever is no proxy of ours says what he likes.
	f("192.0.2.7", x, "10.0.0.1", "192.0.2.7")
	f("192.0.2.7", std, "for=10.0.0.1", "192.0.2.7")
	// What a client made up stands before what the proxy saw.
	f("10.0.0.1", x, "1.1.1.1, 10.0.0.9, 192.0.2.1", "192.0.2.1")
	f("10.0.0.1", std, `for="1.1.1.1, for=2.2.2.2", for=192.0.2.1`, "192.0.2.1")
	// What is no address says nothing: the last that is known is the client.
	f("10.0.0.1", x, "", "10.0.0.1")
	f("10.0.0.1", x, "192.0.2.1, unknown", "10.0.0.1")
	f("10.0.0.1", x, "192.0.2.1, , 10.0.0.2", "10.0.0.2")
	f("10.0.0.1", std, `for=_hidden`, "10.0.0.1")
	f("10.0.0.1", std, `proto=https`, "10.0.0.1")
	f("10.0.0.1", x, "fe80::1%eth0", "fe80::1")
}

// A field that is not the one configured comes from the viewer, through a
// balancer that passes it on.
func TestOnlyTheConfiguredFieldIsRead(t *testing.T) {
	h := web.NewHeader("X-Forwarded-For", "192.0.2.1", "Forwarded", "for=203.0.113.1")
	proxies := prefixes("10.0.0.0/8")
	if a := New(Rules{Proxies: proxies}).Who(addr("10.0.0.1"), &h); a != addr("192.0.2.1") {
		t.Error(a)
	}
	if a := New(Rules{Proxies: proxies, Forwarded: "Forwarded"}).Who(addr("10.0.0.1"), &h); a != addr("203.0.113.1") {
		t.Error(a)
	}
}

// A balancer that does not say for whom it asks is not taken for one client.
func TestAProxyIsNeverLimited(t *testing.T) {
	c := New(Rules{Connections: 1, Address: Rate{PerSecond: 1, Burst: 1}, Proxies: prefixes("10.0.0.0/8")})
	for range 3 {
		if !c.Enter(addr("10.0.0.1")) || c.Request(c.Who(addr("10.0.0.1"), &web.Header{}), start) != 0 {
			t.Error("the proxy is limited")
		}
	}
}

func TestSeenForgetsAfterTheWindow(t *testing.T) {
	s := NewSeen(1000, time.Minute, start)
	a := s.ByAddress(addr("192.0.2.1"), "/live/cam")
	f := func(who Sighting, after time.Duration, want bool) {
		t.Helper()
		if got := s.Has(who, start.Add(after)); got != want {
			t.Errorf("after %v: %v", after, got)
		}
	}
	f(a, 0, false)
	s.Mark(a, start)
	f(a, 0, true)
	f(a, time.Minute, true)
	f(a, time.Minute+2*time.Second, false)
	f(s.ByAddress(addr("192.0.2.1"), "/live/news"), 0, false)
	f(s.ByAddress(addr("192.0.2.2"), "/live/cam"), 0, false)
	f(s.ByToken("192.0.2.1", "/live/cam"), 0, false)
	s.Mark(a, start.Add(50*time.Second))
	f(a, 100*time.Second, true)
}

// A full table remembers as many as it was made for, or nearly.
func TestSeenHoldsWhatItWasMadeFor(t *testing.T) {
	const n = 50_000
	s := NewSeen(2*n, time.Minute, start)
	who := func(i int) Sighting { return s.ByToken(fmt.Sprint("t", i), "/live/cam") }
	for i := range n {
		s.Mark(who(i), start.Add(time.Duration(i)*time.Microsecond))
	}
	kept := 0
	for i := range n {
		if s.Has(who(i), start.Add(time.Second)) {
			kept++
		}
	}
	if kept < n*98/100 {
		t.Errorf("%d of %d are remembered", kept, n)
	}
}

func FuzzForwarded(f *testing.F) {
	f.Add("192.0.2.1, 10.0.0.1", "for=\"[::1]:8\";x=,for=y")
	f.Fuzz(func(t *testing.T, x, std string) {
		h := web.NewHeader("X-Forwarded-For", x, "Forwarded", std)
		for _, field := range []string{"X-Forwarded-For", "Forwarded"} {
			c := New(Rules{Proxies: prefixes("0.0.0.0/0", "::/0"), Forwarded: field})
			if a := c.Who(addr("10.0.0.1"), &h); !a.IsValid() || a.Zone() != "" {
				t.Errorf("%q and %q give %v", x, std, a)
			}
		}
	})
}

func BenchmarkRequest(b *testing.B) {
	c := New(Rules{Address: Rate{PerSecond: 1e9, Burst: 1000}})
	a, now := addr("192.0.2.1"), time.Now()
	b.ReportAllocs()
	for b.Loop() {
		_ = c.Request(a, now)
	}
}

func BenchmarkMark(b *testing.B) {
	s := NewSeen(1<<18, time.Minute, time.Now())
	a, now := addr("192.0.2.1"), time.Now()
	b.ReportAllocs()
	for b.Loop() {
		s.Mark(s.ByAddress(a, "/live/news"), now)
	}
}
