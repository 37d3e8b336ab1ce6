//go:build linux || darwin

package wire

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// keepUnsent bounds what waits in the socket, in bytes. A system that does not
// know how keeps more there.
func keepUnsent(c net.Conn, most int) {
	control(c, func(fd int) { _ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, most) })
}

// unacknowledged is how much of what was written to c the other side has not
// confirmed, in bytes.
func unacknowledged(c net.Conn) (n int) {
	control(c, func(fd int) {
		if waiting, err := queued(fd); err == nil {
			n = waiting
		}
	})
	return n
}

func control(c net.Conn, f func(fd int)) {
	s, ok := c.(syscall.Conn)
	if !ok {
		return
	}
	if raw, err := s.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { f(int(fd)) }) //nolint:gosec // a file descriptor is an int
	}
}
