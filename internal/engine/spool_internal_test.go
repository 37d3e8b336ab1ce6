package engine

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"pgregory.net/rapid"

	"github.com/vicr-cli/vicr/internal/transfer"
)

const fuzzed = "registry.example/app:1"

// archiveOf is a tar of files, given as name and content.
func archiveOf(files ...string) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		_ = w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: files[i], Size: int64(len(files[i+1])), Mode: 0o644})
		_, _ = io.WriteString(w, files[i+1])
	}
	_ = w.Close()
	return b.Bytes()
}

func digestOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// Whatever an archive holds, it is an image of which every blob and manifest
// can be had, or an error of a known kind.
func FuzzArchive(f *testing.F) {
	layer := string(archiveOf("hello", "world"))
	config := `{"rootfs":{"diff_ids":["sha256:` + digestOf(layer) + `"]}}`
	f.Add(archiveOf("l/layer.tar", layer, "c.json", config, "manifest.json", `[{"Config":"c.json","RepoTags":["registry.example/app:1"],"Layers":["l/layer.tar"]}]`), false)
	describe := func(s string) string {
		return fmt.Sprintf(`"size":%d,"digest":"sha256:%s"`, len(s), digestOf(s))
	}
	manifest := `{"schemaVersion":2,"config":{` + describe(config) + `},"layers":[{` + describe(layer) + `}]}`
	child := `{"mediaType":"application/vnd.oci.image.manifest.v1+json",` + describe(manifest) + `,"platform":{"os":"linux","architecture":"amd64"}}`
	index := `{"schemaVersion":2,"manifests":[` + child + `]}`
	for _, root := range []string{child, `{"mediaType":"application/vnd.oci.image.index.v1+json",` + describe(index) + `}`} {
		f.Add(archiveOf(
			"blobs/sha256/"+digestOf(layer), layer, "blobs/sha256/"+digestOf(config), config, "blobs/sha256/"+digestOf(manifest), manifest,
			"blobs/sha256/"+digestOf(index), index, "index.json", `{"manifests":[`+root+`]}`), true)
	}
	dir := f.TempDir() // one for all: to make and remove one is slower than the rest
	f.Fuzz(func(t *testing.T, data []byte, keeps bool) {
		sp, err := newSpool(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer sp.Close()
		stream := &tail{r: bytes.NewReader(data)}
		err = sp.fill(t.Context(), stream, !keeps)
		if err == nil {
			s := &saved{archive: sp, manifests: map[v1.Hash][]byte{}, blobs: map[v1.Hash]entry{}}
			if err = read(s, keeps); err == nil {
				whole(t, s)
				return
			}
		}
		var bad *archiveError
		var wrong *transfer.DigestError
		var none *transfer.PlatformError
		if !stream.broken(err) && !errors.As(err, &bad) && !errors.As(err, &wrong) && !errors.As(err, &none) {
			t.Errorf("an error of another kind: %T %v", err, err)
		}
	})
}

func read(s *saved, keeps bool) error {
	if keeps {
		return s.readLayout(fuzzed, v1.Platform{OS: "linux", Architecture: "amd64"})
	}
	return s.readDocker(fuzzed, s.archive.(*spool))
}

func whole(t *testing.T, s *saved) {
	t.Helper()
	for h, e := range s.blobs {
		if n, err := io.Copy(io.Discard, s.archive.open(e, 0)); err != nil || n != e.size {
			t.Errorf("%s gives %d bytes of %d (%v)", h, n, e.size, err)
		}
	}
	if s.root.Digest == (v1.Hash{}) {
		t.Error("an image without a digest")
	}
}

// The size of what is read at a time cannot be seen in what is compressed, nor can
// what was compressed before.
func TestCompressionHangsOnTheBytesAlone(t *testing.T) {
	t.Parallel()
	sp, err := newSpool(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sp.Close() })
	rapid.Check(t, func(t *rapid.T) {
		text := bytes.Repeat(rapid.SliceOfN(rapid.Byte(), 1, 300).Draw(t, "text"), rapid.IntRange(0, 20_000).Draw(t, "times"))
		first, err := sp.compress(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		step := rapid.IntRange(1, 1<<20).Draw(t, "step")
		second, err := sp.compress(&steps{r: bytes.NewReader(text), n: step})
		if err != nil {
			t.Fatal(err)
		}
		if first.digest != second.digest || first.diff != second.diff || first.diff.Hex != digestOf(string(text)) {
			t.Fatalf("%d bytes, %d at a time, were compressed as %s and %s", len(text), step, first.digest, second.digest)
		}
	})
}

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
