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

// The compressions that are read here.
const (
	gzipped = "gzip"
	zstded  = "zstd"
)

// compression names that of what begins with head, "" for none. A tar may begin
// with any name.
func compression(head []byte) string {
	for _, known := range [...]struct{ magic, name string }{
		{"\x1f\x8b", gzipped},
		{"\x28\xb5\x2f\xfd", zstded},
		{"BZh", "bzip2"},
		{"\xfd7zXZ\x00", "xz"},
		{"PK\x03\x04", "zip"},
		{"\x04\x22\x4d\x18", "lz4"},
	} {
		if bytes.HasPrefix(head, []byte(known.magic)) && !isTar(head) {
			return known.name
		}
	}
	return ""
}

// IsCompressed says whether what begins with head is.
func IsCompressed(head []byte) bool { return compression(head) != "" }

// isTar looks where a tar says what it is (POSIX.1-1988, ustar).
func isTar(head []byte) bool { return len(head) >= 262 && string(head[257:262]) == "ustar" }

// isJSON tells a document from a layer whose first file is named {.
func isJSON(head []byte) bool {
	trimmed := bytes.TrimLeft(head, " \t\r\n")
	return len(trimmed) > 0 && (trimmed[0] == '{' || trimmed[0] == '[') && !isTar(head)
}

// spool brings what r gives, decompressed, into the scratch file.
func (a *Archive) spool(ctx context.Context, r io.Reader) error {
	return a.unpacked(r, func(plain io.Reader) error {
		err := a.each(ctx, plain, func(f *File) (bool, error) { return false, a.keep(ctx, f) })
		if err == nil { // behind the tar is what tells whether it was whole
			err = a.copy(ctx, io.Discard, plain)
		}
		return err
	})
}

// unpacked has read read what r is, decompressed, and says what it means if that
// cannot be read. Other errors of read are returned as they are.
func (a *Archive) unpacked(r io.Reader, read func(plain io.Reader) error) error {
	in := &source{r: r}
	buffered := bufio.NewReaderSize(in, copyBuffer)
	head, err := buffered.Peek(headSize)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	raw, done, err := a.decompressed(in, buffered, compression(head))
	if err != nil {
		return err
	}
	defer done()
	plain := &source{r: raw}
	err = read(plain)
	switch {
	case in.err != nil:
		return in.err
	case plain.err != nil:
		return a.broken(plain.err)
	}
	return err
}

// keep brings a file into the scratch file.
func (a *Archive) keep(ctx context.Context, f *File) error {
	if err := f.peek(); err != nil {
		return err
	}
	if a.o.Unpacked && f.large() && compression(f.head) == "" {
		l, err := a.pack(ctx, f)
		a.files.extents[f.Name] = l.extent
		a.layers[l.extent] = l
		return err
	}
	e, err := a.kept(func(w io.Writer) error { return a.copy(ctx, w, f) })
	a.files.extents[f.Name] = e
	return err
}

// decompressed reads what is compressed by gzip or zstd, and else r itself. What r
// has taken so far is seen in in.
func (a *Archive) decompressed(in *source, r io.Reader, by string) (plain io.Reader, done func(), err error) {
	switch by {
	case "":
		return r, func() {}, nil
	case gzipped:
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, nil, a.broken(err)
		}
		return &bound{r: z, in: in, archive: a}, func() { _ = z.Close() }, nil
	case zstded:
		z, err := newZstd(r)
		if err != nil {
			return nil, nil, a.broken(err)
		}
		return &bound{r: z, in: in, archive: a}, z.Close, nil
	}
	return nil, nil, a.bad("it is compressed by %s: decompress it first", by)
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
	if b.out > b.archive.free && b.out/bombRatio > b.in.n {
		return 0, b.archive.unsafe("it grows to more than %d times its size when it is decompressed; if that is right, decompress it first", bombRatio)
	}
	return n, err
}

// copy copies until r or ctx ends, with the archive's buffer.
func (a *Archive) copy(ctx context.Context, w io.Writer, r io.Reader) error {
	return pour(ctx, w, r, a.buffer)
}

func pour(ctx context.Context, w io.Writer, r io.Reader, buffer []byte) error {
	_, err := io.CopyBuffer(struct{ io.Writer }{w}, &reader{ctx, r}, buffer)
	return err
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
