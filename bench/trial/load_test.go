package trial

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/bench"
	"weir/playlist"
)

var loadFor = flag.Duration("for", 20*time.Second, "how long each load benchmark measures")

// The load: fifty channels of four renditions, six seconds a segment, 8 Mbit/s
// a channel, as MPEG-TS at a constant bit rate.
const (
	loadChannels = 50
	loadRungs    = 4
	loadUnits    = 15 // of 0.4 s
	loadBits     = 8_000_000
	segmentBytes = loadBits / 8 * 6 / loadRungs
	// late is what no segment may take from the last byte of its playlist's
	// upload to where a waiting viewer holds the new version: a twelfth of the
	// segment, on a machine whose two cores also make the load.
	late = 500 * time.Millisecond
)

// Without a directory, and with one.
func BenchmarkIngest50Channels(b *testing.B)         { ingest(b, false) }
func BenchmarkIngest50ChannelsWithData(b *testing.B) { ingest(b, true) }

func ingest(b *testing.B, persist bool) {
	if persist && !data {
		b.Fatal("weir origin has no --data")
	}
	extra := ""
	if persist {
		extra = ", dvr: 60s"
	}
	for b.Loop() {
		n := newNode(b, persist, fmt.Sprintf(`
store: {memory: 8GiB}
channels: {defaults: {target_duration: 6s, window: 36s, retention: 42s%s}}
`, extra))
		n.client.Transport.(*http.Transport).MaxIdleConnsPerHost = 2 * loadChannels * loadRungs
		n.start()
		n.ready(10 * time.Second)
		ctx, stop := context.WithTimeout(b.Context(), *loadFor+12*time.Second)
		var crew sync.WaitGroup
		var seen delays
		for i := range loadChannels {
			crew.Go(func() { n.channel(ctx, &crew, &seen, i) })
		}
		time.Sleep(8 * time.Second) // every channel has begun
		seen.reset()
		cpu, began := cpuOf(n.pid()), time.Now()
		select {
		case <-ctx.Done():
		case <-time.After(*loadFor):
		}
		share := (cpuOf(n.pid()) - cpu).Seconds() / time.Since(began).Seconds()
		rss := resident(n, nil)
		m := n.metrics()
		stop()
		crew.Wait()
		d, bytes, failed := seen.all()
		if len(d) == 0 {
			b.Fatal("nothing was published")
		}
		mbit := float64(bytes) * 8 / 1e6 / time.Since(began).Seconds()
		b.Logf("data %v: %d segments in %v, %.0f Mbit/s, %d pushes failed; origin CPU %.0f %% of a core, RSS %.0f MiB; visible p50 %v, p99 %v, max %v; gaps %v",
			persist, len(d), time.Since(began).Round(time.Second), mbit, failed, 100*share, rss/(1<<20), d[len(d)/2], d[len(d)*99/100], d[len(d)-1],
			m["weir_origin_gaps_total"])
		b.ReportMetric(100*share, "%core")
		b.ReportMetric(float64(d[len(d)/2].Microseconds())/1e3, "p50-ms")
		b.ReportMetric(float64(d[len(d)*99/100].Microseconds())/1e3, "p99-ms")
		b.ReportMetric(float64(d[len(d)-1].Microseconds())/1e3, "max-ms")
		b.ReportMetric(0, "ns/op")
		if worst := d[len(d)-1]; worst > late || failed > 0 || m["weir_origin_gaps_total"] > 0 {
			b.Errorf("the worst segment was visible %v after its upload (bound %v), %d pushes failed, %v gaps", worst, late, failed, m["weir_origin_gaps_total"])
		}
	}
}

// channel pushes one channel, and waits for each of its segments as viewers do.
func (n *node) channel(ctx context.Context, crew *sync.WaitGroup, seen *delays, nth int) {
	o := bench.FeedOptions{Channel: fmt.Sprintf("ch%02d", nth), TS: true, Units: loadUnits, Pad: segmentBytes}
	for i := range loadRungs {
		o.Rungs = append(o.Rungs, bench.Rung{Path: fmt.Sprintf("r%d", i), Source: []string{"big", "hi", "lo", "hi"}[i]})
	}
	f := n.feed(o)
	const every = loadUnits * bench.Unit
	select { // encoders are not in step
	case <-time.After(every * time.Duration(nth) / loadChannels):
	case <-ctx.Done():
		return
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	told := make([]atomic.Int64, loadRungs) // when the newest playlist's upload ended
	for first := true; ctx.Err() == nil; first = false {
		c := f.Cut(loadUnits)
		for i := range loadRungs {
			err := f.Media(ctx, i, c)
			told[i].Store(time.Now().UnixNano())
			if err == nil {
				err = f.List(ctx, i, c, false)
			}
			if err != nil && ctx.Err() == nil {
				seen.fail()
			}
			if first {
				crew.Go(func() { n.wait(ctx, seen, fmt.Sprintf("%s/live/%s/r%d/index.m3u8", n.view, o.Channel, i), &told[i]) })
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// wait asks for each next version before it is there, and notes how long after
// the upload it came.
func (n *node) wait(ctx context.Context, seen *delays, target string, told *atomic.Int64) {
	next := uint64(0)
	for ctx.Err() == nil {
		url := target
		if next > 0 {
			url += "?_HLS_msn=" + strconv.FormatUint(next, 10)
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return
		}
		resp, err := (&http.Client{Transport: n.client.Transport}).Do(req)
		if err != nil {
			continue
		}
		var text strings.Builder
		buf := make([]byte, 1<<14)
		for err == nil {
			var k int
			k, err = resp.Body.Read(buf)
			text.Write(buf[:k])
		}
		resp.Body.Close()
		now := time.Now().UnixNano()
		m, err := playlist.ParseMedia([]byte(text.String()))
		if resp.StatusCode != http.StatusOK || err != nil || len(m.Segments) == 0 {
			time.Sleep(50 * time.Millisecond)
			continue
		}
		end := m.MediaSequence + uint64(len(m.Segments))
		if next > 0 && end > next {
			seen.add(time.Duration(now-told.Load()), segmentBytes)
		}
		next = end
	}
}

// delays are how long what was pushed took to be seen.
type delays struct {
	mu     sync.Mutex
	list   []time.Duration
	bytes  int64
	failed int
}

func (d *delays) add(x time.Duration, bytes int64) {
	d.mu.Lock()
	d.list, d.bytes = append(d.list, x), d.bytes+bytes
	d.mu.Unlock()
}

func (d *delays) fail()  { d.mu.Lock(); d.failed++; d.mu.Unlock() }
func (d *delays) reset() { d.mu.Lock(); d.list, d.bytes, d.failed = nil, 0, 0; d.mu.Unlock() }

func (d *delays) all() ([]time.Duration, int64, int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Sorted(slices.Values(d.list)), d.bytes, d.failed
}

// cpuOf returns the CPU time that a process used so far, in all its threads.
func cpuOf(pid int) time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(b), ") ") // the name may hold spaces
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond // USER_HZ is 100 on every Linux
}
