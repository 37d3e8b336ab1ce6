package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/engine"
	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

const relayed = "reg.test:5000/demo/app:1"

// tidy checks that the engine has these names, and that nothing waits for the next run.
func (r *rig) tidy(t *testing.T, names ...string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.puller.names) != len(names) {
		t.Errorf("the engine has the names %v, want %q", r.puller.names, names)
	}
	for _, n := range names {
		if r.puller.names[n] == "" {
			t.Errorf("the engine has no %s", n)
		}
	}
	if left, _ := os.ReadDir(r.names); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func (r *rig) pull(t *testing.T, src *remote, on func(transfer.Event)) (transfer.Result, error) {
	t.Helper()
	return r.relay.Pull(t.Context(), parse(t, relayed), transfer.Keep(src), src, transfertest.Amd64(), on)
}

// inIndex is an image of two platforms.
func inIndex(t *testing.T) *remote {
	t.Helper()
	src := app(t, 1)
	child := src.Root
	src.Root = src.Content.Index(child, src.Content.Image(transfertest.Arm64()))
	return &remote{Source: src}
}

func TestAnEnginePullsThroughTheRelay(t *testing.T) {
	t.Parallel()
	r, src := newRig(t), inIndex(t)
	var mu sync.Mutex
	stages := map[transfer.Stage]int{}
	res, err := r.pull(t, src, func(e transfer.Event) {
		mu.Lock()
		defer mu.Unlock()
		stages[e.Stage]++
	})
	must(t, err)
	r.tidy(t, relayed)
	if res.Resolved.Digest != src.Root.Digest || res.Root.Digest == res.Resolved.Digest || res.Bytes == 0 || res.Reused != 0 {
		t.Errorf("%+v", res)
	}
	if stages[transfer.Started] != 2 || stages[transfer.Done] != 2 || stages[transfer.Progress] != 2 {
		t.Errorf("events: %v", stages)
	}
	if n := slices.Index(r.calls, "POST /images/load"); n >= 0 {
		t.Error("it was loaded")
	}
	src.take()
	for range 2 {
		again, err := r.pull(t, src, nil)
		must(t, err)
		if asked := src.take(); !slices.Equal(asked, []string{"head"}) || again.Resolved.Digest != res.Resolved.Digest || again.Root.Digest != res.Root.Digest || again.Bytes != 0 {
			t.Errorf("the second time %q, %+v", asked, again)
		}
	}
	for _, l := range src.Content {
		digest := transfertest.DescriptorOf("sha256", "", l).Digest
		if known := r.blobs.Repositories("reg.test:5000", digest); len(known) > 1 {
			t.Errorf("%s is known in %q", digest, known)
		}
	}
}

// What was pulled for one platform is not taken for another.
func TestAnotherPlatformIsAskedFor(t *testing.T) {
	t.Parallel()
	r, src := newRig(t), inIndex(t)
	_, err := r.pull(t, src, nil)
	must(t, err)
	src.take()
	_, err = r.relay.Pull(t.Context(), parse(t, relayed), transfer.Keep(src), src, transfertest.Arm64(), nil)
	if asked := src.take(); len(asked) < 2 || asked[1] != "get" {
		t.Errorf("%q, %v", asked, err)
	}
}

func TestAnImageUnderAnotherNameIsGivenThisOne(t *testing.T) {
	t.Parallel()
	r, src := newRig(t), inIndex(t)
	_, err := r.pull(t, src, nil)
	must(t, err)
	src.take()
	_, err = r.relay.Pull(t.Context(), parse(t, "reg.test:5000/demo/app:2"), transfer.Keep(src), src, transfertest.Amd64(), nil)
	must(t, err)
	if asked := src.take(); slices.Contains(asked, "blob") {
		t.Errorf("it was moved again: %q", asked)
	}
	r.tidy(t, relayed, "reg.test:5000/demo/app:2")
}

func TestNoRelay(t *testing.T) {
	t.Parallel()
	digest := "@" + transfertest.DescriptorOf("sha256", "", nil).Digest.String()
	for what, try := range map[string]func(*rig, *remote) error{
		"deaf": func(r *rig, src *remote) error {
			r.deaf = true
			_, err := r.pull(t, src, nil)
			return err
		},
		"digest": func(r *rig, src *remote) error {
			_, err := r.relay.Pull(t.Context(), parse(t, "reg.test:5000/demo/app"+digest), src, src, transfertest.Amd64(), nil)
			return err
		},
		"no place for names": func(r *rig, src *remote) error {
			_, err := r.engine.Relay(engine.RelayOptions{}).Pull(t.Context(), parse(t, relayed), src, src, transfertest.Amd64(), nil)
			return err
		},
		"foreign layer": func(r *rig, src *remote) error {
			m := v1.Manifest{SchemaVersion: 2, MediaType: "application/vnd.oci.image.manifest.v1+json", Config: src.Content.Config(transfertest.Amd64()), Layers: []v1.Descriptor{
				src.Content.Add("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", []byte("x")),
			}}
			src.Root = src.Content.AddJSON(m.MediaType, m)
			_, err := r.pull(t, src, nil)
			return err
		},
	} {
		r, src := newRig(t), inIndex(t)
		if err := try(r, src); !errors.Is(err, engine.ErrNoRelay) {
			t.Errorf("%s: %v", what, err)
		}
		r.tidy(t)
		if slices.Contains(src.take(), "blob") {
			t.Errorf("%s: something was moved", what)
		}
		for _, call := range r.calls {
			if call == "POST /images/create" {
				t.Errorf("%s: the engine pulled", what)
			}
		}
	}
}

// The registry's own words come back, not the engine's, and nothing gets a name.
func TestWhatTheRegistrySaysComesBack(t *testing.T) {
	t.Parallel()
	refusal := errors.New("no more than 10 a day")
	for what, fault := range map[string]func(v1.Descriptor, int64, io.Reader) (io.Reader, error){
		"refused": func(v1.Descriptor, int64, io.Reader) (io.Reader, error) { return nil, refusal },
		"cut": func(_ v1.Descriptor, _ int64, r io.Reader) (io.Reader, error) {
			return transfertest.Cut(r, 3, refusal), nil
		},
		"wrong": func(d v1.Descriptor, _ int64, r io.Reader) (io.Reader, error) {
			return transfertest.Flip(r, d.Size/2), nil
		},
	} {
		r, src := newRig(t), inIndex(t)
		src.Fault = fault
		_, err := r.pull(t, src, nil)
		_, wrong := errors.AsType[*transfer.DigestError](err)
		if !errors.Is(err, refusal) && !wrong || wrong != (what == "wrong") {
			t.Errorf("%s: %v", what, err)
		}
		must(t, r.relay.Tidy(t.Context()))
		r.tidy(t)
	}
	r, src := newRig(t), inIndex(t)
	r.instead["/images/create"] = nil
	src.Root = v1.Descriptor{}
	if _, err := r.pull(t, src, nil); !errors.Is(err, transfer.ErrNotFound) {
		t.Errorf("no image: %v", err)
	}
}

// Whatever an engine says, it is asked what it has then.
func TestAnEngineThatHasAnotherImage(t *testing.T) {
	t.Parallel()
	r, src := newRig(t), inIndex(t)
	r.mixedUp = "sha256:" + strings.Repeat("0", 64)
	_, err := r.pull(t, src, nil)
	if _, ok := errors.AsType[*engine.ResponseError](err); !ok {
		t.Errorf("got %v", err)
	}
	must(t, r.relay.Tidy(t.Context()))
	r.tidy(t)
}

func TestAnEnginePushesThroughTheRelay(t *testing.T) {
	t.Parallel()
	r, src := newRig(t), inIndex(t)
	_, err := r.pull(t, src, nil)
	must(t, err)
	const copied = "reg.test:5000/other/app:2"
	must(t, r.engine.Tag(t.Context(), relayed, copied))
	dst := &remote{Source: &transfertest.Source{Content: transfertest.Content{}}, others: map[string]transfertest.Content{"demo/app": src.Content}}
	res, err := r.relay.Push(t.Context(), parse(t, copied), dst, nil, nil, nil)
	must(t, err)
	r.tidy(t, relayed, copied)
	// That the image was pulled as something gives hope that it is there.
	asked := dst.take()
	if slices.Contains(asked, "upload") || asked[0] != "head" || res.Bytes != 0 || res.Root.Digest != dst.Root.Digest {
		t.Errorf("%q, %+v", asked, res)
	}
	res, err = r.relay.Push(t.Context(), parse(t, copied), dst, nil, nil, nil)
	must(t, err)
	if asked := dst.take(); !slices.Equal(asked, []string{"head"}) || res.Root.Digest != dst.Root.Digest {
		t.Errorf("the second time %q, %+v", asked, res)
	}

	otherwise := func(v1.Descriptor) bool { return false }
	_, err = r.relay.Push(t.Context(), parse(t, copied), dst, otherwise, nil, nil)
	must(t, err)
	if asked := dst.take(); asked[0] != "head" || !slices.Contains(asked, "put") {
		t.Errorf("what is there will not do, and %q were asked", asked)
	}

	elsewhere := &remote{Source: &transfertest.Source{Content: transfertest.Content{}}}
	res, err = r.relay.Push(t.Context(), parse(t, copied), elsewhere, nil, nil, nil)
	must(t, err)
	if asked := elsewhere.take(); !slices.Contains(asked, "upload") || res.Bytes == 0 {
		t.Errorf("where nothing is, %q were asked, %+v", asked, res)
	}
	refusal := errors.New("immutable")
	full := &remote{Source: &transfertest.Source{Content: transfertest.Content{}}, refusal: refusal}
	if _, err := r.relay.Push(t.Context(), parse(t, copied), full, nil, nil, nil); !errors.Is(err, refusal) {
		t.Errorf("refused: %v", err)
	}
	if _, err := r.relay.Push(t.Context(), parse(t, "reg.test:5000/none:1"), dst, nil, nil, nil); !errors.Is(err, transfer.ErrNotFound) {
		t.Errorf("no such image: %v", err)
	}
}

// Docker's own pulls leave in the engine where an image is; vicr's memo has it not.
func TestAPushMountsFromWhereTheEngineKnows(t *testing.T) {
	t.Parallel()
	digest := "@sha256:" + strings.Repeat("1", 64)
	for what, test := range map[string]struct {
		own, base []string // names with a digest
		mounts    bool
	}{
		"of the image":        {[]string{"reg.test:5000/base/os" + digest}, nil, true},
		"of its base":         {nil, []string{"other.test/base/os" + digest, "reg.test:5000/base/os" + digest}, true},
		"of another registry": {[]string{"other.test/base/os" + digest}, nil, false},
		"nowhere":             {nil, nil, false},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			c := transfertest.Content{}
			first, second := layerTar(t, "first", []byte("1")), layerTar(t, "second", []byte("2"))
			base := &remote{Source: &transfertest.Source{Root: realImage(t, c, transfertest.Amd64(), first), Content: c}}
			onBase := &remote{Source: &transfertest.Source{Root: realImage(t, c, transfertest.Amd64(), first, second), Content: c}}
			loaded := func(name string, src *remote) string {
				_, err := transfer.Copy(t.Context(), src.Source, r.engine.Sink(name), transfer.Options{})
				must(t, err)
				r.mu.Lock()
				defer r.mu.Unlock()
				return r.puller.names[name]
			}
			baseID, id := loaded("reg.test:5000/base/os:1", base), loaded(relayed, onBase)
			r.mu.Lock()
			r.digests = map[string][]string{id: test.own, baseID: test.base}
			r.mu.Unlock()
			dst := &remote{Source: &transfertest.Source{Content: transfertest.Content{}}, others: map[string]transfertest.Content{"base/os": c}}
			_, err := r.relay.Push(t.Context(), parse(t, relayed), dst, nil, nil, nil)
			must(t, err)
			asked := dst.take()
			if slices.Contains(asked, "mount base/os") != test.mounts || slices.Contains(asked, "upload") == test.mounts {
				t.Errorf("the registry was asked %q", asked)
			}
		})
	}
}

func TestACallThatIsCancelledEndsAtOnce(t *testing.T) {
	t.Parallel()
	for _, what := range []string{"pull", "push"} {
		r, src := newRig(t), inIndex(t)
		if what == "push" {
			_, err := r.pull(t, src, nil)
			must(t, err)
		}
		r.stalled = make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() {
			var err error
			if what == "pull" {
				_, err = r.relay.Pull(ctx, parse(t, relayed), transfer.Keep(src), src, transfertest.Amd64(), nil)
			} else {
				_, err = r.relay.Push(ctx, parse(t, relayed), &remote{Source: &transfertest.Source{Content: transfertest.Content{}}}, nil, nil, nil)
			}
			ended <- err
		}()
		<-r.stalled
		begun := time.Now()
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", what, err)
		}
		if took := time.Since(begun); took > time.Second {
			t.Errorf("%s: it took %s", what, took)
		}
		if what == "pull" {
			r.late(t)
		}
		must(t, r.relay.Tidy(t.Context()))
		if what == "pull" {
			r.tidy(t)
		} else {
			r.tidy(t, relayed)
		}
	}
}

// late gives the relay's name after all, as an engine may that was told to stop.
func (r *rig) late(t *testing.T) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(r.names, "*.json"))
	if err != nil || len(files) != 1 {
		t.Fatalf("what may still come is not written down: %q, %v", files, err)
	}
	raw, err := os.ReadFile(files[0])
	must(t, err)
	var n struct {
		Name string
		IDs  []string
	}
	must(t, json.Unmarshal(raw, &n))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.puller.names[n.Name], r.images[n.IDs[0]] = n.IDs[0], transfertest.Content{}
}

// What a killed run has left is taken away, if it is what it was.
func TestNamesOfKilledRuns(t *testing.T) {
	t.Parallel()
	r, src := newRig(t), inIndex(t)
	_, err := r.pull(t, src, nil)
	must(t, err)
	r.mu.Lock()
	id := r.puller.names[relayed]
	for _, n := range []string{"127.0.0.1:4711/demo/app:1", "127.0.0.1:4712/demo/app:1", "127.0.0.1:4713/demo/app:1", "mine:1"} {
		r.puller.names[n] = id
	}
	r.mu.Unlock()
	leave := func(file, engine, name, id string) {
		must(t, os.MkdirAll(r.names, 0o700))
		raw := `{"engine":"` + engine + `","name":"` + name + `","ids":["` + id + `"]}`
		must(t, os.WriteFile(filepath.Join(r.names, file+".json"), []byte(raw), 0o600))
	}
	leave("1", r.host, "127.0.0.1:4711/demo/app:1", id)
	leave("2", r.host, "127.0.0.1:4712/demo/app:1", "sha256:"+strings.Repeat("0", 64)) // somebody gave it to another image
	leave("3", "unix:///elsewhere", "127.0.0.1:4713/demo/app:1", id)
	leave("4", r.host, "mine:1", id) // no name that vicr gives
	leave("5", r.host, "127.0.0.1:4714/demo/app:1", id)
	must(t, os.WriteFile(filepath.Join(r.names, "6.json"), []byte("{"), 0o600))
	must(t, r.relay.Tidy(t.Context()))
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, stays := range map[string]bool{
		"127.0.0.1:4711/demo/app:1": false, "127.0.0.1:4712/demo/app:1": true, "127.0.0.1:4713/demo/app:1": true, "mine:1": true, relayed: true,
	} {
		if (r.puller.names[name] != "") != stays {
			t.Errorf("%s: %t", name, !stays)
		}
	}
	left, err := filepath.Glob(filepath.Join(r.names, "*.json"))
	if err != nil || len(left) != 1 || filepath.Base(left[0]) != "3.json" {
		t.Errorf("left: %q, %v", left, err)
	}
}

// A run that is alive keeps its name.
func TestTheNameOfARunThatIsAlive(t *testing.T) {
	t.Parallel()
	r, src := newRig(t), inIndex(t)
	r.stalled = make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, err := r.relay.Pull(ctx, parse(t, relayed), transfer.Keep(src), src, transfertest.Amd64(), nil)
		ended <- err
	}()
	<-r.stalled
	must(t, r.relay.Tidy(t.Context()))
	if files, _ := filepath.Glob(filepath.Join(r.names, "*.json")); len(files) != 1 {
		t.Errorf("its record is gone: %q", files)
	}
	cancel()
	<-ended
}
