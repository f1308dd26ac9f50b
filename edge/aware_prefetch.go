package edge

import (
	"math"
	"sync"
	"time"

	"weir/cache"
	"weir/edge/schedule"
)

// Bounds of prefetching.
const (
	maxAhead       = 6        // objects of one version: a segment or two, init, key
	maxQueue       = 256      // waiting to be fetched; more are left to the viewers
	maxAtOnce      = 4        // in the air
	maxOutstanding = 64 << 20 // bytes fetched that nobody has asked for yet
	maxFetched     = 16_384   // objects, of whatever size
	maxUnwanted    = 25       // one byte in so many of all media may have been fetched in vain
)

// A prefetcher fetches the next segments of what is being watched, through the
// same question that viewers ask: whoever else asks meanwhile joins, peers and
// owners take their part, and upstream is asked once.
//
// What is watched is told by what viewers asked for: the playlist lately, and one
// of the last segments before the new ones. So a rendition that was left costs
// what was fetched since the last segment that was asked for; and all together are
// bounded by what turned out to be in vain.
type prefetcher struct {
	a *Aware

	mu          sync.Mutex // guards all that follows
	queue       []question
	air         int
	fetched     []ahead // not asked for yet, in the order they were fetched
	outstanding int64   // their bytes
	doubtful    int64   // of these, what should have been asked for by now
	settled     time.Time
	total       AwareStats
	media, lost int64 // bytes, lately
}

// An ahead is an object that was fetched before anybody asked for it.
type ahead struct {
	key   string
	size  int64
	since time.Time
	until time.Time // when it will have been in vain
}

// next fetches what a new version is the first to list, if it will be wanted.
func (p *prefetcher) next(f *fill, rep *schedule.Report, now time.Time) {
	a := p.a
	if a.opts.NoPrefetch || len(rep.New) == 0 || !a.watched(f, rep, now) {
		return
	}
	var keys []string
	for _, key := range rep.New[max(0, len(rep.New)-maxAhead):] {
		if c := a.asked(&f.q, key); c.class != cache.Playlist && !c.blocking { // media, and what belongs to them
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return
	}
	if !a.e.mayPrefetch() {
		a.metrics.prefetch.WithLabelValues("left").Add(float64(len(keys)))
		return
	}
	p.mu.Lock()
	if now.Sub(p.settled) >= settleEvery {
		p.settle(now)
	}
	switch {
	case (p.lost+p.doubtful)*maxUnwanted > p.media, p.outstanding > maxOutstanding, len(p.fetched) > maxFetched, len(p.queue)+len(keys) > maxQueue:
		p.mu.Unlock()
		a.metrics.prefetch.WithLabelValues("left").Add(float64(len(keys)))
		return
	}
	for _, key := range keys {
		p.queue = append(p.queue, a.asked(&f.q, key))
	}
	p.mu.Unlock()
	p.start(rep.Target)
}

// watched reports whether viewers of this edge play the rendition.
func (a *Aware) watched(f *fill, rep *schedule.Report, now time.Time) bool {
	if !a.seen.within(f.q.path, now, 2*rep.Target+time.Second) {
		return false
	}
	for _, key := range rep.Before {
		if a.seen.within(key, now, 3*rep.Target+time.Second) {
			return true
		}
	}
	return false
}

// start takes off what may be in the air.
func (p *prefetcher) start(target time.Duration) {
	for {
		p.mu.Lock()
		if p.air >= maxAtOnce || len(p.queue) == 0 {
			p.mu.Unlock()
			return
		}
		q := p.queue[0]
		if p.queue = p.queue[1:]; len(p.queue) == 0 {
			p.queue = nil
		}
		p.air++
		p.mu.Unlock()
		p.fetch(q, target)
	}
}

// fetch asks for one object, and waits for nothing.
func (p *prefetcher) fetch(q question, target time.Duration) {
	e := p.a.e
	cq := e.wanted(&q)
	cq.NoPeer = e.owns(q.key)
	f := &fill{e: e, q: q, noPeer: cq.NoPeer}
	began := time.Now()
	e.cache.Ask(cq, f.run, func(o *cache.Object, how cache.Outcome, err error) {
		if err != nil || how != cache.Miss || o.Status() != 200 || o.Passed() {
			result := "there" // somebody was faster
			if err != nil || o.Status() != 200 || o.Passed() {
				result = "failed"
			}
			p.a.metrics.prefetch.WithLabelValues(result).Inc()
			if o != nil {
				o.Release()
			}
			go p.landed(target)
			return
		}
		p.a.metrics.prefetch.WithLabelValues("fetched").Inc()
		body := o.Response(began).Body
		o.Release()
		// Far behind any end: it wakes when the body has ended.
		body.Watch(math.MaxInt64, func() {
			go func() { // a wake must not call back into the body
				size := max(0, body.Len())
				body.Close()
				p.note(ahead{q.key, size, began, time.Now().Add(4 * target)})
				p.landed(target)
			}()
		})
	})
}

// landed makes room in the air for the next.
func (p *prefetcher) landed(target time.Duration) {
	p.mu.Lock()
	p.air--
	p.mu.Unlock()
	p.start(target)
}

// note adds an object that was fetched.
func (p *prefetcher) note(o ahead) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fetched = append(p.fetched, o)
	p.outstanding += o.size
	p.total.PrefetchBytes += o.size
	p.total.PrefetchedSegs++
}

// came notes bytes of media that upstream sent, for whomever.
func (p *prefetcher) came(size int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total.MediaBytes += size
	if p.media += size; p.media > 1<<30 { // what was long ago counts less
		p.media /= 2
		p.lost /= 2
	}
}

// settleEvery is how often it is found out what was wanted: there may be thousands.
const settleEvery = 500 * time.Millisecond

// settle finds out which objects were wanted. The caller holds p.mu.
func (p *prefetcher) settle(now time.Time) {
	kept := p.fetched[:0]
	p.settled, p.doubtful = now, 0
	for _, o := range p.fetched {
		switch {
		case p.a.seen.since(o.key, o.since):
			p.total.WantedBytes += o.size
			p.a.metrics.prefetchBytes.WithLabelValues("wanted").Add(float64(o.size))
		case !now.Before(o.until):
			p.total.UnwantedBytes += o.size
			p.total.UnwantedSegs++
			p.lost += o.size
			p.a.metrics.prefetchBytes.WithLabelValues("unwanted").Add(float64(o.size))
		default:
			if now.Sub(o.since) >= o.until.Sub(o.since)/4 { // a target duration
				p.doubtful += o.size
			}
			kept = append(kept, o)
			continue
		}
		p.outstanding -= o.size
	}
	clear(p.fetched[len(kept):])
	p.fetched = kept
}

func (p *prefetcher) stats(now time.Time) AwareStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.settle(now)
	return p.total
}
