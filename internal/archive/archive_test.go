package archive_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
	"go.uber.org/goleak"

	"github.com/vicr-cli/vicr/internal/archive"
	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// A file is one of an archive.
type file struct {
	name string
	data []byte
}

// pack makes a tar.
func pack(tb testing.TB, files ...file) []byte {
	tb.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		must(tb, w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: f.name, Size: int64(len(f.data)), Mode: 0o644}))
		_, err := w.Write(f.data)
		must(tb, err)
	}
	must(tb, w.Close())
	return b.Bytes()
}

func asJSON(tb testing.TB, v any) []byte {
	tb.Helper()
	raw, err := json.Marshal(v)
	must(tb, err)
	return raw
}

var (
	layerTar  = transfertest.LayerTar
	gzipped   = transfertest.Gzipped
	zstded    = transfertest.Zstded
	realImage = transfertest.RealImage
)

func sample(seed byte) *transfertest.Source {
	c := transfertest.Content{}
	root := c.Image(transfertest.Amd64(), c.Layer(transfertest.Bytes(seed, 3<<16+17)), c.Layer(transfertest.Bytes(seed+1, 100)))
	return &transfertest.Source{Root: root, Content: c}
}

// layout is the files of an OCI layout with all of content.
func layout(tb testing.TB, c transfertest.Content, roots ...v1.Descriptor) []file {
	tb.Helper()
	files := []file{
		{"oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`)},
		{"index.json", asJSON(tb, v1.IndexManifest{SchemaVersion: 2, Manifests: roots})},
	}
	for h, data := range c {
		files = append(files, file{"blobs/" + h.Algorithm + "/" + h.Hex, data})
	}
	return files
}

func called(d v1.Descriptor, ref, containerd string) v1.Descriptor {
	d.Annotations = map[string]string{}
	if ref != "" {
		d.Annotations["org.opencontainers.image.ref.name"] = ref
	}
	if containerd != "" {
		d.Annotations["io.containerd.image.name"] = containerd
	}
	return d
}

func options(tb testing.TB, f archive.Format) archive.Options {
	tb.Helper()
	return archive.Options{Format: f, Scratch: filepath.Join(tb.TempDir(), "cache", "scratch")}
}

// opened opens data in both ways that there are, as a file and as a stream.
func opened(t *testing.T, f archive.Format, data []byte, look func(t *testing.T, a *archive.Archive, err error)) {
	t.Helper()
	t.Run("file", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "a.tar")
		must(t, os.WriteFile(path, data, 0o600))
		a, err := archive.Open(t.Context(), path, options(t, f))
		look(t, a, err)
		if err == nil {
			must(t, a.Close())
		}
	})
	t.Run("stream", func(t *testing.T) {
		o := options(t, f)
		a, err := archive.Read(t.Context(), bytes.NewReader(data), "standard input", o)
		look(t, a, err)
		if err == nil {
			must(t, a.Close())
		}
		if left, err := os.ReadDir(o.Scratch); len(left) > 0 {
			t.Errorf("%v was left behind (%v)", left, err)
		}
	})
}

// gives moves an image out and compares it with what was put in.
func gives(t *testing.T, src transfer.Source, want *transfertest.Source) {
	t.Helper()
	out := &transfertest.Sink{}
	res, err := transfer.Copy(t.Context(), src, out, transfer.Options{})
	must(t, err)
	if res.Root.Digest != want.Root.Digest || res.Root.MediaType != want.Root.MediaType {
		t.Errorf("got %s, want %s", res.Root.Digest, want.Root.Digest)
	}
	for h, data := range want.Content {
		if !bytes.Equal(out.Content[h], data) {
			t.Errorf("%s did not come out", h)
		}
	}
}

func TestLayoutInATarIsRead(t *testing.T) {
	t.Parallel()
	one := sample(1)
	data := pack(t, layout(t, one.Content, called(one.Root, "1.0", ""))...)
	for name, data := range map[string][]byte{"tar": data, "gzip": gzipped(t, data), "zstd": zstded(t, data)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opened(t, archive.OCI, data, func(t *testing.T, a *archive.Archive, err error) {
				t.Helper()
				must(t, err)
				gives(t, a.Source("registry.example/whatever:2"), one)
				gives(t, a.Named("1.0"), one)
			})
		})
	}
}

func TestOneOfSeveralImagesIsChosenByName(t *testing.T) {
	t.Parallel()
	one, two := sample(1), sample(50)
	both := transfertest.Content{}
	for _, s := range []*transfertest.Source{one, two} {
		for h, data := range s.Content {
			both[h] = data
		}
	}
	files := layout(t, both,
		called(one.Root, "1", "docker.io/library/app:1"), called(two.Root, "2", "registry.example/app:2"), called(two.Root, "2", "registry.example/app:latest"))
	opened(t, archive.Docker, pack(t, files...), func(t *testing.T, a *archive.Archive, err error) {
		t.Helper()
		must(t, err)
		gives(t, a.Source("docker.io/library/app:1"), one)
		gives(t, a.Source("registry.example/app:2"), two)
		for name, want := range map[string]*transfertest.Source{
			"app:1": one, "library/app:1": one, "1": one, "2": two, "registry.example/app": two, "@" + two.Root.Digest.String(): two,
		} {
			gives(t, a.Named(name), want)
		}
		_, err = a.Source("registry.example/app:1").Resolve(t.Context())
		if several, ok := errors.AsType[*archive.AmbiguousError](err); !ok || len(several.Names) != 3 {
			t.Errorf("a name that it does not have: %v", err)
		}
		_, err = a.Named("app:9").Resolve(t.Context())
		if none, ok := errors.AsType[*archive.NameError](err); !ok || len(none.Names) != 3 || !errors.Is(err, transfer.ErrNotFound) {
			t.Errorf("a name that was chosen and is not there: %v", err)
		}
	})
}

// saved is what docker save wrote before 25.0: a folder for each layer, one of
// them a link to another, and a list.
func saved(tb testing.TB, name string, layers ...[]byte) []file {
	tb.Helper()
	c := transfertest.Content{}
	root := realImage(tb, c, transfertest.Amd64(), layers...)
	var m v1.Manifest
	must(tb, json.Unmarshal(c[root.Digest], &m))
	files := []file{{"c.json", c[m.Config.Digest]}}
	var names []string
	for i, l := range layers {
		n := string(rune('a'+i)) + "/layer.tar"
		names = append(names, n)
		files = append(files, file{n, l})
	}
	return append(files, file{"manifest.json", asJSON(tb, []any{map[string]any{"Config": "c.json", "RepoTags": []string{name}, "Layers": names}})})
}

// The digests of layers hang on these bytes, and are those which come out of an
// engine that has the same image.
func TestPlainLayersAreCompressedAsThoseOfAnEngine(t *testing.T) {
	t.Parallel()
	text := bytes.Repeat([]byte("the same bytes every time\n"), 100_000) // several blocks
	data := pack(t, saved(t, "app:1", layerTar(t, "text", text))...)
	opened(t, archive.Docker, data, func(t *testing.T, a *archive.Archive, err error) {
		t.Helper()
		must(t, err)
		got, err := a.Source("x").Resolve(t.Context())
		must(t, err)
		const want = "sha256:884f31d5716a24d80831f8fe3b572555fe86455b2db3957d80bedbf45ece9dcd"
		if got.Digest.String() != want {
			t.Errorf("the manifest is %s, it used to be %s", got.Digest, want)
		}
	})
}

func TestLayersOfDockersOwnFormatComeOutAsTheyWere(t *testing.T) {
	t.Parallel()
	plain, packed := layerTar(t, "f", transfertest.Bytes(1, 1<<20+11)), layerTar(t, "g", []byte("x"))
	other := layerTar(t, "h", transfertest.Bytes(2, 1<<20+11))
	files := saved(t, "app:1", plain, packed, other)
	files[2].data = gzipped(t, packed) // as other tools write layers
	files[3].data = zstded(t, other)
	opened(t, archive.Docker, pack(t, files...), func(t *testing.T, a *archive.Archive, err error) {
		t.Helper()
		must(t, err)
		out := &transfertest.Sink{}
		res, err := transfer.Copy(t.Context(), a.Source("x"), out, transfer.Options{})
		must(t, err)
		if res.Root.MediaType != types.DockerManifestSchema2 {
			t.Errorf("the manifest is a %s", res.Root.MediaType)
		}
		var m v1.Manifest
		must(t, json.Unmarshal(out.Content[res.Root.Digest], &m))
		for i, want := range [][]byte{plain, packed, other} {
			z, err := gzip.NewReader(bytes.NewReader(out.Content[m.Layers[i].Digest]))
			must(t, err)
			if got, err := io.ReadAll(z); err != nil || !bytes.Equal(got, want) {
				t.Errorf("layer %d has %d bytes instead of %d (%v)", i, len(got), len(want), err)
			}
		}
		if !bytes.Equal(out.Content[m.Layers[1].Digest], files[2].data) {
			t.Error("what was compressed was compressed again")
		}
	})
}

// Docker from 25.0 on writes a layout beside its list: then digests stay.
func TestLayoutBesideDockersListCounts(t *testing.T) {
	t.Parallel()
	c := transfertest.Content{}
	root := realImage(t, c, transfertest.Amd64(), layerTar(t, "f", []byte("x")))
	files := append(layout(t, c, called(root, "1", "docker.io/library/app:1")), file{"manifest.json", []byte(`[{"Config":"c","Layers":["nonsense"]}]`)})
	opened(t, archive.Docker, pack(t, files...), func(t *testing.T, a *archive.Archive, err error) {
		t.Helper()
		must(t, err)
		gives(t, a.Source("app:1"), &transfertest.Source{Root: root, Content: c})
	})
}

// sparse is an index of three platforms of which only some are in the archive.
func sparse(tb testing.TB, have ...string) (data []byte, images map[string]*transfertest.Source, index v1.Descriptor) {
	tb.Helper()
	all := transfertest.Content{}
	images = map[string]*transfertest.Source{}
	var children []v1.Descriptor
	for i, arch := range []string{"amd64", "arm64", "s390x"} {
		c := transfertest.Content{}
		d := realImage(tb, c, v1.Platform{OS: "linux", Architecture: arch}, layerTar(tb, "f", []byte{byte(i)}))
		images[arch] = &transfertest.Source{Root: d, Content: c}
		children = append(children, d)
		for _, h := range have {
			if h == arch {
				for h, data := range c {
					all[h] = data
				}
			}
		}
		if i == 2 { // Docker keeps manifests of what it did not pull
			all[d.Digest] = c[d.Digest]
		}
	}
	index = all.Index(children...)
	return pack(tb, layout(tb, all, called(index, "1", "docker.io/library/app:1"))...), images, index
}

func TestOfASparseIndexThePlatformThatIsThereIsGivenOut(t *testing.T) {
	t.Parallel()
	data, images, _ := sparse(t, "amd64")
	opened(t, archive.Docker, data, func(t *testing.T, a *archive.Archive, err error) {
		t.Helper()
		must(t, err)
		src := a.Source("app:1")
		var have, missing []v1.Platform
		src.OnSparse = func(h, m []v1.Platform) { have, missing = h, m }
		amd := transfertest.Amd64()
		res, err := transfer.Copy(t.Context(), src, &transfertest.Sink{}, transfer.Options{Platform: &amd})
		must(t, err)
		if res.Root.Digest != images["amd64"].Root.Digest {
			t.Errorf("got %s", res.Root.Digest)
		}
		if len(have) != 1 || len(missing) != 2 || missing[0].Architecture != "arm64" {
			t.Errorf("told of %v and %v", have, missing)
		}
	})
}

func TestOfASparseIndexNothingElseIsGivenOut(t *testing.T) {
	t.Parallel()
	data, _, _ := sparse(t, "amd64")
	opened(t, archive.Docker, data, func(t *testing.T, a *archive.Archive, err error) {
		t.Helper()
		must(t, err)
		s390 := v1.Platform{OS: "linux", Architecture: "s390x"}
		arm := transfertest.Arm64()
		for _, p := range []*v1.Platform{nil, &arm, &s390} {
			out := &transfertest.Sink{}
			_, err := transfer.Copy(t.Context(), a.Source("app:1"), out, transfer.Options{Platform: p})
			if e, ok := errors.AsType[*archive.SparseError](err); !ok || len(e.Have) != 1 || len(e.Missing) != 2 {
				t.Errorf("%v: %v", p, err)
			}
			if len(out.Content) > 0 {
				t.Errorf("%v: something was moved before", p)
			}
		}
	})
	whole, _, index := sparse(t, "amd64", "arm64", "s390x")
	opened(t, archive.Docker, whole, func(t *testing.T, a *archive.Archive, err error) {
		t.Helper()
		must(t, err)
		res, err := transfer.Copy(t.Context(), a.Source("app:1"), &transfertest.Sink{}, transfer.Options{})
		if err != nil || res.Root.Digest != index.Digest {
			t.Errorf("all of it was there: %v", err)
		}
	})
}

func TestThereIsNoSuchFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := archive.Open(t.Context(), filepath.Join(dir, "none.tar"), options(t, archive.OCI)); !errors.Is(err, transfer.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if _, err := archive.Open(t.Context(), dir, options(t, archive.OCI)); err == nil {
		t.Error("a folder was opened")
	}
}
