package trial

import (
	"context"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"weir/bench"
)

var soakFor = flag.Duration("soak", 20*time.Second, "how long the soak lasts")

const soakConfig = `
channels: {defaults: {target_duration: 1s, window: 4s, retention: 4s, end_with_encoder: true%s}}
`

// A gauge is what a soak samples, and how much of it may be gained from the
// end of the warm-up to the end by the line that fits best: a share of its
// mean and something on top, for what comes in steps.
type gauge struct {
	name, unit string
	scale      float64 // of the unit
	share, top float64
	at         func(n *node, metrics map[string]float64) float64
	values     []float64
}

func gauges() []*gauge {
	metric := func(name string) func(*node, map[string]float64) float64 {
		return func(_ *node, m map[string]float64) float64 { return m[name] }
	}
	return []*gauge{
		{name: "goroutines", scale: 1, share: .05, top: 8, at: metric("go_goroutines")},
		{name: "descriptors", scale: 1, share: .05, top: 8, at: descriptors},
		{name: "RSS", unit: "MiB", scale: 1 << 20, share: .25, top: 16 << 20, at: resident},
		{name: "heap goal", unit: "MiB", scale: 1 << 20, share: .25, top: 16 << 20, at: metric("go_memstats_next_gc_bytes")},
		{name: "media", unit: "MiB", scale: 1 << 20, share: .25, top: 8 << 20, at: metric("weir_origin_bytes")},
		{name: "channels", scale: 1, share: .05, top: 2, at: metric("weir_origin_channels")},
		{name: "disk", unit: "MiB", scale: 1 << 20, share: .1, top: 4 << 20, at: func(n *node, _ map[string]float64) float64 { return diskUse(n.data()) }},
	}
}

// Days of an origin in minutes: channels whose encoders restart and come back
// as others, channels that end and new ones that begin, disks that are always
// full. Nothing may grow, and no viewer may see a rule broken.
func TestSoak(t *testing.T) {
	store, extra := "", ""
	if data {
		store = "store: {max: 64MiB}\n"      // about what the channels may have together, guests and all
		extra = ", dvr: 20s, dvr_max: 16MiB" // of which the larger channels make 30 in 20 s
	}
	n := newNode(t, data, store+fmt.Sprintf(soakConfig, extra))
	n.start()
	n.ready(10 * time.Second)
	ctx, stop := context.WithTimeout(t.Context(), *soakFor)
	defer stop()
	var crew sync.WaitGroup
	var audiences []*audience
	for i := range 6 {
		name := fmt.Sprintf("c%d", i)
		crew.Go(func() { n.restless(ctx, name, uint64(i)) })
		if i < 2 {
			a := newAudience(n, name)
			a.every = 200 * time.Millisecond
			audiences = append(audiences, a)
			crew.Go(func() { a.watch(ctx, "hi") })
			crew.Go(func() { a.watch(ctx, "lo") })
		}
	}
	if *soakFor >= 5*time.Minute { // an ended channel stays for a minute: a shorter soak would see only its beginning
		crew.Go(func() { n.guests(ctx) })
	}

	all := gauges()
	every := min(2*time.Second, *soakFor/40)
	began, told := time.Now(), time.Now()
	var times []float64
	for ctx.Err() == nil {
		m := n.metrics()
		times = append(times, time.Since(began).Seconds())
		var line strings.Builder
		for _, g := range all {
			g.values = append(g.values, g.at(n, m))
			fmt.Fprintf(&line, "  %s %.4g%s", g.name, g.values[len(g.values)-1]/g.scale, g.unit)
		}
		if time.Since(told) > *soakFor/20 {
			told = time.Now()
			fmt.Printf("%6v%s\n", time.Since(began).Round(time.Second), line.String())
		}
		select {
		case <-time.After(every):
		case <-ctx.Done():
		}
	}
	crew.Wait()
	n.judge(all, times)
	for _, a := range audiences {
		t.Logf("%s: %s", a.channel, a.report())
		if a.violations() > 0 {
			t.Error("rules were broken")
		}
	}
	if code := n.stopped(); code != 0 {
		t.Errorf("the origin exited with %d", code)
	}
}

// judge draws all gauges and demands that none grew.
func (n *node) judge(all []*gauge, times []float64) {
	n.Helper()
	warm := len(times) * 2 / 5
	var b strings.Builder
	fmt.Fprintf(&b, "%-12s %5s %10s %10s %10s %10s %10s\n", "", "", "first", "last", "mean", "growth", "allowed")
	for _, g := range all {
		mean, slope := fit(times[warm:], g.values[warm:])
		grown, allowed := slope*(times[len(times)-1]-times[warm]), mean*g.share+g.top
		verdict := ""
		if grown > allowed {
			verdict = "  GROWS"
			n.Errorf("%s grew by %.4g %s since the warm-up", g.name, grown/g.scale, g.unit)
		}
		fmt.Fprintf(&b, "%-12s %5s %10.4g %10.4g %10.4g %10.4g %10.4g%s\n", g.name, g.unit, g.values[warm]/g.scale,
			g.values[len(g.values)-1]/g.scale, mean/g.scale, grown/g.scale, allowed/g.scale, verdict)
	}
	n.Logf("%d samples, judged from the %dth on (%.0f s)\n%s", len(times), warm, times[warm], b.String())
	if err := os.MkdirAll("artefacts", 0o755); err == nil {
		_ = os.WriteFile("artefacts/soak.svg", []byte(draw(all, times)), 0o644)
	}
}

// fit returns the mean of y and the slope of the line that fits it best.
func fit(x, y []float64) (mean, slope float64) {
	var sx, sy, sxx, sxy float64
	for i := range x {
		sx, sy = sx+x[i], sy+y[i]
	}
	n := float64(len(x))
	for i := range x {
		sxx += (x[i] - sx/n) * (x[i] - sx/n)
		sxy += (x[i] - sx/n) * (y[i] - sy/n)
	}
	if sxx == 0 {
		return sy / n, 0
	}
	return sy / n, sxy / sxx
}

// draw is all gauges over time, each in a strip of its own from zero to its highest.
func draw(all []*gauge, times []float64) string {
	const w, h = 800, 70
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="11">`+"\n", w+160, h*len(all)+10)
	for i, g := range all {
		top := 0.0
		for _, v := range g.values {
			top = max(top, v)
		}
		y := float64(h*(i+1)) - 5
		fmt.Fprintf(&b, `<text x="%d" y="%.0f">%s, max %.4g %s</text><path d="M0 %.0fH%d" stroke="#ccc"/><polyline fill="none" stroke="#06c" points="`,
			w+8, y-20, g.name, top/g.scale, g.unit, y, w)
		for j, v := range g.values {
			fmt.Fprintf(&b, "%.1f,%.1f ", times[j]/times[len(times)-1]*w, y-v/max(top, 1)*(h-10))
		}
		b.WriteString("\"/>\n")
	}
	return b.String() + "</svg>\n"
}

// restless pushes to a channel as an encoder that is killed now and then and
// comes back, sometimes as another.
func (n *node) restless(ctx context.Context, channel string, seed uint64) {
	dice := rand.New(rand.NewPCG(seed, 2))
	f := n.feed(bench.FeedOptions{Channel: channel, TS: seed%2 == 0, Units: 1})
	if seed%2 == 0 {
		f.Fill(300_000)
	}
	tick := time.NewTicker(bench.Unit)
	defer tick.Stop()
	for i := 1; ctx.Err() == nil; i++ {
		switch dice.IntN(25) {
		case 0:
			_ = f.Use(0, []string{"hi", "big", "hevc", "mute"}[dice.IntN(4)])
			f.Restart(time.Duration(i) * time.Minute)
		case 1:
			f.Cut(1) // lost
		case 2:
			f.Jump(3 * bench.Unit)
		default:
			_ = f.Step(ctx)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// guests are channels of a few seconds, each of another name, which end.
func (n *node) guests(ctx context.Context) {
	uplink := n.uplink()
	for i := 0; ctx.Err() == nil; i++ {
		f := n.feed(bench.FeedOptions{Ingest: uplink, Channel: fmt.Sprintf("guest-%d", i), Units: 1, Rungs: []bench.Rung{{Path: "hi", Source: "hi"}}})
		for range 4 {
			_ = f.Step(ctx)
			select {
			case <-time.After(bench.Unit):
			case <-ctx.Done():
			}
		}
		_ = f.End(ctx)
	}
}

// metrics reads /metrics: the sum over all labels of each name.
func (n *node) metrics() map[string]float64 {
	n.Helper()
	status, _, body, err := n.get(n.admin + "/metrics")
	if err != nil || status != 200 {
		n.Fatalf("metrics: %d %v", status, err)
	}
	sum := map[string]float64{}
	for line := range strings.Lines(string(body)) {
		name, _, _ := strings.Cut(line, " ")
		name, _, _ = strings.Cut(name, "{")
		if fields := strings.Fields(line); len(fields) > 1 && name != "#" {
			v, _ := strconv.ParseFloat(fields[len(fields)-1], 64)
			sum[name] += v
		}
	}
	return sum
}

// stopped ends the node as an operator does and returns its exit code.
func (n *node) stopped() int {
	n.mu.Lock()
	cmd := n.cmd
	n.mu.Unlock()
	n.end(syscall.SIGTERM)
	return cmd.ProcessState.ExitCode()
}

func descriptors(n *node, m map[string]float64) float64 {
	if list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", n.pid())); err == nil {
		return float64(len(list))
	}
	return m["process_open_fds"]
}

func resident(n *node, m map[string]float64) float64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", n.pid()))
	if fields := strings.Fields(string(b)); err == nil && len(fields) > 1 {
		pages, _ := strconv.ParseFloat(fields[1], 64)
		return pages * float64(os.Getpagesize())
	}
	return m["process_resident_memory_bytes"]
}

// diskUse is how many bytes lie under dir, counting a file with many names once.
func diskUse(dir string) (bytes float64) {
	seen := map[uint64]bool{}
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // it may be gone by now
		}
		info, err := d.Info()
		if err != nil {
			return nil
		}
		if s, ok := info.Sys().(*syscall.Stat_t); ok {
			if seen[s.Ino] {
				return nil
			}
			seen[s.Ino] = true
		}
		bytes += float64(info.Size())
		return nil
	})
	return bytes
}
