package transfer

import (
	"errors"
	"io"
)

// Gather writes all of src to dst, by way of buffer. What comes in small pieces,
// as out of TLS records, is gathered until there are least bytes, or the buffer is
// full: that takes fewer writes. Errors are those of src and dst.
func Gather(dst io.Writer, src io.Reader, buffer []byte, least int) (written int64, err error) {
	least = min(least, len(buffer))
	for filled := 0; ; {
		n, err := src.Read(buffer[filled:])
		if filled += n; filled >= least || err != nil && filled > 0 {
			n, failed := dst.Write(buffer[:filled])
			written += int64(n)
			filled = 0
			if failed != nil {
				return written, failed
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return written, nil
		case err != nil:
			return written, err
		}
	}
}
