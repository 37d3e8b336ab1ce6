package engine

import (
	"context"
	"slices"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/client"
	"golang.org/x/sync/errgroup"
)

const (
	maxBeside  = 16 // images that are looked at
	maxGuesses = 2  // repositories that a blob is mounted from on a guess
)

// guess names repositories of the registry from which the engine says that it
// has the image, or one with the same base: docker's own pulls and pushes leave
// nothing else to know where their blobs are. It asks the engine once.
func (p *pushing) guess(ctx context.Context) []string {
	p.guessing.Do(func() {
		if sends(p.now).Digest == (v1.Hash{}) { // else these were asked for all of it
			p.guesses = p.here(p.now.RepoDigests)
		}
		if len(p.guesses) == 0 {
			p.guesses = p.beside(ctx)
		}
		p.guesses = p.guesses[:min(len(p.guesses), maxGuesses)]
	})
	return p.guesses
}

// guessAhead begins to guess while there is time. An engine that keeps manifests
// needs long for it, and pushes nothing of which all blobs are remembered.
func (p *pushing) guessAhead(ctx context.Context) (stop func()) {
	if !keeps(p.now) {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var guess sync.WaitGroup
	guess.Go(func() { p.guess(ctx) })
	return func() {
		cancel()
		guess.Wait()
	}
}

// here are the other repositories of the registry in names with a digest.
func (p *pushing) here(names []string) (repositories []string) {
	for _, text := range names {
		name, _, _ := strings.Cut(text, "@")
		repo, ok := strings.CutPrefix(name, p.img.Host.String()+"/")
		if ok && repo != p.img.Repository && !slices.Contains(repositories, repo) {
			repositories = append(repositories, repo)
		}
	}
	return repositories
}

// beside names the repositories of images that begin with the same layer, those
// with the most in common first.
func (p *pushing) beside(ctx context.Context) (repos []string) {
	for _, o := range p.others(ctx) {
		for _, repo := range p.here(o.img.RepoDigests) {
			if !slices.Contains(repos, repo) {
				repos = append(repos, repo)
			}
		}
	}
	return repos
}

// An other image of the registry that is in the engine.
type other struct {
	img    *image.InspectResponse
	shared int // layers, from the lowest up
}

// others looks for images of the registry that begin with the same layer, those
// with the most in common first.
func (p *pushing) others(ctx context.Context) (all []other) {
	ctx, stop := p.engine.guard(ctx)
	defer stop()
	list, err := p.engine.api.ImageList(ctx, client.ImageListOptions{})
	if err != nil {
		return nil // a guess is not worth an error
	}
	var ids []string
	for _, one := range list.Items {
		here := slices.ContainsFunc(one.RepoDigests, func(text string) bool { return strings.HasPrefix(text, p.img.Host.String()+"/") })
		if here && one.ID != p.now.ID && len(ids) < maxBeside {
			ids = append(ids, one.ID)
		}
	}
	images := make([]*image.InspectResponse, len(ids))
	var group errgroup.Group
	group.SetLimit(inspectJobs)
	for n, id := range ids {
		group.Go(func() error {
			images[n], _ = p.engine.look(ctx, id) // what went away meanwhile is nil
			return nil
		})
	}
	_ = group.Wait() // without an error
	for _, img := range images {
		if img == nil {
			continue
		}
		if n := sharedLayers(img.RootFS.Layers, p.now.RootFS.Layers); n > 0 {
			all = append(all, other{img, n})
		}
	}
	slices.SortStableFunc(all, func(a, b other) int { return b.shared - a.shared })
	return all
}

func sharedLayers(a, b []string) (n int) {
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}
