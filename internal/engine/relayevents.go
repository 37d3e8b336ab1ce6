package engine

import (
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/transfer"
)

// layerEvents turn what the engine says of layers into events.
type layerEvents struct {
	on func(transfer.Event) // nil: nobody is told

	mu             sync.Mutex
	all            map[string]v1.Descriptor // by the first twelve digits of their digests, as the engine writes them
	started, ended map[string]bool
}

func newLayerEvents(all map[string]v1.Descriptor, on func(transfer.Event)) *layerEvents {
	return &layerEvents{on: on, all: all, started: map[string]bool{}, ended: map[string]bool{}}
}

// heard is for each message of the engine.
func (e *layerEvents) heard(m message) {
	stage, known := stages[m.Status]
	if e.on == nil || !known {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	desc, ok := e.all[m.ID]
	if !ok && len(m.ID) == shortDigits {
		desc.Digest = v1.Hash{Algorithm: "sha256", Hex: m.ID} // all that is known of it
	}
	if desc.Digest.Hex == "" || e.ended[m.ID] {
		return
	}
	if total := m.Progress.Total; desc.Size == 0 && total > 0 {
		desc.Size = total
		e.all[m.ID] = desc
	}
	bytes := desc.Size
	if stage == transfer.Progress {
		bytes = min(m.Progress.Current, desc.Size)
	}
	e.tell(m.ID, stage, desc, bytes)
}

// finish tells how a layer ended, unless the engine did.
func (e *layerEvents) finish(desc v1.Descriptor, stage transfer.Stage) {
	id := short(desc.Digest)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.on != nil && !e.ended[id] {
		e.tell(id, stage, desc, desc.Size)
	}
}

// tell is called with the lock held.
func (e *layerEvents) tell(id string, stage transfer.Stage, desc v1.Descriptor, bytes int64) {
	if !e.started[id] && stage != transfer.Existed {
		e.started[id] = true
		e.on(transfer.Event{Stage: transfer.Started, Desc: desc})
	}
	e.ended[id] = stage == transfer.Existed || stage == transfer.Done
	e.on(transfer.Event{Stage: stage, Desc: desc, Bytes: bytes})
}

// stages are the words of an engine for a layer (moby distribution/pull_v2.go,
// push_v2.go; daemon/containerd/progress.go).
var stages = map[string]transfer.Stage{
	"Downloading":          transfer.Progress,
	"Pushing":              transfer.Progress,
	"Pull complete":        transfer.Done,
	"Pushed":               transfer.Done,
	"Already exists":       transfer.Existed,
	"Layer already exists": transfer.Existed,
}

const shortDigits = 12 // of a digest

func short(digest v1.Hash) string { return digest.Hex[:min(shortDigits, len(digest.Hex))] }

func byShort(descs []v1.Descriptor) map[string]v1.Descriptor {
	all := map[string]v1.Descriptor{}
	for _, d := range descs {
		all[short(d.Digest)] = d
	}
	return all
}
