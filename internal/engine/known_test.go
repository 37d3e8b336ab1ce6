package engine_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/engine"
	"github.com/vicr-cli/vicr/internal/memo"
	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

// load brings an image into the engine, which then has these names with a digest.
func (r *rig) load(t *testing.T, name string, src *remote, digests ...string) (id string) {
	t.Helper()
	_, err := transfer.Copy(t.Context(), src.Source, r.engine.Sink(name), transfer.Options{})
	must(t, err)
	r.mu.Lock()
	defer r.mu.Unlock()
	id = r.puller.names[name]
	if r.digests == nil {
		r.digests = map[string][]string{}
	}
	r.digests[id] = digests
	return id
}

// A catalog is a registry: what is opened there is noted.
type catalog struct {
	has    map[string]*transfertest.Source // by REPOSITORY@DIGEST
	opened []string
}

func (c *catalog) open(img ref.Image) transfer.Source {
	c.opened = append(c.opened, img.String())
	if src := c.has[img.Repository+"@"+img.Digest]; src != nil {
		return src
	}
	return &transfertest.Source{Content: transfertest.Content{}, Root: v1.Descriptor{Digest: mustHash("sha256:" + strings.Repeat("0", 64))}}
}

// What docker pulled from the registry, and the registry has there still, is put
// under another name without the engine: with the digest that it has.
func TestAPushOfWhatTheRegistryHas(t *testing.T) {
	t.Parallel()
	for what, test := range map[string]struct {
		where  string // HOST/REPOSITORY that the engine names
		other  bool   // what is there is another image
		index  bool
		gone   bool // its blobs are not given
		listed bool
		want   bool
	}{
		"elsewhere in it":     {"reg.test:5000/base/os", false, false, false, true, true},
		"in the repository":   {"reg.test:5000/demo/app", false, false, true, true, true},
		"in an index":         {"reg.test:5000/base/os", false, true, false, true, true},
		"another image":       {"reg.test:5000/base/os", true, false, false, true, false},
		"no blobs are given":  {"reg.test:5000/base/os", false, false, true, true, false},
		"it would be hidden":  {"reg.test:5000/base/os", false, false, false, false, false},
		"in another registry": {"other.test/base/os", false, false, false, true, false},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			r, c := newRig(t), transfertest.Content{}
			img := &remote{Source: &transfertest.Source{Root: realImage(t, c, transfertest.Amd64(), layerTar(t, "first", []byte("1"))), Content: c}}
			there := &transfertest.Source{Root: img.Root, Content: c}
			if test.other {
				there.Root = realImage(t, c, transfertest.Amd64(), layerTar(t, "other", []byte("2")))
			}
			if test.index {
				there.Root = c.Index(c.Image(transfertest.Arm64()), there.Root)
			}
			_, repo, _ := strings.Cut(test.where, "/")
			reg := &catalog{has: map[string]*transfertest.Source{repo + "@" + there.Root.Digest.String(): there}}
			r.load(t, relayed, img, test.where+"@"+there.Root.Digest.String())
			dst := &remote{Source: &transfertest.Source{Content: transfertest.Content{}}, others: map[string]transfertest.Content{}}
			if !test.gone {
				dst.others["base/os"] = c
			}
			relay := r.engine.Relay(engine.RelayOptions{Names: r.names, Blobs: r.blobs, Manifests: memo.OpenManifests(t.TempDir()), Open: reg.open})
			res, err := relay.Push(t.Context(), parse(t, relayed), dst, func(v1.Descriptor) bool { return test.listed }, nil, nil)
			must(t, err)
			r.mu.Lock()
			pushed := slices.Contains(r.calls, "POST /images/push")
			r.mu.Unlock()
			if pushed == test.want || test.want && (res.Root.Digest != img.Root.Digest || dst.Root.Digest != img.Root.Digest || res.Bytes != 0 || res.Reused == 0) {
				t.Errorf("the engine pushed: %v; %+v, the registry was asked %q", pushed, res, dst.take())
			}
			if strings.HasPrefix(test.where, "other.test") && len(reg.opened) > 0 {
				t.Errorf("asked for %q", reg.opened)
			}
			r.tidy(t, relayed)
		})
	}
}

// An engine that is elsewhere is to be saved: layers that it has of what it pulled
// from the registry are known then.
func TestTheLayersOfABaseAreKnown(t *testing.T) {
	t.Parallel()
	r, c := newRig(t), transfertest.Content{}
	r.deaf = true
	first, second := layerTar(t, "first", []byte("1")), layerTar(t, "second", []byte("2"))
	base := &remote{Source: &transfertest.Source{Root: realImage(t, c, transfertest.Amd64(), first), Content: c}}
	onBase := &remote{Source: &transfertest.Source{Root: realImage(t, c, transfertest.Amd64(), first, second), Content: c}}
	layers := memo.OpenLayers(t.TempDir())
	r.engine = r.open(t, engine.Options{Layers: layers})
	_, err := r.engine.Ping(t.Context())
	must(t, err)
	r.load(t, "reg.test:5000/base/os:1", base, "reg.test:5000/base/os@"+base.Root.Digest.String())
	r.load(t, relayed, onBase)
	var diffs []v1.Hash
	for _, one := range diffIDs(r.images[r.puller.names[relayed]][mustHash(r.puller.names[relayed])]) {
		diffs = append(diffs, mustHash(one))
	}
	layers = memo.OpenLayers(t.TempDir())
	r.engine = r.open(t, engine.Options{Layers: layers})
	_, err = r.engine.Ping(t.Context())
	must(t, err)
	reg := &catalog{has: map[string]*transfertest.Source{"base/os@" + base.Root.Digest.String(): base.Source}}
	dst := &remote{Source: &transfertest.Source{Content: transfertest.Content{}}}
	relay := r.engine.Relay(engine.RelayOptions{Names: r.names, Blobs: r.blobs, Manifests: memo.OpenManifests(t.TempDir()), Open: reg.open})
	if _, err := relay.Push(t.Context(), parse(t, relayed), dst, nil, nil, nil); !errors.Is(err, engine.ErrNoRelay) {
		t.Fatal(err)
	}
	blobs := layers.Blobs(diffs[0])
	if len(blobs) != 1 || len(layers.Blobs(diffs[1])) != 0 {
		t.Fatalf("%v, %v", blobs, layers.Blobs(diffs[1]))
	}
	if at := r.blobs.Repositories("reg.test:5000", blobs[0].Digest); !slices.Equal(at, []string{"base/os"}) {
		t.Errorf("it is known in %q", at)
	}
}
