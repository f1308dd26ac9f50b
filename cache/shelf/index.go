package shelf

import "maps"

// An entry is one thing: where its head and its body stand. The two are apart
// when the head was made new without the body.
type entry struct {
	hash    uint64
	next    uint32 // of the same hash; a slot
	sibling uint32 // whose body stands in the same file; a slot
	sub     uint32
	stamp   uint32
	head    Place
	body    Place
	headLen uint32 // 0: the slot is not in use, or its thing is gone
	bodyLen uint32
}

// slotsAtOnce is how many entries memory is taken for at once, entryBytes what
// one costs with its part of the map: 48 bytes, and 39 of a map from 8
// to 4 bytes at its worst load.
const (
	slotsAtOnce = 1024
	entryBytes  = 88
)

// An index finds entries by hash, and those of one file. Slots count from 1.
type index struct {
	byHash map[uint64]uint32
	slots  []*[slotsAtOnce]entry
	used   uint32   // slots ever handed out
	free   []uint32 // of these: not in use
	n      int64    // live entries

	// By hash the newest file that still has something of it which is not found
	// any more, and which a restart would bring back.
	forgotten map[uint64]uint32
}

func (x *index) init() { x.byHash, x.forgotten = map[uint64]uint32{}, map[uint64]uint32{} }

// forget takes out what the function names of a hash, and remembers that its
// records still stand.
func (x *index) forget(hash uint64, which func(*entry) bool) {
	x.remove(hash, func(e *entry) bool {
		gone := which(e)
		if gone {
			x.stands(hash, max(e.head.File, e.body.File))
		}
		return gone
	})
}

// stands remembers that a file has something of a hash that is not found.
func (x *index) stands(hash uint64, file uint32) {
	x.forgotten[hash] = max(x.forgotten[hash], file)
}

// bytes returns the memory that was asked for.
func (x *index) bytes() int64 { return int64(len(x.slots)) * slotsAtOnce * entryBytes }

// full reports whether memory must be taken before the next add.
func (x *index) full() bool { return len(x.free) == 0 && int(x.used) == len(x.slots)*slotsAtOnce }

func (x *index) grow() { x.slots = append(x.slots, new([slotsAtOnce]entry)) }

func (x *index) at(slot uint32) *entry {
	if slot == 0 {
		return nil
	}
	return &x.slots[(slot-1)/slotsAtOnce][(slot-1)%slotsAtOnce]
}

// first returns the newest entry of a hash, or nil.
func (x *index) first(hash uint64) *entry { return x.at(x.byHash[hash]) }

// find returns the entry for one thing under a hash, or nil.
func (x *index) find(hash uint64, sub uint32) *entry {
	for e := x.first(hash); e != nil; e = x.at(e.next) {
		if e.sub == sub {
			return e
		}
	}
	return nil
}

// add puts e in, whose body stands in f. There must be room.
func (x *index) add(e entry, f *file) {
	var slot uint32
	if last := len(x.free) - 1; last >= 0 {
		slot, x.free = x.free[last], x.free[:last]
	} else {
		x.used++
		slot = x.used
	}
	e.next, e.sibling = x.byHash[e.hash], f.first
	*x.at(slot) = e
	x.byHash[e.hash], f.first = slot, slot
	x.n++
}

// remove takes out what the function names of a hash. Slots stay with their
// file until that goes.
func (x *index) remove(hash uint64, which func(*entry) bool) (removed int) {
	var keep uint32 // the last slot that stays
	for slot := x.byHash[hash]; slot != 0; {
		e := x.at(slot)
		next := e.next
		switch {
		case !which(e):
			keep = slot
		default:
			if keep != 0 {
				x.at(keep).next = next
			} else if next != 0 {
				x.byHash[hash] = next
			} else {
				delete(x.byHash, hash)
			}
			e.headLen, e.next = 0, 0
			x.n--
			removed++
		}
		slot = next
	}
	return removed
}

func every(*entry) bool { return true }

// empty takes out all whose body stands in f, and makes their slots free.
func (x *index) empty(f *file) {
	for slot := f.first; slot != 0; {
		e := x.at(slot)
		next := e.sibling
		if e.headLen != 0 {
			x.remove(e.hash, func(o *entry) bool { return o == e })
		}
		*e = entry{}
		x.free = append(x.free, slot)
		slot = next
	}
	f.first = 0
	maps.DeleteFunc(x.forgotten, func(_ uint64, file uint32) bool { return file <= f.number })
}

// A door remembers the hashes that were seen lately, as many as it has places.
type door [1 << 16]uint32

const doorBytes = 4 << 16

// knock reports whether the hash was seen, and remembers it.
func (d *door) knock(hash uint64) bool {
	mark := uint32(hash>>32) | 1
	at := &d[hash%uint64(len(d))]
	seen := *at == mark
	*at = mark
	return seen
}
