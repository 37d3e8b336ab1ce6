package sandbox

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestASpoolGivesBackWhatItTookOnEitherSideOfTheBorder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, sizes := range [][]int{{}, {0}, {1}, {maxInMemory}, {maxInMemory + 1}, {maxInMemory, 0, 1, 2}, {maxInMemory - 1, 1, 1}} {
		for _, where := range []string{"", dir} {
			s, want := newSpool(where), []byte{}
			for i, size := range sizes {
				piece := bytes.Repeat([]byte{"abcd"[i]}, size)
				if n, err := s.Write(piece); n != size || err != nil {
					t.Fatalf("Write: %d, %v", n, err)
				}
				want = append(want, piece...)
			}
			got, err := io.ReadAll(io.NewSectionReader(s, 0, s.size))
			if err != nil || !bytes.Equal(got, want) || s.digest().String() != digestOf(want) {
				t.Errorf("%v: %d of %d bytes, %v", sizes, len(got), len(want), err)
			}
			if (s.file != nil) != (where != "" && len(want) > maxInMemory) {
				t.Errorf("%v in dir %q: file %v", sizes, where, s.file)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestBytesThatCannotBeKeptAreTheServersFault(t *testing.T) {
	t.Parallel()
	none := filepath.Join(t.TempDir(), "none")
	if _, err := newSpool(none).Write(make([]byte, maxInMemory+1)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v", err)
	}
	b := start(t, Options{Dir: none})
	if err := os.Remove(none); err != nil { // behind its back
		t.Fatal(err)
	}
	a := b.do(t, "PATCH", b.begin(t, "demo/app"), b.as("dev"), body(make([]byte, maxInMemory+1))).wants(t, 500)
	if want := errorBody("UNKNOWN", "unknown error"); a.body != want {
		t.Errorf("body %s, want %s", a.body, want)
	}
}
