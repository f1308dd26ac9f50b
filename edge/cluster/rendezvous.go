package cluster

import (
	"math"

	"github.com/cespare/xxhash/v2"
)

// A point is where a node or a key lies for rendezvous hashing.
type point uint64

func pointOf(s string) point { return point(xxhash.Sum64String(s)) }

// score is how much a node of the given weight wants a key: the node with the
// highest score owns it (weighted rendezvous hashing, Thaler and Ravishankar
// 1998, with the logarithmic method for weights). Each node's score depends on
// that node alone, so that a node that comes or goes moves no key between two
// others, and a node owns a share of the keys that is its share of the weights.
func score(key, node point, weight float64) float64 {
	// u is uniform in (0, 1), never 0 or 1: 53 bits of the mix, and a half.
	u := (float64(mix(key, node)>>11) + 0.5) / (1 << 53)
	return -weight / math.Log(u)
}

// mix is the finalizer of MurmurHash3 over both points.
func mix(key, node point) uint64 {
	x := uint64(key) ^ (uint64(node) * 0x9e3779b97f4a7c15)
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// rank puts the up to len(top) members that want key most into top, the most
// eager first, and returns how many there are. Members for which skip is true
// are passed over. It does not allocate.
func rank(top []*member, key point, members []*member, skip func(*member) bool) int {
	var scores [maxOwners]float64
	top = top[:min(len(top), maxOwners)]
	n := 0
	for _, m := range members {
		s := score(key, m.point, float64(m.weight))
		if n == len(top) && (n == 0 || s <= scores[n-1]) || skip(m) {
			continue
		}
		i := min(n, len(top)-1)
		for ; i > 0 && scores[i-1] < s; i-- {
			scores[i], top[i] = scores[i-1], top[i-1]
		}
		scores[i], top[i] = s, m
		n = min(n+1, len(top))
	}
	return n
}
