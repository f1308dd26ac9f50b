package origin

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/bench"
	"weir/internal/disk/disktest"
	"weir/internal/web"
	"weir/playlist"
)

// asset fetches an asset's multivariant playlist, all its playlists and all their media.
func (m *machine) asset(name string) map[string]*playlist.Media {
	m.Helper()
	a := m.get("/vod/" + name + "/index.m3u8")
	if a.status != 200 {
		m.Fatalf("asset %s: %d %s", name, a.status, a.body)
	}
	multi, err := playlist.ParseMultivariant([]byte(a.body))
	if err != nil {
		m.Fatal(err)
	}
	all := map[string]*playlist.Media{}
	for _, v := range multi.Variants {
		a := m.get("/vod/" + name + "/" + v.URI)
		p, err := playlist.ParseMedia([]byte(a.body))
		if a.status != 200 || err != nil {
			m.Fatalf("%s: %d %v", v.URI, a.status, err)
		}
		if p.Type != playlist.VOD || !p.EndList {
			m.Errorf("%s is no VOD:\n%s", v.URI, a.body)
		}
		rendition := strings.TrimSuffix(v.URI, "/index.m3u8")
		for _, s := range p.Segments {
			got := m.get("/vod/" + name + "/" + rendition + "/" + s.URI)
			if s.Gap != (got.status == 404) || !s.Gap && got.status != 200 {
				m.Errorf("%s/%s: gap=%v and %d %s", rendition, s.URI, s.Gap, got.status, got.body)
			} else if was, ok := m.bodies[rendition+"/"+s.URI]; ok && !s.Gap && was != got.body {
				m.Errorf("%s/%s has other bytes than it had live", rendition, s.URI)
			}
			if s.Map == nil && s.Gap {
				continue
			}
			if got := m.get("/vod/" + name + "/" + rendition + "/" + s.Map.URI); got.status != 200 {
				m.Errorf("%s: %d", s.Map.URI, got.status)
			}
		}
		all[rendition] = p
	}
	return all
}

// A finished programme becomes an asset without its media being copied, survives the origin's
// death and its channel's retention, never changes, and goes when it is removed.
func TestAProgrammeBecomesAnAsset(t *testing.T) {
	onDisk(t, 21, Options{Defaults: Channel{Window: 12 * time.Second, DVR: time.Minute}}, func(m *machine) {
		e := m.encoder(bench.EncoderOptions{Continuous: true})
		m.run(e, 25)
		writes := m.disk.Calls("write")
		info, err := m.o.MakeAsset(m.Context(), AssetRequest{Asset: "final", Channel: "c", Start: time.Now().Add(-40 * time.Second), End: time.Now().Add(-10 * time.Second)})
		if err != nil {
			t.Fatal(err)
		}
		if info.Duration < 30*time.Second || info.Duration > 34*time.Second || len(info.Renditions) != 3 || info.Gaps != 0 || info.Bytes == 0 {
			t.Errorf("%+v", info)
		}
		if n := m.disk.Calls("write") - writes; n > 12 {
			t.Errorf("making it took %d writes: media were copied", n)
		}
		first := m.asset("final")
		if len(first) != 3 || len(first["180p"].Segments) < 15 {
			t.Fatalf("%d renditions, %d segments", len(first), len(first["180p"].Segments))
		}
		text := m.get("/vod/final/180p/index.m3u8").body
		if _, err := m.o.MakeAsset(m.Context(), AssetRequest{Asset: "final", Channel: "c"}); !errors.Is(err, ErrAssetExists) {
			t.Errorf("made twice: %v", err)
		}
		m.kill()
		for range 60 { // its channel forgets all of it
			m.run(e, 1)
		}
		m.asset("final")
		if now := m.get("/vod/final/180p/index.m3u8").body; now != text {
			t.Errorf("it was\n%s\nand is\n%s", text, now)
		}
		if got := m.o.Assets(); len(got) != 1 || got[0].Asset != "final" || got[0].Duration != info.Duration {
			t.Errorf("%+v", got)
		}
		segment := "/vod/final/180p/" + first["180p"].Segments[0].URI
		if err := m.o.RemoveAsset("final"); err != nil {
			t.Fatal(err)
		}
		if a := m.get("/vod/final/index.m3u8"); a.status != 410 {
			t.Errorf("a removed asset is %d", a.status)
		}
		if a := m.get(segment); a.status != 200 {
			t.Errorf("a segment of a removed asset is %d at once", a.status)
		}
		m.run(e, 20)
		if a := m.get(segment); a.status != 404 {
			t.Errorf("a segment of a removed asset is %d for ever", a.status)
		}
		if infos, err := m.disk.FS().ReadDir("/data/vod"); err != nil || len(infos) != 0 {
			t.Errorf("left on disk: %v, %v", infos, err)
		}
	})
}

// An asset that was not wholly made when the power went is not there, and its name is free.
func TestAnAssetIsThereOrNot(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			onDisk(t, seed, Options{Defaults: Channel{Window: 12 * time.Second, DVR: time.Minute}}, func(m *machine) {
				e := m.encoder(bench.EncoderOptions{Continuous: true, Rungs: 1})
				for range 20 {
					_ = e.Step(m.Context())
					m.watch("180p")
					time.Sleep(bench.ClipSegment)
				}
				m.disk.KillAfter(int64(m.rng.IntN(3000)))
				_, err := m.o.MakeAsset(m.Context(), AssetRequest{Asset: "final", Channel: "c"})
				m.cut()
				switch got := m.o.Assets(); {
				case len(got) == 1:
					m.asset("final")
				case err == nil:
					t.Error("it was made, and is not there")
				default:
					if _, err := m.o.MakeAsset(m.Context(), AssetRequest{Asset: "final", Channel: "c"}); err != nil {
						t.Error("its name is taken:", err)
					}
					m.asset("final")
				}
			})
		})
	}
}

// What cannot be made says why.
func TestWhyThereIsNoAsset(t *testing.T) {
	onDisk(t, 23, Options{Defaults: Channel{Window: 12 * time.Second, DVR: time.Minute}}, func(m *machine) {
		f := func(r AssetRequest, want error) {
			t.Helper()
			if _, err := m.o.MakeAsset(m.Context(), r); err == nil || want != nil && !errors.Is(err, want) {
				t.Errorf("%+v: %v", r, err)
			}
		}
		f(AssetRequest{Asset: "x", Channel: "c"}, ErrNoChannel)
		m.run(m.encoder(bench.EncoderOptions{Continuous: true}), 5)
		f(AssetRequest{Asset: "../x", Channel: "c"}, nil)
		f(AssetRequest{Asset: "x", Channel: "c", Start: time.Now().Add(-2 * time.Hour), End: time.Now().Add(-time.Hour)}, ErrNothingKept)
		f(AssetRequest{Asset: "x", Channel: "c", Start: time.Now(), End: time.Now().Add(-time.Hour)}, nil)
		if err := m.o.RemoveAsset("x"); !errors.Is(err, ErrNoAsset) {
			t.Error(err)
		}
	})
}

// Damage is found by the first viewer who asks, while others watch.
func TestADamagedAssetHasGaps(t *testing.T) {
	onDisk(t, 61, Options{Defaults: Channel{Window: 12 * time.Second, DVR: time.Minute}}, func(m *machine) {
		e := m.encoder(bench.EncoderOptions{Continuous: true, Rungs: 1})
		m.run(e, 20)
		if _, err := m.o.MakeAsset(m.Context(), AssetRequest{Asset: "final", Channel: "c"}); err != nil {
			t.Fatal(err)
		}
		p := m.asset("final")["180p"]
		infos, err := m.disk.FS().ReadDir("/data/vod/final")
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range infos {
			if strings.HasSuffix(i.Name, logSuffix) {
				_ = m.disk.Edit("/data/vod/final/"+i.Name, func(b []byte) []byte {
					for i := len(b) / 3; i < len(b)/3+len(b)/4; i++ {
						b[i] ^= 1
					}
					return b
				})
			}
		}
		m.kill()
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for _, s := range p.Segments {
					m.get("/vod/final/180p/" + s.URI)
					m.get("/vod/final/180p/index.m3u8")
				}
			})
		}
		wg.Wait()
		if got := m.asset("final")["180p"]; !strings.Contains(sketch(got), "-") {
			t.Errorf("shown: %s", sketch(got))
		}
	})
}

// Who asks for an asset and leaves while the disk stalls leaves no directory behind that
// nobody knows: when the disk goes on it is made and there, or not there and its name free.
func TestAnAssetThatNobodyWaitedFor(t *testing.T) {
	onDisk(t, 62, Options{Defaults: Channel{Window: 12 * time.Second, DVR: time.Minute}}, func(m *machine) {
		e := m.encoder(bench.EncoderOptions{Continuous: true, Rungs: 1})
		m.run(e, 20)
		m.disk.Stall(disktest.Link)
		ctx, leave := context.WithTimeout(m.Context(), time.Second)
		defer leave()
		if _, err := m.o.MakeAsset(ctx, AssetRequest{Asset: "final", Channel: "c"}); err == nil {
			t.Fatal("it was made on a disk that stalls")
		}
		if _, err := m.o.MakeAsset(m.Context(), AssetRequest{Asset: "final", Channel: "c"}); !errors.Is(err, ErrAssetExists) {
			t.Errorf("while it is being made: %v", err)
		}
		m.disk.Resume()
		time.Sleep(time.Second)
		m.asset("final")
		if err := m.o.RemoveAsset("final"); err != nil {
			t.Error(err)
		}
	})
}

// A segment that the disk did not get is a gap of the asset, and no reason not to make it.
func TestAnAssetOfWhatTheDiskHas(t *testing.T) {
	onDisk(t, 63, Options{Memory: 16 << 20, Defaults: Channel{Window: time.Minute, DVR: time.Hour}}, func(m *machine) {
		e := m.encoder(bench.EncoderOptions{Continuous: true})
		m.run(e, 10)
		m.disk.Stall()
		for lost := m.metric("weir_store_lost_total"); m.metric("weir_store_lost_total") < lost+10; {
			m.run(e, 1)
		}
		m.disk.Resume()
		m.run(e, 3)
		info, err := m.o.MakeAsset(m.Context(), AssetRequest{Asset: "final", Channel: "c"})
		if err != nil || info.Gaps == 0 {
			t.Fatalf("%+v, %v", info, err)
		}
		m.asset("final")
	})
}

// What a removed asset has on disk goes in the end, also where that fails at first; its removal
// is durable; and where it fails nothing has changed.
func TestARemovalOfAnAssetThatFails(t *testing.T) {
	onDisk(t, 64, Options{Defaults: Channel{Window: 12 * time.Second, DVR: time.Minute}}, func(m *machine) {
		e := m.encoder(bench.EncoderOptions{Continuous: true, Rungs: 1})
		m.run(e, 20)
		if _, err := m.o.MakeAsset(m.Context(), AssetRequest{Asset: "final", Channel: "c"}); err != nil {
			t.Fatal(err)
		}
		broken := errors.New("input/output error")
		m.disk.FailSome(disktest.Remove, "asset.json", 1, broken)
		if err := m.o.RemoveAsset("final"); !errors.Is(err, broken) {
			t.Fatal(err)
		}
		m.asset("final")
		if err := m.o.RemoveAsset("final"); err != nil {
			t.Fatal(err)
		}
		m.disk.FailSome(disktest.Remove, "vod/final", 3, broken)
		time.Sleep(2 * time.Minute)
		if infos, err := m.disk.FS().ReadDir("/data/vod"); err != nil || len(infos) != 0 {
			t.Errorf("left on disk: %v, %v", infos, err)
		}
		if _, err := m.o.MakeAsset(m.Context(), AssetRequest{Asset: "final", Channel: "c"}); err != nil {
			t.Fatal(err)
		}
		if err := m.o.RemoveAsset("final"); err != nil {
			t.Fatal(err)
		}
		m.cut()
		if a := m.get("/vod/final/index.m3u8"); a.status != 404 {
			t.Errorf("a power cut brought it back: %d", a.status)
		}
	})
}

// Assets that somebody once watched cost neither descriptors nor memory for ever.
func TestAssetsAreForgottenWhenNobodyWatches(t *testing.T) {
	onDisk(t, 65, Options{Defaults: Channel{Window: 12 * time.Second, DVR: time.Minute}}, func(m *machine) {
		e := m.encoder(bench.EncoderOptions{Continuous: true, Rungs: 1})
		m.run(e, 10)
		for i := range 3 * maxLoaded {
			if _, err := m.o.MakeAsset(m.Context(), AssetRequest{Asset: fmt.Sprint("a", i), Channel: "c"}); err != nil {
				t.Fatal(err)
			}
			m.asset(fmt.Sprint("a", i))
		}
		if n := m.disk.Handles(); n > maxLoaded+20 {
			t.Errorf("%d files are open", n)
		}
		m.asset("a0")
	})
}

// While a disk does not answer, who asks for an asset may leave, and the others' clock goes on.
func TestAnAssetOfAStalledDiskHoldsNobodyUp(t *testing.T) {
	onDisk(t, 66, Options{Defaults: Channel{Window: 12 * time.Second, DVR: time.Minute}}, func(m *machine) {
		e := m.encoder(bench.EncoderOptions{Continuous: true, Rungs: 1})
		m.run(e, 10)
		if _, err := m.o.MakeAsset(m.Context(), AssetRequest{Asset: "final", Channel: "c"}); err != nil {
			t.Fatal(err)
		}
		m.disk.Stall(disktest.Read, disktest.ReadDir, disktest.Open)
		for range 3 {
			ctx, leave := context.WithTimeout(m.Context(), time.Second)
			began := time.Now()
			_, err := m.o.Viewers().Serve(ctx, &web.Request{Method: "GET", Path: "/vod/final/180p/index.m3u8"})
			if took := time.Since(began); err == nil || took > time.Second {
				t.Errorf("after %v: %v", took, err)
			}
			leave()
		}
		m.disk.Resume()
		m.asset("final")
	})
}

// What the disk could not take in time is a gap of the asset, although a window that is long
// still shows it live: a programme is not refused for the moments it lacks.
func TestAnAssetHasGapsForWhatTheDiskDidNotTake(t *testing.T) {
	onDisk(t, 24, Options{Memory: 32 << 20, Defaults: Channel{Window: 10 * time.Minute, DVR: time.Hour}}, func(m *machine) {
		e := m.encoder(bench.EncoderOptions{Continuous: true})
		m.run(e, 10)
		m.disk.Stall()
		m.run(e, 250)
		m.disk.Resume()
		m.run(e, 10)
		if m.metric("weir_store_lost_total") == 0 {
			t.Fatal("nothing was lost: this shows nothing")
		}
		info, err := m.o.MakeAsset(m.Context(), AssetRequest{Asset: "final", Channel: "c"})
		if err != nil {
			t.Fatal(err)
		}
		p := m.asset("final")["180p"]
		if n := len(p.Segments); info.Gaps == 0 || n < 265 || p.Segments[0].Gap || p.Segments[n-1].Gap {
			t.Errorf("%+v, %d segments", info, n)
		}
		if live := sketch(m.watch("180p")); strings.Contains(live, "-") {
			t.Errorf("live has gaps: %s", live)
		}
	})
}
