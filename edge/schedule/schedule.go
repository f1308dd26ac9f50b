// Package schedule knows what playlists tell of renditions: which objects there
// are, when the next are due, and for how long what may be kept.
//
// It promises that a playlist from anywhere costs time and memory only in
// proportion to its size, which is bounded, and that all playlists together stay
// within one budget. What it does not understand it leaves alone, and says so.
// It knows nothing of HTTP, asks nobody and has no clock: time is passed in.
// What an object is called is its caller's business: it hands in a function
// that makes a key of a URI, and gets keys back.
package schedule

import (
	"container/list"
	"sync"
	"time"
)

// Options configures a [Book]. The zero value of a field is its default.
type Options struct {
	// Bytes bounds what is remembered of all playlists together. Those that were
	// renewed least recently are forgotten first. Default 32 MiB.
	Bytes int64
	// Renditions bounds how many playlists are remembered. Default 8,192.
	Renditions int
}

// A Book remembers renditions: what each playlist said last, and what became of
// what it had said before. It is safe for concurrent use.
type Book struct {
	opts Options

	mu         sync.RWMutex // guards all that follows, and what hangs below it
	renditions map[string]*rendition
	recent     list.List // of *rendition, the one renewed last in front
	objects    map[string]*object
	patterns   map[affix]*rendition
	long       map[affix]time.Time // when a list longer than is kept track of had such names
	rates      map[string]rated    // by rendition: what multivariant playlists said
	leaving    leaving
	bytes      int64
}

// New returns an empty Book.
func New(o Options) *Book {
	if o.Bytes == 0 {
		o.Bytes = 32 << 20
	}
	if o.Renditions == 0 {
		o.Renditions = 8192
	}
	return &Book{opts: o, renditions: map[string]*rendition{}, objects: map[string]*object{},
		patterns: map[affix]*rendition{}, long: map[affix]time.Time{}, rates: map[string]rated{}}
}

// Kind is what sort of programme an object belongs to.
type Kind uint8

// The kinds.
const (
	Unknown Kind = iota
	Live         // its playlist grows, and forgets
	VOD          // its playlist is complete
)

func (k Kind) String() string { return [...]string{"unknown", "live", "vod"}[k] }

// A rendition is one playlist, whichever way it is asked for.
type rendition struct {
	id      string
	at      *list.Element
	mark    mark
	kind    Kind
	target  time.Duration
	since   time.Time // when the newest version came
	seen    time.Time // when upstream had it last
	entries []entry   // what it lists
	first   uint64    // the number of the first entry
	parts   []*object // parts and hints
	total   time.Duration
	longest time.Duration // total of the longest version so far

	digest    uint64   // of the newest version's text
	tags      []string // by which upstream names the newest version
	held      any      // the caller's copy of it
	heldBytes int64
	entryCost int64
	lagging   time.Time
	suspect   suspect
	past      []string // the URIs that left last, at most maxPast

	pattern   pattern
	confirmed int // versions in a row that went on as the pattern said
	lost      lost
	probed    time.Time // when an impossible object was asked for all the same

	media   int64         // bytes of segments seen, and
	seconds time.Duration // how long these play
	cost    int64         // bytes charged to the Book, without its objects
}

// An entry is a segment that a rendition lists.
type entry struct {
	uri     string  // as written: what a version says again of a number is not read again
	obj     *object // this and the rest: nil if it cannot be asked for here
	section *object // EXT-X-MAP
	secret  *object // EXT-X-KEY
	dur     time.Duration
	gap     bool
}

// Size returns how many playlists and bytes are remembered.
func (b *Book) Size() (renditions int, bytes int64) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return len(b.renditions), b.bytes
}

// drop forgets a rendition. What it listed is forgotten with it, and not given
// up: whether anybody wants it is not known any more. The caller holds b.mu.
func (b *Book) drop(r *rendition) {
	b.recent.Remove(r.at)
	delete(b.renditions, r.id)
	if b.patterns[r.pattern.affix] == r {
		delete(b.patterns, r.pattern.affix)
	}
	for i := range r.entries {
		b.unref(&r.entries[i], time.Time{})
	}
	for _, o := range r.parts {
		b.release(o, time.Time{})
	}
	b.bytes -= r.cost
}

// shrink forgets renditions until the rest fits; keep is spared.
func (b *Book) shrink(keep *rendition) {
	for b.bytes > b.opts.Bytes || len(b.renditions) > b.opts.Renditions {
		last := b.recent.Back()
		if last == nil || last.Value.(*rendition) == keep {
			return
		}
		b.drop(last.Value.(*rendition))
	}
}
