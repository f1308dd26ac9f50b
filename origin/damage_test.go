package origin

import (
	"testing"
	"testing/synctest"
	"time"

	"weir/bench"
	"weir/playlist"
)

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
