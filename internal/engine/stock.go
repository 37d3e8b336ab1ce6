package engine

import (
	"context"
	"strconv"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/api/types/system"
	"github.com/moby/moby/client"
	"golang.org/x/sync/errgroup"
)

// A keeping is how an engine keeps images, and so what its load can do without.
type keeping int

const (
	unpacked keeping = iota // layers alone: a layer below others is known by its chain ID
	asCame                  // the containerd store: blobs by their digests
	podman                  // layers, with the digests that they came under
)

const (
	inspectJobs = 8    // images that are asked about at the same time
	maxStock    = 2000 // images that are asked about
)

// keeping says how the engine keeps images.
func (e *Engine) keeping(ctx context.Context) (keeping, error) {
	keeps, err := e.keepsManifests(ctx)
	if err != nil || keeps {
		return asCame, err
	}
	ctx, stop := e.guard(ctx)
	defer stop()
	v, err := e.api.ServerVersion(ctx, client.ServerVersionOptions{})
	if err != nil {
		return unpacked, e.failure(ctx, "version of the engine", err)
	}
	if isPodman(v.Components) {
		return podman, nil
	}
	return unpacked, nil
}

// isPodman knows the one place where it gives its name (podman 4.3.1, GET /version).
func isPodman(parts []system.ComponentVersion) bool {
	for _, c := range parts {
		if c.Name == "Podman Engine" {
			return true
		}
	}
	return false
}

// saysWhatIsThere is whether the API tells if all blobs of an image are there:
// from 1.48 on, Docker 28 (moby api/docs/v1.48.yaml, inspect with manifests).
func (e *Engine) saysWhatIsThere() bool {
	const least = 48
	major, minor, _ := strings.Cut(e.api.ClientVersion(), ".")
	n, err := strconv.Atoi(minor)
	return err == nil && (major == "1" && n >= least || major != "1")
}

// inspect is what the engine says of an image by name or ID. The error wraps
// [transfer.ErrNotFound] if it has none.
func (e *Engine) inspect(ctx context.Context, img string, o ...client.ImageInspectOption) (image.InspectResponse, error) {
	ctx, stop := e.guard(ctx)
	defer stop()
	res, err := e.api.ImageInspect(ctx, img, o...)
	if err != nil {
		return image.InspectResponse{}, e.failure(ctx, img+" in the engine", err)
	}
	return res.InspectResponse, nil
}

// stock lists the layers of every image in the engine, by their diff IDs from
// the lowest up. An image that went away meanwhile is left out.
func (e *Engine) stock(ctx context.Context) ([][]v1.Hash, error) {
	ctx, stop := e.guard(ctx)
	defer stop()
	list, err := e.api.ImageList(ctx, client.ImageListOptions{})
	if err != nil {
		return nil, e.failure(ctx, "images of the engine", err)
	}
	var mu sync.Mutex
	var all [][]v1.Hash
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(inspectJobs)
	for _, i := range list.Items[:min(len(list.Items), maxStock)] {
		group.Go(func() error {
			res, err := e.api.ImageInspect(ctx, i.ID)
			if err != nil {
				return ctx.Err()
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, diffIDsOf(res.InspectResponse))
			return nil
		})
	}
	return all, group.Wait()
}

// diffIDsOf are the layers of an image, from the lowest up, as far as they can be read.
func diffIDsOf(i image.InspectResponse) []v1.Hash {
	var ids []v1.Hash
	for _, text := range i.RootFS.Layers {
		h, err := v1.NewHash(text)
		if err != nil {
			break
		}
		ids = append(ids, h)
	}
	return ids
}

// known says of each layer of an image, by its diff ID from the lowest up,
// whether an engine has it.
func (k keeping) known(stock [][]v1.Hash, diffIDs []v1.Hash) []bool {
	has := make([]bool, len(diffIDs))
	if k == unpacked {
		for _, layers := range stock {
			for i := 0; i < min(len(layers), len(diffIDs)) && layers[i] == diffIDs[i]; i++ {
				has[i] = true
			}
		}
		return has
	}
	some := map[v1.Hash]bool{}
	for _, layers := range stock {
		for _, id := range layers {
			some[id] = true
		}
	}
	for i, id := range diffIDs {
		has[i] = some[id]
	}
	return has
}
