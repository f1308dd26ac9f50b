//go:build linux || darwin

package wire

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// clientLeft reports whether the peer of c has closed its side or reset the
// connection. It reads nothing and never blocks. A peer that closes only its
// sending half counts as gone, as it does with net/http.
func clientLeft(c net.Conn) (left bool) {
	control(c, func(fd int) {
		var b [1]byte
		n, _, err := unix.Recvfrom(fd, b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		switch {
		case err == unix.EAGAIN || err == unix.EINTR:
		case err != nil:
			left = true
		case n == 0:
			left = true
		default:
			left = hungUp(fd) // a pipelined request waits before the end
		}
	})
	return left
}

// control calls f with c's descriptor, if it has one. It uses Control and not
// Read: that would wait for a read of c that is under way.
func control(c net.Conn, f func(fd int)) {
	if t, ok := c.(interface{ NetConn() net.Conn }); ok { // TLS
		c = t.NetConn()
	}
	sc, ok := c.(syscall.Conn)
	if !ok {
		return
	}
	if raw, err := sc.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { f(int(fd)) })
	}
}
