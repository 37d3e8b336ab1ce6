package registry

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

// A pieces writer counts what it is given at a time.
type piecesWriter struct {
	bytes.Buffer
	pieces int
}

func (w *piecesWriter) Write(p []byte) (int, error) {
	w.pieces++
	return w.Buffer.Write(p)
}

// slow gives out 16 KiB at a time, as TLS does.
type slow struct{ io.Reader }

func (s slow) Read(p []byte) (int, error) { return s.Reader.Read(p[:min(len(p), 16<<10)]) }

func TestAnUploadIsSentInLargePieces(t *testing.T) {
	t.Parallel()
	data := bytes.Repeat([]byte("byte"), 1<<20)
	broken := errors.New("broken")
	for name, test := range map[string]struct {
		src    io.Reader
		pieces int
		err    error
	}{
		"file":   {bytes.NewReader(data), len(data)/(256<<10) + 1, nil},
		"TLS":    {slow{bytes.NewReader(data)}, len(data)/(64<<10) + 1, nil},
		"broken": {io.MultiReader(bytes.NewReader(data), iotest.ErrReader(broken)), len(data)/(256<<10) + 1, broken},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := newUpload(t.Context(), func(context.Context, int64) (io.ReadCloser, error) { return io.NopCloser(test.src), nil })
			defer u.end()
			r, err := u.from(0)
			if err != nil {
				t.Fatal(err)
			}
			var w piecesWriter
			n, err := r.WriteTo(&w)
			if !errors.Is(err, test.err) || n != int64(len(data)) || !bytes.Equal(w.Bytes(), data) {
				t.Fatalf("%d of %d bytes, %v", n, w.Len(), err)
			}
			if w.pieces > 2*test.pieces { // on a busy machine some are smaller, as on a slow line
				t.Errorf("%d pieces instead of %d", w.pieces, test.pieces)
			}
			if u.sent() != n || !errors.Is(u.failure(), test.err) {
				t.Errorf("sent %d, failed with %v", u.sent(), u.failure())
			}
		})
	}
}

// A slowWriter takes a while for each piece, and may be told of each.
type slowWriter struct {
	largest []int
	took    func(pieces int)
}

func (w *slowWriter) Write(p []byte) (int, error) {
	time.Sleep(2 * slowPiece)
	w.largest = append(w.largest, len(p))
	w.took(len(w.largest))
	return len(p), nil
}

// On a slow line pieces get small, and an upload ends after the one that is
// begun: what was read beyond it is not said to be sent.
func TestAnUploadEndsBetweenSmallPieces(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u := newUpload(t.Context(), func(context.Context, int64) (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(make([]byte, 4<<20))), nil
		})
		defer u.end()
		r, err := u.from(0)
		if err != nil {
			t.Fatal(err)
		}
		w := &slowWriter{}
		w.took = func(pieces int) {
			if pieces == 10 {
				u.stop()
			}
		}
		n, err := r.WriteTo(w)
		var sum int64
		for _, size := range w.largest {
			sum += int64(size)
		}
		if err != nil || n != sum || u.sent() != sum || len(w.largest) != 10 || w.largest[9] != slowSend {
			t.Errorf("pieces %d, sent %d, said to be %d, %v", w.largest, n, u.sent(), err)
		}
	})
}
