package disktest

import (
	"errors"
	"maps"
	"math/rand/v2"
)

// page is what a disk writes at once.
const page = 4096

// KillAfter kills the process when it has written n more bytes: that write is cut
// there, and every call fails until Kill or PowerCut starts the next process.
func (d *Fake) KillAfter(n int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fuse = max(n, 0)
}

// Kill ends the process and starts another: what was written stays, a write that
// is blocked is cut at a random byte, open files and locks are gone.
func (d *Fake) Kill(rng *rand.Rand) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.die(rng)
}

// die ends the life. d.mu is held.
func (d *Fake) die(rng *rand.Rand) {
	if d.fuse != 0 { // else its last write was cut already
		for _, w := range d.writes {
			if w.h.v.l == d.life && w.h.write && !w.h.closed && len(w.p) > 0 {
				w.h.store(w.p[:rng.IntN(len(w.p))])
			}
		}
	}
	close(d.life.dead)
	d.life = &life{dead: make(chan struct{})}
	d.fuse = -1
	d.handles = 0
	clear(d.locks)
}

// PowerCut ends the process, forgets what was not durable, and starts another.
// Of bytes that were appended and not synced a random prefix is left, in which
// random pages are zeros or garbage; a truncation that was not synced may be
// undone; of names that were not synced each change is kept or lost at random,
// those that are kept in order. Blocked writes are lost. A stalled disk goes on.
func (d *Fake) PowerCut(rng *rand.Rand) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.writes = nil
	d.die(rng)
	if d.stall != nil {
		close(d.stall)
		d.stall = nil
	}
	used := d.used()
	for _, op := range d.pending {
		if rng.IntN(2) == 0 {
			op.apply(func(n *node) map[string]*node { return n.kept })
		}
	}
	d.pending = nil
	restore(d.root, rng)
	if d.room >= 0 {
		d.room += used - d.used()
	}
}

// used returns how many bytes the files have that have a name.
func (d *Fake) used() (sum int64) {
	nodes(d.root, func(n *node) { sum += int64(len(n.data)) })
	return sum
}

// restore makes what is left of a directory all that there is.
func restore(root *node, rng *rand.Rand) {
	swap := func(n *node) {
		if n.dir {
			n.names = maps.Clone(n.kept)
			return
		}
		n.links = 0
	}
	nodes(root, swap) // a directory's names are set before they are walked
	nodes(root, func(n *node) {
		for _, e := range n.names {
			e.links++
		}
		if !n.dir {
			n.data = remains(n, rng)
			n.durable, n.low, n.lost = n.data[:len(n.data):len(n.data)], len(n.data), nil
		}
	})
}

// remains returns what is left of a file.
func remains(n *node, rng *rand.Rand) []byte {
	old, now := n.durable, n.data
	low := min(n.low, len(old))
	size := low
	if len(now) > low {
		size += rng.IntN(len(now) - low + 1)
	}
	if size < len(old) && rng.IntN(2) == 0 {
		size = len(old)
	}
	out := make([]byte, size)
	copy(out, old[:low])
	// Behind low every page is on the disk as it was, as it is now, or is not at
	// all; mostly as it is now, else nothing would be learned from many pages.
	for from := low; from < size; {
		to := min(size, (from/page+1)*page)
		dst := out[from:to]
		switch r := rng.IntN(20); {
		case r == 0: // zeros
		case r == 1:
			for i := range dst {
				dst[i] = byte(rng.Uint32())
			}
		case r == 2 && from < len(old):
			copy(dst, old[from:])
		case from < len(now):
			copy(dst, now[from:])
		default:
			copy(dst, old[from:])
		}
		from = to
	}
	for _, s := range n.lost { // a Sync said so
		for i := min(s.from, size); i < min(s.to, size); i++ {
			out[i] = 0
		}
	}
	return out
}

// Edit changes the bytes of a file from outside, as bit rot or an operator does:
// what f returns is the file from then on, and durable.
func (d *Fake) Edit(name string, f func(data []byte) []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.find(Open, name)
	if err != nil {
		return err
	}
	if n.dir {
		return errors.New(name + " is a directory")
	}
	n.data = f(append([]byte(nil), n.data...))
	n.durable, n.low, n.lost = n.data[:len(n.data):len(n.data)], len(n.data), nil
	return nil
}
