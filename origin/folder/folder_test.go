package folder

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"weir/internal/web"
)

// Media come before the playlist that lists them, init segments before media, and nothing is
// pushed that no playlist lists, or twice.
func TestWhatAPlaylistListsIsPushedBeforeIt(t *testing.T) {
	polled(t, func(d *desk) {
		d.write("news/hi/init.mp4", "i", 0)
		d.write("news/hi/x0.m4s", "0", 0)
		d.write("news/hi/stray.m4s", "?", 0)
		d.write("news/hi/x1.m4s.tmp", "half", 0)
		time.Sleep(11 * time.Second)
		d.is()
		d.list("news/hi/index.m3u8", 0, 0, "map=init.mp4", "x0.m4s")
		time.Sleep(11 * time.Second) // no event tells of it: the next search finds it
		d.is("news/hi/init.mp4=i", "news/hi/x0.m4s=0", "*news/hi/index.m3u8")
		d.write("news/hi/x1.m4s", "1", 2)
		d.list("news/hi/index.m3u8", 2, 0, "map=init.mp4", "x0.m4s", "x1.m4s?q=1#f")
		time.Sleep(tick)
		d.is("news/hi/x1.m4s=1", "*news/hi/index.m3u8")
		time.Sleep(time.Minute)
		d.is()
		if n := d.count("media", pushed); n != 3 {
			t.Errorf("%d media were counted", n)
		}
	})
}

// A channel that runs for days remembers no more than what is listed.
func TestNoMoreIsRememberedThanIsListed(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, dir)
		d.f.noEvents = true
		stop := func() {}
		for i := range 50 {
			var words []string
			for j := max(0, i-4); j <= i; j++ {
				words = append(words, fmt.Sprintf("x%d.ts", j))
			}
			d.write(fmt.Sprintf("c/x%d.ts", i), "x", float64(i))
			d.list("c/index.m3u8", float64(i), max(0, i-4), words...)
			if i == 0 {
				stop = d.run()
			}
			time.Sleep(2100 * time.Millisecond) // not with the polls
		}
		stop()
		if n := len(d.f.channels["c"].sent); n != 5 {
			t.Errorf("%d files are remembered", n)
		}
		if n := d.count("media", pushed); n != 50 {
			t.Errorf("%d of 50 segments were pushed", n)
		}
	})
}

// A multivariant playlist is pushed as it is, each time it changes, and before what it names.
func TestAMultivariantPlaylistIsPushedWhenItChanges(t *testing.T) {
	polled(t, func(d *desk) {
		master := "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=%d\nhi/index.m3u8\n"
		time.Sleep(7 * time.Millisecond) // nothing is written in the moment of a poll
		d.write("c/master.m3u8", fmt.Sprintf(master, 1), 0)
		time.Sleep(11 * time.Second)
		d.is("*c/master.m3u8")
		for i := range 20 {
			d.write("c/master.m3u8", fmt.Sprintf(master, i+2), float64(i+1))
			d.write("c/hi/x0.ts", fmt.Sprint(i), float64(i+1))
			d.list("c/hi/index.m3u8", float64(i+1), 0, "x0.ts")
			if i == 0 {
				time.Sleep(11 * time.Second)
				d.mu.Lock()
				d.puts = nil
				d.mu.Unlock()
				continue
			}
			time.Sleep(tick)
			d.is("*c/master.m3u8", fmt.Sprintf("c/hi/x0.ts=%d", i), "*c/hi/index.m3u8")
		}
	})
}

// An encoder that is started again writes its old names anew while its old playlist is still
// there: what is newer than the playlist is not whole, and is pushed with the next.
func TestWhatIsNewerThanItsPlaylistWaitsForTheNext(t *testing.T) {
	polled(t, func(d *desk) {
		d.write("c/init.mp4", "i", 0)
		d.write("c/x0.m4s", "0", 0)
		d.list("c/index.m3u8", 0, 0, "map=init.mp4", "x0.m4s")
		time.Sleep(11 * time.Second)
		d.is("c/init.mp4=i", "c/x0.m4s=0", "*c/index.m3u8")
		d.write("c/init.mp4", "", 60) // FFmpeg empties it first of all
		time.Sleep(tick)
		d.write("c/init.mp4", "I", 62)
		d.write("c/x0.m4s", "half of the new", 62)
		time.Sleep(20 * time.Second)
		d.is()
		d.write("c/x0.m4s", "new 0", 63)
		d.list("c/index.m3u8", 63, 0, "map=init.mp4", "x0.m4s")
		time.Sleep(tick)
		d.is("c/init.mp4=I", "c/x0.m4s=new 0", "*c/index.m3u8")
	})
}

// A segment that is listed and not there, or still grows, is pushed when it is whole: when a
// whole target duration passed without a change, or at once where it was put there whole.
func TestAListedFileIsTakenWhenItIsWhole(t *testing.T) {
	polled(t, func(d *desk) {
		d.write("c/x0.ts", "0", 1)
		d.write("c/x1.ts", "half", 3) // newer than the playlist
		d.list("c/index.m3u8", 1, 0, "x0.ts", "x1.ts", "x2.ts")
		time.Sleep(10*time.Second + 100*time.Millisecond)
		d.is("c/x0.ts=0", "*c/index.m3u8")
		time.Sleep(time.Second)
		d.write("c/x1.ts", "whole", 4)
		d.write("c/x2.ts.tmp", "2", 0)
		if err := os.Rename(filepath.Join(d.dir, "c/x2.ts.tmp"), filepath.Join(d.dir, "c/x2.ts")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(200 * time.Millisecond)
		d.is("c/x2.ts=2")
		time.Sleep(1700 * time.Millisecond)
		d.is()
		time.Sleep(300 * time.Millisecond)
		d.is("c/x1.ts=whole")
	})
}

// One that never comes is waited for as long as the origin waits, and no longer; that files
// go is no fault.
func TestAFileThatNeverComesIsGivenUp(t *testing.T) {
	polled(t, func(d *desk) {
		d.write("c/x1.ts", "1", 0)
		d.list("c/index.m3u8", 0, 0, "x0.ts", "x1.ts")
		time.Sleep(30 * time.Second)
		d.is("c/x1.ts=1", "*c/index.m3u8")
		if n := d.count("media", missing); n != 1 {
			t.Errorf("%d missing", n)
		}
		d.write("c/x0.ts", "late", 0)
		time.Sleep(30 * time.Second)
		d.is()
		if err := os.RemoveAll(filepath.Join(d.dir, "c")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Second)
		if s := d.said(); strings.Contains(s, "WARN") {
			t.Error(s)
		}
	})
}

// A playlist that is written in place is taken when it stands still, and one whose last line
// does not end after a second of that.
func TestAPlaylistThatIsWrittenInPlaceHasToStandStill(t *testing.T) {
	polled(t, func(d *desk) {
		d.write("c/x0.ts", "0", 0)
		d.list("c/index.m3u8", 0, 0)
		time.Sleep(11 * time.Second)
		d.is("*c/index.m3u8")
		d.write("c/index.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2", 0.5)
		time.Sleep(500 * time.Millisecond)
		d.is()
		d.write("c/index.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2.0,\nx0.ts\n", 1)
		time.Sleep(tick)
		d.is("c/x0.ts=0", "*c/index.m3u8")
		d.write("c/x1.ts", "1", 0)
		d.write("c/index.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2.0,\nx0.ts\n#EXTINF:2.0,\nx1.ts", 2)
		time.Sleep(tick)
		d.is()
		time.Sleep(tick)
		d.is("c/x1.ts=1", "*c/index.m3u8")
		d.write("c/index.m3u8", "", 3)
		time.Sleep(10 * time.Second)
		d.is()
	})
}

// Where the origin has no room, the playlist waits with its media and comes when there is; what
// it refuses for good is not tried again.
func TestWhatTheOriginHasNoRoomForIsPushedLater(t *testing.T) {
	polled(t, func(d *desk) {
		full := true
		d.answer = func(path string) error {
			switch {
			case full && path == "c/x1.ts":
				return web.Errorf(507, "full")
			case path == "c/x0.ts":
				return web.Errorf(413, "too large")
			}
			return nil
		}
		d.write("c/x0.ts", "0", 0)
		d.write("c/x1.ts", "1", 0)
		d.list("c/index.m3u8", 0, 0, "x0.ts", "x1.ts")
		time.Sleep(15 * time.Second)
		d.is()
		if n := d.count("media", refused); n != 1 {
			t.Errorf("what is refused is pushed %d times", n)
		}
		if n := d.count("media", busy); n < 4 || n > 16 {
			t.Errorf("what there is no room for is pushed %d times in 15 s", n)
		}
		d.mu.Lock()
		full = false
		d.mu.Unlock()
		time.Sleep(tick)
		d.is("c/x1.ts=1", "*c/index.m3u8")
	})
}

// What an encoder left behind that is gone is not a live stream, whatever lists it; a
// multivariant playlist is as old as its encoder, and is taken with the first of the others.
func TestWhatIsOldAtTheStartIsLeft(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, dir)
		d.f.noEvents = true
		old := -time.Until(began).Seconds() - 600 // by the bubble's clock
		master := "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nhi/index.m3u8\n"
		for _, c := range []string{"dead", "live"} {
			d.write(c+"/master.m3u8", master, old)
			d.write(c+"/hi/x0.ts", "0", old)
			d.list(c+"/hi/index.m3u8", old, 0, "x0.ts")
		}
		d.write("live/hi/x1.ts", "1", old+599)
		d.list("live/hi/index.m3u8", old+599, 0, "x0.ts", "x1.ts")
		stop := d.run()
		defer stop()
		time.Sleep(30 * time.Second)
		d.is("*live/master.m3u8", "live/hi/x0.ts=0", "live/hi/x1.ts=1", "*live/hi/index.m3u8")
		d.logged("playlist in the folder is old", "channel=dead", "hi/index.m3u8")
		d.write("dead/hi/x1.ts", "1", old+700)
		d.list("dead/hi/index.m3u8", old+700, 0, "x0.ts", "x1.ts")
		time.Sleep(2 * tick)
		d.is("*dead/master.m3u8", "dead/hi/x0.ts=0", "dead/hi/x1.ts=1", "*dead/hi/index.m3u8")
	})
}

// A folder that goes away is told of once in a while, and is taken up again when it is back,
// also as another directory; what was pushed is not pushed again.
func TestAFolderMayGoAndComeBack(t *testing.T) {
	polled(t, func(d *desk) {
		d.write("c/x0.ts", "0", 0)
		d.list("c/index.m3u8", 0, 0, "x0.ts")
		time.Sleep(11 * time.Second)
		d.is("c/x0.ts=0", "*c/index.m3u8")
		away := d.dir + ".away"
		if err := os.Rename(d.dir, away); err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(away)
		time.Sleep(time.Minute)
		d.logged("folder cannot be read", "ingest.watch.dir")
		if up := testutil.ToFloat64(d.f.metrics.up); up != 0 {
			t.Error("it is said to be readable")
		}
		if n := strings.Count(d.said(), "cannot be read"); n > 25 {
			t.Errorf("%d lines in a minute", n)
		}
		if err := os.Rename(away, d.dir); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		d.is()
		d.write("c/x1.ts", "1", 2)
		d.list("c/index.m3u8", 2, 0, "x0.ts", "x1.ts")
		time.Sleep(tick)
		d.is("c/x1.ts=1", "*c/index.m3u8")
		if err := os.RemoveAll(d.dir); err != nil {
			t.Fatal(err)
		}
		d.write("d/x0.ts", "other", 3)
		d.list("d/index.m3u8", 3, 0, "x0.ts")
		time.Sleep(12 * time.Second)
		d.is("d/x0.ts=other", "*d/index.m3u8")
		if up := testutil.ToFloat64(d.f.metrics.up); up != 1 {
			t.Error("it is said not to be readable")
		}
	})
}

// A folder that is not there is an error at start that names the key.
func TestAFolderThatIsNotThereIsAnError(t *testing.T) {
	f := func(dir string) {
		t.Helper()
		_, err := New(Options{Dir: dir, Ingest: &desk{}})
		if err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "ingest.watch.dir") {
			t.Error(err)
		}
	}
	f(filepath.Join(t.TempDir(), "none"))
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	f(file)
}

// Where the kernel tells of changes, a playlist is pushed a moment after it was renamed into
// place, in directories too that were not there before.
func TestAChangeIsSeenAtOnce(t *testing.T) {
	d := newDesk(t, t.TempDir())
	d.f.opts.Poll = time.Hour // only events
	defer d.run()()
	wait := func() {
		t.Helper()
		for end := time.Now().Add(5 * time.Second); testutil.ToFloat64(d.f.metrics.up) == 0; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("the folder is not watched")
			}
		}
	}
	wait()
	time.Sleep(50 * time.Millisecond)
	var took []time.Duration
	for i := range 10 {
		at := time.Since(began).Seconds()
		d.write(fmt.Sprintf("news/hi/x%d.ts", i), "x", at)
		d.list("news/hi/index.m3u8", at, i, fmt.Sprintf("x%d.ts", i))
		done := time.Now()
		for {
			d.mu.Lock()
			n := len(d.puts)
			d.mu.Unlock()
			if n == 2*(i+1) {
				break
			}
			if time.Since(done) > 5*time.Second {
				t.Fatalf("segment %d was not pushed: %q", i, d.puts)
			}
			time.Sleep(time.Millisecond)
		}
		took = append(took, time.Since(done))
		time.Sleep(50 * time.Millisecond)
	}
	slices.Sort(took)
	t.Logf("from rename to push: median %v, most %v", took[5], took[9])
	if took[5] > 100*time.Millisecond {
		t.Errorf("from rename to push: median %v", took[5])
	}
}
