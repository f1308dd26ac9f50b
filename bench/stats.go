package bench

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// Stats gathers what a swarm saw. It is safe for concurrent use.
type Stats struct {
	mu       sync.Mutex
	requests int64
	bytes    int64
	stalls   int64
	moves    int64
	playing  int64
	startups []time.Duration
	failures map[string]int64 // by what failed
	broken   map[string]int64 // rules of HLS that playlists broke, by which
}

// A Report is Stats at one moment.
type Report struct {
	Requests int64            // answered or failed
	Bytes    int64            // of bodies
	Playing  int64            // viewers that have started and not ended
	Stalls   int64            // times a viewer's buffer ran empty
	Moves    int64            // times a viewer went on to another edge
	Startup  [3]time.Duration // median, 99th percentile, worst: from the first request to the first whole segment
	Failures map[string]int64 // requests that failed, by what and how
	Broken   map[string]int64 // rules of HLS that playlists broke
}

// Report returns what was seen so far.
func (s *Stats) Report() Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := Report{Requests: s.requests, Bytes: s.bytes, Playing: s.playing, Stalls: s.stalls, Moves: s.moves,
		Failures: maps.Clone(s.failures), Broken: maps.Clone(s.broken)}
	if n := len(s.startups); n > 0 {
		sorted := slices.Sorted(slices.Values(s.startups))
		r.Startup = [3]time.Duration{sorted[n/2], sorted[n*99/100], sorted[n-1]}
	}
	return r
}

// String is the report in one line, for a status line or a test's log.
func (r Report) String() string {
	return fmt.Sprintf("viewers %d, requests %d, %.1f MB, start p50 %v p99 %v, stalls %d, moves %d, failures %v, broken %v",
		r.Playing, r.Requests, float64(r.Bytes)/1e6, r.Startup[0].Round(time.Millisecond), r.Startup[1].Round(time.Millisecond),
		r.Stalls, r.Moves, counts(r.Failures), counts(r.Broken))
}

func counts(m map[string]int64) string {
	if len(m) == 0 {
		return "none"
	}
	keys := slices.SortedFunc(maps.Keys(m), func(a, b string) int { return cmp.Or(cmp.Compare(m[b], m[a]), cmp.Compare(a, b)) })
	out := ""
	for i, k := range keys {
		if i == 5 {
			return out + fmt.Sprintf(" and %d more kinds", len(keys)-i)
		}
		out += fmt.Sprintf("[%s ×%d]", k, m[k])
	}
	return out
}

func (s *Stats) request(n int) { s.mu.Lock(); s.requests++; s.bytes += int64(n); s.mu.Unlock() }
func (s *Stats) stall()        { s.mu.Lock(); s.stalls++; s.mu.Unlock() }
func (s *Stats) move()         { s.mu.Lock(); s.moves++; s.mu.Unlock() }
func (s *Stats) play(n int64)  { s.mu.Lock(); s.playing += n; s.mu.Unlock() }

// maxStartups bounds the memory of start-up times.
const maxStartups = 1 << 20

func (s *Stats) started(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.startups) < maxStartups {
		s.startups = append(s.startups, d)
	}
}

func (s *Stats) fail(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures = count(s.failures, what)
}

func (s *Stats) breach(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = count(s.broken, what)
}

// maxKinds bounds how many kinds of one thing are told apart.
const maxKinds = 100

func count(m map[string]int64, what string) map[string]int64 {
	if m == nil {
		m = map[string]int64{}
	}
	if _, ok := m[what]; !ok && len(m) >= maxKinds {
		what = "others"
	}
	m[what]++
	return m
}
