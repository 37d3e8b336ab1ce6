package engine_test

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/engine"
	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

func containerd(t *testing.T) *fake {
	t.Helper()
	f := newFake(t, true)
	f.api = "1.51"
	return f
}

// lose takes a blob away from all images.
func (f *fake) lose(h v1.Hash) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.images {
		delete(c, h)
	}
}

// An engine may say that all went well and lack a layer.
func TestALoadOfAPartIsAnError(t *testing.T) {
	t.Parallel()
	f, src := containerd(t), stacked(t, "ab")
	f.instead["/images/load"] = func(w http.ResponseWriter, r *http.Request) bool {
		f.load(httptest.NewRecorder(), r)
		f.lose(layerBlobs(t, src)[1])
		_, _ = w.Write([]byte(`{"stream":"Loaded image"}`))
		return true
	}
	err := put1(t, f.open(t, engine.Options{}), name, src)
	if bad, ok := errors.AsType[*engine.LoadError](err); !ok || !strings.Contains(bad.Error(), "lacks a part") {
		t.Errorf("got %v", err)
	}
	if id := f.names[name]; id != "" {
		t.Errorf("it is called %s", id)
	}
}

// An engine may have an image's manifest and not all that it names.
func TestAnImageOfWhichALayerIsGoneIsLoaded(t *testing.T) {
	t.Parallel()
	f, src := containerd(t), stacked(t, "ab")
	e := f.open(t, engine.Options{})
	must(t, put1(t, e, "registry.example/base:1", src))
	gone := layerBlobs(t, src)[1]
	f.lose(gone)
	again := stacked(t, "ab")
	must(t, put1(t, e, name, again))
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.blob(gone) == nil || f.names[name] != src.Root.Digest.String() {
		t.Errorf("the layer is not there; %d loads, names %v", loads(f), f.names)
	}
}

// What an engine tells of an ID may be about another image.
func TestAnotherImageUnderTheIDIsNotTheImage(t *testing.T) {
	t.Parallel()
	r, src := newRig(t), inIndex(t)
	other := stacked(t, "ab")
	_, err := transfer.Copy(t.Context(), other, r.engine.Sink("registry.example/other:1"), transfer.Options{})
	must(t, err)
	var m v1.Manifest
	child := imagesBelow(src.Content, src.Root)[0]
	must(t, json.Unmarshal(src.Content[child.Digest], &m))
	r.mu.Lock()
	r.puller.names[m.Config.Digest.String()] = r.puller.names["registry.example/other:1"]
	r.mu.Unlock()
	res, err := r.pull(t, src, nil)
	must(t, err)
	r.mu.Lock()
	defer r.mu.Unlock()
	if got := r.puller.names[relayed]; got != m.Config.Digest.String() || res.Bytes == 0 {
		t.Errorf("its name stands for %s, want %s; %+v", got, m.Config.Digest, res)
	}
}

// Of small layers that come as gzip the one with the right content is taken.
func TestASmallGzipLayerIsHeldAgainstItsDiffID(t *testing.T) {
	t.Parallel()
	small := layerTar(t, "f", []byte("x"))
	conf := config(sum(string(small)))
	var out transfertest.StreamSink
	res, err := poursArchive(t, sum(string(conf)), nil, func(w *tar.Writer) {
		const decoys = 30
		for n := range decoys {
			put(w, fmt.Sprintf("d%d", n), gzipped(t, layerTar(t, "f", []byte{byte(n)})))
		}
		put(w, "a", gzipped(t, small))
		put(w, "c", conf)
	}, &out)
	must(t, err)
	whole(t, res, &out.Sink)
}

// A file may stand twice in no archive, large or small, whichever way it is read.
func TestPouredFilesThatComeTwiceAreRefused(t *testing.T) {
	t.Parallel()
	large, little := transfertest.Bytes(3, 300_000), []byte("little")
	for kind, keeps := range map[string]bool{"unpacked": false, "as it came": true} {
		for size, data := range map[string][]byte{"large": large, "small": little} {
			t.Run(kind+", "+size, func(t *testing.T) {
				t.Parallel()
				f := newFake(t, keeps)
				id := sum("image")
				f.names[name], f.images[id] = id, transfertest.Content{}
				f.instead["/images/get"] = archive(func(w *tar.Writer) {
					put(w, "blobs/sha256/"+strings.TrimPrefix(sum(string(data)), "sha256:"), data)
					put(w, "blobs/sha256/"+strings.TrimPrefix(sum(string(data)), "sha256:"), data)
				})
				var out transfertest.StreamSink
				_, err := pour(t, f.open(t, engine.Options{}), &out)
				if bad, ok := errors.AsType[*engine.SaveError](err); !ok || !strings.Contains(bad.Error(), "twice") || out.Committed() != nil {
					t.Errorf("got %v", err)
				}
			})
		}
	}
}

// What a relay has pushed costs one request the next time, and its blobs are known.
func TestARelayedPushIsRemembered(t *testing.T) {
	t.Parallel()
	r, src := newRig(t), stacked(t, "ab")
	_, err := transfer.Copy(t.Context(), src, r.engine.Sink(relayed), transfer.Options{})
	must(t, err)
	dst := &remote{Source: &transfertest.Source{Content: transfertest.Content{}}}
	_, err = r.relay.Push(t.Context(), parse(t, relayed), dst, nil, nil, nil)
	must(t, err)
	if asked := dst.take(); !slices.Contains(asked, "upload") {
		t.Fatalf("the registry was asked %q", asked)
	}
	_, err = r.relay.Push(t.Context(), parse(t, relayed), dst, nil, nil, nil)
	must(t, err)
	if asked := dst.take(); !slices.Equal(asked, []string{"head"}) {
		t.Errorf("the second time the registry was asked %q", asked)
	}
	for _, l := range layerBlobs(t, src) {
		if at := r.blobs.Repositories("reg.test:5000", l); !slices.Equal(at, []string{"demo/app"}) {
			t.Errorf("%s is known in %q", l, at)
		}
	}
}
