//go:build e2e && linux

package engine_test

import (
	"encoding/json"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/vicr-cli/vicr/internal/engine"
	"github.com/vicr-cli/vicr/internal/testkit"
	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

// realEngine opens an engine that runs in a rig of its own.
func realEngine(t *testing.T) *engine.Engine {
	t.Helper()
	host := testkit.NewRig(t).Dockerd(t)
	e, err := engine.Open(host, engine.Options{Configured: true, Scratch: filepath.Join(t.TempDir(), "scratch")})
	must(t, err)
	t.Cleanup(func() { must(t, e.Close()) })
	info, err := e.Ping(t.Context())
	must(t, err)
	platform, err := e.Platform(t.Context())
	must(t, err)
	t.Logf("API %s, %s", info.APIVersion, platform)
	return e
}

func TestRealEngineTakesAndGivesBack(t *testing.T) {
	e := realEngine(t)
	const name = "192.0.2.2:5443/vicr-engine/app:1"
	src := app(t, 1)
	_, err := transfer.Copy(t.Context(), src, e.Sink(name), transfer.Options{})
	must(t, err)
	if n := src.LeftOpen(); n != 0 {
		t.Errorf("%d readers were left open", n)
	}

	first := e.Source(name)
	defer first.Close()
	res, out := read(t, first)
	var was, is v1.Manifest
	must(t, json.Unmarshal(src.Content[src.Root.Digest], &was))
	must(t, json.Unmarshal(out.Content[res.Root.Digest], &is))
	if is.Config.Digest != was.Config.Digest {
		t.Errorf("the config came back as %s, went in as %s", is.Config.Digest, was.Config.Digest)
	}
	in := transfer.Result{Root: src.Root}
	if got, want := layersOf(t, res, out), layersOf(t, in, &transfertest.Sink{Content: src.Content}); !slices.Equal(got, want) {
		t.Errorf("layers came back as %v, went in as %v", got, want)
	}
	if res.Root.MediaType == types.OCIManifestSchema1 && res.Root.Digest != src.Root.Digest {
		t.Errorf("an engine that keeps manifests gave back %s for %s", res.Root.Digest, src.Root.Digest)
	}

	const again = "192.0.2.2:5443/vicr-engine/again:2"
	must(t, e.Tag(t.Context(), name, again))
	second := e.Source(again)
	defer second.Close()
	if r, err := second.Resolve(t.Context()); err != nil || r.Digest != res.Root.Digest {
		t.Errorf("the second time it is %s (%v), the first %s", r.Digest, err, res.Root.Digest)
	}
	if err := e.Tag(t.Context(), "192.0.2.2:5443/vicr-engine/none:1", again); !errors.Is(err, transfer.ErrNotFound) {
		t.Errorf("tag of an image that is not there: %v", err)
	}
}

func TestRealEngineKeepsANameAfterAFailedLoad(t *testing.T) {
	e := realEngine(t)
	const name = "192.0.2.2:5443/vicr-engine/kept:1"
	_, err := transfer.Copy(t.Context(), app(t, 2), e.Sink(name), transfer.Options{})
	must(t, err)
	before := e.Source(name)
	defer before.Close()
	want, err := before.Resolve(t.Context())
	must(t, err)

	for what, src := range map[string]*transfertest.Source{"cut": app(t, 3), "wrong layer": wrongLayer(t)} {
		if what == "cut" {
			src.Fault = func(d v1.Descriptor, _ int64, r io.Reader) (io.Reader, error) {
				return transfertest.Cut(r, d.Size/2, io.ErrUnexpectedEOF), nil
			}
		}
		for _, n := range []string{name, "192.0.2.2:5443/vicr-engine/new:1"} {
			_, err := transfer.Copy(t.Context(), src, e.Sink(n), transfer.Options{})
			var refused *engine.LoadError
			if err == nil || (what == "wrong layer" && !errors.As(err, &refused)) {
				t.Errorf("%s as %s: %v", what, n, err)
			}
			t.Logf("%s: %v", what, err)
		}
		if has, err := e.Has(t.Context(), "192.0.2.2:5443/vicr-engine/new:1"); has || err != nil {
			t.Errorf("%s: a name was left behind (%v)", what, err)
		}
	}
	after := e.Source(name)
	defer after.Close()
	if got, err := after.Resolve(t.Context()); err != nil || got.Digest != want.Digest {
		t.Errorf("the name stands for %s (%v) instead of %s", got.Digest, err, want.Digest)
	}
}

// wrongLayer is an image whose config names another layer than it has: its
// digests are right, and the engine alone can see it.
func wrongLayer(t *testing.T) *transfertest.Source {
	t.Helper()
	src := app(t, 4)
	other := app(t, 5)
	var m, o v1.Manifest
	must(t, json.Unmarshal(src.Content[src.Root.Digest], &m))
	must(t, json.Unmarshal(other.Content[other.Root.Digest], &o))
	m.Layers[0] = o.Layers[0]
	src.Content[o.Layers[0].Digest] = other.Content[o.Layers[0].Digest]
	src.Root = src.Content.AddJSON(types.OCIManifestSchema1, m)
	return src
}

func TestRealEngineSaysThatAnImageIsMissing(t *testing.T) {
	e := realEngine(t)
	s := e.Source("192.0.2.2:5443/vicr-engine/none:1")
	defer s.Close()
	if _, err := s.Resolve(t.Context()); !errors.Is(err, transfer.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

// Nothing listens on port 1, so the engine does not get through.
func TestRealEngineCannotReachAClosedPort(t *testing.T) {
	e := realEngine(t)
	p, err := e.ProveTrust(t.Context(), "192.0.2.2:1")
	if err != nil || p.Verdict != engine.Unreachable {
		t.Errorf("%s: %q (%v)", p.Verdict, p.Message, err)
	}
}
