package transfer

import (
	"errors"
	"io"
)

// Gather writes all of src to dst, by way of buffer. What comes in small pieces,
// as out of TLS records, is gathered until there are least bytes, or the buffer is
// full: that takes fewer writes. Errors are those of src and dst.
func Gather(dst io.Writer, src io.Reader, buffer []byte, least int) (written int64, err error) {
	for {
		n, err := gatherPiece(dst, src, buffer, least)
		written += int64(n)
		switch {
		case errors.Is(err, io.EOF):
			return written, nil
		case err != nil:
			return written, err
		}
	}
}

// gatherPiece writes one piece. The error is io.EOF with the last one.
func gatherPiece(dst io.Writer, src io.Reader, buffer []byte, least int) (written int, err error) {
	filled := 0
	for filled < min(least, len(buffer)) && err == nil {
		var n int
		n, err = src.Read(buffer[filled:])
		filled += n
	}
	if filled > 0 {
		n, failed := dst.Write(buffer[:filled])
		if failed != nil {
			return n, failed
		}
		written = n
	}
	return written, err
}
