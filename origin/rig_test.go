package origin

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"weir/internal/spool"
	"weir/internal/web"
	"weir/playlist"
)

// rig is an origin under test, and what pushes to it and watches it.
type rig struct {
	*testing.T
	o     *Origin
	reg   *prometheus.Registry
	slab  *spool.Slab
	log   *logBuffer
	books map[string]*book
}

// logBuffer keeps log lines.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// underClock runs f in a bubble with a fake clock, with an origin that runs in it.
func underClock(t *testing.T, o Options, f func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, o)
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _ = r.o.Run(ctx) })
		defer func() {
			stop()
			wg.Wait()
			if !t.Failed() {
				r.close()
			}
		}()
		f(r)
	})
}

func newRig(t testing.TB, o Options) *rig {
	t.Helper()
	r := &rig{reg: prometheus.NewRegistry(), slab: spool.NewSlab(spool.SlabOptions{Poison: true}), log: &logBuffer{}, books: map[string]*book{}}
	r.T, _ = t.(*testing.T)
	if o.Publishers == nil {
		o.OpenIngest = true
	}
	o.Registerer, o.Slab = r.reg, r.slab
	o.Log = slog.New(slog.NewTextHandler(r.log, nil))
	var err error
	if r.o, err = New(o); err != nil {
		t.Fatal(err)
	}
	return r
}

// close lets go of everything and looks for bytes that nobody gave back.
func (r *rig) close() {
	r.Helper()
	if err := r.o.Close(); err != nil {
		r.Error(err)
	}
	if n := r.slab.InUse() + r.o.bodies.slab.InUse(); n != 0 {
		r.Errorf("%d bytes are still held after the end", n)
	}
}

// send makes an ingest request, as a wire would: BeforeBody first.
func (r *rig) send(method, path string, body io.Reader, header ...string) (*web.Response, error) {
	req := &web.Request{Method: method, Path: path, Header: web.NewHeader(header...)}
	if err := r.o.BeforeBody(req); err != nil {
		return nil, err
	}
	req.Body = body
	return r.o.Ingest().Serve(context.Background(), req)
}

// put pushes a file of channel c that is taken.
func (r *rig) put(path, body string) {
	r.Helper()
	if _, err := r.send("PUT", "/ingest/c/"+path, strings.NewReader(body)); err != nil {
		r.Errorf("PUT %s: %v", path, err)
	}
}

// refuse pushes what is not taken, and returns the error.
func (r *rig) refused(path, body string, status int, header ...string) error {
	r.Helper()
	_, err := r.send("PUT", path, strings.NewReader(body), header...)
	if err == nil || web.StatusOf(err) != status {
		r.Errorf("PUT %s: %v, want status %d", path, err, status)
	}
	return err
}

// answer is what a viewer got.
type answer struct {
	status int
	header web.Header
	body   string
}

func (r *rig) get(path string, header ...string) answer {
	r.Helper()
	path, query, _ := strings.Cut(path, "?")
	req := &web.Request{Method: "GET", Path: path, Query: query, Header: web.NewHeader(header...)}
	resp, err := r.o.Viewers().Serve(context.Background(), req)
	if err != nil {
		resp = web.ErrorResponse(err)
	}
	defer resp.Close()
	a := answer{status: resp.Status, header: resp.Flatten()}
	if resp.Body != nil {
		p, err := web.ReadAll(context.Background(), resp.Body, 1<<30)
		if err != nil {
			r.Errorf("GET %s: %v", path, err)
		}
		a.body = string(p)
	}
	return a
}

// media fetches the playlist of a rendition of channel c and holds it to the rules.
func (r *rig) media(name string) *playlist.Media {
	r.Helper()
	path := "/live/c/" + name + "/index.m3u8"
	a := r.get(path)
	if a.status != 200 {
		r.Fatalf("GET %s: %d %s", path, a.status, a.body)
	}
	m, err := playlist.ParseMedia([]byte(a.body))
	if err != nil {
		r.Fatalf("%s: %v\n%s", path, err, a.body)
	}
	b := r.books[name]
	if b == nil {
		b = &book{said: map[uint64]said{}}
		r.books[name] = b
	}
	for _, broken := range b.check(m) {
		r.Errorf("%s: %s\n%s", path, broken, a.body)
	}
	for _, s := range m.Segments {
		got := r.get("/live/c/" + name + "/" + s.URI)
		if s.Gap != (got.status == 404) || !s.Gap && got.status != 200 {
			r.Errorf("%s: listed with gap=%v, and is %d", s.URI, s.Gap, got.status)
		}
		if s.Map != nil {
			if got := r.get("/live/c/" + name + "/" + s.Map.URI); got.status != 200 {
				r.Errorf("%s: %d", s.Map.URI, got.status)
			}
		}
	}
	return m
}

// shown is what the listed segments hold, "-" for a gap and "|" for a discontinuity.
func (r *rig) shown(name string) string {
	r.Helper()
	var out []string
	for _, s := range r.media(name).Segments {
		word := "-"
		if !s.Gap {
			word = r.get("/live/c/" + name + "/" + s.URI).body
		}
		if s.Discontinuity {
			word = "|" + word
		}
		out = append(out, word)
	}
	return strings.Join(out, " ")
}

func (r *rig) is(what, got, want string) {
	r.Helper()
	if got != want {
		r.Errorf("%s: %q, want %q", what, got, want)
	}
}

// logged demands a log line that holds all these words.
func (r *rig) logged(words ...string) {
	r.Helper()
	for line := range strings.Lines(r.log.String()) {
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) }) {
			return
		}
	}
	r.Errorf("no log line has %q:\n%s", words, r.log.String())
}

// metric returns the sum of a metric's values over all label sets that have these values.
func (r *rig) metric(name string, values ...string) float64 {
	r.Helper()
	families, err := r.reg.Gather()
	if err != nil {
		r.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if has(m.GetLabel(), values) {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return sum
}

func has(labels []*dto.LabelPair, values []string) bool {
	for _, v := range values {
		if !slices.ContainsFunc(labels, func(l *dto.LabelPair) bool { return l.GetValue() == v }) {
			return false
		}
	}
	return true
}

// list is a media playlist as FFmpeg pushes it. Of each word, "name" lasts two seconds,
// "name:3.5" three and a half; "!" is a DISCONTINUITY, "END" the end, "map=x" an EXT-X-MAP.
func list(seq int, words ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:%d\n", seq)
	for _, w := range words {
		switch m, isMap := strings.CutPrefix(w, "map="); {
		case w == "END":
			b.WriteString("#EXT-X-ENDLIST\n")
		case w == "!":
			b.WriteString("#EXT-X-DISCONTINUITY\n")
		case isMap:
			fmt.Fprintf(&b, "#EXT-X-MAP:URI=%q\n", m)
		default:
			name, dur, ok := strings.Cut(w, ":")
			if !ok {
				dur = "2.000000"
			}
			fmt.Fprintf(&b, "#EXTINF:%s,\n%s\n", dur, name)
		}
	}
	return b.String()
}

// window lists the newest five of n files called prefix0.ts and so on.
func window(prefix string, n int) string {
	first := max(0, n-5)
	var words []string
	for i := first; i < n; i++ {
		words = append(words, fmt.Sprintf("%s%d.ts", prefix, i))
	}
	return list(first, words...)
}

// book remembers what a live playlist has said and holds its next version to HLSbis 6.2:
// the rules P1, P2, P4-P7 and P9.
type book struct {
	last *playlist.Media
	said map[uint64]said // by media sequence number
}

type said struct {
	uri   string
	dur   time.Duration
	disc  uint64
	gap   bool
	date  time.Time
	mapTo string
}

func (b *book) check(m *playlist.Media) (broken []string) {
	say := func(format string, args ...any) { broken = append(broken, fmt.Sprintf(format, args...)) }
	disc := m.DiscontinuitySequence
	now := map[uint64]said{}
	var end time.Time
	for i, s := range m.Segments {
		n := m.MediaSequence + uint64(i)
		if s.Discontinuity {
			disc++
		}
		if int(s.Duration.Round(time.Second)/time.Second) > m.TargetDuration {
			say("P1: segment %d lasts %v, target duration %d", n, s.Duration, m.TargetDuration)
		}
		is := said{s.URI, s.Duration, disc, s.Gap, s.ProgramDateTime, ""}
		if s.Map != nil {
			is.mapTo = s.Map.URI
		}
		if was, ok := b.said[n]; ok && was != is {
			say("P6/P7: segment %d was %v and is %v", n, was, is)
		}
		for other, was := range b.said {
			if other != n && was.uri == s.URI {
				say("P6: %s is segment %d and was %d", s.URI, n, other)
			}
		}
		if s.ProgramDateTime.IsZero() {
			say("P20: segment %d has no date", n)
		}
		// Dates are rendered in milliseconds.
		switch off := s.ProgramDateTime.Sub(end); {
		case i == 0:
		case off < -2*time.Millisecond:
			say("P20: segment %d begins %v before its predecessor ends", n, -off)
		case !s.Discontinuity && off > 2*time.Millisecond:
			say("P20: segment %d begins %v after its predecessor ends, without a discontinuity", n, off)
		}
		end = s.ProgramDateTime.Add(s.Duration)
		now[n] = is
	}
	if len(m.Segments) > 0 && m.Segments[0].Discontinuity {
		say("a discontinuity stands in front")
	}
	if was := b.last; was != nil {
		if was.TargetDuration != m.TargetDuration {
			say("P2: target duration %d was %d", m.TargetDuration, was.TargetDuration)
		}
		if m.MediaSequence < was.MediaSequence || m.DiscontinuitySequence < was.DiscontinuitySequence {
			say("P5/P7: numbers %d, %d fell from %d, %d", m.MediaSequence, m.DiscontinuitySequence, was.MediaSequence, was.DiscontinuitySequence)
		}
		if end, wasEnd := m.MediaSequence+uint64(len(m.Segments)), was.MediaSequence+uint64(len(was.Segments)); end < wasEnd {
			say("P4: the end went back from %d to %d", wasEnd, end)
		}
		if was.EndList && !m.EndList && m.MediaSequence < was.MediaSequence+uint64(len(was.Segments)) {
			say("P16: the end was taken back")
		}
		if m.MediaSequence > was.MediaSequence && m.MediaSequence < was.MediaSequence+uint64(len(was.Segments)) {
			var total time.Duration
			for _, s := range m.Segments {
				total += s.Duration
			}
			if total < 3*time.Duration(m.TargetDuration)*time.Second || len(m.Segments) < minWindow {
				say("P9: %v in %d segments are left", total, len(m.Segments))
			}
		}
	}
	b.last = m
	maps.Copy(b.said, now)
	return broken
}

func unzip(t *testing.T, s string) string {
	t.Helper()
	z, err := gzip.NewReader(strings.NewReader(s))
	if err != nil {
		t.Fatal(err)
	}
	p, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(p)
}
