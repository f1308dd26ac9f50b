package cache

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/cache/shelf"
	"weir/internal/disk/disktest"
	"weir/internal/web"
)

// Who wants upstream's word gets it, although others who wait with him are
// content with what the disk has.
func TestTheDiskDoesNotAnswerWhoWantsToValidate(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := disktest.NewFake()
		c := onDisk(t, d, Options{})
		u := says(200, "old", "Cache-Control", "max-age=600", "ETag", `"1"`)
		keepOnDisk(t, c, q("/a"), u, "old")
		d.Stall(disktest.Read)
		sure := q("/a")
		sure.Validate = true
		next := says(200, "new", "Cache-Control", "max-age=600", "ETag", `"2"`)
		time.AfterFunc(500*time.Millisecond, d.Resume)
		all := crowd(c, 4, func(i int) (Query, Fill) {
			if i%2 == 1 {
				time.Sleep(100 * time.Millisecond)
				return sure, next.fill
			}
			return q("/a"), next.fill
		})
		for i, r := range all {
			if r.err != nil {
				t.Fatal(r.err)
			}
			if got, want := read(t, r.o), []string{"old", "new"}[i%2]; got != want {
				t.Errorf("asker %d got %q, want %q", i, got, want)
			}
		}
		next.wants(t, 1)
		synctest.Wait()
	})
}

// A renewal that allows less than the answer on disk did holds when that is all
// that is left.
func TestTheDiskDoesNotOutliveAStricterRenewal(t *testing.T) {
	f := func(how string) {
		t.Helper()
		bubble(t, func(t *testing.T) {
			c := onDisk(t, disktest.NewFake(), Options{})
			u := says(200, "body", "Cache-Control", "max-age=6000", "ETag", `"1"`)
			keepOnDisk(t, c, q("/a"), u, "body")
			get(t, c, q("/a"), nil, Hit, "body") // it is in memory again
			sure := q("/a")
			sure.Validate = true
			get(t, c, sure, says(304, "", "Cache-Control", how, "ETag", `"1"`), Revalidated, "body")
			squeeze(c)
			time.Sleep(2 * time.Minute)
			get(t, c, q("/a"), says(200, "new", "Cache-Control", how), Miss, "new")
		})
	}
	f("max-age=20")
	f("max-age=60")
	f("no-cache")
}

// The same, said by an answer to HEAD.
func TestTheDiskDoesNotOutliveAStricterHEAD(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := onDisk(t, disktest.NewFake(), Options{})
		u := says(200, "body", "Cache-Control", "max-age=6000", "ETag", `"1"`)
		keepOnDisk(t, c, q("/a"), u, "body")
		get(t, c, q("/a"), nil, Hit, "body")
		if !c.Refresh(q("/a"), web.NewResponse(200, nil, "Cache-Control", "max-age=5", "ETag", `"1"`), 4, time.Now()) {
			t.Fatal("not renewed")
		}
		squeeze(c)
		time.Sleep(10 * time.Second)
		get(t, c, q("/a"), says(200, "new", "Cache-Control", "max-age=60"), Miss, "new")
	})
}

// What the disk has of the time before answers depended on a field is older
// than what was served since, and does not come back.
func TestTheDiskForgetsAnswersThatDependedOnNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := onDisk(t, disktest.NewFake(), Options{})
		all := says(200, "for all", "Cache-Control", "max-age=6000")
		keepOnDisk(t, c, q("/a", "X", "1"), all, "for all")
		get(t, c, q("/a", "X", "1"), nil, Hit, "for all")
		sure := q("/a", "X", "1")
		sure.Validate = true
		one := says(200, "for one", "Cache-Control", "max-age=6", "Vary", "X")
		get(t, c, sure, one, Miss, "for one")
		squeeze(c)
		time.Sleep(10 * time.Second)
		get(t, c, q("/a", "X", "1"), one, Miss, "for one")
	})
}

// A slow disk does not undo what upstream said while it was read.
func TestASlowDiskDoesNotReplaceANewerAnswer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := disktest.NewFake()
		c := onDisk(t, d, Options{})
		u := says(200, "old", "Cache-Control", "max-age=6000")
		keepOnDisk(t, c, q("/a"), u, "old")
		d.Stall(disktest.Read)
		late, twin := q("/a"), q("/a")
		twin.NoPeer = true
		now := says(200, "new", "Cache-Control", "no-cache", "ETag", `"2"`)
		now.delay = 100 * time.Millisecond
		var both sync.WaitGroup
		both.Go(func() { get(t, c, twin, now, Miss, "new") }) // the disk takes too long for this one
		both.Go(func() {
			time.Sleep(500 * time.Millisecond)
			o, _, err := c.Get(context.Background(), late, now.fill)
			if err != nil {
				t.Error(err)
				return
			}
			read(t, o)
		})
		time.AfterFunc(1200*time.Millisecond, d.Resume)
		both.Wait()
		synctest.Wait()
		if o, ok := c.Lookup(q("/a")); ok {
			t.Errorf("%q may be used without asking", read(t, o))
		}
	})
}

// The age of what comes from the disk is measured from then on: the clock may be
// set back without making it young again.
func TestWhatComesFromDiskAgesByTheMonotonicClock(t *testing.T) {
	c := onDisk(t, disktest.NewFake(), Options{}) // in a bubble there is no such clock
	u := says(200, "body", "Cache-Control", "max-age=6000")
	u.delay = 0
	get(t, c, q("/a"), u, Miss, "body")
	get(t, c, q("/a"), nil, Hit, "body")
	k, from := c.tiers.victim(live)
	for ; k == nil; k, from = c.tiers.victim(live) { // its flight still lands
		time.Sleep(time.Millisecond)
	}
	c.retire(k, from)
	for !c.shelf.Has("/a") {
		time.Sleep(time.Millisecond)
	}
	o, _, err := c.Get(context.Background(), q("/a"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Release()
	if !strings.Contains(o.born.String(), " m=") {
		t.Errorf("born %v has no reading of the monotonic clock", o.born)
	}
	for c.budget.used.Load() >= shelf.ReadBytes { // the read ends a moment later
		time.Sleep(time.Millisecond)
	}
}
