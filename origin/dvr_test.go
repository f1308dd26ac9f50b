package origin

import (
	"strings"
	"sync"
	"testing"
	"time"

	"weir/bench"
	"weir/playlist"
)

// at is a span as a URL has it.
func at(from, to time.Time) string {
	if to.IsZero() {
		return span{start: from.UTC()}.String()
	}
	return span{from.UTC(), to.UTC()}.String()
}

// past fetches a playlist over the past of rendition 180p of channel c, and all it lists.
func (m *machine) past(where string) *playlist.Media {
	m.Helper()
	path := "/live/c/" + where + "/180p/index.m3u8"
	a := m.get(path)
	if a.status != 200 {
		m.Fatalf("GET %s: %d %s", path, a.status, a.body)
	}
	if c := a.header.Get("CDN-Cache-Control"); !strings.HasSuffix(c, ", stale-if-error=60") {
		m.Errorf("edges lose the past while the origin restarts: %s", c)
	}
	p, err := playlist.ParseMedia([]byte(a.body))
	if err != nil {
		m.Fatal(err)
	}
	for _, s := range p.Segments {
		file, ok := strings.CutPrefix(s.URI, "../../180p/")
		if !ok {
			m.Fatalf("URI %s", s.URI)
		}
		if got := m.get("/live/c/180p/" + file); s.Gap != (got.status == 404) || !s.Gap && got.status != 200 {
			m.Errorf("%s: gap=%v and %d %s", file, s.Gap, got.status, got.body)
		} else if was, ok := m.bodies["180p/"+file]; ok && !s.Gap && was != got.body {
			m.Errorf("%s has other bytes", file)
		}
		if s.Map == nil && s.Gap {
			continue
		}
		init := strings.TrimPrefix(s.Map.URI, "../../180p/")
		if got := m.get("/live/c/180p/" + init); got.status != 200 || got.header.Get("Content-Type") != "video/mp4" {
			m.Errorf("%s: %d %s", init, got.status, got.header.Get("Content-Type"))
		}
	}
	return p
}

// PL-15, the EVENT: a viewer who starts over gets a playlist that only grows, says so, and
// ends where the DVR does.
func TestPL15StartOverOnlyGrows(t *testing.T) {
	onDisk(t, 11, Options{Defaults: Channel{Window: 12 * time.Second, DVR: time.Minute}}, func(m *machine) {
		e := m.encoder(bench.EncoderOptions{Continuous: true})
		m.run(e, 10)
		start := m.past(at(time.Now().Add(-14*time.Second), time.Time{})).Segments[0].ProgramDateTime.Add(time.Second).Truncate(time.Second)
		where := at(start, time.Time{})
		var before string
		ended := 0
		for i := range 40 {
			m.run(e, 1)
			p := m.past(where)
			text := m.get("/live/c/" + where + "/180p/index.m3u8").body
			if !strings.HasPrefix(text, before) || p.Type != playlist.Event {
				t.Fatalf("it was\n%s\nand is\n%s", before, text)
			}
			if d := start.Sub(p.Segments[0].ProgramDateTime); d < 0 || d >= 2*time.Second {
				t.Errorf("it begins %v before its start", d)
			}
			before = strings.TrimSuffix(text, "#EXT-X-ENDLIST\n")
			if p.EndList {
				ended = i
				var all time.Duration
				for _, s := range p.Segments {
					all += s.Duration
				}
				if all < time.Minute || all > time.Minute+4*time.Second {
					t.Errorf("it ended after %v", all)
				}
				break
			}
			if multi := m.get("/live/c/" + where + "/index.m3u8"); multi.status != 200 || strings.Contains(multi.body, "I-FRAME") {
				t.Errorf("multivariant: %d %s", multi.status, multi.body)
			}
		}
		if ended == 0 {
			t.Error("it never ended")
		}
	})
}

// PL-15, the VOD: what is over is the same to the byte whenever it is asked for, also after
// the origin was killed, while its media are on disk alone.
func TestPL15CatchUpNeverChanges(t *testing.T) {
	onDisk(t, 12, Options{Defaults: Channel{Window: 12 * time.Second, DVR: 2 * time.Minute}}, func(m *machine) {
		e := m.encoder(bench.EncoderOptions{Continuous: true})
		m.run(e, 30)
		from := time.Now().Add(-50 * time.Second).Truncate(time.Second)
		where := at(from, from.Add(20*time.Second))
		if a := m.get("/live/c/" + at(from, time.Now().Add(time.Hour)) + "/180p/index.m3u8"); a.status != 404 {
			t.Errorf("what is not over is %d", a.status)
		}
		p := m.past(where)
		if p.Type != playlist.VOD || !p.EndList || len(p.Segments) < 10 || len(p.Segments) > 11 {
			t.Errorf("type %s, end %v, %d segments", p.Type, p.EndList, len(p.Segments))
		}
		text := m.get("/live/c/" + where + "/180p/index.m3u8").body
		m.kill()
		for range 10 {
			if now := m.get("/live/c/" + where + "/180p/index.m3u8").body; now != text {
				t.Fatalf("it was\n%s\nand is\n%s", text, now)
			}
			m.past(where)
			m.run(e, 1)
		}
		if n := m.metric("weir_store_reads_total", "ok"); n < 10 {
			t.Errorf("%v reads from disk", n)
		}
	})
}

// A span is written in one way only; everything else is refused with a word on how.
func TestSpansAreWrittenInOneWay(t *testing.T) {
	good := func(text string) {
		t.Helper()
		s, err := parseSpan("c", text)
		if err != nil || s.String() != spanMark+text {
			t.Errorf("%s: %v, %v", text, s, err)
		}
	}
	bad := func(text string) {
		t.Helper()
		if s, err := parseSpan("c", text); err == nil {
			t.Errorf("%s was taken for %v", text, s)
		} else if !strings.Contains(err.Error(), "20261125T201500Z") {
			t.Errorf("%s: %v", text, err)
		}
	}
	good("20261125T201500Z")
	good("20261125T201500Z-20261125T213000Z")
	for _, text := range []string{
		"", "-", "20261125T201500Z-", "-20261125T201500Z", "20261125T201500", "20261125t201500z", "20261125T201500+0000", "2026-11-25T20:15:00Z",
		"20261125T201500.000Z", "20261125T246000Z", "20261325T201500Z", "20261125T201500Z-20261125T201500Z", "20261125T201500Z-20261125T201459Z",
		"20261125T201500Z-20261125T213000Z-20261125T223000Z", "19691231T235959Z", "20261125T201500Z ", "99999999999999999999",
	} {
		bad(text)
	}
}

// A channel's DVR is as deep as it should be and no deeper, in memory and on disk: what
// leaves memory is on disk, and what nobody may ask for is nowhere.
func TestDVRIsAsDeepAsItSays(t *testing.T) {
	onDisk(t, 13, Options{Defaults: Channel{Window: 12 * time.Second, Retention: 12 * time.Second, DVR: time.Minute}}, func(m *machine) {
		e := m.encoder(bench.EncoderOptions{Continuous: true})
		m.run(e, 20)
		first := m.watch("180p").Segments[0]
		at20, disk20 := m.slab.InUse(), m.onDisk()
		for i := range 150 {
			if a := m.get("/live/c/180p/" + first.URI); time.Since(first.ProgramDateTime) < time.Minute && a.status != 200 {
				t.Fatalf("a segment is %d after %v", a.status, time.Since(first.ProgramDateTime))
			} else if time.Since(first.ProgramDateTime) > 80*time.Second && a.status != 404 {
				t.Fatalf("after %v a segment is %d", time.Since(first.ProgramDateTime), a.status)
			}
			if m.run(e, 1); i == 60 {
				disk20 = max(disk20, m.onDisk())
			}
		}
		if now := m.slab.InUse(); now > at20*12/10 {
			t.Errorf("memory went from %d to %d", at20, now)
		}
		if now := m.onDisk(); now > disk20*13/10 {
			t.Errorf("the disk went from %d to %d", disk20, now)
		}
		if n := m.metric("weir_store_removed_bytes_total", "time"); n == 0 {
			t.Error("no file was ever removed")
		}
	})
}

// onDisk returns the bytes of all log files.
func (m *machine) onDisk() (n int64) {
	m.Helper()
	time.Sleep(2 * retainEvery)
	fs := m.disk.FS()
	infos, err := fs.ReadDir("/data/live/c")
	if err != nil {
		m.Fatal(err)
	}
	for _, i := range infos {
		n += i.Size
	}
	return n
}

// Viewers who all ask for the same past at once cost one rendering, and those who ask for ever
// other ones cost no more memory than the past may.
func TestThePastIsRenderedOnceAndWithinBounds(t *testing.T) {
	onDisk(t, 14, Options{Memory: 4 << 20, Defaults: Channel{Window: 12 * time.Second, Retention: 12 * time.Second, DVR: time.Hour}}, func(m *machine) {
		e := m.encoder(bench.EncoderOptions{Continuous: true, Rungs: 1})
		m.run(e, 150)
		path := "/live/c/" + at(time.Now().Add(-4*time.Minute), time.Time{}) + "/180p/index.m3u8"
		before := m.metric("weir_origin_renderings_total")
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() { m.get(path) })
		}
		wg.Wait()
		if n := m.metric("weir_origin_renderings_total") - before; n != 1 {
			t.Errorf("%v renderings for 20 viewers", n)
		}
		for i := range 200 {
			m.get("/live/c/" + at(time.Now().Add(-4*time.Minute-time.Duration(i)*time.Second), time.Now().Add(-20*time.Second)) + "/180p/index.m3u8")
		}
		held := 0
		for _, x := range m.o.pasts.all {
			held += len(x.text().plain)
		}
		if held > 4<<20/32+30<<10 {
			t.Errorf("%d bytes of playlists are kept", held)
		}
	})
}

// What was kept of the past is not listed any more when its media are gone, nor does a span
// that reaches into the future count as over because an encoder is away.
func TestThePastListsWhatIsThere(t *testing.T) {
	onDisk(t, 15, Options{Defaults: Channel{Window: 12 * time.Second, Retention: 12 * time.Second, DVR: time.Minute, EndWithEncoder: true}}, func(m *machine) {
		time.Sleep(retainEvery / 2) // so that retention is not looked at while a viewer looks
		e := m.encoder(bench.EncoderOptions{Continuous: true, Rungs: 1})
		m.run(e, 30)
		where := at(time.Now().Add(-50*time.Second), time.Now().Add(-15*time.Second))
		m.past(where)
		for range 60 {
			m.run(e, 1)
			if a := m.get("/live/c/" + where + "/180p/index.m3u8"); a.status == 200 {
				m.past(where)
			}
		}
		if err := m.o.End("c"); err != nil {
			t.Fatal(err)
		}
		if a := m.get("/live/c/" + at(time.Now().Add(-20*time.Second), time.Now().Add(20*time.Second)) + "/180p/index.m3u8"); a.status != 404 {
			t.Errorf("a span that is not over is %d", a.status)
		}
		for range 40 { // nothing is published any more, and all of it goes
			time.Sleep(3 * time.Second)
			for _, from := range []time.Duration{30, 60, 90} {
				where := at(time.Now().Add(-from*time.Second), time.Now().Add(-time.Second))
				if a := m.get("/live/c/" + where + "/180p/index.m3u8"); a.status == 200 {
					m.past(where)
				}
			}
		}
	})
}
