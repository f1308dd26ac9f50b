package trial

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"weir/bench"
	"weir/playlist"
)

// An audience polls the playlists of a channel through all lives of a node and
// forgets nothing: what a number, a name, a discontinuity meant once it must
// mean for ever.
type audience struct {
	n       *node
	channel string
	every   time.Duration // between two polls of a playlist
	back    time.Duration // within which playlists must be there after a start

	mu       sync.Mutex
	broken   map[string]int          // by what, the first of each kind in words
	first    map[string]string       // the first case of each kind
	sums     map[string][32]byte     // of every file ever seen whole, by path
	waits    map[int64]time.Duration // of each life: from its start to the first playlist
	versions int                     // of playlists
	files    int                     // fetched whole
	turned   map[string]int          // media that became gaps, by rendition
	slowest  time.Duration           // answer, with its body
	listed   [2]int                  // segments seen listed, as media and as gaps
	newest   map[string]uint64       // number of the newest segment with media, by rendition
}

func newAudience(n *node, channel string) *audience {
	return &audience{n: n, channel: channel, every: 80 * time.Millisecond, back: 3 * time.Second,
		broken: map[string]int{}, first: map[string]string{}, sums: map[string][32]byte{}, waits: map[int64]time.Duration{},
		turned: map[string]int{}, newest: map[string]uint64{}}
}

// say notes what was broken, by the words before the colon, and the first time of each keeps
// the proof.
func (a *audience) say(format string, args ...any) { a.prove("", fmt.Sprintf(format, args...)) }

func (a *audience) prove(proof, what string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	kind, _, _ := strings.Cut(what, ":")
	if a.broken[kind]++; a.broken[kind] > 1 {
		return
	}
	a.first[kind] = what
	if proof != "" && os.MkdirAll("artefacts", 0o755) == nil {
		name := strings.Map(func(r rune) rune {
			if r == ' ' || r == ',' {
				return '-'
			}
			return r
		}, kind)
		_ = os.WriteFile("artefacts/"+a.n.Name()+"-"+name+".txt", []byte(what+"\n"+proof), 0o644)
	}
}

// watch polls the media playlist of a rendition until ctx is done.
func (a *audience) watch(ctx context.Context, rendition string) {
	base := a.n.view + "/live/" + a.channel + "/" + rendition + "/"
	rules := &bench.Rulebook{Strict: true, Remember: 1 << 40}
	var life int64 // in which the last playlist was read
	var text string
	var last time.Time // when a playlist was read
	var heard uint64   // the number behind the newest
	for ctx.Err() == nil {
		began, now := time.Now(), a.n.life.Load()
		status, _, body, err := a.n.get(base + "index.m3u8")
		switch {
		case now%2 == 0 || a.n.life.Load() != now: // it was killed meanwhile, or is
		case err != nil || status != http.StatusOK:
			a.n.mu.Lock()
			since := time.Since(a.n.born)
			a.n.mu.Unlock()
			if life > 0 && since > a.back {
				a.say("no playlist: %s, %v after a start: %d %v", rendition, since.Round(time.Millisecond), status, err)
			}
		default:
			m, err := playlist.ParseMedia(body)
			if err != nil {
				a.say("garbage: %s: %v", rendition, err)
				break
			}
			fresh := now != life
			if fresh {
				a.mu.Lock()
				a.n.mu.Lock()
				if _, ok := a.waits[now]; !ok {
					a.waits[now] = time.Since(a.n.born)
				}
				a.n.mu.Unlock()
				a.mu.Unlock()
			}
			// Who was kept from looking for a while may have missed a version.
			rules.Strict = fresh || began.Sub(last) < time.Second
			last = time.Now()
			if string(body) != text || fresh {
				was := rules.Turned
				for _, broken := range rules.Check(m) {
					a.prove("\nwas, in life "+fmt.Sprint(life/2+1)+":\n"+text+"\nis:\n"+string(body), fmt.Sprintf("%s (%s, life %d)", broken, rendition, now/2+1))
				}
				a.mu.Lock()
				a.versions++
				a.turned[rendition] += rules.Turned - was
				for i := range m.Segments {
					switch s := &m.Segments[i]; {
					case m.MediaSequence+uint64(i) < heard:
					case s.Gap:
						a.listed[1]++
					default:
						a.listed[0]++
						a.newest[rendition] = m.MediaSequence + uint64(i)
					}
				}
				heard = m.MediaSequence + uint64(len(m.Segments))
				a.mu.Unlock()
			}
			life, text = now, string(body)
			a.read(base, m, now, fresh)
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Until(began.Add(a.every))):
		}
	}
}

// read fetches what is listed and was not seen yet, something that was, and after a start all.
func (a *audience) read(base string, m *playlist.Media, life int64, all bool) {
	again := rand.IntN(max(1, len(m.Segments)))
	sections := map[string]bool{}
	for i := range m.Segments {
		s := &m.Segments[i]
		if s.Gap {
			continue
		}
		if s.Map != nil && !sections[s.Map.URI] {
			sections[s.Map.URI] = true
			a.fetch(base+s.Map.URI, life, all || i == again)
		}
		a.fetch(base+s.URI, life, all || i == again)
	}
}

// fetch holds a file to what it was.
func (a *audience) fetch(target string, life int64, again bool) {
	a.mu.Lock()
	was, known := a.sums[target]
	a.mu.Unlock()
	if known && !again {
		return
	}
	asked := time.Now()
	status, header, body, err := a.n.get(target)
	a.mu.Lock()
	a.slowest = max(a.slowest, time.Since(asked))
	a.mu.Unlock()
	if a.n.life.Load() != life {
		return // killed meanwhile
	}
	sum := sha256.Sum256(body)
	switch {
	case err != nil:
		a.say("media cut: %s: %v", target, err)
	case status != http.StatusOK && known:
		a.say("media gone: %s was there, is listed without a gap, and is %d", target, status)
	case status != http.StatusOK:
		a.say("media missing: %s is listed without a gap, and is %d", target, status)
	case header.Get("Content-Length") != strconv.Itoa(len(body)) || len(body) == 0:
		a.say("media short: %s: %d bytes of %s", target, len(body), header.Get("Content-Length"))
	case known && was != sum:
		a.say("other bytes: %s has others than it had", target)
	default:
		a.mu.Lock()
		a.sums[target] = sum
		a.files++
		a.mu.Unlock()
	}
}

// report is what was seen, in lines.
func (a *audience) report() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	waits := slices.Sorted(maps.Values(a.waits))
	var b strings.Builder
	fmt.Fprintf(&b, "%d playlists in %d lives, %d files fetched whole, %d different, the slowest in %v\n", a.versions, len(waits), a.files, len(a.sums), a.slowest.Round(time.Millisecond))
	if n := len(waits); n > 0 {
		fmt.Fprintf(&b, "first playlist after a start: p50 %v, p99 %v, max %v\n", waits[n/2].Round(time.Millisecond),
			waits[n*99/100].Round(time.Millisecond), waits[n-1].Round(time.Millisecond))
	}
	fmt.Fprintf(&b, "%d segments came as media and %d as gaps; media that became gaps, since they were not durable: %v\n", a.listed[0], a.listed[1], a.turned)
	total := 0
	for _, kind := range slices.Sorted(maps.Keys(a.broken)) {
		total += a.broken[kind]
		fmt.Fprintf(&b, "VIOLATION x%d: %s\n", a.broken[kind], a.first[kind])
	}
	fmt.Fprintf(&b, "violations: %d", total)
	return b.String()
}

// at returns the number of the newest segment with media.
func (a *audience) at(rendition string) uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.newest[rendition]
}

func (a *audience) violations() (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, k := range a.broken {
		n += k
	}
	return n
}
