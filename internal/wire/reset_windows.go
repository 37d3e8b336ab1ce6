package wire

import (
	"errors"
	"syscall"
)

// wasReset says whether the other side broke the connection. Winsock has
// numbers of its own, which package syscall does not map to the POSIX ones.
func wasReset(err error) bool {
	return errors.Is(err, syscall.WSAECONNRESET) || errors.Is(err, syscall.WSAECONNABORTED) || errors.Is(err, syscall.EPIPE)
}
