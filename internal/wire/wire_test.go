package wire

import (
	"context"
	"flag"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weir/internal/web"
	"weir/internal/wire/wiretest"
)

func TestMain(m *testing.M) {
	// Tests that are parallel here wait for a clock and not for a core. What is said with
	// -parallel counts all the same: it is read later.
	_ = flag.Set("test.parallel", "12")
	goleak.VerifyTestMain(m,
		// fasthttp's clocks, which live as long as the process.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		// fasthttp's sweeper of idle workers, which sleeps for 10 s before it
		// sees that its server was shut down.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"))
}

// server is what the adapters have in common.
type server interface {
	Serve(net.Listener) error
	Shutdown(context.Context) error
}

// run serves s on a free port until stop, or the test's end.
func run(t testing.TB, s server) (addr string, stop func()) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	stopped := false
	return ln.Addr().String(), func() {
		if stopped {
			return
		}
		stopped = true
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	}
}

// Viewers cannot tell which adapter serves them.
func TestFastConforms(t *testing.T) {
	t.Parallel()
	wiretest.Run(t, func(t *testing.T, h web.Handler) (string, func()) {
		f, err := NewFast(FastOptions{Handler: h, Name: t.Name(), MaxHeader: wiretest.MaxHeader, MaxBody: wiretest.MaxBody,
			MinSendRate: wiretest.MinSendRate, WriteStall: wiretest.WriteStall})
		if err != nil {
			t.Fatal(err)
		}
		addr, stop := run(t, f)
		return "http://" + addr, stop
	})
}

func TestNetConforms(t *testing.T) {
	t.Parallel()
	wiretest.Run(t, func(t *testing.T, h web.Handler) (string, func()) {
		n, err := NewNet(NetOptions{Handler: h, Name: t.Name(), MaxHeader: wiretest.MaxHeader, MaxBody: wiretest.MaxBody,
			MinSendRate: wiretest.MinSendRate, WriteStall: wiretest.WriteStall})
		if err != nil {
			t.Fatal(err)
		}
		addr, stop := run(t, n)
		return "http://" + addr, stop
	})
}
