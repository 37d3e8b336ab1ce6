package wire

import "golang.org/x/sys/unix"

// queued is what was not sent and what was not acknowledged (tcp(7), SIOCOUTQ).
func queued(fd int) (int, error) { return unix.IoctlGetInt(fd, unix.TIOCOUTQ) }
