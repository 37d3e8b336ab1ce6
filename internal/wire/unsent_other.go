//go:build !linux && !darwin

package wire

import "net"

func keepUnsent(net.Conn, int) {}

func unacknowledged(net.Conn) int { return 0 }
