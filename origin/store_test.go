package origin

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/bench"
	"weir/internal/disk/disktest"
	"weir/internal/web"
	"weir/playlist"
)

// machine is a rig whose origin can be stopped, killed and cut off from its power, and is
// started again over the same disk.
type machine struct {
	*rig
	disk *disktest.Fake
	opts Options
	rng  *rand.Rand
	stop context.CancelFunc
	wg   sync.WaitGroup

	uris   map[string]string // URI by rendition and number, for ever
	bodies map[string]string // content by URI, for ever
	top    map[string]uint64 // highest number seen by rendition
}

// onDisk runs f in a bubble with a fake clock and a fake disk.
func onDisk(t *testing.T, seed uint64, o Options, f func(m *machine)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m := &machine{
			disk: disktest.NewFake(), opts: o, rng: rand.New(rand.NewPCG(seed, 7)),
			uris: map[string]string{}, bodies: map[string]string{}, top: map[string]uint64{},
		}
		time.Sleep(time.Until(time.Date(2026, 11, 25, 20, 0, 0, 0, time.UTC))) // numbers come from the clock
		m.start(t)
		defer func() {
			m.disk.Resume()
			m.halt()
			if !t.Failed() {
				m.close()
			}
		}()
		f(m)
	})
}

func (m *machine) start(t *testing.T) {
	t.Helper()
	o := m.opts
	store := Store{Dir: "/data"}
	if o.Store != nil {
		store = *o.Store
		store.Dir = "/data"
	}
	store.FS, store.KeepFree = m.disk.FS(), max(1, store.KeepFree)
	o.Store = &store
	m.rig = newRig(t, o)
	ctx, stop := context.WithCancel(t.Context())
	m.stop = stop
	m.wg.Go(func() { _ = m.o.Run(ctx) })
	synctest.Wait()
}

// halt ends the origin as SIGTERM does.
func (m *machine) halt() {
	m.stop()
	m.wg.Wait()
}

// again starts the origin after it was halted or died.
func (m *machine) again() {
	m.Helper()
	t := m.T
	m.close()
	m.start(t)
}

// kill ends the process in the middle of whatever it does, and starts the next.
func (m *machine) kill() {
	m.Helper()
	m.disk.Kill(m.rng)
	m.halt()
	m.again()
}

// cut takes the power away.
func (m *machine) cut() {
	m.Helper()
	m.disk.PowerCut(m.rng)
	m.halt()
	m.again()
}

// watch fetches a rendition as a viewer would, and holds it to what anybody was told before,
// in this life of the origin or an earlier one.
func (m *machine) watch(name string) *playlist.Media {
	m.Helper()
	path := "/live/c/" + name + "/index.m3u8"
	a := m.get(path)
	if a.status != 200 {
		return nil
	}
	p, err := playlist.ParseMedia([]byte(a.body))
	if err != nil {
		m.Fatal(err)
	}
	for i, s := range p.Segments {
		n := p.MediaSequence + uint64(i)
		key := fmt.Sprintf("%s %d", name, n)
		if was, ok := m.uris[key]; ok && was != s.URI {
			m.Errorf("%s was %s and is %s\n%s", key, was, s.URI, a.body)
		}
		if _, ok := m.uris[key]; !ok && n <= m.top[name] && m.top[name]-n > 1000 {
			m.Errorf("%s is new, and %d was seen", key, m.top[name])
		}
		m.uris[key] = s.URI
		m.top[name] = max(m.top[name], n)
		got := m.get("/live/c/" + name + "/" + s.URI)
		switch {
		case s.Gap && got.status == 200:
			m.Errorf("%s is a gap and is served", s.URI)
		case !s.Gap && got.status != 200:
			m.Errorf("%s is listed and is %d %s\n%s", s.URI, got.status, got.body, m.log)
		case !s.Gap:
			uri := name + "/" + s.URI
			if was, ok := m.bodies[uri]; ok && was != got.body {
				m.Errorf("%s had other bytes", uri)
			}
			m.bodies[uri] = got.body
		}
	}
	return p
}

// encoder returns an encoder that pushes to whatever origin is there, and goes on through
// restarts of it.
func (m *machine) encoder(o bench.EncoderOptions) *bench.Encoder {
	m.Helper()
	o.Channel = "c"
	o.Ingest = web.HandlerFunc(func(ctx context.Context, req *web.Request) (*web.Response, error) {
		return m.o.Ingest().Serve(ctx, req)
	})
	e, err := bench.NewEncoder(o)
	if err != nil {
		m.Fatal(err)
	}
	return e
}

// run pushes n segments in real time, and watches after each.
func (m *machine) run(e *bench.Encoder, n int) {
	m.Helper()
	for range n {
		_ = e.Step(m.Context())
		synctest.Wait()
		for _, name := range []string{"180p", "144p", "90p"} {
			m.watch(name)
		}
		time.Sleep(bench.ClipSegment)
	}
}

// sketch describes a playlist: a letter for a segment, - for a gap, | for a discontinuity.
func sketch(p *playlist.Media) string {
	if p == nil {
		return "none"
	}
	var b strings.Builder
	for _, s := range p.Segments {
		switch {
		case s.Discontinuity && s.Gap:
			b.WriteString("|-")
		case s.Discontinuity:
			b.WriteString("|x")
		case s.Gap:
			b.WriteString("-")
		default:
			b.WriteString("x")
		}
	}
	return b.String()
}

// An origin that is stopped in order and started again goes on as if nothing had happened:
// the same playlist to the byte, and then the next segment.
func TestAnOriginThatWasStoppedGoesOn(t *testing.T) {
	onDisk(t, 1, Options{}, func(m *machine) {
		e := m.encoder(bench.EncoderOptions{Continuous: true})
		m.run(e, 20)
		before := m.get("/live/c/180p/index.m3u8").body
		multi := m.get("/live/c/index.m3u8").body
		m.halt()
		m.again()
		if after := m.get("/live/c/180p/index.m3u8").body; after != before {
			m.Errorf("before:\n%s\nafter:\n%s", before, after)
		}
		if after := m.get("/live/c/index.m3u8").body; after != multi {
			m.Errorf("before:\n%s\nafter:\n%s", multi, after)
		}
		m.run(e, 3)
		m.is("shown", sketch(m.watch("180p")), "xxxxxxxxxxxxxxx")
		if n := m.metric("weir_origin_discontinuities_total"); n != 0 {
			m.Errorf("%v discontinuities", n)
		}
	})
}

// An origin that is killed and started again within a segment goes on under the numbers and
// names it gave, on the same timeline: numbers that nobody can be sure of are gaps, and the
// time that was lost with them.
func TestAnOriginThatWasKilledGoesOn(t *testing.T) {
	onDisk(t, 2, Options{}, func(m *machine) {
		e := m.encoder(bench.EncoderOptions{Continuous: true})
		m.run(e, 20)
		m.kill()
		m.is("at once", sketch(m.watch("180p")), "xxxxxxxxxxxxxxx")
		m.run(e, 3)
		got := sketch(m.watch("180p"))
		if strings.Contains(got, "|") || !strings.HasSuffix(got, "-xxx") || strings.Count(got, "x") < 12 {
			m.Errorf("shown: %s\n%s", got, m.get("/live/c/180p/index.m3u8").body)
		}
		if n := m.metric("weir_origin_discontinuities_total"); n != 0 {
			m.Errorf("%v discontinuities", n)
		}
	})
}

// What was lost while the origin was down is gaps of that length, and the dates of what
// follows are right.
func TestTimeLostWhileTheOriginWasDown(t *testing.T) {
	onDisk(t, 3, Options{}, func(m *machine) {
		e := m.encoder(bench.EncoderOptions{Continuous: true})
		m.run(e, 20)
		before := m.watch("180p")
		last := before.Segments[len(before.Segments)-1]
		m.disk.Kill(m.rng)
		m.halt()
		for range 4 { // 8 s
			e.Skip()
			time.Sleep(bench.ClipSegment)
		}
		m.again()
		m.run(e, 2)
		after := m.watch("180p")
		first := after.Segments[len(after.Segments)-2]
		if got := first.ProgramDateTime.Sub(last.ProgramDateTime); (got - 10*time.Second).Abs() > 20*time.Millisecond {
			m.Errorf("the first segment after the restart is dated %v after the last before it", got)
		}
		if got := sketch(after); strings.Contains(got, "|") || !strings.HasSuffix(got, "-xx") {
			m.Errorf("shown: %s", got)
		}
	})
}

// Whatever becomes of the process, the power and the disk, at any moment: no number is used
// twice, no name has other bytes, nothing is listed that is not there.
func TestNothingIsEverUsedTwice(t *testing.T) {
	seeds := 24
	if testing.Short() {
		seeds = 5
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			onDisk(t, uint64(seed), Options{Defaults: Channel{Window: 20 * time.Second, DVR: time.Minute}}, func(m *machine) {
				e := m.encoder(bench.EncoderOptions{Continuous: seed%2 == 0})
				down := func() {
					for range m.rng.IntN(4) {
						e.Skip()
						time.Sleep(bench.ClipSegment)
					}
				}
				for range 25 {
					switch m.rng.IntN(9) {
					case 0:
						m.kill()
					case 1:
						m.cut()
					case 2:
						m.halt()
						down()
						m.again()
					case 3:
						m.disk.Stall()
						m.run(e, 1+m.rng.IntN(12))
						switch m.rng.IntN(3) {
						case 0:
							m.disk.Resume()
						case 1:
							m.cut()
						case 2:
							m.disk.Kill(m.rng)
							m.disk.Resume()
							m.halt()
							m.again()
						}
					case 4:
						m.disk.Full(int64(m.rng.IntN(100_000)))
						m.run(e, 3)
						m.disk.Full(-1)
					case 5:
						m.disk.PowerCut(m.rng)
						m.halt()
						down()
						m.again()
					case 6:
						e.Restart()
						time.Sleep(3 * time.Second)
					case 7:
						m.disk.KillAfter(int64(m.rng.IntN(60_000)))
						m.run(e, 2)
						m.kill()
					}
					m.run(e, 1+m.rng.IntN(4))
				}
			})
		})
	}
}
