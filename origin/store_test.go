package origin

import (
	"context"
	"errors"
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

// A disk that stalls holds up nobody who publishes: each segment is listed at once, the
// operator is told that the disk is behind, and when it goes on all of it becomes durable.
func TestAStalledDiskHoldsNobodyUp(t *testing.T) {
	onDisk(t, 31, Options{Defaults: Channel{Window: 12 * time.Second, DVR: 5 * time.Minute}}, func(m *machine) {
		e := m.encoder(bench.EncoderOptions{Continuous: true})
		m.run(e, 5)
		m.disk.Stall()
		last := m.top["180p"]
		for i := range uint64(40) {
			m.run(e, 1)
			if m.top["180p"] != last+i+1 {
				t.Fatalf("segment %d of a stalled disk is not listed", i)
			}
		}
		if s := m.o.StoreStatus(); s.State != StoreSlow || s.Behind < time.Minute || s.Queue == 0 {
			t.Errorf("%+v", s)
		}
		if n := m.metric("weir_store_state", "slow"); n != 1 {
			t.Error("the state in the metrics is not slow")
		}
		m.disk.Resume()
		m.run(e, 1)
		if s := m.o.StoreStatus(); s.State != StoreOK || s.Queue != 0 {
			t.Errorf("%+v", s)
		}
		m.run(e, 10)
		p := m.past(at(time.Now().Add(-100*time.Second), time.Now().Add(-30*time.Second)))
		if got := sketch(p); strings.Contains(got, "-") || strings.Contains(got, "|") {
			t.Errorf("kept: %s", got)
		}
	})
}

// A disk that is full costs depth and nothing else, says so, and is used again when there is
// room; a disk that fails likewise.
func TestAFullOrFailingDiskCostsDepthOnly(t *testing.T) {
	f := func(want StoreState, breaks, heals func(m *machine)) {
		t.Helper()
		onDisk(t, 32, Options{Defaults: Channel{Window: 12 * time.Second, DVR: 5 * time.Minute}}, func(m *machine) {
			e := m.encoder(bench.EncoderOptions{Continuous: true})
			m.run(e, 10)
			breaks(m)
			before := m.top["180p"]
			m.run(e, 20)
			if m.top["180p"] != before+20 {
				m.Errorf("%d segments were listed of 20", m.top["180p"]-before)
			}
			if s := m.o.StoreStatus(); s.State != want || s.Err == nil || s.Worst != "c" {
				m.Errorf("%+v, want %s", s, want)
			}
			m.logged("level=ERROR", "channel=c", "live goes on")
			heals(m)
			m.run(e, 5)
			if s := m.o.StoreStatus(); s.State != StoreOK {
				m.Errorf("healed: %+v", s)
			}
			m.logged("channel=c", "again")
			m.run(e, 20)
			if got := sketch(m.past(at(time.Now().Add(-30*time.Second), time.Now().Add(-15*time.Second)))); strings.Contains(got, "-") {
				m.Errorf("kept after it healed: %s", got)
			}
		})
	}
	f(StoreFull, func(m *machine) { m.disk.Full(1000) }, func(m *machine) { m.disk.Room(-1) })
	broken := errors.New("input/output error")
	f(StoreFailing, func(m *machine) { m.disk.Fail(disktest.Sync, broken) }, func(m *machine) { m.disk.Fail(disktest.Sync, nil) })
	f(StoreFailing, func(m *machine) { m.disk.Fail(disktest.Write, broken) }, func(m *machine) { m.disk.Fail(disktest.Write, nil) })
}

// When the disk was stalled for so long that more waits than memory may hold, the oldest media
// are given up for DVR, counted, and shown as gaps there; live is untouched.
func TestWhatADiskCannotTakeInTimeIsGivenUp(t *testing.T) {
	onDisk(t, 33, Options{Memory: 16 << 20, Defaults: Channel{Window: 12 * time.Second, DVR: time.Hour}}, func(m *machine) {
		e := m.encoder(bench.EncoderOptions{Continuous: true})
		m.run(e, 10)
		from := time.Now()
		m.disk.Stall()
		for range 150 {
			m.run(e, 1)
			if n := m.slab.InUse(); n > 14<<20 {
				t.Fatalf("%d bytes are held", n)
			}
		}
		lost := m.metric("weir_store_lost_total")
		if lost == 0 {
			t.Error("nothing was counted as lost")
		}
		m.disk.Resume()
		m.run(e, 10)
		got := sketch(m.past(at(from.Add(-8*time.Second), from.Add(5*time.Minute-10*time.Second))))
		if n := strings.Count(got, "-"); n == 0 || n > 150 || strings.Contains(got, "|") {
			t.Errorf("kept: %s", got)
		}
	})
}

// Two origins on one directory would write over each other: the second says so and ends.
func TestOneOriginADirectory(t *testing.T) {
	onDisk(t, 34, Options{}, func(m *machine) {
		_, err := New(Options{OpenIngest: true, Store: &Store{FS: m.disk.FS(), Dir: "/data"}})
		if err == nil || !strings.Contains(err.Error(), "/data") || !strings.Contains(err.Error(), "another origin") {
			t.Error(err)
		}
	})
}

// Bytes are bounded for a channel and in all: the oldest go, and nothing lists them.
func TestTheDiskHasItsBounds(t *testing.T) {
	f := func(store Store, c Channel, why string) {
		t.Helper()
		c.Window, c.DVR = 12*time.Second, time.Hour
		onDisk(t, 35, Options{Store: &store, Defaults: c}, func(m *machine) {
			e := m.encoder(bench.EncoderOptions{Continuous: true})
			if store.KeepFree > 0 {
				m.disk.Full(20 << 20)
			}
			m.run(e, 30)
			from := m.watch("180p").Segments[0].ProgramDateTime
			m.run(e, 250)
			if n := m.onDisk(); n > 20<<20 {
				m.Errorf("%s: %d bytes on disk", why, n)
			}
			if n := m.metric("weir_store_removed_bytes_total", why); n == 0 {
				m.Errorf("%s: nothing was removed", why)
			}
			if a := m.get("/live/c/" + at(from, from.Add(10*time.Second)) + "/180p/index.m3u8"); a.status != 404 {
				m.Errorf("%s: what was removed is listed: %d", why, a.status)
			}
			m.past(at(time.Now().Add(-time.Minute), time.Now().Add(-30*time.Second)))
		})
	}
	f(Store{}, Channel{DVRMax: 16 << 20}, "channel")
	f(Store{Max: 16 << 20}, Channel{}, "total")
	f(Store{KeepFree: 6 << 20}, Channel{DVRMax: 64 << 20}, "free") // of a disk of 20 MiB
}

// With a disk, what a channel costs in memory is its window, however deep its DVR is.
func TestAChannelWithADiskCostsItsWindow(t *testing.T) {
	onDisk(t, 36, Options{Defaults: Channel{Window: 30 * time.Second, DVR: time.Hour}}, func(m *machine) {
		e, err := bench.NewFeed(bench.FeedOptions{Ingest: m.o.Ingest(), Channel: "c", TS: true})
		if err != nil {
			t.Fatal(err)
		}
		worst := 0.0
		for i := range 200 {
			e.Fill(int64(200_000 + i*7919%150*4000))
			if err := e.Step(m.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Second)
			var listed int64
			for _, name := range []string{"hi", "lo"} {
				p, err := playlist.ParseMedia([]byte(m.get("/live/c/" + name + "/index.m3u8").body))
				if err != nil {
					t.Fatal(err)
				}
				for _, s := range p.Segments {
					listed += int64(len(m.get("/live/c/" + name + "/" + s.URI).body))
				}
			}
			if i > 30 {
				worst = max(worst, float64(m.slab.InUse())/float64(listed))
			}
		}
		t.Logf("memory is at most %.2f times what is listed", worst)
		if worst > 1.3 {
			t.Errorf("memory is %.2f times the bytes of the window", worst)
		}
	})
}

// Whatever rots on disk while the origin is down: it starts, and lists nothing that it has
// not, neither live nor in DVR nor in an asset. What it serves are the bytes that were pushed.
func FuzzDamagedDisk(f *testing.F) {
	for seed := range uint64(24) {
		f.Add(seed, uint16(seed*97), uint8(seed))
	}
	f.Fuzz(func(t *testing.T, seed uint64, where uint16, how uint8) {
		onDisk(t, seed, Options{Defaults: Channel{Window: 12 * time.Second, DVR: 2 * time.Minute}}, func(m *machine) {
			e := m.encoder(bench.EncoderOptions{Continuous: true, Rungs: 1})
			for range 20 {
				_ = e.Step(m.Context())
				synctest.Wait()
				m.watch("180p")
				time.Sleep(bench.ClipSegment)
			}
			begin := time.Now().Add(-40 * time.Second)
			if _, err := m.o.MakeAsset(m.Context(), AssetRequest{Asset: "a", Channel: "c"}); err != nil {
				t.Fatal(err)
			}
			if how%2 == 0 {
				m.halt()
			} else {
				m.disk.Kill(m.rng)
				m.halt()
			}
			for _, dir := range []string{"/data/live/c", "/data/vod/a"} {
				infos, err := m.disk.FS().ReadDir(dir)
				if err != nil {
					t.Fatal(err)
				}
				for _, i := range infos {
					if m.rng.IntN(2) == 0 {
						continue
					}
					_ = m.disk.Edit(dir+"/"+i.Name, func(p []byte) []byte { return m.damage(p, where, how) })
				}
			}
			m.close()
			m.start(m.T)
			look := func() {
				m.watch("180p")
				for _, where := range []string{at(begin, time.Time{}), at(begin, begin.Add(20*time.Second))} {
					if a := m.get("/live/c/" + where + "/180p/index.m3u8"); a.status == 200 {
						m.past(where) // the first time it may name what turns out to be damaged
					}
				}
				if a := m.get("/vod/a/180p/index.m3u8"); a.status == 200 {
					p, err := playlist.ParseMedia([]byte(a.body))
					if err != nil {
						t.Fatal(err)
					}
					for _, s := range p.Segments { // an asset is checked as it is read
						m.get("/vod/a/180p/" + s.URI)
					}
					m.asset("a")
				}
			}
			m.run(e, 3) // meanwhile what is on disk is read back
			look()
			m.run(e, 3)
			look()
		})
	})
}

// damage cuts p, flips bits of it, or overwrites a piece.
func (m *machine) damage(p []byte, where uint16, how uint8) []byte {
	if len(p) == 0 {
		return p
	}
	at := int(where) * len(p) / (1 << 16)
	switch how / 2 % 4 {
	case 0:
		return p[:at]
	case 1:
		for range 1 + m.rng.IntN(20) {
			p[m.rng.IntN(len(p))] ^= 1 << m.rng.IntN(8)
		}
	case 2:
		for i := at; i < min(len(p), at+1000); i++ {
			p[i] = byte(m.rng.Uint32())
		}
	case 3:
		p = append(p[:at], p[min(len(p), at+1+m.rng.IntN(5000)):]...)
	}
	return p
}
