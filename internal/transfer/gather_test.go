package transfer_test

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/vicr-cli/vicr/internal/transfer"
)

// A piecesWriter counts what it is given at a time.
type piecesWriter struct {
	bytes.Buffer
	pieces int
	full   int // bytes after which it fails; 0: never
}

var errFull = errors.New("no space")

func (w *piecesWriter) Write(p []byte) (int, error) {
	w.pieces++
	if w.full > 0 && w.Len()+len(p) > w.full {
		n, _ := w.Buffer.Write(p[:w.full-w.Len()])
		return n, errFull
	}
	return w.Buffer.Write(p)
}

// slow gives out 16 KiB at a time, as TLS does.
type slow struct{ io.Reader }

func (s slow) Read(p []byte) (int, error) { return s.Reader.Read(p[:min(len(p), 16<<10)]) }

func TestWhatComesInSmallPiecesTakesFewWrites(t *testing.T) {
	t.Parallel()
	data := bytes.Repeat([]byte("bytes"), 1<<20/5)
	broken := errors.New("broken")
	for name, test := range map[string]struct {
		src  io.Reader
		full int
		want int
		err  error
	}{
		"whole":                     {slow{bytes.NewReader(data)}, 0, len(data), nil},
		"what came before an error": {io.MultiReader(slow{bytes.NewReader(data)}, iotest.ErrReader(broken)), 0, len(data), broken},
		"what a full disk took":     {slow{bytes.NewReader(data)}, 300_000, 300_000, errFull},
		"nothing":                   {bytes.NewReader(nil), 0, 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := &piecesWriter{full: test.full}
			n, err := transfer.Gather(w, test.src, make([]byte, 256<<10), 256<<10)
			if !errors.Is(err, test.err) || n != int64(test.want) || !bytes.Equal(w.Bytes(), data[:test.want]) {
				t.Fatalf("%d of %d bytes, %v", n, w.Len(), err)
			}
			if w.pieces > 5 || test.want == 0 && w.pieces > 0 {
				t.Errorf("%d writes", w.pieces)
			}
		})
	}
}

// A large buffer is for large reads: it is not waited for.
func TestNoMoreIsGatheredThanWasAskedFor(t *testing.T) {
	t.Parallel()
	data := bytes.Repeat([]byte("bytes"), 1<<20/5)
	w := &piecesWriter{}
	n, err := transfer.Gather(w, slow{bytes.NewReader(data)}, make([]byte, 1<<20), 64<<10)
	if err != nil || n != int64(len(data)) || w.pieces != 16 {
		t.Errorf("%d bytes in %d writes, %v", n, w.pieces, err)
	}
}
