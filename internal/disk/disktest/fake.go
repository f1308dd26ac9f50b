// Package disktest is a disk for tests: a file system in memory that forgets what was not synced, stalls, fills up and fails, and the conformance suite that holds it to the real one.
//
// It promises to be no kinder than a real disk: what no Sync or SyncDir covers may be lost
// at a power cut, in part and out of order. It blocks on channels only, so that it works in
// the bubbles of testing/synctest (make it inside the bubble).
package disktest

import (
	"errors"
	"strings"
	"sync"

	"weir/internal/disk"
)

// ErrDead is returned to a process that was killed.
var ErrDead = errors.New("the process is dead")

// An Op is a kind of call.
type Op string

// The calls.
const (
	Open     Op = "open"
	Create   Op = "create"
	Append   Op = "append"
	Rename   Op = "rename"
	Remove   Op = "remove" // RemoveDir too
	Link     Op = "link"
	Mkdir    Op = "mkdir"
	ReadDir  Op = "readdir"
	SyncDir  Op = "syncdir"
	Free     Op = "free"
	Lock     Op = "lock"
	Read     Op = "read"
	Write    Op = "write"
	Sync     Op = "sync"
	Truncate Op = "truncate"
)

// changing lists the calls that a stalled disk holds up: reads come from memory.
var changing = []Op{Create, Append, Rename, Remove, Link, Mkdir, SyncDir, Write, Sync, Truncate}

// unlimited is what Free says of a disk without Full.
const unlimited = 1 << 40

// A Fake is the disk. Its methods are what happens to it; what programs see is FS.
type Fake struct {
	mu      sync.Mutex
	root    *node
	pending []*dirOp      // changes of names that no SyncDir covered, in order
	life    *life         // of the process that runs now
	stall   chan struct{} // closed by Resume; nil: not stalled
	stalled map[Op]bool
	room    int64 // bytes left; negative: no limit
	fuse    int64 // bytes until the process dies; negative: never
	faults  map[Op]*fault
	blocked map[Op]int
	calls   map[Op]int
	handles int
	locks   map[*node]*life
	writes  []*inflight
}

// A life is one run of a process: its death makes its calls fail.
type life struct {
	dead chan struct{}
}

// An inflight is a write that was called and is not done.
type inflight struct {
	h *handle
	p []byte
}

type fault struct {
	err   error
	match string // part of the name; "": all
	left  int    // calls still to fail; negative: all
}

// NewFake returns an empty disk.
func NewFake() *Fake {
	return &Fake{
		root: newDir(), life: &life{dead: make(chan struct{})}, room: -1, fuse: -1,
		faults: map[Op]*fault{}, blocked: map[Op]int{}, calls: map[Op]int{}, locks: map[*node]*life{},
	}
}

// FS returns the disk as a process sees it that starts now. It fails with
// ErrDead for good once Kill or PowerCut ended that process.
func (d *Fake) FS() disk.FS {
	d.mu.Lock()
	defer d.mu.Unlock()
	return view{d, d.life}
}

// Stall makes calls of these kinds block until Resume; without a kind, all that
// change something.
func (d *Fake) Stall(ops ...Op) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(ops) == 0 {
		ops = changing
	}
	if d.stall == nil {
		d.stall, d.stalled = make(chan struct{}), map[Op]bool{}
	}
	for _, op := range ops {
		d.stalled[op] = true
	}
}

// Resume lets what is blocked go on.
func (d *Fake) Resume() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stall != nil {
		close(d.stall)
		d.stall = nil
	}
}

// Blocked returns how many calls of a kind are blocked now.
func (d *Fake) Blocked(op Op) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.blocked[op]
}

// Calls returns how many calls of a kind there were, failed ones too.
func (d *Fake) Calls(op Op) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.calls[op]
}

// Handles returns how many files are open.
func (d *Fake) Handles() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.handles
}

// Full leaves room for n more bytes. Beyond it a write stores what fits and
// returns ENOSPC. What is removed makes room.
func (d *Fake) Full(n int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.room = n
}

// Room gives a full disk n bytes more; negative: as many as it likes.
func (d *Fake) Room(n int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n < 0 || d.room < 0 {
		d.room = -1
		return
	}
	d.room += n
}

// Fail makes calls of a kind fail with err until it is called with nil. A Write
// that fails has stored the first half. A Sync that fails has dropped what it
// was to store: it is read until the power is cut, then it is gone, also after
// a Sync that succeeded.
func (d *Fake) Fail(op Op, err error) { d.FailSome(op, "", -1, err) }

// FailSome is Fail for the next n calls on names that contain match.
func (d *Fake) FailSome(op Op, match string, n int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil {
		delete(d.faults, op)
		return
	}
	d.faults[op] = &fault{err, match, n}
}

// failing returns the error that a call is to fail with. d.mu is held.
func (d *Fake) failing(op Op, name string) error {
	f := d.faults[op]
	if f == nil || f.left == 0 || !strings.Contains(name, f.match) {
		return nil
	}
	if f.left > 0 {
		f.left--
	}
	return f.err
}

// enter counts a call, waits while the disk is stalled, and returns with d.mu
// held, with nil if the process still lives and the call is not to fail.
func (d *Fake) enter(l *life, op Op, name string) error {
	d.mu.Lock()
	d.calls[op]++
	for {
		select {
		case <-l.dead:
			return ErrDead
		default:
		}
		if d.fuse == 0 {
			return ErrDead
		}
		if d.stall == nil || !d.stalled[op] {
			return d.failing(op, name)
		}
		stall := d.stall
		d.blocked[op]++
		d.mu.Unlock()
		select {
		case <-stall:
		case <-l.dead:
		}
		d.mu.Lock()
		d.blocked[op]--
	}
}
