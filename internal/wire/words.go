package wire

import (
	"errors"
	"io"
	"net"
	"syscall"
)

// Words say what a connection failed of, in the words of people where Go's would
// say more about sockets; "" when nothing better than the error's own is known.
func Words(err error) string {
	var dns *net.DNSError
	var timeout net.Error
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return "there is no host of this name"
	case errors.As(err, &dns):
		return "the name cannot be looked up: no name server answers"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens at this address and port"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "there is no way to this address"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was cut"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "nothing answers at this address"
	}
	return ""
}
