package wire

import "golang.org/x/sys/unix"

// queued is what is in the send buffer.
func queued(fd int) (int, error) {
	return unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_NWRITE)
}
