package engine_test

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/vicr-cli/vicr/internal/engine"
	"github.com/vicr-cli/vicr/internal/memo"
	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

// stacked is an image of layers that are known by a letter each.
func stacked(tb testing.TB, letters string) *transfertest.Source {
	tb.Helper()
	c := transfertest.Content{}
	var layers [][]byte
	for _, l := range letters {
		layers = append(layers, layerTar(tb, string(l), transfertest.Bytes(byte(l), 5000)))
	}
	return &transfertest.Source{Root: realImage(tb, c, transfertest.Amd64(), layers...), Content: c}
}

// layerBlobs are the layers of an image, from the lowest up.
func layerBlobs(tb testing.TB, src *transfertest.Source) []v1.Hash {
	tb.Helper()
	var m v1.Manifest
	must(tb, json.Unmarshal(src.Content[src.Root.Digest], &m))
	var all []v1.Hash
	for _, l := range m.Layers {
		all = append(all, l.Digest)
	}
	return all
}

// asked are the letters of the layers that were asked of a source.
func asked(tb testing.TB, src *transfertest.Source, letters string) string {
	tb.Helper()
	var got []byte
	for i, h := range layerBlobs(tb, src) {
		if slices.ContainsFunc(src.Opened(), func(o transfertest.Opening) bool { return o.Digest == h }) {
			got = append(got, letters[i])
		}
	}
	return string(got)
}

// kinds are engines that keep images in one way each, with nothing in them.
func kinds(tb testing.TB) map[string]*fake {
	tb.Helper()
	containerd, old, podman := newFake(tb, true), newFake(tb, true), newFake(tb, false)
	containerd.api, old.api, podman.podman = "1.51", "1.47", true
	return map[string]*fake{"unpacked": newFake(tb, false), "containerd": containerd, "containerd before 28": old, "podman": podman}
}

func TestOnlyLayersThatTheEngineLacksAreAskedFor(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		there, pulled string
		want          map[string]string // "": the same for all
	}{
		{"abc", "abcd", map[string]string{"": "d"}},
		{"abc", "ab", map[string]string{"": ""}},
		{"a", "xyz", map[string]string{"": "xyz"}},
		// What lies on other layers is another thing where layers are unpacked.
		{"abc", "xbc", map[string]string{"unpacked": "xbc", "": "x"}},
		{"aba", "abb", map[string]string{"unpacked": "b", "": ""}},
	} {
		for kind, f := range kinds(t) {
			t.Run(test.pulled+" on "+test.there+", "+kind, func(t *testing.T) {
				t.Parallel()
				e := f.open(t, engine.Options{})
				must(t, put1(t, e, "registry.example/base:1", stacked(t, test.there)))
				src := stacked(t, test.pulled)
				var moved transfer.Result
				moved, err := transfer.Copy(t.Context(), src, e.Sink(name), transfer.Options{})
				must(t, err)
				want, ok := test.want[kind]
				if !ok {
					want = test.want[""]
				}
				if kind == "containerd before 28" {
					want = test.pulled // it cannot be asked whether all is there
				}
				got := asked(t, src, test.pulled)
				if uniq(got) != uniq(want) {
					t.Errorf("asked for %q, want %q", got, want)
				}
				if f.names[name] == "" || moved.Root.Digest != src.Root.Digest {
					t.Errorf("the names are %v", f.names)
				}
				for _, h := range layerBlobs(t, src) {
					if f.images[f.names[name]][h] == nil {
						t.Errorf("the engine lacks %s", h)
					}
				}
			})
		}
	}
}

func uniq(s string) string {
	b := []byte(s)
	slices.Sort(b)
	return string(slices.Compact(b))
}

func loads(f *fake) int {
	n := 0
	for _, c := range f.calls {
		if strings.HasSuffix(c, "/images/load") {
			n++
		}
	}
	return n
}

func TestImageThatTheEngineHasIsOnlyNamed(t *testing.T) {
	t.Parallel()
	for kind, f := range kinds(t) {
		if kind == "containerd before 28" {
			continue // it cannot be asked whether all is there
		}
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			e := f.open(t, engine.Options{})
			must(t, put1(t, e, "registry.example/base:1", stacked(t, "ab")))
			for _, as := range []string{name, name, "registry.example/app@sha256:" + strings.Repeat("0", 64)} {
				src := stacked(t, "ab")
				events := map[transfer.Stage]int{}
				moved, err := transfer.Copy(t.Context(), src, e.Sink(as), transfer.Options{Jobs: 1, OnEvent: func(e transfer.Event) { events[e.Stage]++ }})
				must(t, err)
				if n := len(src.Opened()); n != 0 {
					t.Errorf("%d blobs were asked for", n)
				}
				if moved.Bytes != 0 || events[transfer.Existed] != 3 {
					t.Errorf("%d bytes moved, %v", moved.Bytes, events)
				}
			}
			if loads(f) != 1 || f.names[name] != f.names["registry.example/base:1"] {
				t.Errorf("%d loads, names %v", loads(f), f.names)
			}
		})
	}
}

// What vanishes between the question and the load is sent after all.
func TestImageIsLoadedWholeWhenALayerHasVanished(t *testing.T) {
	t.Parallel()
	for _, before := range []string{"", "sha256:old"} {
		for kind, f := range kinds(t) {
			t.Run(kind+", before "+before, func(t *testing.T) {
				t.Parallel()
				e := f.open(t, engine.Options{})
				must(t, put1(t, e, "registry.example/base:1", stacked(t, "ab")))
				if before != "" {
					f.names[name], f.images[before] = before, transfertest.Content{}
				}
				f.instead["/images/load"] = func(http.ResponseWriter, *http.Request) bool {
					f.mu.Lock()
					defer f.mu.Unlock()
					base := f.names["registry.example/base:1"]
					delete(f.names, "registry.example/base:1")
					delete(f.images, base)
					delete(f.roots, base)
					return false
				}
				src := stacked(t, "abc")
				moved, err := transfer.Copy(t.Context(), src, e.Sink(name), transfer.Options{})
				must(t, err)
				if got := uniq(asked(t, src, "abc")); got != "abc" {
					t.Errorf("asked for %q", got)
				}
				var size int64
				for h, data := range src.Content {
					if h != src.Root.Digest {
						size += int64(len(data))
					}
				}
				if moved.Bytes != size || moved.Reused != 0 {
					t.Errorf("%d bytes moved, %d reused, of %d", moved.Bytes, moved.Reused, size)
				}
				if id := f.names[name]; id == "" || id == before || len(f.images[id]) != len(src.Content) {
					t.Errorf("the names are %v", f.names)
				}
			})
		}
	}
}

// A layer may lie in the engine under another digest than the image has it.
func TestLayerThatWasCompressedInAnotherWayIsSent(t *testing.T) {
	t.Parallel()
	for kind, f := range kinds(t) {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			e := f.open(t, engine.Options{})
			plain := layerTar(t, "f", transfertest.Bytes(1, 5000))
			c := transfertest.Content{}
			must(t, put1(t, e, "registry.example/base:1", &transfertest.Source{Root: realImage(t, c, transfertest.Amd64(), plain), Content: c}))
			other := transfertest.Content{}
			top := layerTar(t, "g", []byte("top"))
			root := realImage(t, other, transfertest.Amd64(), plain, top)
			var m v1.Manifest
			must(t, json.Unmarshal(other[root.Digest], &m))
			delete(other, m.Layers[0].Digest)
			m.Layers[0] = other.Add(types.OCILayer, append(gzipped(t, plain[:512]), gzipped(t, plain[512:])...))
			root = other.AddJSON(types.OCIManifestSchema1, m)
			must(t, put1(t, e, name, &transfertest.Source{Root: root, Content: other}))
			if f.names[name] == "" || f.keeps && f.images[f.names[name]][m.Layers[0].Digest] == nil {
				t.Errorf("the names are %v", f.names)
			}
			if kind == "unpacked" && loads(f) != 2 {
				t.Errorf("%d loads", loads(f))
			}
		})
	}
}

func TestEngineThatDoesNotSayWhatItHasGetsAll(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/images/json", "/info", "/version"} {
		f := newFake(t, false)
		e := f.open(t, engine.Options{})
		must(t, put1(t, e, "registry.example/base:1", stacked(t, "ab")))
		f.instead[path] = func(w http.ResponseWriter, _ *http.Request) bool {
			refuse(w, http.StatusForbidden, "not allowed")
			return true
		}
		src := stacked(t, "abc")
		must(t, put1(t, e, name, src))
		if got := uniq(asked(t, src, "abc")); got != "abc" {
			t.Errorf("%s: asked for %q", path, got)
		}
	}
}

// Of what the engine had before, nobody has seen that blob and layer are one.
func TestLayersAreRememberedWhenTheEngineHasUnpackedThem(t *testing.T) {
	t.Parallel()
	f := newFake(t, false)
	dir := t.TempDir()
	forgetful := f.open(t, engine.Options{})
	must(t, put1(t, forgetful, "registry.example/base:1", stacked(t, "ab")))
	e := f.open(t, engine.Options{Layers: memo.OpenLayers(dir), Manifests: memo.OpenManifests(dir)})
	src := stacked(t, "abc")
	must(t, put1(t, e, name, src))
	ids := f.inspect(f.names[name])["RootFS"].(map[string]any)["Layers"].([]string)
	for i, id := range ids {
		got := memo.OpenLayers(dir).Blobs(hash(t, id))
		if want := i == 2; (len(got) == 1 && got[0].Digest == layerBlobs(t, src)[i]) != want {
			t.Errorf("layer %d is remembered as %v", i, got)
		}
	}
	if got := memo.OpenManifests(dir).Of(f.names[name]); got != nil {
		t.Errorf("the image is remembered as %v, two layers of which were not seen", got)
	}
	seen := stacked(t, "xyz")
	must(t, put1(t, e, name, seen))
	if got := memo.OpenManifests(dir).Of(f.names[name]); len(got) != 1 || got[0].Digest != seen.Root.Digest {
		t.Errorf("the image is remembered as %v", got)
	}
}

// The second failure is the one that is told, and the name stays as it was.
func TestLoadThatFailsWholeToo(t *testing.T) {
	t.Parallel()
	f := newFake(t, false)
	e := f.open(t, engine.Options{})
	must(t, put1(t, e, "registry.example/base:1", stacked(t, "ab")))
	n := 0
	f.instead["/images/load"] = func(w http.ResponseWriter, r *http.Request) bool {
		n++
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, `{"error":"no space `+strings.Repeat("!", n)+`"}`)
		return true
	}
	err := put1(t, e, name, stacked(t, "abc"))
	if err == nil || n != 2 || !strings.Contains(err.Error(), "no space !!") || f.names[name] != "" {
		t.Errorf("%d loads, got %v", n, err)
	}
}
