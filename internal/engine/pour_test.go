package engine_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/engine"
	"github.com/vicr-cli/vicr/internal/memo"
	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

// large is an image with layers that are too large to be held, and one that is not.
func large(tb testing.TB, letters string) *transfertest.Source {
	tb.Helper()
	c := transfertest.Content{}
	layers := [][]byte{layerTar(tb, "small", []byte("x"))}
	for _, l := range letters {
		layers = append(layers, layerTar(tb, string(l), transfertest.Bytes(byte(l), 300_000)))
	}
	return &transfertest.Source{Root: realImage(tb, c, transfertest.Amd64(), layers...), Content: c}
}

// remembering opens an engine with a memo of its own, and says where its scratch
// files would be.
func remembering(tb testing.TB, f *fake) (e *engine.Engine, layers *memo.Layers, scratch string) {
	tb.Helper()
	dir, scratch := tb.TempDir(), filepath.Join(tb.TempDir(), "scratch")
	o := engine.Options{Layers: memo.OpenLayers(dir), Manifests: memo.OpenManifests(dir), Scratch: scratch}
	return f.open(tb, o), o.Layers, scratch
}

func pour(tb testing.TB, e *engine.Engine, out transfer.Sink) (transfer.Result, error) {
	tb.Helper()
	s := e.Source(name)
	defer s.Close()
	return transfer.Copy(tb.Context(), s, out, transfer.Options{})
}

func saves(f *fake) int {
	n := 0
	for _, c := range f.calls {
		if strings.HasSuffix(c, "/images/get") {
			n++
		}
	}
	return n
}

// An image is the same by either road, and the one that pours needs no disk.
func TestPouredImageIsTheOneThatIsSpooled(t *testing.T) {
	t.Parallel()
	index := func() *transfertest.Source {
		c := transfertest.Content{}
		one := layerTar(t, "f", transfertest.Bytes(1, 300_000))
		two := layerTar(t, "f", transfertest.Bytes(2, 300_000))
		return &transfertest.Source{
			Root:    c.Index(realImage(t, c, transfertest.Amd64(), one), realImage(t, c, transfertest.Arm64(), two)),
			Content: c,
		}
	}
	for what, test := range map[string]struct {
		src   *transfertest.Source
		keeps bool
	}{
		"unpacked, small":      {stacked(t, "abc"), false},
		"unpacked, large":      {large(t, "abc"), false},
		"unpacked, one twice":  {app(t, 1), false},
		"containerd, small":    {stacked(t, "abc"), true},
		"containerd, large":    {large(t, "abc"), true},
		"containerd, an index": {index(), true},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, test.keeps)
			must(t, put1(t, f.open(t, engine.Options{}), name, test.src))
			s := f.open(t, engine.Options{}).Source(name)
			defer s.Close()
			want, spooled := read(t, s)

			e, _, scratch := remembering(t, f)
			var out transfertest.StreamSink
			got, err := pour(t, e, &out)
			must(t, err)
			if got.Root.Digest != want.Root.Digest || got.Bytes != want.Bytes {
				t.Errorf("got %s and %d bytes, want %s and %d", got.Root.Digest, got.Bytes, want.Root.Digest, want.Bytes)
			}
			if len(out.Content) != len(spooled.Content) {
				t.Errorf("%d blobs and manifests came, want %d", len(out.Content), len(spooled.Content))
			}
			if large := !strings.HasSuffix(what, "small"); (len(out.Streamed()) > 0) != large {
				t.Errorf("%d blobs were streamed", len(out.Streamed()))
			}
			if _, err := os.Stat(scratch); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("something was written to disk: %v", err)
			}
		})
	}
}

// The digests of layers hang on these bytes, by either road.
func TestPouredCompressionStaysTheSame(t *testing.T) {
	t.Parallel()
	f := newFake(t, false)
	e := f.open(t, engine.Options{})
	c := transfertest.Content{}
	text := bytes.Repeat([]byte("the same bytes every time\n"), 100_000)
	must(t, put1(t, e, name, &transfertest.Source{Root: realImage(t, c, transfertest.Amd64(), layerTar(t, "text", text)), Content: c}))
	got, err := pour(t, e, &transfertest.StreamSink{})
	must(t, err)
	const want = "sha256:884f31d5716a24d80831f8fe3b572555fe86455b2db3957d80bedbf45ece9dcd"
	if got.Root.Digest.String() != want {
		t.Errorf("the manifest is %s, it used to be %s", got.Root.Digest, want)
	}
}

// What is known of an image, and what the sink has of it, says how much is read.
func TestLayersThatAreKnownAreNeitherCompressedNorSent(t *testing.T) {
	t.Parallel()
	f := newFake(t, false)
	e, _, _ := remembering(t, f)
	must(t, put1(t, f.open(t, engine.Options{}), name, large(t, "ab")))
	var first transfertest.StreamSink
	base, err := pour(t, e, &first)
	must(t, err)

	t.Run("all of them, and the config", func(t *testing.T) { //nolint:paralleltest // one after the other
		before := saves(f)
		next := &transfertest.StreamSink{Sink: transfertest.Sink{Content: blobsOf(&first, base)}}
		got, err := pour(t, e, next)
		must(t, err)
		if saves(f) != before || got.Bytes != 0 || got.Root.Digest != base.Root.Digest {
			t.Errorf("%d saves, %d bytes, %s instead of %s", saves(f)-before, got.Bytes, got.Root.Digest, base.Root.Digest)
		}
	})
	t.Run("those below a new one", func(t *testing.T) { //nolint:paralleltest // see above
		must(t, put1(t, f.open(t, engine.Options{}), name, large(t, "abc")))
		next := &transfertest.StreamSink{Sink: transfertest.Sink{Content: blobsOf(&first, base)}}
		got, err := pour(t, e, next)
		must(t, err)
		if n := next.Streamed(); len(n) != 1 || got.Reused == 0 {
			t.Errorf("%v were streamed", n)
		}
		whole(t, got, &next.Sink)
	})
	t.Run("none, at another registry", func(t *testing.T) { //nolint:paralleltest // see above
		var next transfertest.StreamSink
		got, err := pour(t, e, &next)
		must(t, err)
		if n := len(next.Streamed()); n != 3 {
			t.Errorf("%d were streamed", n)
		}
		whole(t, got, &next.Sink)
	})
}

// blobsOf is what a sink holds but the manifest.
func blobsOf(s *transfertest.StreamSink, res transfer.Result) transfertest.Content {
	c := transfertest.Content{}
	for h, data := range s.Content {
		if h != res.Root.Digest {
			c[h] = data
		}
	}
	return c
}

// whole holds the layers of an image against its config.
func whole(t *testing.T, res transfer.Result, out *transfertest.Sink) {
	t.Helper()
	var ids []string
	for _, h := range layersOf(t, res, out) {
		ids = append(ids, h.String())
	}
	for h, data := range out.Content {
		if want := diffIDs(data); h != res.Root.Digest && len(want) > 0 && slices.Equal(ids, want) {
			return
		}
	}
	t.Errorf("no config has the layers %v", ids)
}

// A Holder says that it has the image: nothing else is asked.
func TestImageThatWasPushedIsNotRead(t *testing.T) {
	t.Parallel()
	for _, keeps := range []bool{false, true} {
		f := newFake(t, keeps)
		e, _, _ := remembering(t, f)
		must(t, put1(t, f.open(t, engine.Options{}), name, large(t, "ab")))
		base, err := pour(t, e, &transfertest.StreamSink{})
		must(t, err)
		before := saves(f)
		sink := &holder{root: base.Root.Digest}
		got, err := pour(t, e, sink)
		must(t, err)
		if saves(f) != before || len(sink.Content) != 0 || got.Root.Digest != base.Root.Digest || got.Resolved.Digest != base.Root.Digest {
			t.Errorf("%d saves, %v, %v", saves(f)-before, got, sink.Content)
		}
	}
}

type holder struct {
	transfertest.StreamSink
	root v1.Hash
}

func (h *holder) Holds(_ context.Context, root v1.Descriptor) (bool, error) {
	return root.Digest == h.root, nil
}

func poursArchive(t *testing.T, id string, layers *memo.Layers, fill func(*tar.Writer), out transfer.Sink) (transfer.Result, error) {
	t.Helper()
	f := newFake(t, false)
	f.names[name], f.images[id] = id, transfertest.Content{}
	f.instead["/images/get"] = archive(fill)
	s := f.open(t, engine.Options{Layers: layers}).Source(name)
	defer s.Close()
	return transfer.Copy(t.Context(), s, out, transfer.Options{})
}

func TestPouredArchivesWithHostileFilesAreRefused(t *testing.T) {
	t.Parallel()
	small, big := layerTar(t, "f", []byte("x")), layerTar(t, "g", transfertest.Bytes(3, 300_000))
	conf := config(sum(string(small)), sum(string(big)))
	id := sum(string(conf))
	none := sum("none")
	other := config(none)
	for what, test := range map[string]struct {
		id   string
		fill func(*tar.Writer)
		want string
	}{
		"good":          {id, func(w *tar.Writer) { put(w, "x", conf); put(w, "a", small); put(w, "b", big) }, ""},
		"came as gzip":  {id, func(w *tar.Writer) { put(w, "a", gzipped(t, small)); put(w, "b", gzipped(t, big)); put(w, "x", conf) }, ""},
		"no config":     {id, func(w *tar.Writer) { put(w, "a", small); put(w, "b", big) }, "no config " + id},
		"no layer":      {id, func(w *tar.Writer) { put(w, "x", conf); put(w, "b", big) }, "no layer " + sum(string(small))},
		"wrong layer":   {sum(string(other)), func(w *tar.Writer) { put(w, "x", other); put(w, "b", big) }, "came as"},
		"came as zstd":  {id, func(w *tar.Writer) { put(w, "a", zstded(t, small)); put(w, "b", zstded(t, big)); put(w, "x", conf) }, ""},
		"bzip2":         {id, func(w *tar.Writer) { put(w, "z", append([]byte("BZh"), make([]byte, 100_000)...)) }, "compressed by bzip2"},
		"twice":         {id, func(w *tar.Writer) { put(w, "x", conf); put(w, "x", conf) }, "twice"},
		"outside":       {id, func(w *tar.Writer) { put(w, "../x", conf) }, "with the name"},
		"device":        {id, func(w *tar.Writer) { _ = w.WriteHeader(&tar.Header{Typeflag: tar.TypeBlock, Name: "x"}) }, "neither a file"},
		"no usable":     {sum(string(config("md5:0"))), func(w *tar.Writer) { put(w, "x", config("md5:0")) }, "usable digest"},
		"broken config": {sum(`{"rootfs":[]}`), func(w *tar.Writer) { put(w, "x", []byte(`{"rootfs":[]}`)) }, "cannot be read"},
		"too much that is small": {id, func(w *tar.Writer) {
			for i := range 600 {
				put(w, "f"+strings.Repeat("x", i), make([]byte, 60_000))
			}
		}, "small files"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			var out transfertest.StreamSink
			res, err := poursArchive(t, test.id, nil, test.fill, &out)
			if test.want == "" {
				must(t, err)
				whole(t, res, &out.Sink)
				return
			}
			_, bad := errors.AsType[*engine.SaveError](err)
			_, wrong := errors.AsType[*transfer.DigestError](err)
			if (!bad && !wrong) || !strings.Contains(err.Error(), test.want) || out.Committed() != nil {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

// A file that is called after another layer is found out, and leads to nothing.
func TestLayerUnderAWrongNameGivesNoWrongImage(t *testing.T) {
	t.Parallel()
	one, two := layerTar(t, "one", transfertest.Bytes(1, 300_000)), layerTar(t, "two", transfertest.Bytes(2, 300_000))
	conf := config(sum(string(one)), sum(string(two)))
	layers := memo.OpenLayers(t.TempDir())
	out := transfertest.StreamSink{Sink: transfertest.Sink{Content: transfertest.Content{}}}
	known := out.Content.Layer(gzipped(t, one))
	must(t, layers.Add(map[v1.Hash]v1.Descriptor{hash(t, sum(string(one))): known}))
	f := newFake(t, false)
	id := sum(string(conf))
	f.names[name], f.images[id] = id, transfertest.Content{}
	f.instead["/images/"+name+"/json"] = func(w http.ResponseWriter, _ *http.Request) bool {
		_, _ = io.WriteString(w, `{"Id":"`+id+`","RootFS":{"Layers":["`+sum(string(one))+`","`+sum(string(two))+`"]}}`)
		return true
	}
	f.instead["/images/get"] = archive(func(w *tar.Writer) {
		put(w, "blobs/sha256/"+strings.TrimPrefix(sum(string(one)), "sha256:"), two)
		put(w, "c", conf)
	})
	_, err := pour(t, f.open(t, engine.Options{Layers: layers}), &out)
	if _, bad := errors.AsType[*engine.SaveError](err); !bad || out.Committed() != nil {
		t.Errorf("got %v", err)
	}
}
