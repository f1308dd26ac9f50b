package wire

import (
	"errors"
	"net"
	"syscall"
	"time"
)

// accept takes the next connection from ln. What is over by itself, as when no more files
// may be opened, is waited for: a listener that gave up then would take the node with it.
func (r *room) accept(ln net.Listener) (net.Conn, error) {
	for pause := time.Duration(0); ; {
		c, err := ln.Accept()
		if err == nil || !isPassing(err) {
			return c, err
		}
		if dropped, ok := r.unheard.pass(time.Now()); ok {
			r.acc.log.Warn("a connection cannot be accepted: if no more files may be open, raise the limit (ulimit -n, LimitNOFILE) or lower limits.connections",
				"err", err, "dropped", dropped)
		}
		pause = min(max(2*pause, 5*time.Millisecond), time.Second) // as net/http does
		time.Sleep(pause)
	}
}

// isPassing reports whether a failed accept may be tried again: nothing is left to accept it
// with, or it was gone again. "Linux accept() passes already-pending network errors on the
// new socket as an error code from accept()" (accept(2)).
func isPassing(err error) bool {
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		return true
	}
	for _, e := range []syscall.Errno{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM,
		syscall.ECONNABORTED, syscall.ECONNRESET, syscall.EPERM, syscall.EPROTO,
		syscall.ENETDOWN, syscall.ENETUNREACH, syscall.EHOSTDOWN, syscall.EHOSTUNREACH, syscall.ENOPROTOOPT,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
