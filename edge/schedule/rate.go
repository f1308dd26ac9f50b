package schedule

import (
	"strings"
	"time"
)

// rated is what a multivariant playlist says of a rendition.
type rated struct {
	bandwidth int64 // bits a second
	at        time.Time
}

// maxRates bounds what is remembered of multivariant playlists.
const maxRates = 16_384

// Variants takes in what a multivariant playlist says of its renditions. A
// playlist that names itself, or one that names ten thousand others, says nothing
// that would be followed: it is only looked up when a rendition is asked for. It
// returns the largest target duration of the live ones among them, 0 if none is
// known to be live, and whether all are known.
func (b *Book) Variants(l *Listing, key func(uri string) string, now time.Time) (live time.Duration, all bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	all = true
	for _, v := range l.Variants {
		id := key(v.URI)
		if id == "" {
			continue
		}
		r := b.renditions[id]
		if r == nil {
			all = false
		} else if r.kind == Live {
			live = max(live, r.target)
		}
		if v.Bandwidth == 0 {
			continue
		}
		if _, known := b.rates[id]; !known && len(b.rates) >= maxRates {
			for old := range b.rates { // any
				delete(b.rates, old)
				break
			}
		}
		b.rates[strings.Clone(id)] = rated{v.Bandwidth, now}
	}
	return live, all
}

// of returns the rendition that an object belongs to: that which listed it last,
// or whose pattern its name follows, or whose playlist it is.
func (b *Book) of(key string) *rendition {
	if o := b.objects[key]; o != nil {
		return o.of
	}
	if r := b.renditions[key]; r != nil {
		return r
	}
	r, _, _ := b.follows(key)
	return r
}

// Rate returns how many bytes a second the media take that an object belongs to:
// what its multivariant playlist says, else what was measured, else 0.
func (b *Book) Rate(key string) (bytesPerSecond int64) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	r := b.of(key)
	if r == nil {
		return 0
	}
	if said := b.rates[r.id].bandwidth; said > 0 {
		return said / 8
	}
	if r.seconds < time.Second {
		return 0
	}
	return int64(float64(r.media) / r.seconds.Seconds())
}

// Kind returns what sort of programme an object belongs to.
func (b *Book) Kind(key string) Kind {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if r := b.of(key); r != nil {
		return r.kind
	}
	return Unknown
}
