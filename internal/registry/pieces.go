package registry

import (
	"errors"
	"io"
	"time"

	"github.com/vicr-cli/vicr/internal/transfer"
)

// What is sent at a time where net/http leaves that to the body, in bytes: in
// its own pieces of 32 KiB, each with a length before it, a registry takes two
// reads for one piece.
const (
	sendSize  = 256 << 10
	leastSend = 64 << 10 // what is small in pieces is sent so many together
	slowSend  = 16 << 10 // the pieces of a slow line
	// slowPiece is how long a piece may take before the next is smaller: one that
	// is begun has to end before an upload can.
	slowPiece = 20 * time.Millisecond
)

// WriteTo is what net/http sends a body of unknown length by.
func (r *uploadReader) WriteTo(w io.Writer) (int64, error) {
	to := &pieceWriter{w: w, stopped: r.isStopped, size: sendSize}
	n, err := transfer.Gather(to, r, make([]byte, sendSize), leastSend)
	if errors.Is(err, errStopped) {
		r.unread(to.left)
		return n, nil
	}
	return n, err
}

var errStopped = errors.New("the upload is to end here")

// A pieceWriter writes in pieces as large as the line is fast, and stops between
// two of them.
type pieceWriter struct {
	w       io.Writer
	stopped func() bool
	size    int
	left    int // bytes that were not written, once it has stopped
}

func (p *pieceWriter) Write(data []byte) (written int, err error) {
	for written < len(data) {
		if p.stopped() {
			p.left = len(data) - written
			return written, errStopped
		}
		start := time.Now()
		n, err := p.w.Write(data[written:min(len(data), written+p.size)])
		written += n
		if err != nil {
			return written, err
		}
		if time.Since(start) > slowPiece {
			p.size = max(slowSend, p.size/2)
		} else {
			p.size = min(sendSize, 2*p.size)
		}
	}
	return written, nil
}

// unread takes back what was read and not sent.
func (r *uploadReader) unread(bytes int) {
	r.count.Lock()
	defer r.count.Unlock()
	r.bytes -= int64(bytes)
}
