package archive_test

import (
	"bytes"
	"errors"
	"io"
	"path/filepath"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/vicr-cli/vicr/internal/archive"
	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

// endless gives out the same line for ever, and counts.
type endless struct{ n int64 }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = "y\n"[(e.n+int64(i))%2]
	}
	e.n += int64(len(p))
	return len(p), nil
}

// What is no archive is known by its first bytes: not one is put on the disk.
func TestGarbageIsNotFetchedBeforeItIsLookedAt(t *testing.T) {
	t.Parallel()
	const enough, much = 8 << 20, 64 << 20 // bytes
	for name, pack := range map[string]func(io.Writer) (io.WriteCloser, error){
		"plain": nil,
		"gzip":  func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriterLevel(w, gzip.BestSpeed) },
		"zstd": func(w io.Writer) (io.WriteCloser, error) {
			return zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			garbage := &endless{}
			r, w := io.Pipe()
			done := make(chan struct{})
			go func() {
				defer close(done)
				defer w.Close()
				var z io.Writer = w
				if pack != nil {
					zw, err := pack(w)
					if err != nil {
						t.Error(err)
					}
					defer zw.Close()
					z = zw
				}
				_, _ = io.CopyN(z, garbage, much)
			}()
			o := options(t, archive.Docker)
			a, err := archive.Read(t.Context(), r, "standard input", o)
			if err == nil {
				_ = a.Close()
			}
			_ = r.Close()
			<-done
			if !is[*archive.Error](err) || garbage.n > enough {
				t.Errorf("after %d bytes: %v", garbage.n, err)
			}
			if made, _ := filepath.Glob(filepath.Join(filepath.Dir(o.Scratch), "*")); len(made) > 0 {
				t.Errorf("%q was made for it", made)
			}
		})
	}
}

// A registry that has a blob is not sent it, so nobody would count its bytes.
func TestABlobOfAnotherSizeIsADigestError(t *testing.T) {
	t.Parallel()
	for _, size := range []int64{1, 1 << 62} {
		c := transfertest.Content{}
		layer := c.Layer(transfertest.Bytes(1, 5000))
		layer.Size = size
		root := c.Image(transfertest.Amd64(), layer)
		for _, root := range []v1.Descriptor{root, c.Index(root)} {
			err := resolved(t.Context(), bytes.NewReader(pack(t, layout(t, c, root)...)), options(t, archive.OCI))
			if wrong, ok := errors.AsType[*transfer.DigestError](err); !ok || wrong.Want != layer.Digest || wrong.Size != 5000 || wrong.Of != size {
				t.Errorf("%d bytes: %v", size, err)
			}
		}
	}
}

// Two images that have one name are told apart by their digests alone.
func TestTwoImagesUnderOneName(t *testing.T) {
	t.Parallel()
	one, two := sample(1), sample(9)
	c := transfertest.Content{}
	for _, s := range []*transfertest.Source{one, two} {
		for h, data := range s.Content {
			c[h] = data
		}
	}
	name := "r.example/app:1"
	opened(t, archive.OCI, pack(t, layout(t, c, called(one.Root, name, ""), called(two.Root, name, ""))...), func(t *testing.T, a *archive.Archive, err error) {
		t.Helper()
		must(t, err)
		for _, s := range []*archive.Source{a.Named(name), a.Source(name), a.Named("1")} {
			_, err := s.Resolve(t.Context())
			if many, ok := errors.AsType[*archive.AmbiguousError](err); !ok || many.Format != archive.OCI || len(many.Names) == 0 {
				t.Errorf("got %v", err)
			}
		}
		gives(t, a.Named("@"+two.Root.Digest.String()), two)
	})
	// One image that is there twice is one.
	opened(t, archive.OCI, pack(t, layout(t, one.Content, called(one.Root, name, ""), called(one.Root, name, ""))...), func(t *testing.T, a *archive.Archive, err error) {
		t.Helper()
		must(t, err)
		gives(t, a.Named(name), one)
	})
}

// The image that comes last under a name has it, as in an engine.
func TestANameThatComesTwiceIsThatOfTheLast(t *testing.T) {
	t.Parallel()
	for _, f := range []archive.Format{archive.OCI, archive.Docker} {
		var b bytes.Buffer
		w := archive.Stream(&b, 3, options(t, f))
		put(t, w, "r.example/app:1", sample(1), 4)
		put(t, w, "r.example/other:1", sample(20), 4)
		put(t, w, "r.example/app:1", sample(9), 4)
		must(t, w.Close())
		a, err := archive.Read(t.Context(), &b, "x.tar", options(t, f))
		must(t, err)
		gives(t, a.Named("r.example/app:1"), sample(9))
		must(t, a.Close())
	}
}
