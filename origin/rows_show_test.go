package origin

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"weir/bench"
	"weir/internal/web"
	"weir/playlist"
)

// The rows of the test matrix for playlists (PL-01 and on), one test each. They see what
// viewers see: scripted encoders push real media, and readers poll every playlist each quarter
// of a target duration and hold every version to the rules of HLSbis.

// A show is a channel with its readers.
type show struct {
	*rig
	readers []*reader
	labels  map[[32]byte]string // what was pushed, by its bytes: the first time
	long    map[string]string   // bytes of what is too long, by label
	broken  map[string]bool     // what was said already
	loose   bool                // renditions are not held together at each poll
}

// A reader polls one media playlist.
type reader struct {
	name     string
	rules    bench.Rulebook
	versions []version
}

// A version is a playlist that differs from the one before it.
type version struct {
	at     time.Time
	answer answer
	*playlist.Media
}

// onShow runs f with readers of the renditions hi and lo of channel c.
func onShow(t *testing.T, o Options, f func(s *show)) {
	t.Helper()
	underClock(t, o, func(r *rig) {
		s := &show{rig: r, labels: map[[32]byte]string{}, long: map[string]string{}, broken: map[string]bool{}}
		s.read("hi", "lo")
		f(s)
	})
}

// inBoth runs f with MPEG-TS and with fragmented MP4.
func inBoth(t *testing.T, o Options, f func(s *show, e *encoder)) {
	t.Helper()
	for _, ts := range []bool{true, false} {
		onShow(t, o, func(s *show) { f(s, s.encoder(bench.FeedOptions{TS: ts})) })
	}
}

func (s *show) read(names ...string) {
	for _, name := range names {
		x := &reader{name: name}
		x.rules.Strict = true
		x.rules.Fetch = func(uri string) error { return s.whole(name, uri) }
		s.readers = append(s.readers, x)
	}
}

// whole gets a file as a player does that was just told of it.
func (s *show) whole(name, uri string) error {
	req := &web.Request{Method: http.MethodGet, Path: "/live/c/" + name + "/" + uri}
	resp, err := s.o.Viewers().Serve(s.Context(), req)
	if err != nil {
		return err
	}
	defer resp.Close()
	if resp.Status != 200 {
		return fmt.Errorf("%s: %d", uri, resp.Status)
	}
	now := time.Now()
	p, err := web.ReadAll(s.Context(), resp.Body, 1<<30)
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", uri, err)
	case int64(len(p)) != resp.Body.Len():
		return fmt.Errorf("%s: %d bytes of %d", uri, len(p), resp.Body.Len())
	case time.Since(now) > 0: // the clock stands still unless somebody waits
		return fmt.Errorf("%s: its bytes took %v", uri, time.Since(now))
	case s.label(string(p)) == "":
		return fmt.Errorf("%s holds what nobody pushed", uri)
	}
	return nil
}

// label says which segment these bytes are. Of one that was too long a piece may be
// published, which is told with a "+".
func (s *show) label(body string) string {
	if l := s.labels[sha256.Sum256([]byte(body))]; l != "" {
		return l
	}
	for l, whole := range s.long {
		if body != "" && strings.Contains(whole, body) {
			return l + "+"
		}
	}
	return ""
}

// pass lets time go by and polls.
func (s *show) pass(d time.Duration) {
	s.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(min(500*time.Millisecond, time.Until(end))) {
		s.poll()
	}
}

// poll reads all playlists once.
func (s *show) poll() {
	s.Helper()
	var all []*playlist.Media
	for _, x := range s.readers {
		a := s.get("/live/c/" + x.name + "/index.m3u8")
		if a.status != 200 {
			if len(x.versions) > 0 {
				s.Errorf("%s: %d %s", x.name, a.status, a.body)
			}
			continue
		}
		m, err := playlist.ParseMedia([]byte(a.body))
		if err != nil {
			s.Errorf("%s: %v\n%s", x.name, err, a.body)
			continue
		}
		all = append(all, m)
		if n := len(x.versions); n > 0 && x.versions[n-1].answer.body == a.body {
			continue
		}
		for _, broken := range x.rules.Check(m) {
			s.Errorf("%s: %s\n%s", x.name, broken, a.body)
		}
		if x.rules.Turned > 0 {
			s.Errorf("%s: media turned into a gap", x.name)
		}
		x.versions = append(x.versions, version{time.Now(), a, m})
	}
	if len(all) == len(s.readers) && !s.loose {
		for _, broken := range bench.Together(all...) {
			if !s.broken[broken] {
				s.Errorf("%s", broken)
			}
			s.broken[broken] = true
		}
	}
}

// each calls f with every version that every reader saw.
func (s *show) each(f func(x *reader, v version)) {
	s.Helper()
	for _, x := range s.readers {
		if len(x.versions) == 0 {
			s.Errorf("%s was never published", x.name)
		}
		for _, v := range x.versions {
			f(x, v)
		}
	}
}

// seen is what the rendition lists now: of each segment the run and number that its encoder
// gave it, "-" for a gap, "|" for a discontinuity.
func (s *show) seen(name string) string {
	s.Helper()
	m, err := playlist.ParseMedia([]byte(s.get("/live/c/" + name + "/index.m3u8").body))
	if err != nil {
		s.Fatal(err)
	}
	var out []string
	for _, x := range m.Segments {
		word := "-"
		if !x.Gap {
			word = s.label(s.get("/live/c/" + name + "/" + x.URI).body)
		}
		if x.Discontinuity {
			word = "|" + word
		}
		out = append(out, word)
	}
	return strings.Join(out, " ")
}

// counted asserts how many gaps (in both renditions together, by reason) and discontinuities
// were published.
func (s *show) counted(gaps map[string]float64, discontinuities float64) {
	s.Helper()
	sum := 0.0
	for why, want := range gaps {
		sum += want
		if n := s.metric("weir_origin_gaps_total", "c", why); n != want {
			s.Errorf("%v gaps for %q, want %v", n, why, want)
		}
	}
	if n := s.metric("weir_origin_gaps_total"); n != sum {
		s.Errorf("%v gaps in all, want %v", n, sum)
	}
	if n := s.metric("weir_origin_discontinuities_total", "c"); n != discontinuities {
		s.Errorf("%v discontinuities, want %v", n, discontinuities)
	}
}

// An encoder is a scripted one that pushes to channel c.
type encoder struct {
	*bench.Feed
	s        *show
	run      int
	ctx      context.Context
	truthful bool // in the end the date of the newest segment must be that of its media
}

// pass lets a segment's time go by.
const segment2s = 2 * time.Second

func (s *show) encoder(o bench.FeedOptions) *encoder {
	s.Helper()
	o.Ingest, o.Channel = s.o.Ingest(), "c"
	f, err := bench.NewFeed(o)
	if err != nil {
		s.Fatal(err)
	}
	e := &encoder{Feed: f, s: s, ctx: s.Context()}
	e.known("hi", "lo", "big", "hevc", "mute", "sound")
	return e
}

// known has the init segments of these sources be known to the readers.
func (e *encoder) known(names ...string) {
	for _, name := range names {
		src, err := bench.NewSource(name)
		if err != nil {
			e.s.Fatal(err)
		}
		e.s.labels[sha256.Sum256(src.Init())] = "init"
	}
}

func (e *encoder) ok(err error) {
	e.s.Helper()
	if err != nil {
		e.s.Error(err)
	}
}

// push uploads a segment in both renditions.
func (e *encoder) push(c bench.Cut) {
	e.s.Helper()
	for i := range 2 {
		e.pushTo(i, c)
	}
}

func (e *encoder) pushTo(i int, c bench.Cut) {
	e.s.Helper()
	p := e.Bytes(i, c)
	if c.Units > 5 {
		e.s.long[fmt.Sprintf("%d.%d", e.run, c.Number)] += string(p)
	}
	sum := sha256.Sum256(p)
	if e.s.labels[sum] == "" {
		e.s.labels[sum] = strconv.Itoa(e.run) + "." + strconv.Itoa(c.Number)
	}
	e.ok(e.Media(e.ctx, i, c))
}

// tell uploads the playlists that end with it.
func (e *encoder) tell(c bench.Cut) {
	e.s.Helper()
	for i := range 2 {
		e.ok(e.List(e.ctx, i, c, false))
	}
}

// step pushes n segments of two seconds, each when it is due.
func (e *encoder) step(n int) {
	e.s.Helper()
	for range n {
		c := e.Cut(5)
		e.push(c)
		e.tell(c)
		e.s.pass(segment2s)
	}
}

// restart kills the encoder and starts it again, with media times from at on.
func (e *encoder) restart(at time.Duration) {
	e.run++
	e.Restart(at)
}
