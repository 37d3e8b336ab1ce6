package transfer

import (
	"context"
	"fmt"
	"slices"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"
)

// A loader gets manifests from a source, each once, verified and parsed.
type loader struct {
	src  Source
	kept Keeper // may be nil
	jobs int
	// blob reads a small blob, verified; nil: out of src.
	blob func(ctx context.Context, desc v1.Descriptor) ([]byte, error)

	mu    sync.Mutex
	nodes map[v1.Hash]*node
	count int
	bytes int64
}

// load returns the manifest or index desc, which lies depth below the root.
// Errors name the digest.
func (l *loader) load(ctx context.Context, desc v1.Descriptor, depth int) (*node, error) {
	l.mu.Lock()
	n := l.nodes[desc.Digest]
	l.mu.Unlock()
	if n == nil {
		var err error
		if n, err = l.fetch(ctx, desc); err != nil {
			return nil, err
		}
	}
	if n.isIndex() && depth >= maxDepth {
		return nil, &ManifestError{Digest: desc.Digest, Why: fmt.Sprintf("lies below %d other indexes", maxDepth)}
	}
	if !same(n.desc, desc) {
		return nil, &ManifestError{Digest: desc.Digest, Why: "is given two sizes"}
	}
	return n, nil
}

func (l *loader) fetch(ctx context.Context, desc v1.Descriptor) (*node, error) {
	if err := l.admit(desc); err != nil {
		return nil, err
	}
	raw, err := l.manifest(ctx, desc)
	if err != nil {
		return nil, err
	}
	n, err := parse(desc, raw)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.nodes[desc.Digest] = n
	return n, nil
}

// manifest gets the verified bytes of a manifest from where the least is asked.
func (l *loader) manifest(ctx context.Context, desc v1.Descriptor) ([]byte, error) {
	if l.kept != nil {
		if raw, err := l.kept.Kept(ctx, desc); err == nil && verifyManifest(desc, raw) == nil {
			return raw, nil
		}
	}
	raw, err := l.src.Manifest(ctx, desc)
	if err != nil {
		return nil, fmt.Errorf("manifest %s: %w", desc.Digest, err)
	}
	return raw, verifyManifest(desc, raw)
}

// admit holds a manifest against the limits before it is asked for.
func (l *loader) admit(desc v1.Descriptor) error {
	bad := func(why string) error { return &ManifestError{Digest: desc.Digest, Why: why} }
	if why := check(desc); why != "" {
		return bad(why)
	}
	if desc.MediaType.IsSchema1() {
		return bad(schema1)
	}
	if desc.Size > MaxManifest {
		return bad(fmt.Sprintf("has %d bytes; no more than %d are taken", desc.Size, MaxManifest))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count++
	l.bytes += desc.Size
	if l.count > maxChildren+1 || l.bytes > maxManifests {
		return bad("there are too many manifests below one index")
	}
	return nil
}

// A tree is all that one root names.
type tree struct {
	levels [][]*node       // the root alone, then what it names, and so on; none twice in a level
	blobs  []v1.Descriptor // none twice, in the order in which they are named
}

// walk loads root and everything below it.
func (l *loader) walk(ctx context.Context, root v1.Descriptor) (tree, error) {
	var t tree
	sizes := map[v1.Hash]v1.Descriptor{}
	for next := []v1.Descriptor{root}; len(next) > 0; {
		level, err := l.level(ctx, next, len(t.levels))
		if err != nil {
			return tree{}, err
		}
		t.levels = append(t.levels, level)
		next = nil
		listed := map[v1.Hash]bool{}
		for _, n := range level {
			for _, d := range n.children {
				if !listed[d.Digest] {
					listed[d.Digest] = true
					next = append(next, d)
				}
			}
			for _, d := range n.blobs {
				if known, ok := sizes[d.Digest]; !ok {
					sizes[d.Digest] = d
					t.blobs = append(t.blobs, d)
				} else if !same(known, d) {
					return tree{}, &ManifestError{Digest: n.desc.Digest, Why: fmt.Sprintf("blob %s is given two sizes", d.Digest)}
				}
			}
		}
	}
	return t, nil
}

func (l *loader) level(ctx context.Context, descs []v1.Descriptor, depth int) ([]*node, error) {
	nodes := make([]*node, len(descs))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(l.jobs)
	for i, d := range descs {
		group.Go(func() (err error) {
			nodes[i], err = l.load(ctx, d, depth)
			return err
		})
	}
	return nodes, group.Wait()
}

// bottomUp groups the manifests below the root so that each group names only
// what is in the groups before it. A manifest that lies at several depths is
// in the group of the deepest.
func (t tree) bottomUp() [][]*node {
	var groups [][]*node
	listed := map[v1.Hash]bool{}
	for _, level := range slices.Backward(t.levels[1:]) {
		var group []*node
		for _, n := range level {
			if !listed[n.desc.Digest] {
				listed[n.desc.Digest] = true
				group = append(group, n)
			}
		}
		groups = append(groups, group)
	}
	return groups
}
