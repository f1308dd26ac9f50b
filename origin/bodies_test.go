package origin

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"weir/bench"
	"weir/internal/disk/disktest"
	"weir/internal/web"
)

// Viewers of the past who are slow, or mean it, cannot take live its memory: beyond their share
// of it the next one is asked to come again, until one of them is done.
func TestViewersOfThePastHaveTheirShareOfMemory(t *testing.T) {
	const memory = 8 << 20
	onDisk(t, 71, Options{Memory: memory, Defaults: Channel{Window: 12 * time.Second, Retention: 12 * time.Second, DVR: time.Hour}}, func(m *machine) {
		e := m.encoder(bench.EncoderOptions{Continuous: true})
		m.run(e, 120)
		p := m.past(at(time.Now().Add(-4*time.Minute), time.Now().Add(-20*time.Second)))
		var slow []*web.Response
		refused := 0
		for _, s := range p.Segments {
			req := &web.Request{Method: "GET", Path: "/live/c/180p/" + s.URI[len("../../180p/"):]}
			resp, err := m.o.Viewers().Serve(m.Context(), req)
			switch {
			case err == nil:
				slow = append(slow, resp)
			case web.StatusOf(err) == 503 && web.ReasonOf(err) == "busy":
				refused++
			default:
				t.Fatal(err)
			}
			if n := m.o.inUse(); n > memory*3/4 {
				t.Fatalf("%d bytes are in use of %d", n, memory)
			}
		}
		if refused == 0 || len(slow) < 10 {
			t.Errorf("%d viewers were served, %d refused", len(slow), refused)
		}
		m.run(e, 10)
		for _, resp := range slow {
			resp.Close()
		}
		m.past(at(time.Now().Add(-4*time.Minute), time.Now().Add(-20*time.Second)))
	})
}

// While the disk does not answer, viewers leave, and what they asked for waits in bounds.
func TestReadsThatWaitForADiskAreBounded(t *testing.T) {
	onDisk(t, 72, Options{Defaults: Channel{Window: 12 * time.Second, Retention: 12 * time.Second, DVR: time.Hour}}, func(m *machine) {
		e := m.encoder(bench.EncoderOptions{Continuous: true})
		m.run(e, 5)
		m.disk.Stall(disktest.Read)
		l := (*m.o.channels.Load())["c"].vault.disk.Load()
		ref, ok := (*m.o.channels.Load())["c"].refOf((*(*m.o.channels.Load())["c"].byName.Load())["180p"], m.top["180p"])
		if !ok {
			t.Fatal("nothing is on disk")
		}
		ctx, leave := context.WithCancel(m.Context())
		leave()
		for range 5 * maxReads {
			ref.Offset++
			_, _ = m.o.bodies.get(ctx, l, ref)
		}
		if n := len(m.o.bodies.all); n > maxReads {
			t.Errorf("%d reads wait", n)
		}
		m.disk.Resume()
		synctest.Wait()
		if n := len(m.o.bodies.all); n != 0 {
			t.Errorf("%d reads are left", n)
		}
	})
}
