package cmd

import (
	"maps"
	"slices"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/memo"
	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/registry"
	"github.com/vicr-cli/vicr/internal/transfer"
)

// pushTo is where img goes, with all that is remembered of what was moved before.
func (a *app) pushTo(r *road, img ref.Image) *registry.Repository {
	return a.remembering(registry.Open(img, r.auth, r.base))
}

// remembering has to mount what is remembered to be in its registry, and to
// remember what is pushed there, and where that goes on.
func (a *app) remembering(to *registry.Repository) *registry.Repository {
	dirs := a.dirs()
	if dirs.State != "" {
		to.KeepingUploads(memo.OpenSessions(dirs.State))
	}
	if dirs.Cache != "" {
		to.Remembering(memo.OpenPushes(dirs.Cache)).MountingKnown(memo.OpenBlobs(dirs.Cache))
	}
	return to
}

// seen notes which blobs a transfer found or left in the repository of img, and
// hands events on. What it returns remembers them.
func (a *app) seen(img ref.Image, onEvent func(transfer.Event)) (also func(transfer.Event), remember func()) {
	dir := a.dirs().Cache
	if dir == "" {
		return onEvent, func() {}
	}
	var mu sync.Mutex
	blobs := map[v1.Hash]bool{}
	also = func(e transfer.Event) {
		if ended := e.Stage == transfer.Existed || e.Stage == transfer.Done; ended && !e.Desc.MediaType.IsImage() && !e.Desc.MediaType.IsIndex() {
			mu.Lock()
			blobs[e.Desc.Digest] = true
			mu.Unlock()
		}
		if onEvent != nil {
			onEvent(e)
		}
	}
	return also, func() {
		all := slices.SortedFunc(maps.Keys(blobs), func(a, b v1.Hash) int { return strings.Compare(a.String(), b.String()) })
		_ = memo.OpenBlobs(dir).Add(img.Host.String(), img.Repository, all...) // what is not remembered costs bytes
	}
}
