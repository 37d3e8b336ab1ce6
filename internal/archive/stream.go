package archive

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

const (
	headSize = 512 // bytes: the first header of a tar

	// A bomb is what grows more than any image does. What is below bombFree
	// bytes fits anywhere.
	bombRatio = 100
	bombFree  = 1 << 30

	maxWindow = 128 << 20 // bytes of zstd's memory, as much as zstd takes by itself
)

func isTar(head []byte) bool { return len(head) >= 262 && string(head[257:262]) == "ustar" }

func isGzip(head []byte) bool { return bytes.HasPrefix(head, []byte{0x1f, 0x8b}) }

func isZstd(head []byte) bool { return bytes.HasPrefix(head, []byte("\x28\xb5\x2f\xfd")) }

// otherCompression names one that is not read here.
func otherCompression(head []byte) string {
	for magic, name := range map[string]string{"BZh": "bzip2", "\xfd7zXZ\x00": "xz", "PK\x03\x04": "zip", "\x04\x22\x4d\x18": "lz4"} {
		if bytes.HasPrefix(head, []byte(magic)) {
			return name
		}
	}
	return ""
}

// spool brings what r gives, decompressed, into a scratch file and finds the
// files in it.
func (a *Archive) spool(ctx context.Context, r io.Reader) error {
	in := &source{r: r}
	buffered := bufio.NewReaderSize(in, copyBuffer)
	head, err := buffered.Peek(headSize)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	plain, done, err := a.decompressed(in, buffered, head)
	if err != nil {
		return err
	}
	defer done()
	scratch, err := a.scratch()
	if err != nil {
		return err
	}
	reading, writing := pour(ctx, scratch, plain)
	var ours *Error
	switch {
	case writing != nil:
		return writing
	case errors.As(reading, &ours):
		return ours
	case reading != nil && in.err != nil:
		return in.err
	case reading != nil && ctx.Err() != nil:
		return ctx.Err()
	case reading != nil:
		return a.broken(reading)
	}
	return a.index(ctx, scratch, scratch.Size())
}

// decompressed reads what is compressed by gzip or zstd, and else r itself.
func (a *Archive) decompressed(in *source, r io.Reader, head []byte) (plain io.Reader, done func(), err error) {
	switch other := otherCompression(head); {
	case isGzip(head):
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, nil, a.broken(err)
		}
		return &bound{r: z, in: in, archive: a}, func() { _ = z.Close() }, nil
	case isZstd(head):
		z, err := newZstd(r)
		if err != nil {
			return nil, nil, a.broken(err)
		}
		return &bound{r: z, in: in, archive: a}, z.Close, nil
	case other != "":
		return nil, nil, a.bad("it is compressed by %s: decompress it first", other)
	}
	return r, func() {}, nil
}

func newZstd(r io.Reader) (*zstd.Decoder, error) {
	return zstd.NewReader(r, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderConcurrency(1))
}

// A source counts what is read of it and remembers why it could not be read.
type source struct {
	r   io.Reader
	n   int64
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.n += int64(n)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// A bound ends what grows like a bomb.
type bound struct {
	r       io.Reader
	in      *source
	out     int64
	archive *Archive
}

func (b *bound) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	b.out += int64(n)
	if b.out > bombFree && b.out/bombRatio > b.in.n {
		return 0, b.archive.unsafe("it grows to more than %d times its size when it is decompressed; if that is right, decompress it first", bombRatio)
	}
	return n, err
}

// pour copies until r or ctx ends, and says which side failed.
func pour(ctx context.Context, w io.Writer, r io.Reader) (reading, writing error) {
	buffer := make([]byte, copyBuffer)
	for {
		if err := ctx.Err(); err != nil {
			return err, nil
		}
		n, err := r.Read(buffer)
		if n > 0 {
			if _, err := w.Write(buffer[:n]); err != nil {
				return nil, err
			}
		}
		if err == io.EOF {
			return nil, nil
		}
		if err != nil {
			return err, nil
		}
	}
}

// An impatient reader does not wait for r longer than its context lasts.
type impatient struct {
	ctx    context.Context // that of the call which reads it to its end
	r      io.Reader
	buffer []byte
	rest   []byte
	err    error
}

type chunk struct {
	n   int
	err error
}

func (i *impatient) Read(p []byte) (int, error) {
	if len(i.rest) == 0 && i.err == nil {
		i.fill()
	}
	if len(i.rest) == 0 {
		return 0, i.err
	}
	n := copy(p, i.rest)
	i.rest = i.rest[n:]
	return n, nil
}

// fill reads once. When the context ends first, nothing is read any more: the
// buffer belongs to the read that was left behind.
func (i *impatient) fill() {
	if i.buffer == nil {
		i.buffer = make([]byte, copyBuffer)
	}
	done := make(chan chunk, 1)
	go func() {
		n, err := i.r.Read(i.buffer)
		done <- chunk{n, err}
	}()
	select {
	case c := <-done:
		i.rest, i.err = i.buffer[:c.n], c.err
	case <-i.ctx.Done():
		i.err = i.ctx.Err()
	}
}
