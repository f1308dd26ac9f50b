package cluster

import (
	"sync"
	"time"
)

// maxNonces is how many requests are remembered in each of two generations:
// 131,072, about 6 MB when full, which is 2,000 requests a second for a minute.
const maxNonces = 128 << 10

// nonces remembers which signed requests have been seen, for as long as they
// could be sent again: a request is good from window before until window after
// its time, so a nonce is kept for at least twice that.
//
// When more come in than it can hold it forgets the older half early, and from
// then on refuses what was signed no later than what it forgot: under too much
// load the window shrinks, and no request is accepted twice.
type nonces struct {
	mu         sync.Mutex // guards all below
	young, old map[[16]byte]struct{}
	turned     time.Time // when young was empty
	newest     int64     // latest time of a request in young, unix seconds
	newestOld  int64     // the same in old
	floor      int64     // requests of this time and before may have been forgotten
	limit      int       // of each generation
}

type nonceVerdict uint8

const (
	nonceFirst nonceVerdict = iota
	nonceSeen
	nonceTooOld
)

func newNonces(limit int) *nonces {
	return &nonces{young: map[[16]byte]struct{}{}, old: map[[16]byte]struct{}{}, limit: limit}
}

// first says whether a request of time ts is seen for the first time at now.
func (n *nonces) first(nonce [16]byte, ts int64, now time.Time) nonceVerdict {
	n.mu.Lock()
	defer n.mu.Unlock()
	aged := now.Sub(n.turned) > 2*window
	if aged || len(n.young) >= n.limit {
		if !aged {
			n.floor = max(n.floor, n.newestOld)
		}
		clear(n.old)
		n.young, n.old = n.old, n.young
		n.newest, n.newestOld, n.turned = 0, n.newest, now
	}
	if _, seen := n.young[nonce]; seen {
		return nonceSeen
	}
	if _, seen := n.old[nonce]; seen {
		return nonceSeen
	}
	if ts <= n.floor {
		return nonceTooOld
	}
	n.young[nonce] = struct{}{}
	n.newest = max(n.newest, ts)
	return nonceFirst
}
