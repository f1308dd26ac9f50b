package wire

import (
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// paced writes size bytes through a pace of 1000 bytes/s and 4 s of patience
// to a client that takes step bytes each period. It returns the error and when
// it came.
func paced(t *testing.T, size, step int, period time.Duration) (err error, after time.Duration) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		defer a.Close()
		done := make(chan struct{})
		go func() {
			defer close(done)
			buf := make([]byte, max(step, 1))
			for {
				if step == 0 {
					time.Sleep(time.Hour)
					return
				}
				time.Sleep(period)
				if _, err := io.ReadFull(b, buf); err != nil {
					return
				}
			}
		}()
		p := newPace(a, 1000, 4*time.Second)
		start := time.Now()
		_, err = p.write(make([]byte, size))
		after = time.Since(start)
		a.Close()
		<-done
	})
	return err, after
}

// A client that takes nothing is cut when its patience is used up, not later.
func TestPaceCutsAClientThatTakesNothing(t *testing.T) {
	if err, after := paced(t, 10, 0, 0); !errors.Is(err, ErrTooSlow) || after < 4*time.Second || after > 6*time.Second {
		t.Errorf("%v after %v", err, after)
	}
}

// One far below the rate is cut, although it takes something all the time.
func TestPaceCutsAClientBelowTheRate(t *testing.T) {
	if err, after := paced(t, 1<<20, 100, time.Second); !errors.Is(err, ErrTooSlow) || after > 8*time.Second {
		t.Errorf("%v after %v", err, after)
	}
}

// One at the rate is served for as long as the answer is, in whatever steps.
func TestPaceKeepsAClientAtTheRate(t *testing.T) {
	for _, period := range []time.Duration{100 * time.Millisecond, time.Second, 3 * time.Second} {
		step := int(1100 * period / time.Second)
		if err, after := paced(t, 100*step, step, period); err != nil || after < 90*period {
			t.Errorf("every %v: %v after %v", period, err, after)
		}
	}
}

// Having been quick for an hour buys no more than the usual patience.
func TestPaceDoesNotSaveUpPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		defer a.Close()
		go func() { _, _ = io.CopyN(io.Discard, b, 1<<20) }()
		p := newPace(a, 1000, 4*time.Second)
		if _, err := p.write(make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if _, err := p.write(make([]byte, 10)); !errors.Is(err, ErrTooSlow) || time.Since(start) > 6*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

// Time in which there was nothing to send is nobody's fault.
func TestPaceDoesNotCountPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = io.Copy(io.Discard, b)
		}()
		p := newPace(a, 1000, 4*time.Second)
		for range 10 {
			if _, err := p.write([]byte("x")); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Minute)
		}
		a.Close()
		<-done
	})
}

// On a connection that is kept each answer has a patience of its own: a playlist is not cut
// at once because the segment before it was taken just so.
func TestPaceBeginsEachAnswerAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		defer a.Close()
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range 3 {
				time.Sleep(3500 * time.Millisecond)
				_, _ = io.CopyN(io.Discard, b, 10)
			}
		}()
		p := newPace(a, 1<<40, 4*time.Second)
		for i := range 3 {
			if _, err := p.write(make([]byte, 10)); err != nil {
				t.Fatalf("answer %d: %v", i, err)
			}
			p.begin(1000)
		}
		<-done
	})
}
