package wire

import (
	"net"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// unsentOf is how much may wait in the socket of c.
func unsentOf(t *testing.T, c net.Conn) (most int) {
	t.Helper()
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	_ = raw.Control(func(fd uintptr) {
		most, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT)
	})
	if err != nil {
		t.Fatal(err)
	}
	return most
}

func TestASlowLineHoldsLittleUntilItIsMuchFaster(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	tr := New(Config{Host: hostOf(t, l.Addr().String()), PlainHTTP: true})
	dialled, err := tr.dialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = dialled.Close() }()
	c := connOf(dialled)
	for i, tt := range []struct {
		wrote int
		spent time.Duration
		most  int
	}{
		{0, 0, maxUnsent},
		{maxUnsent - 1, time.Minute, maxUnsent}, // too little to tell
		{1, 0, slowUnsent},
		{4 << 20, time.Second, slowUnsent}, // a little faster
		{9 << 20, time.Second, slowUnsent},
		{11 << 20, time.Second, maxUnsent}, // much
		{4 << 20, time.Second, maxUnsent},
		{2 << 20, time.Second, slowUnsent},
	} {
		c.judge(tt.wrote, tt.spent)
		if got := unsentOf(t, c.Conn); got != tt.most {
			t.Fatalf("%d: %d bytes in %v: %d may wait, want %d", i, tt.wrote, tt.spent, got, tt.most)
		}
	}
}
