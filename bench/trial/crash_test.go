package trial

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"weir/bench"
)

var (
	kills = flag.Int("kills", 20, "how often the crash test kills the origin")
	seed  = flag.Uint64("seed", 0, "of the crash test's moments; 0: another one each time")
)

// crashConfig makes a short stream: segments of 0.4 s in a window of 4 s.
const crashConfig = `
channels: {defaults: {target_duration: 1s, window: 4s, retention: 4s}}
`

// crash kills an origin n times at random moments while an encoder pushes two
// renditions and an audience watches, and returns the audience.
func crash(t *testing.T, n *node, times int) *audience {
	t.Helper()
	s := *seed
	if s == 0 {
		s = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", s)
	dice := rand.New(rand.NewPCG(s, 1))
	a := newAudience(n, "c")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var crew sync.WaitGroup
	defer crew.Wait()
	defer stop()

	n.start()
	n.ready(10 * time.Second)
	feed := n.feed(bench.FeedOptions{Channel: "c", TS: dice.IntN(2) == 0, Units: 1})
	var again atomic.Bool // the encoder is to be restarted
	crew.Go(func() {
		tick := time.NewTicker(bench.Unit)
		defer tick.Stop()
		clock := time.Duration(0)
		for {
			if again.CompareAndSwap(true, false) {
				clock += time.Hour
				feed.Restart(clock)
			}
			_ = feed.Step(ctx) // a push that fails is lost, as FFmpeg loses it
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	})
	for _, rendition := range []string{"hi", "lo"} {
		crew.Go(func() { a.watch(ctx, rendition) })
	}
	time.Sleep(3 * time.Second) // a window
	ends := map[string]int{}
	began := time.Now()
	for i := range times {
		time.Sleep(time.Duration(100+dice.IntN(900)) * time.Millisecond)
		sig, how := syscall.SIGKILL, "SIGKILL"
		if dice.IntN(5) == 0 {
			sig, how = syscall.SIGTERM, "SIGTERM"
		}
		ends[how]++
		if dice.IntN(6) == 0 {
			again.Store(true)
			ends["encoder"]++
		}
		n.end(sig)
		n.start()
		n.ready(10 * time.Second)
		if i%50 == 49 {
			fmt.Printf("%3d kills in %v, %d violations\n", i+1, time.Since(began).Round(time.Second), a.violations())
		}
	}
	// What came back is looked at; and the encoder, which noticed nothing, is published again.
	hi, lo := a.at("hi"), a.at("lo")
	time.Sleep(a.back + 2*time.Second)
	if a.at("hi") < hi+3 || a.at("lo") < lo+3 {
		a.say("stands still: %v after the last start hi went from %d to %d, lo from %d to %d", a.back+2*time.Second, hi, a.at("hi"), lo, a.at("lo"))
	}
	stop()
	crew.Wait()
	t.Logf("%d ends in %v: %v\n%s", times, time.Since(began).Round(time.Millisecond), ends, a.report())
	return a
}

// The origin is killed at any moment, again and again, with SIGKILL and with
// SIGTERM, and encoders restart in between. For those who watch nothing is
// ever taken back: no number or name means another thing, nothing listed is
// missing, and what was lost is a gap under its own number.
func TestViewersSurviveCrashesOfTheOrigin(t *testing.T) {
	if !data {
		t.Fatal("weir origin has no --data: what it loses in a crash it cannot know afterwards")
	}
	a := crash(t, newNode(t, true, crashConfig), *kills)
	if a.violations() > 0 || a.files < *kills/2 || len(a.waits) < *kills/2 {
		t.Errorf("%s", a.report())
	}
}

// Without a directory an origin forgets everything when it dies, and its
// numbers go on somewhere above. The audience must see that, or it would see
// nothing at all.
func TestTheAudienceSeesWhatIsLost(t *testing.T) {
	a := crash(t, newNode(t, false, crashConfig), 6)
	if a.violations() == 0 {
		t.Error("an origin without a memory broke no rule")
	}
	if a.files < 20 {
		t.Errorf("only %d files were fetched", a.files)
	}
}
