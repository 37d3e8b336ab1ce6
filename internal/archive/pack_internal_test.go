package archive

import (
	"archive/tar"
	"bytes"
	"io"
	"testing"

	"pgregory.net/rapid"
)

// The size of what is read at a time cannot be seen in what is compressed, nor can
// what was compressed before.
func TestCompressionHangsOnTheBytesAlone(t *testing.T) {
	t.Parallel()
	a := Passing("x")
	rapid.Check(t, func(t *rapid.T) {
		text := bytes.Repeat(rapid.SliceOfN(rapid.Byte(), 1, 300).Draw(t, "text"), rapid.IntRange(0, 20_000).Draw(t, "times"))
		if compression(text) != "" {
			return
		}
		var one, two bytes.Buffer
		first, err := a.Pack(t.Context(), &one, bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		step := rapid.IntRange(1, 1<<20).Draw(t, "step")
		second, err := a.Pack(t.Context(), &two, &steps{r: bytes.NewReader(text), n: step})
		if err != nil {
			t.Fatal(err)
		}
		if first != second || !bytes.Equal(one.Bytes(), two.Bytes()) || first.Diff != sum(text) || first.Digest != sum(one.Bytes()) || first.Size != int64(one.Len()) {
			t.Fatalf("%d bytes, %d at a time, were compressed as %s and %s", len(text), step, first.Digest, second.Digest)
		}
	})
}

type steps struct {
	r io.Reader
	n int
}

func (s *steps) Read(p []byte) (int, error) { return s.r.Read(p[:min(len(p), s.n)]) }

// What an engine gives out unpacked never lies on the disk so.
func TestUnpackedLayersAreCompressedAsTheyCome(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	_ = w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "l/layer.tar", Size: 1 << 20})
	_, _ = w.Write(make([]byte, 1<<20))
	_ = w.Close()
	for _, unpacked := range []bool{false, true} {
		a, err := Read(t.Context(), bytes.NewReader(b.Bytes()), "x", Options{Format: Docker, Scratch: t.TempDir(), Unpacked: unpacked})
		if err != nil {
			t.Fatal(err)
		}
		if small := a.scratch.Size() < 1<<16; small != unpacked {
			t.Errorf("%d bytes are on the disk", a.scratch.Size())
		}
		l, err := a.layer(t.Context(), "l/layer.tar")
		if err != nil || l.Diff != sum(make([]byte, 1<<20)) || l.size != l.Size {
			t.Errorf("the layer is %+v (%v)", l, err)
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
}
