package origin

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"
)

// world is what an intake sees: uploads that are there or under way, and a clock.
type world struct {
	t     *testing.T
	in    *intake
	now   time.Time
	gen   uint64
	files map[string]*upload
	under map[string]bool
	out   []string
}

func (w *world) complete(path string) *upload { return w.files[path] }
func (w *world) arriving(path string) bool    { return w.under[path] }

func newWorld(t *testing.T) *world {
	w := &world{t: t, in: newIntake(), now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), files: map[string]*upload{}, under: map[string]bool{}}
	w.in.hold = 3 * time.Second
	return w
}

func (w *world) note(steps []step) {
	for _, s := range steps {
		text := s.path
		if s.up == nil {
			text = fmt.Sprintf("%s:gap(%s)", s.path, s.why)
		} else {
			text += ":" + string(s.up.sum[:1])
		}
		if s.fresh {
			text = "|" + text
		}
		if s.init != nil && s.up != nil {
			text += "+" + string(s.init.sum[:1])
		}
		w.out = append(w.out, text)
	}
}

// begin returns the generation of an upload that begins now.
func (w *world) begin() uint64 { w.gen++; return w.gen }

// up completes an upload. The content's first letter shows in the transcript.
func (w *world) up(path, content string) { w.upAs(w.begin(), path, content) }

func (w *world) upAs(gen uint64, path, content string) {
	u := &upload{path: path, gen: gen, begun: w.now, done: w.now}
	u.sum = sha256.Sum256([]byte(content))
	u.sum[0] = content[0]
	if old := w.files[path]; old == nil || old.gen < gen {
		w.files[path] = u
	}
	w.note(w.in.arrived(w.now, w))
}

// list pushes a playlist that begins with number seq. A path that ends in ! lasts on: the
// last word "END" is EXT-X-ENDLIST; a word "map=p" is the init segment of those after it.
func (w *world) list(seq uint64, words string) {
	p := &pushed{at: w.now, target: 2}
	mapPath := ""
	for word := range strings.FieldsSeq(words) {
		if word == "END" {
			p.end = true
			continue
		}
		if m, ok := strings.CutPrefix(word, "map="); ok {
			mapPath = m
			continue
		}
		e := entry{seq: seq, path: word, dur: 2 * time.Second, listed: w.now, mapPath: mapPath}
		if name, ok := strings.CutSuffix(word, "?"); ok {
			e.path, e.gap = name, true
		}
		p.entries = append(p.entries, e)
		seq++
	}
	steps, _ := w.in.offer(p, w)
	w.note(steps)
}

func (w *world) wait(d time.Duration) {
	w.now = w.now.Add(d)
	w.note(w.in.settle(w.now, w))
}

// is compares what was published since the last call.
func (w *world) is(want string) {
	w.t.Helper()
	if got := strings.Join(w.out, " "); got != want {
		w.t.Errorf("published %q, want %q", got, want)
	}
	w.out = nil
}

// Viewers see each segment once it is there, in order.
func TestSegmentsFollowTheirPlaylist(t *testing.T) {
	w := newWorld(t)
	w.up("x0", "a")
	w.is("")
	w.list(0, "x0")
	w.is("|x0:a")
	w.up("x1", "b")
	w.list(0, "x0 x1")
	w.is("x1:b")
}

// A playlist is often handled before the segment it ends with: nobody sees it until then.
func TestAPlaylistAheadOfItsSegmentIsHeld(t *testing.T) {
	w := newWorld(t)
	w.list(0, "x0")
	w.is("")
	w.up("x0", "a")
	w.is("|x0:a")
	w.list(0, "x0 x1")
	w.list(0, "x0 x1 x2")
	w.up("x2", "c")
	w.is("")
	w.up("x1", "b")
	w.is("x1:b x2:c")
}

// An older playlist that arrives after a newer one takes nothing back and repeats nothing.
func TestALatePlaylistChangesNothing(t *testing.T) {
	w := newWorld(t)
	for i, c := range []string{"a", "b", "c"} {
		w.up(fmt.Sprintf("x%d", i), c)
	}
	w.list(0, "x0 x1 x2")
	w.is("|x0:a x1:b x2:c")
	w.list(0, "x0 x1")
	w.list(0, "x0")
	w.list(0, "x0 x1 x2")
	w.is("")
	w.up("x3", "d")
	w.list(0, "x0 x1 x2 x3")
	w.is("x3:d")
}

// The end that an encoder announces is neither forgotten when an older playlist comes late,
// nor believed when it is behind what is known.
func TestTheEndIsNeitherLostNorInvented(t *testing.T) {
	w := newWorld(t)
	w.up("x0", "a")
	w.up("x1", "b")
	w.list(0, "x0")
	w.list(0, "x0 x1 END")
	if !w.in.ended {
		t.Error("the end was lost")
	}
	w.list(0, "x0 x1")
	w.list(0, "x0")
	if !w.in.ended {
		t.Error("the end was lost to a late playlist")
	}
	w.up("x2", "c")
	w.list(0, "x0 x1 x2")
	if w.in.ended {
		t.Error("the end stands before a segment")
	}
	w.list(0, "x0 x1 END")
	if w.in.ended {
		t.Error("a late end was believed")
	}
}

// A segment that never comes costs viewers itself, and delays those after it by no more
// than the hold.
func TestALostSegmentIsAGapInPlace(t *testing.T) {
	w := newWorld(t)
	w.up("x0", "a")
	w.list(0, "x0")
	w.list(0, "x0 x1")
	w.wait(2 * time.Second)
	w.up("x2", "c")
	w.list(0, "x0 x1 x2")
	w.is("|x0:a")
	w.wait(time.Second - 1)
	w.is("")
	if due := w.in.due(); !due.Equal(w.now.Add(1)) {
		t.Errorf("due at %v, now %v", due, w.now)
	}
	w.wait(1)
	w.is("x1:gap(lost) x2:c")
	w.up("x1", "b") // too late
	w.is("")
}

// Playlists that were lost leave holes in the encoder's numbers; media of unknown name are
// gaps, and so is what the encoder itself calls one.
func TestHolesInTheNumbersAreGaps(t *testing.T) {
	w := newWorld(t)
	w.up("x0", "a")
	w.up("x3", "d")
	w.list(0, "x0")
	w.list(3, "x3")
	w.is("|x0:a :gap(untold) :gap(untold) x3:d")
	w.list(3, "x3 x4?")
	w.is("x4:gap(encoder)")
	w.up("x99", "z")
	w.list(99, "x99") // too many to make up for
	w.is("|x99:z")
}

// An encoder that was killed and started again uses its names and numbers again. Viewers get
// the new bytes, as a new beginning, in whichever order they and the playlist arrive.
func TestARestartUnderTheSameNamesIsSeen(t *testing.T) {
	run := func(t *testing.T, playlistFirst bool, content string) {
		w := newWorld(t)
		for i := range 4 {
			w.up(fmt.Sprintf("x%d", i), "a")
			w.list(0, "x0 x1 x2 x3"[:3*i+2])
			w.wait(2 * time.Second)
		}
		w.is("|x0:a x1:a x2:a x3:a")
		for i := range 6 {
			push := []func(){
				func() { w.up(fmt.Sprintf("x%d", i), content) },
				func() { w.list(0, "x0 x1 x2 x3 x4 x5"[:3*i+2]) },
			}
			if playlistFirst {
				push[0], push[1] = push[1], push[0]
			}
			push[0]()
			w.wait(50 * time.Millisecond)
			push[1]()
			w.wait(1950 * time.Millisecond)
		}
		c := content[:1]
		w.is("|x0:" + c + " x1:" + c + " x2:" + c + " x3:" + c + " x4:" + c + " x5:" + c)
	}
	t.Run("segment first", func(t *testing.T) { run(t, false, "b") })
	t.Run("playlist first", func(t *testing.T) { run(t, true, "b") })
	// Test sources and looped files give the very same bytes again.
	t.Run("same bytes, segment first", func(t *testing.T) { run(t, false, "a") })
	t.Run("same bytes, playlist first", func(t *testing.T) { run(t, true, "a") })
}

// What the old run of the encoder left complete is still published, what it left incomplete
// delays nothing, and its uploads that end late are not taken for the new run's.
func TestTheOldRunsUploadsAreNotTheNewOnes(t *testing.T) {
	w := newWorld(t)
	for i := range 3 {
		w.up(fmt.Sprintf("x%d", i), "a")
	}
	w.list(0, "x0 x1 x2")
	w.is("|x0:a x1:a x2:a")
	slow := w.begin()        // x3: under way, and listed
	w.list(0, "x0 x1 x2 x3") // waits for x3
	w.up("x4", "a")          // complete behind it
	w.list(1, "x1 x2 x3 x4") //
	late := w.begin()        // x1 of a retry that hangs
	w.wait(100 * time.Millisecond)
	w.up("x0", "b") // the new run
	w.list(0, "x0")
	w.is("x3:gap(lost) x4:a |x0:b")
	w.upAs(late, "x1", "a-again")
	w.upAs(slow, "x3", "a")
	w.list(0, "x0 x1")
	w.is("")
	w.up("x1", "b")
	w.is("x1:b")
	w.list(0, "x0 x1 x2 x3")
	w.up("x2", "b")
	w.is("x2:b")
	w.up("x3", "b")
	w.is("x3:b")
}

// The same bytes sent again, because an answer got lost, are not a restart.
func TestARepeatedUploadIsIgnored(t *testing.T) {
	w := newWorld(t)
	for i := range 4 {
		w.up(fmt.Sprintf("x%d", i), "a")
		w.up(fmt.Sprintf("x%d", i), "a")
		w.list(0, "x0 x1 x2 x3"[:3*i+2])
		w.up(fmt.Sprintf("x%d", i), "a")
		w.list(0, "x0 x1 x2 x3"[:3*i+2])
	}
	w.up("x1", "a")
	w.up("x4", "a")
	w.list(1, "x1 x2 x3 x4")
	w.is("|x0:a x1:a x2:a x3:a x4:a")
}

// An encoder that comes back with other names, or with numbers far ahead, begins anew.
func TestOtherNamesForTheSameNumbersAreARestart(t *testing.T) {
	w := newWorld(t)
	w.up("x0", "a")
	w.up("x1", "a")
	w.list(0, "x0 x1")
	w.up("y0", "b")
	w.list(0, "y0")
	w.up("y1", "b")
	w.list(0, "y0 y1")
	w.is("|x0:a x1:a |y0:b y1:b")
}

// Names that come round again (a ring of files) are new segments, not a restart.
func TestNamesMayGoRound(t *testing.T) {
	for _, playlistFirst := range []bool{false, true} {
		w := newWorld(t)
		for i := range 9 {
			var words []string
			for j := max(0, i-1); j <= i; j++ {
				words = append(words, fmt.Sprintf("x%d", j%3))
			}
			if playlistFirst {
				w.list(uint64(max(0, i-1)), strings.Join(words, " "))
			}
			w.up(fmt.Sprintf("x%d", i%3), fmt.Sprintf("%dx", i))
			w.list(uint64(max(0, i-1)), strings.Join(words, " "))
		}
		w.is("|x0:0 x1:1 x2:2 x0:3 x1:4 x2:5 x0:6 x1:7 x2:8")
	}
}

// An origin that starts while an encoder runs publishes from what it gets on, not a list of
// what it never had.
func TestWhatWasMadeBeforeWeListenedIsNoGap(t *testing.T) {
	w := newWorld(t)
	w.list(40, "x40 x41 x42 x43")
	w.up("x43", "a")
	w.is("|x43:a")
}

// The init segment may come after the first segment that needs it: that waits. A segment is
// bound to the init that its path meant when it was listed, and the new run's segments to
// the new run's init.
func TestSegmentsWaitForTheirInit(t *testing.T) {
	w := newWorld(t)
	w.up("x0", "a")
	w.list(0, "map=init x0")
	w.is("")
	w.up("init", "i")
	w.is("|x0:a+i")
	w.up("x1", "a")
	w.list(0, "map=init x0 x1")
	w.up("init", "i") // sent again
	w.is("x1:a+i")
	w.under["init"] = true
	initGen := w.begin() // opened at the start, ends with the first segment
	w.up("x0", "b")
	w.list(0, "map=init x0")
	w.is("")
	w.under["init"] = false
	w.upAs(initGen, "init", "j")
	w.is("|x0:b+j")
	w.up("x1", "b")
	w.list(0, "map=init x0 x1")
	w.is("x1:b+j")
}

// An init that never comes makes a gap, not a stall; one that the new run does not send
// again is the old one.
func TestAnInitThatNeverComesIsBounded(t *testing.T) {
	w := newWorld(t)
	w.up("x0", "a")
	w.list(0, "map=init x0")
	w.wait(3 * time.Second)
	w.is("|x0:gap(no_init)")
	w.up("init", "i")
	w.up("x1", "a")
	w.list(0, "map=init x0 x1")
	w.is("|x1:a+i")
	w.up("x0", "b")
	w.list(0, "map=init x0")
	w.is("")
	w.wait(3 * time.Second)
	w.is("|x0:b+i")
}

// An encoder far ahead of its bytes is bounded.
func TestTheQueueIsBounded(t *testing.T) {
	w := newWorld(t)
	w.up("x0", "a")
	w.list(0, "x0")
	for i := 1; i < 3*maxQueue; i++ {
		w.list(uint64(i), fmt.Sprintf("y%d", i))
	}
	if n := len(w.in.queue); n != maxQueue {
		t.Errorf("%d entries are queued", n)
	}
	if n := len(w.in.known); n > 2*maxKnown {
		t.Errorf("%d numbers are known", n)
	}
}
