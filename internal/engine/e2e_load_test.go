//go:build e2e && linux

package engine_test

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/moby/moby/client"

	"github.com/vicr-cli/vicr/internal/engine"
	"github.com/vicr-cli/vicr/internal/memo"
	"github.com/vicr-cli/vicr/internal/testkit"
	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

// A realKind is an engine that keeps images in a way of its own.
type realKind struct {
	host  func(*testkit.Rig) string
	start func(*testing.T, *testkit.Rig) *testkit.Process
}

func realKinds() map[string]realKind {
	dockerHost := func(r *testkit.Rig) string { return r.DockerHost() }
	return map[string]realKind{
		"docker 20.10": {dockerHost, func(t *testing.T, r *testkit.Rig) *testkit.Process {
			t.Helper()
			return r.StartDockerd(t, testkit.Dockerd{})
		}},
		"newest docker": {dockerHost, func(t *testing.T, r *testkit.Rig) *testkit.Process {
			t.Helper()
			return r.StartDockerd(t, testkit.NewestDockerd(t))
		}},
		"podman": {
			func(r *testkit.Rig) string { return "unix://" + r.Etc("/run/podman/podman.sock") },
			func(t *testing.T, r *testkit.Rig) *testkit.Process {
				t.Helper()
				p, _ := r.PodmanService(t)
				return p
			},
		},
	}
}

// onEach runs a test on each kind of engine, one after the other.
func onEach(t *testing.T, test func(t *testing.T, e *engine.Engine, p *process)) {
	t.Helper()
	for kind, k := range realKinds() {
		t.Run(kind, func(t *testing.T) {
			r := testkit.NewRig(t)
			p := &process{kind: kind, host: k.host(r), start: func() *testkit.Process { return k.start(t, r) }}
			p.Process = p.start()
			e, err := engine.Open(p.host, engine.Options{Configured: true, Scratch: filepath.Join(t.TempDir(), "scratch")})
			must(t, err)
			t.Cleanup(func() { must(t, e.Close()) })
			_, err = e.Ping(t.Context())
			must(t, err)
			p.api, err = client.New(client.WithHost(p.host))
			must(t, err)
			t.Cleanup(func() { p.api.Close() })
			test(t, e, p)
		})
	}
}

// A process is a real engine, and a second way to talk to it.
type process struct {
	*testkit.Process
	kind, host string
	start      func() *testkit.Process
	api        *client.Client
}

// TestRealEnginesGiveTheSameInOnePass has layers too large to be held, and what
// is known of them is not read.
func TestRealEnginesGiveTheSameInOnePass(t *testing.T) {
	onEach(t, func(t *testing.T, e *engine.Engine, p *process) {
		t.Helper()
		must(t, put1(t, e, realApp, large(t, "abcd")))
		p.wants(t, e, realApp, large(t, "abcd"))

		dir := t.TempDir()
		open := func() *engine.Engine {
			o := engine.Options{Configured: true, Layers: memo.OpenLayers(dir), Manifests: memo.OpenManifests(dir)}
			e, err := engine.Open(p.host, o)
			must(t, err)
			t.Cleanup(func() { must(t, e.Close()) })
			return e
		}
		pushed := func(name string, sink *transfertest.StreamSink) transfer.Result {
			s := open().Source(name)
			defer s.Close()
			res, err := transfer.Copy(t.Context(), s, sink, transfer.Options{})
			must(t, err)
			return res
		}
		var first transfertest.StreamSink
		base := pushed(realApp, &first)
		must(t, put1(t, e, realBase, large(t, "abcde")))
		next := &transfertest.StreamSink{Sink: transfertest.Sink{Content: blobsOf(&first, base)}}
		res := pushed(realBase, next)
		if n := next.Streamed(); len(n) != 1 {
			t.Errorf("%d layers were sent, of which one is new", len(n))
		}
		if p.kind != "newest docker" {
			whole(t, res, &next.Sink)
		}
	})
}

// remove takes an image away by its name.
func (p *process) remove(t *testing.T, name string) {
	t.Helper()
	_, err := p.api.ImageRemove(t.Context(), name, client.ImageRemoveOptions{Force: true, PruneChildren: true})
	must(t, err)
}

// wants holds what the engine says of an image against src, and gets all of it out.
func (p *process) wants(t *testing.T, e *engine.Engine, name string, src *transfertest.Source) {
	t.Helper()
	i, err := p.api.ImageInspect(t.Context(), name)
	must(t, err)
	s := e.Source(name)
	defer s.Close()
	res, out := read(t, s)
	got := layersOf(t, res, out)
	want := layersOf(t, transfer.Result{Root: src.Root}, &transfertest.Sink{Content: src.Content})
	if len(got) != len(want) || len(i.RootFS.Layers) != len(want) {
		t.Fatalf("the engine says %v and gave out %v, want %v", i.RootFS.Layers, got, want)
	}
	for n := range want {
		if got[n] != want[n] || i.RootFS.Layers[n] != want[n].String() {
			t.Errorf("the engine says %v and gave out %v, want %v", i.RootFS.Layers, got, want)
		}
	}
	var poured transfertest.StreamSink
	once := e.Source(name)
	defer once.Close()
	again, err := transfer.Copy(t.Context(), once, &poured, transfer.Options{})
	must(t, err)
	if again.Root.Digest != res.Root.Digest || len(poured.Content) != len(out.Content) {
		t.Errorf("in one pass it is %s, else %s", again.Root.Digest, res.Root.Digest)
	}
	if p.kind == "newest docker" && res.Root.Digest != src.Root.Digest {
		t.Errorf("it keeps manifests, and gave back %s for %s", res.Root.Digest, src.Root.Digest)
	}
}

const realBase, realApp = "192.0.2.2:5443/vicr-engine/base:1", "192.0.2.2:5443/vicr-engine/app:1"

func TestRealEngineIsSentOnlyWhatItLacks(t *testing.T) {
	onEach(t, func(t *testing.T, e *engine.Engine, p *process) {
		t.Helper()
		must(t, put1(t, e, realBase, stacked(t, "abc")))
		src := stacked(t, "abcd")
		must(t, put1(t, e, realApp, src))
		if got := asked(t, src, "abcd"); got != "d" {
			t.Errorf("asked for the layers %q", got)
		}
		p.wants(t, e, realApp, src)
		p.remove(t, realBase)
		p.wants(t, e, realApp, src)

		again := stacked(t, "abcd")
		must(t, put1(t, e, realBase, again))
		if got := asked(t, again, "abcd"); got != "" {
			t.Errorf("asked for the layers %q of what was there", got)
		}
		p.wants(t, e, realBase, again)
	})
}

// The base goes away after the engine said that it has it.
func TestRealEngineGetsAllWhenTheBaseIsRemoved(t *testing.T) {
	onEach(t, func(t *testing.T, e *engine.Engine, p *process) {
		t.Helper()
		loadWhileTheBaseGoes(t, e, p, "abc", "d")
		// Others, for containerd keeps what a load that failed has brought.
		must(t, put1(t, e, realApp, stacked(t, "xyz")))
		loadWhileTheBaseGoes(t, e, p, "efg", "h")
	})
}

// loadWhileTheBaseGoes loads an image whose base is removed when its last layer is
// asked for.
func loadWhileTheBaseGoes(t *testing.T, e *engine.Engine, p *process, base, top string) {
	t.Helper()
	must(t, put1(t, e, realBase, stacked(t, base)))
	src := stacked(t, base+top)
	last, removed := layerBlobs(t, src)[3], false
	src.Fault = func(d v1.Descriptor, _ int64, r io.Reader) (io.Reader, error) {
		if d.Digest == last && !removed {
			removed = true
			p.remove(t, realBase)
		}
		return r, nil
	}
	must(t, put1(t, e, realApp, src))
	if got := uniq(asked(t, src, base+top)); got != base+top || !removed {
		t.Errorf("asked for the layers %q", got)
	}
	p.wants(t, e, realApp, src)
	p.remove(t, realApp)
}

func TestRealEngineThatEndsInTheMiddleOfALoad(t *testing.T) {
	onEach(t, func(t *testing.T, e *engine.Engine, p *process) {
		t.Helper()
		must(t, put1(t, e, realBase, stacked(t, "abc")))
		c := transfertest.Content{}
		var layers [][]byte
		for _, l := range "abc" {
			layers = append(layers, layerTar(t, string(l), transfertest.Bytes(byte(l), 5000)))
		}
		layers = append(layers, layerTar(t, "large", transfertest.Bytes(9, 32<<20)))
		src := &transfertest.Source{Root: realImage(t, c, transfertest.Amd64(), layers...), Content: c}
		top := layerBlobs(t, src)[3]
		src.Fault = func(d v1.Descriptor, _ int64, r io.Reader) (io.Reader, error) {
			if d.Digest != top {
				return r, nil
			}
			return io.MultiReader(io.LimitReader(r, d.Size/2), readerFunc(func([]byte) (int, error) {
				p.Stop()
				return 0, io.EOF
			}), r), nil
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := transfer.Copy(ctx, src, e.Sink(realApp), transfer.Options{})
		_, away := errors.AsType[*engine.UnavailableError](err)
		_, refused := errors.AsType[*engine.LoadError](err)
		if !away && !refused {
			t.Errorf("got %v", err)
		}
		t.Log(err)
		p.Process = p.start()
		if has, err := e.Has(t.Context(), realApp); has || err != nil {
			t.Errorf("a name was left behind (%v)", err)
		}
		src.Fault = nil
		must(t, put1(t, e, realApp, src))
		p.wants(t, e, realApp, src)
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
