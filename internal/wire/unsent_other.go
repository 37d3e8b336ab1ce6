//go:build !linux && !darwin

package wire

import "net"

func keepLittleUnsent(net.Conn) {}
