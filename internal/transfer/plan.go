package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// ErrSpared is wrapped by sinks that lack something after all which they spared
// the source ([Planner]). They hold nothing new then, under no name.
var ErrSpared = errors.New("something that was there is gone")

// A Planner is a [Sink] that looks at all that is coming before any of it comes.
type Planner interface {
	// Plan says which blobs the sink has no need of; nil: it needs them all. They
	// are not asked of the source and not put. When the sink fails then with
	// [ErrSpared], Plan is called once more, and spares nothing.
	Plan(ctx context.Context, p Plan) (spares func(desc v1.Descriptor) bool, err error)
}

// A Plan is what is going to be moved.
type Plan struct {
	Root      v1.Descriptor
	Manifests map[v1.Hash][]byte // those of all manifests and indexes, verified
	// Whole says that nothing may be spared: it failed before. The sink is as new.
	Whole bool
	// Read returns a blob of at most [MaxManifest] bytes, verified. It is asked of
	// the source once, also if it is put later.
	Read func(ctx context.Context, desc v1.Descriptor) ([]byte, error)
}

// fill moves all of t that the sink does not spare. If it should not have, all
// of t is moved.
func (c *copier) fill(ctx context.Context, t tree) error {
	if err := c.prepare(ctx, t, false); err != nil {
		return err
	}
	err := c.move(ctx, t)
	if !errors.Is(err, ErrSpared) || c.spares == nil {
		return err
	}
	c.res = Result{Resolved: c.res.Resolved}
	if err := c.prepare(ctx, t, true); err != nil {
		return err
	}
	return c.move(ctx, t)
}

// prepare shows the sink what is coming, if it wants to know.
func (c *copier) prepare(ctx context.Context, t tree, whole bool) error {
	c.spares = nil
	p, ok := c.dst.(Planner)
	if !ok {
		return nil
	}
	plan := Plan{Root: t.levels[0][0].desc, Manifests: map[v1.Hash][]byte{}, Whole: whole, Read: c.read}
	for _, level := range t.levels {
		for _, n := range level {
			plan.Manifests[n.desc.Digest] = n.raw
		}
	}
	var err error
	c.spares, err = p.Plan(ctx, plan)
	return err
}

// read returns a small blob and keeps it for the time when it is put.
func (c *copier) read(ctx context.Context, desc v1.Descriptor) ([]byte, error) {
	if data, ok := c.kept(desc); ok {
		return data, nil
	}
	if desc.Size > MaxManifest {
		return nil, fmt.Errorf("blob %s has %d bytes; no more than %d are kept", desc.Digest, desc.Size, MaxManifest)
	}
	rc, err := c.src.Blob(ctx, desc, 0)
	if err != nil {
		return nil, fmt.Errorf("blob %s: %w", desc.Digest, err)
	}
	defer rc.Close() //nolint:errcheck // only read
	v, err := newVerifier(rc, desc)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(v)
	if err != nil {
		if wrong, ok := errors.AsType[*DigestError](err); ok {
			return nil, wrong
		}
		return nil, fmt.Errorf("blob %s: %w", desc.Digest, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.small == nil {
		c.small = map[v1.Hash][]byte{}
	}
	c.small[desc.Digest] = data
	return data, nil
}

func (c *copier) kept(desc v1.Descriptor) ([]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	data, ok := c.small[desc.Digest]
	return data, ok
}

// existed notes that a blob need not be moved.
func (c *copier) existed(desc v1.Descriptor) {
	c.mu.Lock()
	c.res.Reused += desc.Size
	c.mu.Unlock()
	c.event(Existed, desc, desc.Size)
}

// reached is how much of a blob was reported, and is what is reported from then on.
func (c *copier) reached(desc v1.Descriptor, bytes int64) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.far == nil {
		c.far = map[v1.Hash]int64{}
	}
	c.far[desc.Digest] = max(c.far[desc.Digest], bytes)
	return c.far[desc.Digest]
}
