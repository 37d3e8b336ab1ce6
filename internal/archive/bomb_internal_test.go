package archive

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// What grows without end is ended, whatever it is compressed by, be it an archive
// or a layer in one.
func TestWhatGrowsWithoutEndIsEnded(t *testing.T) {
	t.Parallel()
	const free = 1 << 20
	writers := map[string]func(io.Writer) io.WriteCloser{
		"gzip": func(w io.Writer) io.WriteCloser {
			z, _ := gzip.NewWriterLevel(w, gzip.BestSpeed)
			return z
		},
		"zstd": func(w io.Writer) io.WriteCloser {
			z, _ := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
			return z
		},
	}
	readers := map[string]func(a *Archive, r io.Reader) (int64, error){
		"archive": func(a *Archive, r io.Reader) (n int64, err error) {
			err = a.unpacked(r, func(plain io.Reader) (err error) {
				n, err = io.Copy(io.Discard, plain)
				return err
			})
			return n, err
		},
		"layer": func(a *Archive, r io.Reader) (int64, error) {
			p, err := a.Pack(t.Context(), io.Discard, r)
			return p.Size, err
		},
	}
	for by, open := range writers {
		for what, read := range readers {
			t.Run(by+" "+what, func(t *testing.T) {
				t.Parallel()
				r, w := io.Pipe()
				done := make(chan struct{})
				go func() {
					defer close(done)
					z := open(w)
					_, err := io.CopyN(z, zeros{}, 1<<30)
					_ = w.CloseWithError(errors.Join(err, z.Close()))
				}()
				a := fresh("x.tar", Options{})
				a.free = free
				n, err := read(a, r)
				var bad *Error
				if !errors.As(err, &bad) || !bad.Unsafe || !strings.Contains(bad.Why, "grows") || n > 64*free {
					t.Errorf("after %d bytes: %v", n, err)
				}
				_ = r.Close()
				<-done
			})
		}
	}
}
