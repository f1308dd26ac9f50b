package cluster

import (
	"net"
	"strings"
	"testing"
)

// What a node says of itself arrives as it was said, and fits: memberlist
// panics beyond 512 bytes.
func TestMetaRoundTrips(t *testing.T) {
	f := func(m meta) {
		t.Helper()
		b := m.append(nil)
		got, err := parseMeta(b)
		if err != nil || got != m || len(b) > 512 {
			t.Errorf("%+v: %d bytes, %+v, %v", m, len(b), got, err)
		}
		if got, err := parseMeta(append(b, "fields of a later weir"...)); err != nil || got != m {
			t.Errorf("%+v with more behind it: %+v, %v", m, got, err)
		}
		for i := range b {
			if got, err := parseMeta(b[:i]); err == nil {
				t.Errorf("%+v cut to %d bytes reads as %+v", m, i, got)
			}
		}
	}
	f(meta{protocol: 1, weight: 1, peer: ":1"})
	f(meta{draining: true, protocol: 255, weight: maxWeight, zone: strings.Repeat("z", maxZone), peer: strings.Repeat("h", maxPeer-6) + ":65535"})
	f(meta{weight: 10, zone: "fra", peer: "10.1.2.3:8091"})
	f(meta{weight: 10, peer: "[2001:db8::1]:8091"})
	f(meta{weight: 10, peer: "edge-1.example.net:8091"})
}

// A node that says something else than weir says is not asked for anything.
func TestMetaOfStrangersIsRefused(t *testing.T) {
	f := func(b string) {
		t.Helper()
		if m, err := parseMeta([]byte(b)); err == nil {
			t.Errorf("%q read as %+v", b, m)
		}
	}
	with := func(zone, peer string) string {
		return string(meta{weight: 1, zone: zone, peer: peer}.append(nil))
	}
	f("")
	f("\x00\x00\x01\x0a\x00\x02:1")
	f("\x02\x00\x01\x0a\x00\x02:1")
	f("\x01\x00\x01\x00\x00\x02:1")
	f("\x01\x00\x01\xe9\x07\x00\x02:1") // weight 1001
	f("\x01\x00\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x02:1")
	for _, peer := range []string{"", "8091", ":", ":0", ":65536", ":-1", ":http", "e1", "0.0.0.0:1", "[::]:1", "224.0.0.1:1", "[fe80::1%eth0]:1",
		"user@e1:1", "e1/x:1", "http://e1:1", "e 1:1", "e1:1\n", "-e1:1", ".e1:1", "e1\x00:1", "ü:1", "e1:+1"} {
		f(with("", peer))
	}
	f(with("a b", ":1"))
	f(with("a\n", ":1"))
}

// ":8091" means the node's own address, which it need not know itself.
func TestPeerAddressFromGossip(t *testing.T) {
	f := func(peer, ip, want string) {
		t.Helper()
		if got := (meta{peer: peer}).peerAddr(net.ParseIP(ip)); got != want {
			t.Errorf("%s from %s: %s, want %s", peer, ip, got, want)
		}
	}
	f(":8091", "10.0.0.7", "10.0.0.7:8091")
	f(":8091", "2001:db8::7", "[2001:db8::7]:8091")
	f("e1:8091", "10.0.0.7", "e1:8091")
}

// Whatever arrives by gossip is read without harm, and what is accepted can be
// dialled and said again.
func FuzzMeta(f *testing.F) {
	f.Add(meta{weight: 10, zone: "fra", peer: "10.1.2.3:8091"}.append(nil))
	f.Add([]byte("\x01\x01\x01\xff\xff\xff\xff\x00"))
	f.Add([]byte{1, 0, 0, 1, 255, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseMeta(b)
		if err != nil {
			return
		}
		if _, _, err := net.SplitHostPort(m.peerAddr(net.IPv4(10, 0, 0, 1))); err != nil {
			t.Fatal(err)
		}
		if again, err := parseMeta(m.append(nil)); err != nil || again != m || len(m.append(nil)) > 512 {
			t.Fatalf("%+v, %+v, %v", m, again, err)
		}
	})
}
