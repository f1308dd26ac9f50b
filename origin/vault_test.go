package origin

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weir/bench"
	"weir/internal/spool"
	"weir/internal/web"
)

// A disk that fails for days costs depth, not memory: what waits for it is bounded in number,
// and the newest of it is what is written when it is back.
func TestWhatWaitsForADiskIsBoundedInNumber(t *testing.T) {
	var all atomic.Int64
	slab := spool.NewSlab(spool.SlabOptions{Poison: true})
	v := newVault(1<<20, &all, slog.New(slog.DiscardHandler), newMetrics(nil, &Origin{}))
	for i := range uint64(3 * maxDeposits) {
		d := deposit{buf: slab.NewBuffer([]byte{1})}
		d.entry.Number = i
		v.put([]deposit{d}, nil)
	}
	if len(v.queue) > maxDeposits || v.queue[len(v.queue)-1].entry.Number != 3*maxDeposits-1 {
		t.Errorf("%d deposits wait, the last is %d", len(v.queue), v.queue[len(v.queue)-1].entry.Number)
	}
	v.empty()
	if slab.InUse() != 0 || all.Load() != 0 || v.waiting != 0 {
		t.Errorf("%d bytes are held, %d and %d are counted", slab.InUse(), all.Load(), v.waiting)
	}
}

// While a disk stalls, what waits for it in all channels together leaves live its memory: no
// upload is refused, and all that is pushed is listed.
func TestAStalledDiskLeavesLiveItsMemory(t *testing.T) {
	const memory = 48 << 20
	onDisk(t, 51, Options{Memory: memory, Defaults: Channel{Window: 12 * time.Second, Retention: 12 * time.Second, DVR: time.Hour}}, func(m *machine) {
		var es []*bench.Encoder
		for _, name := range []string{"c", "d", "e", "f"} {
			e, err := bench.NewEncoder(bench.EncoderOptions{Continuous: true, Channel: name, Ingest: web.HandlerFunc(func(ctx context.Context, req *web.Request) (*web.Response, error) {
				return m.o.Ingest().Serve(ctx, req)
			})})
			if err != nil {
				t.Fatal(err)
			}
			es = append(es, e)
		}
		step := func() {
			for _, e := range es {
				if err := e.Step(m.Context()); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(bench.ClipSegment)
			synctest.Wait()
		}
		for range 10 {
			step()
		}
		m.disk.Stall()
		for range 150 {
			step()
			if n := m.metric("weir_store_queue_bytes"); n > memory/4*1.1 {
				t.Fatalf("%v bytes wait of %d that there may be", n, memory)
			}
		}
	})
}
