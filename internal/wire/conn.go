package wire

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// A conn fails a write that makes no progress.
type conn struct {
	net.Conn
	silence time.Duration
	buffers *sync.Pool // of *[]byte
}

// Write writes p, however long that takes, as long as some of it goes within
// each silence. It is beneath TLS, whose connection is broken by a write that
// was cut short.
func (c *conn) Write(p []byte) (n int, err error) {
	for {
		if err := c.SetWriteDeadline(time.Now().Add(c.silence)); err != nil {
			return n, err
		}
		went, err := c.Conn.Write(p[n:])
		n += went
		if went < minProgress || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
	}
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

// maxUnsent is how much of what was written may wait in the socket for the line,
// in bytes: what the other side lacks is what was not read yet, also when a
// line is slow and a push is interrupted.
const maxUnsent = 128 << 10
