package archive_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/vicr-cli/vicr/internal/archive"
	"github.com/vicr-cli/vicr/internal/atomicfile"
	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

// put moves an image into a writer.
func put(t *testing.T, w *archive.Writer, name string, src transfer.Source, jobs int) {
	t.Helper()
	_, err := transfer.Copy(t.Context(), src, w.Sink(name), transfer.Options{Jobs: jobs})
	must(t, err)
}

// entries lists the names of the files of a tar in their order.
func entries(t *testing.T, data []byte) []string {
	t.Helper()
	var all []string
	r := tar.NewReader(bytes.NewReader(data))
	for {
		h, err := r.Next()
		if err == io.EOF {
			return all
		}
		must(t, err)
		if h.Mode != 0o644 || h.Uid != 0 || h.Uname != "" || h.ModTime.Unix() != 0 {
			t.Errorf("%s: %+v", h.Name, h)
		}
		all = append(all, h.Name)
	}
}

func TestWhatIsWrittenIsReadBack(t *testing.T) {
	t.Parallel()
	for _, f := range []archive.Format{archive.OCI, archive.Docker} {
		t.Run(fmt.Sprint(f), func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "a.tar")
			w, err := archive.Create(path, 3, options(t, f))
			must(t, err)
			one, two := sample(1), sample(50)
			put(t, w, "registry.example/app:1", one, 4)
			put(t, w, "registry.example/app:2", two, 4)
			if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the file was there before all images were: %v", err)
			}
			put(t, w, "registry.example/again:1", one, 4)
			must(t, w.Close())
			data, err := os.ReadFile(path)
			must(t, err)
			opened(t, f, data, func(t *testing.T, a *archive.Archive, err error) {
				t.Helper()
				must(t, err)
				gives(t, a.Source("registry.example/app:1"), one)
				gives(t, a.Source("registry.example/app:2"), two)
				gives(t, a.Source("registry.example/again:1"), one)
			})
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%v, %v", info.Mode(), err)
			}
			want := 2 + 2*3 + 1 // both have one config
			if f == archive.Docker {
				want++
			}
			if all := entries(t, data); len(all) != want || all[0] != "oci-layout" || all[1] != "index.json" {
				t.Errorf("%d files: %q", len(all), all)
			}
			left, err := os.ReadDir(filepath.Dir(path))
			if err != nil || len(left) != 1 {
				t.Errorf("beside it: %v, %v", left, err)
			}
		})
	}
}

func TestTheSameImagesGiveTheSameBytes(t *testing.T) {
	t.Parallel()
	for _, f := range []archive.Format{archive.OCI, archive.Docker} {
		var seen [][]byte
		for i, names := range [][]string{{"r.example/a:1", "r.example/b:1"}, {"r.example/b:1", "r.example/a:1"}, {"r.example/a:1", "r.example/b:1"}} {
			var b bytes.Buffer
			w := archive.Stream(&b, 2, options(t, f))
			for _, name := range names {
				c := transfertest.Content{}
				var layers []v1.Descriptor
				for n := range 8 {
					layers = append(layers, c.Layer(transfertest.Bytes(name[len(name)-3]+byte(n), 10_000*(8-n))))
				}
				put(t, w, name, &transfertest.Source{Root: c.Image(transfertest.Amd64(), layers...), Content: c}, 1+7*i)
			}
			must(t, w.Close())
			seen = append(seen, b.Bytes())
		}
		if !bytes.Equal(seen[0], seen[1]) || !bytes.Equal(seen[0], seen[2]) {
			t.Error("the order in which they came is seen in the bytes")
		}
	}
}

func TestAnIndexIsWrittenWhole(t *testing.T) {
	t.Parallel()
	c := transfertest.Content{}
	shared := c.Layer(transfertest.Bytes(9, 5000))
	src := &transfertest.Source{Root: c.Index(c.Image(transfertest.Amd64(), shared), c.Image(transfertest.Arm64(), shared)), Content: c}
	var b bytes.Buffer
	w := archive.Stream(&b, 1, options(t, archive.OCI))
	put(t, w, "r.example/a:1", src, 4)
	must(t, w.Close())
	opened(t, archive.OCI, b.Bytes(), func(t *testing.T, a *archive.Archive, err error) {
		t.Helper()
		must(t, err)
		gives(t, a.Source("x"), src)
	})
	w = archive.Stream(io.Discard, 1, options(t, archive.Docker))
	defer w.Close()
	_, err := transfer.Copy(t.Context(), src, w.Sink("r.example/a:1"), transfer.Options{})
	if _, ok := errors.AsType[*archive.IndexError](err); !ok {
		t.Errorf("into an archive of Docker: %v", err)
	}
}

// Another reader of Docker's format finds the same image.
func TestOthersReadDockersFormat(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.tar")
	w, err := archive.Create(path, 1, options(t, archive.Docker))
	must(t, err)
	c := transfertest.Content{}
	layer := layerTar(t, "f", transfertest.Bytes(1, 5000))
	root := realImage(t, c, transfertest.Amd64(), layer)
	put(t, w, "registry.example/demo/app:1", &transfertest.Source{Root: root, Content: c}, 4)
	must(t, w.Close())
	img, err := tarball.ImageFromPath(path, nil)
	must(t, err)
	layers, err := img.Layers()
	must(t, err)
	diff, err := layers[0].DiffID()
	if err != nil || diff != transfertest.DescriptorOf("sha256", "", layer).Digest {
		t.Errorf("the layer is %s, %v", diff, err)
	}
	list, err := tarball.LoadManifest(func() (io.ReadCloser, error) { return os.Open(path) })
	if err != nil || !slices.Equal(list[0].RepoTags, []string{"registry.example/demo/app:1"}) {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestNamesAreWrittenAsOthersReadThem(t *testing.T) {
	t.Parallel()
	for f, want := range map[archive.Format]map[string]string{
		archive.OCI:    {"org.opencontainers.image.ref.name": "r.example/a:1", "io.containerd.image.name": "r.example/a:1"},
		archive.Docker: {"org.opencontainers.image.ref.name": "1", "io.containerd.image.name": "r.example/a:1"},
	} {
		var b bytes.Buffer
		w := archive.Stream(&b, 2, options(t, f))
		one := sample(1)
		put(t, w, "r.example/a:1@"+one.Root.Digest.String(), one, 1)
		put(t, w, "r.example/a@"+sample(50).Root.Digest.String(), sample(50), 1) // has no name to keep
		must(t, w.Close())
		r := tar.NewReader(&b)
		_, err := r.Next()
		must(t, err)
		_, err = r.Next()
		must(t, err)
		var index v1.IndexManifest
		must(t, json.NewDecoder(r).Decode(&index))
		if len(index.Manifests) != 2 || index.Manifests[0].Annotations != nil || !mapsEqual(index.Manifests[1].Annotations, want) {
			t.Errorf("%+v", index.Manifests)
		}
	}
}

// docker load refuses a whole archive for one name without a tag; in a layout such
// a name may be a tag.
func TestANameWithoutATag(t *testing.T) {
	t.Parallel()
	for f, want := range map[archive.Format]map[string]string{
		archive.OCI:    {"org.opencontainers.image.ref.name": "app", "io.containerd.image.name": "app"},
		archive.Docker: {"org.opencontainers.image.ref.name": "latest", "io.containerd.image.name": "docker.io/library/app:latest"},
	} {
		documents := map[string][]byte{}
		var b bytes.Buffer
		w := archive.Stream(&b, 1, options(t, f))
		put(t, w, "app", sample(1), 1)
		must(t, w.Close())
		for r := tar.NewReader(&b); ; {
			h, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			must(t, err)
			documents[h.Name], err = io.ReadAll(r)
			must(t, err)
		}
		var index v1.IndexManifest
		must(t, json.Unmarshal(documents["index.json"], &index))
		if got := index.Manifests[0].Annotations; !mapsEqual(got, want) {
			t.Errorf("%v: %v", f, got)
		}
		if f == archive.Docker && !bytes.Contains(documents["manifest.json"], []byte(`"RepoTags":["docker.io/library/app:latest"]`)) {
			t.Errorf("%s", documents["manifest.json"])
		}
	}
}

func mapsEqual(a, b map[string]string) bool { return fmt.Sprint(a) == fmt.Sprint(b) }

// What fails leaves the archive that was there, and nothing beside it.
func TestAnArchiveIsReplacedWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	for what, fault := range map[string]func(io.Reader) io.Reader{
		"wrong byte": func(r io.Reader) io.Reader { return transfertest.Flip(r, 7) },
		"one less":   func(r io.Reader) io.Reader { return io.LimitReader(r, 50) },
		"one more":   func(r io.Reader) io.Reader { return io.MultiReader(r, io.LimitReader(zeros{}, 1)) },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			path := filepath.Join(dir, "a.tar")
			must(t, os.WriteFile(path, []byte("before"), 0o640))
			o := options(t, archive.OCI)
			w, err := archive.Create(path, 1, o)
			must(t, err)
			src := sample(1)
			src.Fault = func(d v1.Descriptor, _ int64, r io.Reader) (io.Reader, error) {
				if d.MediaType == types.OCILayer {
					return fault(r), nil
				}
				return r, nil
			}
			_, err = transfer.Copy(t.Context(), src, w.Sink("r.example/a:1"), transfer.Options{})
			if _, ok := errors.AsType[*transfer.DigestError](err); !ok {
				t.Errorf("got %v", err)
			}
			must(t, w.Close())
			got, err := os.ReadFile(path)
			if err != nil || string(got) != "before" {
				t.Errorf("it holds %d bytes, %v", len(got), err)
			}
			for _, d := range []string{dir, o.Scratch} {
				left, err := os.ReadDir(d)
				if err != nil || len(left) > 1 || d == o.Scratch && len(left) > 0 {
					t.Errorf("left behind in %s: %v, %v", d, left, err)
				}
			}
			// And then it goes well, with the permissions that were there.
			w, err = archive.Create(path, 1, o)
			must(t, err)
			put(t, w, "r.example/a:1", sample(1), 4)
			must(t, w.Close())
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 || info.Size() < 1000 {
				t.Errorf("%v, %v", info, err)
			}
		})
	}
}

// What a killed run left beside the target is no part of the next archive.
func TestLeftoversOfAKilledRunAreWrittenOver(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, ".a.tar.vicr-part"), bytes.Repeat([]byte("x"), 1<<20), 0o600))
	w, err := archive.Create(filepath.Join(dir, "a.tar"), 1, options(t, archive.OCI))
	must(t, err)
	put(t, w, "r.example/a:1", sample(1), 4)
	must(t, w.Close())
	a, err := archive.Open(t.Context(), filepath.Join(dir, "a.tar"), options(t, archive.OCI))
	must(t, err)
	gives(t, a.Source("x"), sample(1))
	must(t, a.Close())
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("%v, %v", left, err)
	}
}

func TestOnlyAFileIsReplaced(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	target := filepath.Join(dir, "target")
	must(t, os.WriteFile(target, []byte("before"), 0o600))
	must(t, os.Symlink(target, filepath.Join(dir, "link")))
	for _, path := range []string{filepath.Join(dir, "link"), dir} {
		if _, err := archive.Create(path, 1, options(t, archive.OCI)); !is[*atomicfile.NotRegularError](err) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := archive.Create(filepath.Join(dir, "none", "a.tar"), 1, options(t, archive.OCI)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in a folder that is not there: %v", err)
	}
}

func TestAWriterEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	path := filepath.Join(t.TempDir(), "a.tar")
	w, err := archive.Create(path, 1, options(t, archive.OCI))
	must(t, err)
	src := sample(1)
	src.Fault = func(_ v1.Descriptor, _ int64, r io.Reader) (io.Reader, error) { cancel(); return r, nil }
	if _, err := transfer.Copy(ctx, src, w.Sink("a"), transfer.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	must(t, w.Close())
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Error("it was written")
	}
}

func TestFiveHundredLayers(t *testing.T) {
	t.Parallel()
	c := transfertest.Content{}
	var layers []v1.Descriptor
	for n := range 500 {
		layers = append(layers, c.Layer(fmt.Appendf(nil, "layer %d", n)))
	}
	src := &transfertest.Source{Root: c.Image(transfertest.Amd64(), layers...), Content: c}
	var b bytes.Buffer
	w := archive.Stream(&b, 1, options(t, archive.OCI))
	put(t, w, "r.example/a:1", src, 8)
	must(t, w.Close())
	opened(t, archive.OCI, b.Bytes(), func(t *testing.T, a *archive.Archive, err error) {
		t.Helper()
		must(t, err)
		gives(t, a.Source("x"), src)
	})
}

// A late context ends after it was asked a few times.
type late struct {
	context.Context
	asks int
}

func (l *late) Err() error {
	if l.asks--; l.asks < 0 {
		return context.Canceled
	}
	return nil
}

// Broken off while it is written, nothing of it is left.
func TestAnArchiveThatIsBrokenOffIsRemoved(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w, err := archive.Create(filepath.Join(dir, "a.tar"), 1, options(t, archive.OCI))
	must(t, err)
	defer w.Close()
	one := sample(1)
	if err := w.Sink("r.example/a:1").Commit(&late{t.Context(), 2}, one.Root, one.Content[one.Root.Digest]); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left are %v, %v", left, err)
	}
}
