package engine_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/vicr-cli/vicr/internal/engine"
	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

func TestSourceGivesBackTheConfigAndTheLayersOfAnImage(t *testing.T) {
	t.Parallel()
	f := newFake(t, false)
	e := f.open(t, engine.Options{})
	src := app(t, 1)
	must(t, put1(t, e, name, src))
	var roots []v1.Hash
	for range 2 {
		s := e.Source(name)
		res, out := read(t, s)
		must(t, s.Close())
		roots = append(roots, res.Root.Digest)
		if res.Root.MediaType != types.DockerManifestSchema2 {
			t.Errorf("the manifest is a %s", res.Root.MediaType)
		}
		want := layersOf(t, transfer.Result{Root: src.Root}, &transfertest.Sink{Content: src.Content})
		if got := layersOf(t, res, out); !slices.Equal(got, want) {
			t.Errorf("the layers are %v, want %v", got, want)
		}
		if config := f.names[name]; out.Content[hash(t, config)] == nil {
			t.Errorf("the config %s did not come out", config)
		}
	}
	if roots[0] != roots[1] {
		t.Errorf("the same image came out as %s and %s", roots[0], roots[1])
	}
}

func hash(tb testing.TB, s string) v1.Hash {
	tb.Helper()
	h, err := v1.NewHash(s)
	must(tb, err)
	return h
}

// The digests of layers hang on these bytes: another compression, and every
// layer in every registry is uploaded again.
func TestCompressionStaysTheSame(t *testing.T) {
	t.Parallel()
	f := newFake(t, false)
	e := f.open(t, engine.Options{})
	c := transfertest.Content{}
	text := bytes.Repeat([]byte("the same bytes every time\n"), 100_000) // several blocks
	root := realImage(t, c, transfertest.Amd64(), layerTar(t, "text", text))
	must(t, put1(t, e, name, &transfertest.Source{Root: root, Content: c}))
	s := e.Source(name)
	defer s.Close()
	got, err := s.Resolve(t.Context())
	must(t, err)
	const want = "sha256:884f31d5716a24d80831f8fe3b572555fe86455b2db3957d80bedbf45ece9dcd"
	if got.Digest.String() != want {
		t.Errorf("the manifest is %s, it used to be %s", got.Digest, want)
	}
}

func TestSourceGivesOutWhatTheEngineKeepsAsItCame(t *testing.T) {
	t.Parallel()
	f := newFake(t, true)
	e := f.open(t, engine.Options{})
	c := transfertest.Content{}
	plain := layerTar(t, "f", []byte("x"))
	both := c.Index(realImage(t, c, transfertest.Amd64(), plain), realImage(t, c, transfertest.Arm64(), plain))
	for _, src := range []*transfertest.Source{app(t, 1), {Root: both, Content: c}} {
		must(t, put1(t, e, name, src))
		s := e.Source(name)
		res, out := read(t, s)
		must(t, s.Close())
		if res.Root.Digest != src.Root.Digest || res.Root.MediaType != src.Root.MediaType {
			t.Errorf("got %s, want %s", res.Root.Digest, src.Root.Digest)
		}
		if len(out.Content) != len(src.Content) {
			t.Errorf("%d blobs and manifests came out, want %d", len(out.Content), len(src.Content))
		}
	}
}

func TestSourceOfASparseIndexIsTheImageThatIsThere(t *testing.T) {
	t.Parallel()
	amd, arm := transfertest.Amd64(), transfertest.Arm64()
	s390 := v1.Platform{OS: "linux", Architecture: "s390x"}
	for what, test := range map[string]struct {
		have []v1.Platform
		want *v1.Platform // nil: none
	}{
		"own platform":            {[]v1.Platform{amd}, &amd},
		"own and another":         {[]v1.Platform{arm, amd}, &amd},
		"another alone":           {[]v1.Platform{arm}, &arm},
		"two others":              {[]v1.Platform{arm, s390}, nil},
		"none":                    {nil, nil},
		"all, so it is the index": {[]v1.Platform{amd, arm, s390}, &v1.Platform{}},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			c := transfertest.Content{}
			images := map[string]v1.Descriptor{}
			var all []v1.Descriptor
			for i, p := range []v1.Platform{amd, arm, s390} {
				d := realImage(t, c, p, layerTar(t, "f", transfertest.Bytes(byte(i), 100)))
				images[p.String()] = d
				all = append(all, d)
				if !slices.ContainsFunc(test.have, func(h v1.Platform) bool { return h.String() == p.String() }) {
					delete(c, d.Digest)
				}
			}
			root := c.Index(all...)
			f := newFake(t, true)
			id := root.Digest.String()
			f.names[name], f.images[id], f.roots[id] = id, c, root
			s := f.open(t, engine.Options{}).Source(name)
			defer s.Close()
			got, err := s.Resolve(t.Context())
			switch {
			case test.want == nil:
				if missing, ok := errors.AsType[*transfer.PlatformError](err); !ok || len(missing.Have) != len(test.have) {
					t.Errorf("got %v", err)
				}
			case test.want.OS == "" && got.Digest != root.Digest, test.want.OS != "" && got.Digest != images[test.want.String()].Digest:
				t.Errorf("got %s (%v)", got.Digest, err)
			default:
				read(t, s)
			}
		})
	}
}

func TestSourceSaysThatThereIsNoSuchImage(t *testing.T) {
	t.Parallel()
	s := newFake(t, false).open(t, engine.Options{}).Source(name)
	defer s.Close()
	if _, err := s.Resolve(t.Context()); !errors.Is(err, transfer.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

func TestSourceOpensABlobAtAnOffset(t *testing.T) {
	t.Parallel()
	f := newFake(t, true)
	e := f.open(t, engine.Options{})
	src := app(t, 1)
	must(t, put1(t, e, name, src))
	s := e.Source(name)
	defer s.Close()
	_, err := s.Resolve(t.Context())
	must(t, err)
	for h, data := range src.Content {
		d := v1.Descriptor{Digest: h, Size: int64(len(data))}
		for _, at := range []int64{0, 1, d.Size - 1, d.Size} {
			rc, err := s.Blob(t.Context(), d, at)
			if h == src.Root.Digest {
				if !errors.Is(err, transfer.ErrNotFound) {
					t.Errorf("a manifest was given out as a blob (%v)", err)
				}
				continue
			}
			must(t, err)
			got, err := io.ReadAll(rc)
			if err != nil || !bytes.Equal(got, data[at:]) {
				t.Errorf("%s at %d: %d bytes (%v)", h, at, len(got), err)
			}
			must(t, rc.Close())
		}
		if _, err := s.Blob(t.Context(), d, d.Size+1); h != src.Root.Digest && !errors.Is(err, transfer.ErrOffset) {
			t.Errorf("after the end: %v", err)
		}
	}
}

func TestSourceFreesTheDisk(t *testing.T) {
	t.Parallel()
	for _, cut := range []bool{false, true} {
		f := newFake(t, false)
		scratch := filepath.Join(t.TempDir(), "cache", "scratch")
		e := f.open(t, engine.Options{Scratch: scratch})
		must(t, put1(t, e, name, app(t, 1)))
		if cut {
			f.instead["/images/get"] = archive(func(w *tar.Writer) {
				put(w, "layer.tar", make([]byte, 1<<20))
				_ = w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "x", Size: 10})
			})
		}
		s := e.Source(name)
		if _, err := s.Resolve(t.Context()); (err != nil) != cut {
			t.Errorf("resolve: %v", err)
		}
		must(t, s.Close())
		must(t, s.Close())
		if left, err := os.ReadDir(scratch); err != nil || len(left) != 0 {
			t.Errorf("%v was left behind (%v)", left, err)
		}
		if _, err := s.Blob(t.Context(), v1.Descriptor{}, 0); err == nil {
			t.Error("a closed source gave out a blob")
		}
	}
}

// archive answers with a tar.
func archive(fill func(*tar.Writer)) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		t := tar.NewWriter(w)
		fill(t)
		_ = t.Close()
		return true
	}
}

// config is one for layers with these digests.
func config(diffIDs ...string) []byte {
	return fmt.Appendf(nil, `{"rootfs":{"diff_ids":["%s"]}}`, strings.Join(diffIDs, `","`))
}

// An archiveTest is an archive and what is said of it, "" for no error.
type archiveTest struct {
	fill func(*tar.Writer)
	want string
}

// docker is an archive with one layer l/layer.tar and its config c.json.
func docker(tb testing.TB, manifest string, rest ...func(*tar.Writer)) func(*tar.Writer) {
	tb.Helper()
	layer := layerTar(tb, "f", []byte("x"))
	return func(w *tar.Writer) {
		put(w, "l/layer.tar", layer)
		put(w, "c.json", config(transfertest.DescriptorOf("sha256", "", layer).Digest.String()))
		for _, r := range rest {
			r(w)
		}
		put(w, "manifest.json", []byte(manifest))
	}
}

func (test archiveTest) run(t *testing.T) {
	t.Parallel()
	f := newFake(t, false)
	f.names[name], f.images["sha256:x"] = "sha256:x", transfertest.Content{}
	f.instead["/images/get"] = archive(test.fill)
	s := f.open(t, engine.Options{}).Source(name)
	defer s.Close()
	_, err := s.Resolve(t.Context())
	if test.want == "" {
		must(t, err)
		read(t, s)
		return
	}
	if bad, ok := errors.AsType[*engine.SaveError](err); !ok || !strings.Contains(bad.Error(), test.want) {
		t.Errorf("got %v, want %q", err, test.want)
	}
}

func TestArchivesWhoseDocumentsAreWrongAreRefused(t *testing.T) {
	t.Parallel()
	for what, test := range map[string]archiveTest{
		"good":                       {docker(t, `[{"Config":"c.json","Layers":["l/layer.tar"]}]`), ""},
		"nothing":                    {func(*tar.Writer) {}, "empty"},
		"no manifest":                {func(w *tar.Writer) { put(w, "l/layer.tar", layerTar(t, "f", []byte("x"))) }, "no \"manifest.json\""},
		"manifest is no JSON":        {docker(t, `nonsense`), "cannot be read"},
		"config is broken JSON":      {docker(t, `[{"Config":"d.json","Layers":["l/layer.tar"]}]`, func(w *tar.Writer) { put(w, "d.json", []byte(`{"rootfs":[]`)) }), "config of the image cannot be read"},
		"manifest is broken":         {docker(t, `[{]`), "cannot be read"},
		"manifest of nothing":        {docker(t, `[]`), "holds no image"},
		"several, none of this name": {docker(t, `[{"Config":"x","RepoTags":["x:1"]},{"Config":"y","RepoTags":["y:1"]}]`), "holds 2 images"},
		"several, one of this name":  {docker(t, `[{"RepoTags":["x:1"]},{"Config":"c.json","RepoTags":["`+name+`"],"Layers":["l/layer.tar"]}]`), ""},
		"manifest too large":         {docker(t, "["+strings.Repeat(" ", 5<<20)+"]"), "not JSON of at most"},
		"config outside":             {docker(t, `[{"Config":"../../../../etc/passwd","Layers":["l/layer.tar"]}]`), "no \"../"},
		"layer outside":              {docker(t, `[{"Config":"c.json","Layers":["/etc/passwd"]}]`), "no layer \"/etc/passwd\""},
		"layer missing":              {docker(t, `[{"Config":"c.json","Layers":["x"]}]`), "no layer"},
		"fewer layers":               {docker(t, `[{"Config":"c.json","Layers":[]}]`), "names 1"},
		"config is no JSON":          {docker(t, `[{"Config":"l/layer.tar","Layers":["l/layer.tar"]}]`), "config of the image cannot be read"},
	} {
		t.Run(what, test.run)
	}
}

func TestArchivesWithHostileFilesAreRefused(t *testing.T) {
	t.Parallel()
	const right = `[{"Config":"c.json","Layers":["l/layer.tar"]}]`
	header := func(h tar.Header) func(*tar.Writer) { return func(w *tar.Writer) { _ = w.WriteHeader(&h) } }
	for what, test := range map[string]archiveTest{
		"name outside":   {docker(t, right, func(w *tar.Writer) { put(w, "../x", nil) }), "with the name"},
		"absolute name":  {docker(t, right, func(w *tar.Writer) { put(w, "/x", nil) }), "with the name"},
		"long name":      {docker(t, right, func(w *tar.Writer) { put(w, strings.Repeat("x/", 3000)+"x", nil) }), "with the name"},
		"twice":          {docker(t, right, func(w *tar.Writer) { put(w, "c.json", nil) }), "twice"},
		"hard link":      {docker(t, right, header(tar.Header{Typeflag: tar.TypeLink, Name: "x", Linkname: "/etc/passwd"})), "a link to"},
		"device":         {docker(t, right, header(tar.Header{Typeflag: tar.TypeBlock, Name: "x"})), "neither a file"},
		"fifo":           {docker(t, right, header(tar.Header{Typeflag: tar.TypeFifo, Name: "x"})), "neither a file"},
		"link outside":   {docker(t, `[{"Config":"c.json","Layers":["x"]}]`, header(tar.Header{Typeflag: tar.TypeSymlink, Name: "x", Linkname: "../../../../etc/passwd"})), "a link to"},
		"link to itself": {docker(t, `[{"Config":"c.json","Layers":["x"]}]`, header(tar.Header{Typeflag: tar.TypeSymlink, Name: "x", Linkname: "x"})), "no layer"},
		"link to a link": {docker(t, `[{"Config":"c.json","Layers":["y"]}]`,
			header(tar.Header{Typeflag: tar.TypeSymlink, Name: "x", Linkname: "l/layer.tar"}),
			header(tar.Header{Typeflag: tar.TypeSymlink, Name: "y", Linkname: "x"})), "no layer"},
		"link to the layer": {docker(t, `[{"Config":"c.json","Layers":["k/layer.tar"]}]`,
			header(tar.Header{Typeflag: tar.TypeSymlink, Name: "k/layer.tar", Linkname: "../l/layer.tar"})), ""},
		"layer came compressed": {docker(t, `[{"Config":"c.json","Layers":["z"]}]`, func(w *tar.Writer) { put(w, "z", gzipped(t, layerTar(t, "f", []byte("x")))) }), ""},
		"layer came as zstd":    {docker(t, `[{"Config":"c.json","Layers":["z"]}]`, func(w *tar.Writer) { put(w, "z", zstded(t, layerTar(t, "f", []byte("x")))) }), ""},
		"layer is bzip2":        {docker(t, `[{"Config":"c.json","Layers":["z"]}]`, func(w *tar.Writer) { put(w, "z", []byte("BZh91AYxxxx")) }), "compressed by bzip2"},
		"a layer that looks like JSON": {func(w *tar.Writer) {
			odd := []byte(`{"not a tar"}`)
			put(w, "l", odd)
			put(w, "c.json", config(transfertest.DescriptorOf("sha256", "", odd).Digest.String()))
			put(w, "manifest.json", []byte(`[{"Config":"c.json","Layers":["l"]}]`))
		}, ""},
		"unusable digest": {docker(t, `[{"Config":"d.json","Layers":["l/layer.tar"]}]`, func(w *tar.Writer) { put(w, "d.json", config("md5:0")) }), "usable digest"},
		"too many files": {docker(t, right, func(w *tar.Writer) {
			for i := range 1 << 16 {
				put(w, fmt.Sprint("f", i), nil)
			}
		}), "more than"},
	} {
		t.Run(what, test.run)
	}
}

func TestWrongLayerInAnArchiveIsADigestError(t *testing.T) {
	t.Parallel()
	f := newFake(t, false)
	f.names[name], f.images["sha256:x"] = "sha256:x", transfertest.Content{}
	want := hash(t, "sha256:"+strings.Repeat("0", 64))
	f.instead["/images/get"] = archive(func(w *tar.Writer) {
		put(w, "l", layerTar(t, "f", []byte("x")))
		put(w, "c.json", config(want.String()))
		put(w, "manifest.json", []byte(`[{"Config":"c.json","Layers":["l"]}]`))
	})
	s := f.open(t, engine.Options{}).Source(name)
	defer s.Close()
	_, err := s.Resolve(t.Context())
	if wrong, ok := errors.AsType[*transfer.DigestError](err); !ok || wrong.Want != want {
		t.Errorf("got %v", err)
	}
}

func TestArchiveThatBreaksOffIsAnErrorWithTheEnginesWords(t *testing.T) {
	t.Parallel()
	begin := func(w http.ResponseWriter) {
		t := tar.NewWriter(w)
		put(t, "a", make([]byte, 20_000))
		_ = t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "b", Size: 1 << 20})
		_, _ = t.Write(make([]byte, 700))
	}
	for what, test := range map[string]struct {
		answer func(http.ResponseWriter)
		want   string
	}{
		"error in the stream": {func(w http.ResponseWriter) {
			begin(w)
			_, _ = io.WriteString(w, `{"errorDetail":{"message":"no space\u001b[2J"},"error":"no space"}`+"\r\n")
		}, `no space\x1b[2J`},
		"end": {begin, "breaks off"},
		"hangs up": {func(w http.ResponseWriter) {
			begin(w)
			panic(http.ErrAbortHandler)
		}, "breaks off"},
		"no tar": {func(w http.ResponseWriter) { _, _ = io.WriteString(w, strings.Repeat("garbage ", 1000)) }, "no tar"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, false)
			f.names[name], f.images["sha256:x"] = "sha256:x", transfertest.Content{}
			f.instead["/images/get"] = func(w http.ResponseWriter, _ *http.Request) bool { test.answer(w); return true }
			s := f.open(t, engine.Options{}).Source(name)
			defer s.Close()
			_, err := s.Resolve(t.Context())
			if bad, ok := errors.AsType[*engine.SaveError](err); !ok || !strings.Contains(bad.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}
