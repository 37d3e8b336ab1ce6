package archive

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/pgzip"
)

const (
	// How plain layers are compressed. The digests of all layers that come out of
	// an engine without the containerd store, or out of an archive in Docker's own
	// format, hang on these: another value, and each is uploaded again.
	gzipLevel = 6
	gzipBlock = 1 << 20 // bytes compressed at a time

	gzipAhead = 4 // blocks under way, which bounds the memory; without effect on the bytes
)

// A Packed layer is one as gzip.
type Packed struct {
	Digest v1.Hash
	Size   int64
	Diff   v1.Hash // as a plain tar
}

// Pack reads a layer from r to its end and writes it to w as gzip: what is gzip
// stays as it is, and of a plain tar or one in zstd the same bytes come each time.
// Errors are [*Error] and those of r and w.
func (a *Archive) Pack(ctx context.Context, w io.Writer, r io.Reader) (p Packed, err error) {
	from := bufio.NewReaderSize(r, headSize)
	head, err := from.Peek(headSize)
	if err != nil && !errors.Is(err, io.EOF) {
		return p, err
	}
	outer, inner := sha256.New(), sha256.New()
	out := io.MultiWriter(w, outer, (*count)(&p.Size))
	unpack := func(w io.Writer, r io.Reader) error {
		return a.unpacked(r, func(plain io.Reader) error { return a.copy(ctx, io.MultiWriter(w, inner), plain) })
	}
	switch by := compression(head); by {
	case gzipped:
		err = unpack(io.Discard, io.TeeReader(from, out))
	case "", zstded:
		err = compressed(out, func(z io.Writer) error { return unpack(z, from) })
	default:
		err = a.bad("a layer in it is compressed by %s", by)
	}
	p.Digest, p.Diff = hashOf(outer), hashOf(inner)
	return p, err
}

// compressed has write write what w gets as gzip.
func compressed(w io.Writer, write func(io.Writer) error) error {
	z, err := pgzip.NewWriterLevel(w, gzipLevel)
	if err != nil {
		return err
	}
	if err := z.SetConcurrency(gzipBlock, gzipAhead); err != nil {
		return err
	}
	err = write(z)
	// Closed in any case: it has goroutines.
	if closing := z.Close(); err == nil {
		err = closing
	}
	return err
}

// A count is of the bytes that are written to it.
type count int64

func (c *count) Write(p []byte) (int, error) {
	*c += count(len(p))
	return len(p), nil
}

func hashOf(h hash.Hash) v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(h.Sum(nil))}
}

func sum(data []byte) v1.Hash {
	h := sha256.Sum256(data)
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(h[:])}
}
