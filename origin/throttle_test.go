package origin

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// An encoder with a wrong key retries for ever. The log tells its cause at once and again
// now and then, and another encoder's trouble beside it at once too.
func TestRefusalsDoNotFloodTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := newThrottle()
		lines, dropped := 0, 0
		try := func(reason, channel string) {
			if n, ok := th.allow(reason, channel); ok {
				lines++
				dropped += n
			}
		}
		for range 600 { // ten minutes
			try("publish_key", "a")
			time.Sleep(time.Second)
		}
		if lines < 40 || lines > 50 || lines+dropped < 580 {
			t.Errorf("%d lines in ten minutes, %d told as dropped", lines, dropped)
		}
		lines = 0
		try("publish_key", "b")
		try("publish_channel", "a")
		if lines != 2 {
			t.Error("one cause hides another")
		}
		for i := range 10 * throttleCauses {
			try("publish_key", strconv.Itoa(i))
		}
		if n := len(th.said); n > throttleCauses+1 {
			t.Errorf("%d causes are remembered", n)
		}
		time.Sleep(time.Minute)
		lines = 0
		for range 10 {
			try("publish_key", "a")
		}
		if lines != throttleBurst {
			t.Errorf("%d lines of a new trouble", lines)
		}
	})
}
