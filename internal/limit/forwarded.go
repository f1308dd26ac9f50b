package limit

import (
	"net/netip"
	"strings"

	"weir/internal/web"
)

// maxHops is how many proxies in a row are believed.
const maxHops = 16

// behind walks the forwarding field from its end, where the proxy that asked us
// wrote, to the first address that is none of our proxies: that is the last one
// of which somebody trustworthy says that it was there. What stands before it
// anybody can have invented. Where an entry is no address, the one that wrote
// it is the client.
func (r *Rules) behind(remote netip.Addr, h *web.Header) netip.Addr {
	name, parse := "X-Forwarded-For", address
	if r.Forwarded != "" && !strings.EqualFold(r.Forwarded, name) {
		name, parse = "Forwarded", forElement
	}
	list, client := h.Joined(name), remote
	for range maxHops {
		i := strings.LastIndexByte(list, ',')
		a, ok := parse(strings.Trim(list[i+1:], " \t"))
		if !ok {
			return client
		}
		if client = a; i < 0 || !holds(r.Proxies, a) {
			return client
		}
		list = list[:i]
	}
	return client
}

// forElement reads the address of one element of Forwarded, such as
// `for="[2001:db8::1]:4711";proto=https` (RFC 7239 section 4). "unknown" and
// "_hidden" are no addresses (section 6).
func forElement(s string) (netip.Addr, bool) {
	for pair := range strings.SplitSeq(s, ";") {
		name, value, _ := strings.Cut(strings.Trim(pair, " \t"), "=")
		if strings.EqualFold(name, "for") {
			return address(strings.Trim(value, `"`))
		}
	}
	return netip.Addr{}, false
}

// address reads an address, which may have a port: proxies write 192.0.2.1,
// 192.0.2.1:80, 2001:db8::1, [2001:db8::1] and [2001:db8::1]:80.
func address(s string) (netip.Addr, bool) {
	if a, err := netip.ParseAddr(s); err == nil {
		return a.Unmap().WithZone(""), true
	}
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone(""), true
	}
	if inner, ok := strings.CutPrefix(s, "["); ok && strings.HasSuffix(inner, "]") {
		a, err := netip.ParseAddr(inner[:len(inner)-1])
		return a.WithZone(""), err == nil
	}
	return netip.Addr{}, false
}
