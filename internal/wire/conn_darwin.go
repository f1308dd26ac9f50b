package wire

import (
	"net"

	"golang.org/x/sys/unix"
)

// queued returns how many bytes written to c its peer has not yet taken.
func queued(c net.Conn) (n int64) {
	control(c, func(fd int) {
		if q, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_NWRITE); err == nil {
			n = int64(q)
		}
	})
	return n
}

// hungUp reports whether the peer of fd closed, even if unread bytes of it are
// still there: this system does not say.
func hungUp(int) bool { return false }
