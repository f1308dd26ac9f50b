package schedule

import (
	"container/heap"
	"time"
)

// An object is what playlists name: a segment, a part, a map or a key.
type object struct {
	key     string
	refs    int        // how often it is listed
	of      *rendition // which listed it last, of those that are live if there are any
	dur     time.Duration
	longest time.Duration // of the playlists that listed it
	listed  time.Time     // first
	hint    bool          // it is announced, and not there yet
	shared  bool          // several segments are parts of it

	leaves time.Time // when nobody may want it any more; zero: it is listed
	at     int       // its place in Book.leaving; -1: none
}

// objectCost is about what an object takes beside the bytes of its key: the
// struct, its place in the map and in an entry.
const objectCost = 240

// name returns the object of that key, listed once more by r.
func (b *Book) name(r *rendition, key string, dur time.Duration, now time.Time) *object {
	o := b.objects[key]
	if o == nil {
		o = &object{key: key, listed: now, at: -1}
		b.objects[key] = o
		b.bytes += objectCost + int64(len(key))
	}
	if o.at >= 0 {
		heap.Remove(&b.leaving, o.at)
	}
	o.leaves = time.Time{}
	o.refs++
	if o.of == nil || o.refs == 1 || r.kind == Live || o.of.kind != Live || b.renditions[o.of.id] != o.of {
		o.of = r // else it is live, though it is in a recording too
	}
	o.dur = max(o.dur, dur)
	return o
}

// release takes one mention of o away. With the last one its time begins to run
// out: "the server SHOULD NOT remove a Media Segment [...] until a time equal to
// the Availability Duration" has passed since it was removed from the playlist,
// which is its own duration and that of the longest playlist that listed it
// (HLSbis 6.2.2). A zero now forgets it.
func (b *Book) release(o *object, now time.Time) {
	if o == nil {
		return
	}
	if o.refs--; o.refs > 0 {
		return
	}
	if now.IsZero() {
		b.forget(o)
		return
	}
	o.leaves = now.Add(o.dur + o.longest)
	heap.Push(&b.leaving, o)
}

func (b *Book) forget(o *object) {
	if o.at >= 0 {
		heap.Remove(&b.leaving, o.at)
	}
	delete(b.objects, o.key)
	b.bytes -= objectCost + int64(len(o.key))
}

func (b *Book) unref(e *entry, now time.Time) {
	b.release(e.obj, now)
	b.release(e.section, now)
	b.release(e.secret, now)
}

// maxExpired bounds how much one version may give up, so that none takes long.
const maxExpired = 512

// expired takes out and returns what nobody may want any more.
func (b *Book) expired(now time.Time) (keys []string) {
	for len(b.leaving) > 0 && len(keys) < maxExpired && !now.Before(b.leaving[0].leaves) {
		o := b.leaving[0]
		keys = append(keys, o.key)
		b.forget(o)
	}
	return keys
}

// leaving is a heap of the objects that nobody lists, the next to go first.
type leaving []*object

func (l leaving) Len() int           { return len(l) }
func (l leaving) Less(i, j int) bool { return l[i].leaves.Before(l[j].leaves) }
func (l leaving) Swap(i, j int) {
	l[i], l[j] = l[j], l[i]
	l[i].at, l[j].at = i, j
}
func (l *leaving) Push(x any) {
	o := x.(*object)
	o.at = len(*l)
	*l = append(*l, o)
}
func (l *leaving) Pop() any {
	last := len(*l) - 1
	o := (*l)[last]
	(*l)[last] = nil
	*l = (*l)[:last]
	o.at = -1
	return o
}
