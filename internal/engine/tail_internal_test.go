package engine

import (
	"bytes"
	"io"
	"testing"

	"pgregory.net/rapid"
)

type steps struct {
	r io.Reader
	n int
}

func (s *steps) Read(p []byte) (int, error) { return s.r.Read(p[:min(len(p), s.n)]) }

func TestTailKeepsTheLastBytes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 3*errTail).Draw(t, "n")
		data := make([]byte, n)
		for i := range data {
			data[i] = byte(i % 251)
		}
		stream := &tail{r: &steps{bytes.NewReader(data), rapid.IntRange(1, 2*errTail).Draw(t, "step")}}
		if _, err := io.Copy(io.Discard, struct{ io.Reader }{stream}); err != nil {
			t.Fatal(err)
		}
		if want := data[max(0, n-errTail):]; !bytes.Equal(stream.last, want) {
			t.Fatalf("%d bytes are kept of %d", len(stream.last), n)
		}
	})
}
