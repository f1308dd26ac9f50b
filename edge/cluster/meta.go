package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// meta is what a node tells the others about itself through gossip. Its
// encoding begins with a version; what follows the fields of version 1 is
// ignored, so that fields can be added, and another version is not understood.
//
//	1 byte   version, 1
//	1 byte   flags: bit 0 draining
//	1 byte   protocol between peers
//	uvarint  weight, 1 to 1000
//	1 byte and so many: zone
//	1 byte and so many: address of the peer listener
type meta struct {
	draining bool
	protocol byte
	weight   int
	zone     string
	peer     string // host:port, or :port on the node's gossip address
}

const (
	metaVersion  = 1
	peerProtocol = 1 // what edges say to each other; raised when it changes
	maxWeight    = 1000
	maxZone      = 64
	maxPeer      = 255
	flagDraining = 1 << 0
)

// append encodes m: at most 6+maxZone+maxPeer bytes, well within the 512 beyond
// which memberlist panics.
func (m meta) append(b []byte) []byte {
	var flags byte
	if m.draining {
		flags |= flagDraining
	}
	b = append(b, metaVersion, flags, m.protocol)
	b = binary.AppendUvarint(b, uint64(m.weight))
	b = append(append(b, byte(len(m.zone))), m.zone...)
	return append(append(b, byte(len(m.peer))), m.peer...)
}

var errMeta = errors.New("node meta cut short")

// parseMeta decodes and checks what another node sent.
func parseMeta(b []byte) (m meta, err error) {
	if len(b) < 3 {
		return meta{}, errMeta
	}
	if b[0] != metaVersion {
		return meta{}, fmt.Errorf("node meta of version %d: this weir reads version %d", b[0], metaVersion)
	}
	m.draining, m.protocol = b[1]&flagDraining != 0, b[2]
	w, n := binary.Uvarint(b[3:])
	if n <= 0 {
		return meta{}, errMeta
	}
	if w < 1 || w > maxWeight {
		return meta{}, fmt.Errorf("weight %d: want 1 to %d", w, maxWeight)
	}
	m.weight, b = int(w), b[3+n:]
	for _, field := range []*string{&m.zone, &m.peer} {
		if len(b) == 0 || len(b) <= int(b[0]) {
			return meta{}, errMeta
		}
		end := 1 + int(b[0])
		*field, b = string(b[1:end]), b[end:]
	}
	if err := checkZone(m.zone); err != nil {
		return meta{}, err
	}
	return m, checkPeerAddr(m.peer)
}

func checkName(s string) error {
	if len(s) == 0 || len(s) > 64 || !only(s, "._-") {
		return fmt.Errorf("node name %.80q: 1 to 64 of a-z, A-Z, 0-9, '.', '_', '-'", s)
	}
	return nil
}

func checkZone(s string) error {
	if len(s) > maxZone || !only(s, "._-") {
		return fmt.Errorf("zone %.80q: at most %d of a-z, A-Z, 0-9, '.', '_', '-'", s, maxZone)
	}
	return nil
}

// checkPeerAddr accepts host:port with an IP address or a host name, and :port.
func checkPeerAddr(s string) error {
	host, port, err := net.SplitHostPort(s)
	if err != nil || len(s) > maxPeer {
		return fmt.Errorf("peer address %.80q: want host:port", s)
	}
	if p, err := strconv.ParseUint(port, 10, 16); err != nil || p == 0 {
		return fmt.Errorf("peer address %.80q: port from 1 to 65535", s)
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		if ip.IsUnspecified() || ip.IsMulticast() || ip.Zone() != "" {
			return fmt.Errorf("peer address %.80q: not one that others can reach", s)
		}
		return nil
	}
	if host != "" && (!only(host, ".-") || strings.HasPrefix(host, "-") || strings.HasPrefix(host, ".")) {
		return fmt.Errorf("peer address %.80q: host is neither an IP address nor a name", s)
	}
	return nil
}

// peerAddr returns the address to dial for a node that gossips from ip.
func (m meta) peerAddr(ip net.IP) string {
	if strings.HasPrefix(m.peer, ":") {
		return net.JoinHostPort(ip.String(), m.peer[1:])
	}
	return m.peer
}

// only reports whether s is made of ASCII letters, digits and the bytes of extra.
func only(s, extra string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && strings.IndexByte(extra, c) < 0 {
			return false
		}
	}
	return true
}
