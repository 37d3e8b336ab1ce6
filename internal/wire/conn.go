package wire

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// A conn fails a write that makes no progress.
type conn struct {
	net.Conn
	silence time.Duration
	buffers *sync.Pool // of *[]byte
	written atomic.Int64
	leaving atomic.Bool

	// Of what was written since the line was judged last; one writes at a time.
	wrote int
	spent time.Duration
	slow  bool // the line was found to be
}

// How much of what was written may wait in the socket for the line, in bytes.
// What the other side lacks is then what was not read yet, when an upload is
// interrupted and when its end waits for an answer. Less takes more of the
// processor, which a slow line leaves free.
const (
	maxUnsent  = 512 << 10
	slowUnsent = 64 << 10
	slowRate   = 2500 << 10 // bytes per second
	fastRate   = 4 * slowRate
)

// judge keeps less in the socket of a line that is found to be slow, until it is
// found to be much faster.
func (c *conn) judge(wrote int, spent time.Duration) {
	c.wrote += wrote
	c.spent += spent
	if c.wrote < maxUnsent {
		return
	}
	rate := float64(c.wrote) / max(c.spent.Seconds(), 1e-6)
	c.wrote, c.spent = 0, 0
	switch {
	case !c.slow && rate < slowRate:
		keepUnsent(c.Conn, slowUnsent)
	case c.slow && rate > fastRate:
		keepUnsent(c.Conn, maxUnsent)
	default:
		return
	}
	c.slow = !c.slow
}

// Write writes p, however long that takes, as long as the other side takes some
// of what was written within each silence. It is beneath TLS, whose connection is
// broken by a write that was cut short.
func (c *conn) Write(p []byte) (n int, err error) {
	if c.leaving.Load() {
		return c.Conn.Write(p)
	}
	start := time.Now()
	defer func() { c.judge(n, time.Since(start)) }()
	s := stall{conn: c, since: start}
	for {
		if err := c.Conn.SetWriteDeadline(time.Now().Add(c.silence / looks)); err != nil {
			return n, err
		}
		went, err := c.Conn.Write(p[n:])
		n += went
		c.written.Add(int64(went))
		if !errors.Is(err, os.ErrDeadlineExceeded) || s.lasts(c.silence) {
			return n, err
		}
	}
}

// SetWriteDeadline is called by TLS alone, before it says goodbye. That may wait
// in a full socket, and whoever interrupts waits for it.
func (c *conn) SetWriteDeadline(at time.Time) error {
	c.leaving.Store(true)
	if soon := time.Now().Add(goodbye); at.After(soon) {
		at = soon
	}
	return c.Conn.SetWriteDeadline(at)
}

// ReadFrom sends what r gives, as [io.Copy] would in more and smaller pieces.
// Net/http sends large bodies by it.
func (c *conn) ReadFrom(r io.Reader) (int64, error) {
	buffer, ok := c.buffers.Get().(*[]byte)
	if !ok {
		b := make([]byte, sendBytes)
		buffer = &b
	}
	defer c.buffers.Put(buffer)
	return io.CopyBuffer(writer{c}, r, *buffer)
}

// A writer is nothing but that.
type writer struct{ io.Writer }
