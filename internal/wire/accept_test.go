package wire

import (
	"errors"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"weir/internal/web"
)

// A scarce listener fails with each of errs before it accepts.
type scarce struct {
	net.Listener
	mu   sync.Mutex
	errs []error
}

func (l *scarce) Accept() (net.Conn, error) {
	l.mu.Lock()
	if len(l.errs) > 0 {
		err := l.errs[0]
		l.errs = l.errs[1:]
		l.mu.Unlock()
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", err)}
	}
	l.mu.Unlock()
	return l.Listener.Accept()
}

// A node that has as many files open as it may goes on when some are closed again, whoever
// listens, and its operator is told once. A listener that is broken ends.
func TestRunningOutOfFilesEndsNoListener(t *testing.T) {
	f := func(start func(*testing.T, web.Handler, *slog.Logger) server, ask func(*testing.T, string)) {
		t.Helper()
		var book logBook
		s := start(t, ok200("in"), slog.New(slog.NewTextHandler(&book, nil)))
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		done := make(chan error, 1)
		scarce := &scarce{Listener: ln, errs: []error{syscall.EMFILE, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EPROTO}}
		go func() { done <- s.Serve(scarce) }()
		ask(t, ln.Addr().String())
		select {
		case err := <-done:
			t.Errorf("%T ended: %v", s, err)
		default:
		}
		if err := s.Shutdown(t.Context()); err != nil {
			t.Errorf("%T: %v", s, err)
		}
		if said := book.String(); strings.Count(said, "cannot be accepted") != 1 || !strings.Contains(said, "too many open files") {
			t.Errorf("%T says %q", s, said)
		}
	}
	plain := func(t *testing.T, addr string) {
		c, _ := dialRaw(t, addr)
		defer c.Close()
		if status := statusOf(t, c); status != 200 {
			t.Error(status)
		}
	}
	f(func(t *testing.T, h web.Handler, log *slog.Logger) server {
		return newFast(t, FastOptions{Handler: h, Log: log})
	}, plain)
	f(func(t *testing.T, h web.Handler, log *slog.Logger) server {
		n, err := NewNet(NetOptions{Handler: h, Log: log})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}, plain)
	f(func(t *testing.T, h web.Handler, log *slog.Logger) server {
		return newTLSFor(t, TLSOptions{FastOptions: FastOptions{Handler: h, Log: log}})
	}, func(t *testing.T, addr string) {
		if resp, _, err := fetchTLS(t, addr, true, insecure()); err != nil || resp.StatusCode != 200 {
			t.Error(resp, err)
		}
	})

	for _, err := range []error{net.ErrClosed, syscall.EINVAL, errors.New("broken")} {
		if isPassing(&net.OpError{Op: "accept", Err: err}) {
			t.Errorf("%v is waited for", err)
		}
	}
}
