//go:build !windows

package wire

import (
	"errors"
	"syscall"
)

// wasReset says whether the other side broke the connection.
func wasReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.ECONNABORTED) || errors.Is(err, syscall.EPIPE)
}
