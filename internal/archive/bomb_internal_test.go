package archive

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// What grows without end is ended, whatever it is compressed by; where the
// archive lies and what is in it do not count, so nothing is written here.
func TestWhatGrowsWithoutEndIsEnded(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(io.Writer) io.WriteCloser{
		"gzip": func(w io.Writer) io.WriteCloser {
			z, _ := gzip.NewWriterLevel(w, gzip.BestSpeed)
			return z
		},
		"zstd": func(w io.Writer) io.WriteCloser {
			z, _ := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
			return z
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, w := io.Pipe()
			done := make(chan struct{})
			go func() {
				defer close(done)
				z := open(w)
				_, err := io.CopyN(z, zeros{}, 3*bombFree)
				_ = w.CloseWithError(errors.Join(err, z.Close()))
			}()
			in := &source{r: r}
			buffered := bufio.NewReaderSize(in, copyBuffer)
			head, err := buffered.Peek(6)
			if err != nil {
				t.Fatal(err)
			}
			plain, free, err := fresh("x.tar", Options{}).decompressed(in, buffered, head)
			if err != nil {
				t.Fatal(err)
			}
			n, err := io.Copy(io.Discard, plain)
			var bad *Error
			if !errors.As(err, &bad) || !bad.Unsafe || !strings.Contains(bad.Why, "grows") || n > bombFree+bombFree/16 {
				t.Errorf("after %d bytes: %v", n, err)
			}
			_ = r.Close()
			free()
			<-done
		})
	}
}
