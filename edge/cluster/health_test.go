package cluster

import (
	"testing"
	"testing/synctest"
	"time"
)

// A dead peer costs viewers one failed request, then one each second, two
// seconds, and so on up to half a minute; one success and it is back.
func TestFailureMarksDoubleUpToHalfAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h health
		if h.down() || h.succeeded() {
			t.Fatal("a fresh peer is marked")
		}
		for i, want := range []time.Duration{1, 2, 4, 8, 16, 30, 30, 30} {
			want *= time.Second
			if got := h.failed(); got != want {
				t.Fatalf("mark %d: %v, want %v", i, got, want)
			}
			if got := h.failed(); got != 0 { // another request that was in flight
				t.Fatalf("mark %d: a second failure at the same time marked for %v", i, got)
			}
			time.Sleep(want - time.Nanosecond)
			if !h.down() {
				t.Fatalf("mark %d ended early", i)
			}
			time.Sleep(time.Nanosecond)
			if h.down() {
				t.Fatalf("mark %d lasts too long", i)
			}
		}
		// It answers, breaks off, answers: the marks go on growing.
		if !h.succeeded() || h.succeeded() || h.down() {
			t.Error("a success does not end a mark")
		}
		if got := h.failed(); got != 30*time.Second {
			t.Errorf("right after a success the next mark is %v", got)
		}
		if !h.succeeded() || h.down() {
			t.Error("a success does not end a mark")
		}
		time.Sleep(41 * time.Second) // the rest of the mark, and quiet
		if got := h.failed(); got != time.Second {
			t.Errorf("after a quiet time the first mark is %v", got)
		}
		h.failed()
		h.reset()
		if got := h.failed(); got != time.Second {
			t.Errorf("after a new start the first mark is %v", got)
		}
	})
}
