package wire

import (
	"net"

	"golang.org/x/sys/unix"
)

// queued returns how many bytes written to c its peer has not yet taken.
func queued(c net.Conn) (n int64) {
	control(c, func(fd int) {
		if q, err := unix.IoctlGetInt(fd, unix.SIOCOUTQ); err == nil {
			n = int64(q)
		}
	})
	return n
}

// hungUp reports whether the peer of fd closed, even if unread bytes of it are
// still there.
func hungUp(fd int) bool {
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
	n, err := unix.Poll(p, 0)
	return n > 0 && err == nil && p[0].Revents&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR) != 0
}
