package engine_test

import (
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

// An engine that keeps manifests is not waited for once the registry has all: the
// name is taken away while it is still at it, and then nobody listens any more.
func TestAnEngineIsNotWaitedForWhenTheRegistryHasAll(t *testing.T) {
	t.Parallel()
	r, c := newKeepingRig(t), transfertest.Content{}
	old, own := layerTar(t, "old", []byte("1")), layerTar(t, "own", []byte("2"))
	root := realImage(t, c, transfertest.Amd64(), old, own)
	root.Platform = nil
	r.keep(c, root, nil, relayed)
	var hungUp, nameless atomic.Bool
	r.tail = func(req *http.Request) {
		select {
		case <-req.Context().Done():
			hungUp.Store(true)
		case <-time.After(10 * time.Second):
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		nameless.Store(len(r.puller.names) == 1)
	}
	dst := newStocked(map[string]transfertest.Content{})
	kept := layersIn(c, root)[0]
	dst.Content[kept.Digest] = c[kept.Digest]
	var mu sync.Mutex
	stages := map[v1.Hash][]transfer.Stage{}
	relay := r.engine.Relay(r.options(t, dst.open))
	res, err := relay.Push(t.Context(), parse(t, relayed), dst, nil, nil, func(e transfer.Event) {
		mu.Lock()
		defer mu.Unlock()
		stages[e.Desc.Digest] = append(stages[e.Desc.Digest], e.Stage)
	})
	must(t, err)
	r.tidy(t, relayed)
	if res.Root.Digest != root.Digest || dst.Root.Digest != root.Digest || res.Bytes == 0 {
		t.Errorf("%+v", res)
	}
	r.wait()
	if !hungUp.Load() || !nameless.Load() {
		t.Errorf("hung up: %v, the name was gone by then: %v", hungUp.Load(), nameless.Load())
	}
	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(stages[kept.Digest], []transfer.Stage{transfer.Existed}) ||
		!slices.Equal(stages[layersIn(c, root)[1].Digest], []transfer.Stage{transfer.Started, transfer.Done}) || len(stages) != 2 {
		t.Errorf("events: %v", stages)
	}
}

// Any other engine says itself when it is done.
func TestAnEngineIsWaitedForThatNotesWhatItPushed(t *testing.T) {
	t.Parallel()
	r, src := newRig(t), inIndex(t)
	_, err := r.pull(t, src, nil)
	must(t, err)
	var done atomic.Bool
	r.tail = func(req *http.Request) {
		select {
		case <-req.Context().Done():
		case <-time.After(300 * time.Millisecond):
			done.Store(true)
		}
	}
	_, err = r.relay.Push(t.Context(), parse(t, relayed), &remote{Source: &transfertest.Source{Content: transfertest.Content{}}}, nil, nil, nil)
	must(t, err)
	if !done.Load() {
		t.Error("it was not waited for")
	}
	r.tidy(t, relayed)
}
