//go:build !windows

package cmd

import (
	"os"
	"syscall"
)

func euid() int { return os.Geteuid() }

// keepFromChildren: files that this process was started with are not for the
// programs that it starts.
func keepFromChildren(fds ...int) {
	for _, fd := range fds {
		syscall.CloseOnExec(fd)
	}
}
