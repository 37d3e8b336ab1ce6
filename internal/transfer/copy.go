package transfer

import (
	"context"
	"errors"
	"fmt"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"
)

const defaultJobs = 4

// Copy moves what src names to dst: blobs first, each once, several at a time;
// then manifests, those that are named before those that name them; then
// Commit. Nothing is moved to a [Holder] that has it all, and less to a [Planner]
// and out of a [Pourer]. Everything is verified before dst can have it whole. The
// first error ends the rest. dst is closed in any case.
//
// Layers that may not be distributed (foreign layers of Windows) are left out
// if src does not have them or dst is a [Decliner] of them; the manifest names
// them still, and the URLs that they come with are never followed.
//
// Errors are those of src and dst with the digest they are about, [*DigestError]
// for wrong bytes, [*ManifestError] for manifests that are not as they should
// be, [*PlatformError] if there is nothing for the platform.
func Copy(ctx context.Context, src Source, dst Sink, o Options) (res Result, err error) {
	defer func() {
		if closing := dst.Close(); err == nil {
			err = closing
		}
	}()
	if o.Jobs <= 0 {
		o.Jobs = defaultJobs
	}
	if o.OnEvent == nil {
		o.OnEvent = func(Event) {}
	}
	c := &copier{src: src, dst: dst, o: o}
	if done, err := c.pour(ctx); err != nil || done {
		return c.res, err
	}
	root, t, err := c.plan(ctx)
	c.res.Resolved = root
	if err != nil {
		return c.res, err
	}
	if c.whole {
		c.held(t)
		return c.res, nil
	}
	if o.OnBegin != nil {
		o.OnBegin(t.levels[0][0].desc)
	}
	return c.res, c.fill(ctx, t)
}

// move puts all of t.
func (c *copier) move(ctx context.Context, t tree) error {
	if err := each(ctx, c.o.Jobs, t.blobs, c.blob); err != nil {
		return err
	}
	for _, group := range t.bottomUp() {
		if err := each(ctx, c.o.Jobs, group, c.manifest); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	top := t.levels[0][0]
	c.event(Started, top.desc, 0)
	if err := c.dst.Commit(ctx, top.desc, top.raw); err != nil {
		return fmt.Errorf("manifest %s: %w", top.desc.Digest, err)
	}
	c.event(Done, top.desc, top.desc.Size)
	c.res.Root = top.desc
	return nil
}

type copier struct {
	src Source
	dst Sink
	o   Options

	whole   bool                     // the sink says that it has all of it
	settled map[v1.Hash]bool         // see Pouring
	spares  func(v1.Descriptor) bool // see Planner; may be nil

	mu    sync.Mutex
	res   Result
	small map[v1.Hash][]byte // see Plan.Read
	far   map[v1.Hash]int64  // bytes of each blob that were reported
}

func (c *copier) event(s Stage, d v1.Descriptor, bytes int64) {
	c.o.OnEvent(Event{Stage: s, Desc: d, Bytes: bytes})
}

// plan says what the source's name stands for, and all that is to be moved.
func (c *copier) plan(ctx context.Context) (resolved v1.Descriptor, t tree, err error) {
	if resolved, err = c.src.Resolve(ctx); err != nil {
		return resolved, t, err
	}
	l := &loader{src: c.src, jobs: c.o.Jobs, nodes: map[v1.Hash]*node{}}
	l.kept, _ = c.dst.(Keeper)
	root := resolved
	if c.o.Platform != nil {
		if root, err = l.pick(ctx, resolved, *c.o.Platform); err != nil {
			return resolved, t, err
		}
	}
	n, err := l.load(ctx, root, 0)
	if err != nil {
		return resolved, t, err
	}
	c.tellOther(ctx, l, root)
	if c.whole, err = c.holds(ctx, n.desc); err != nil {
		return resolved, t, err
	}
	if c.whole { // what an index names need not be asked for
		t = tree{levels: [][]*node{{n}}, blobs: n.blobs}
	} else if t, err = l.walk(ctx, root); err != nil {
		return resolved, t, err
	}
	// What a parent says of its child is not part of the child.
	top := t.levels[0][0]
	top.desc = v1.Descriptor{MediaType: top.desc.MediaType, Size: top.desc.Size, Digest: top.desc.Digest, Platform: root.Platform}
	return resolved, t, nil
}

// holds says whether the sink says that it has all of root under its name.
func (c *copier) holds(ctx context.Context, root v1.Descriptor) (bool, error) {
	h, ok := c.dst.(Holder)
	if !ok {
		return false, nil
	}
	return h.Holds(ctx, root)
}

// held is the result for what the sink has all of. What the images of an index
// have is not known then, and not counted.
func (c *copier) held(t tree) {
	top := t.levels[0][0].desc
	for _, desc := range t.blobs {
		if c.declined(desc) {
			c.leave(desc)
			continue
		}
		c.res.Reused += desc.Size
		c.event(Existed, desc, desc.Size)
	}
	c.event(Existed, top, top.Size)
	c.res.Root = top
}

// declined says whether the sink takes desc to stay where it is.
func (c *copier) declined(desc v1.Descriptor) bool {
	if desc.MediaType.IsDistributable() {
		return false
	}
	d, ok := c.dst.(Decliner)
	return ok && d.Declines(desc)
}

// each runs work over items, jobs at a time, and ends all at the first error.
func each[T any](ctx context.Context, jobs int, items []T, work func(context.Context, T) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(jobs)
	for _, item := range items {
		group.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return work(ctx, item)
		})
	}
	return group.Wait()
}

func (c *copier) manifest(ctx context.Context, n *node) error {
	c.event(Started, n.desc, 0)
	if err := c.dst.PutManifest(ctx, n.desc, n.raw); err != nil {
		return fmt.Errorf("manifest %s: %w", n.desc.Digest, err)
	}
	c.event(Done, n.desc, n.desc.Size)
	return nil
}

// leave notes that a layer stays where it is.
func (c *copier) leave(desc v1.Descriptor) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.res.Left = append(c.res.Left, desc)
}

func (c *copier) blob(ctx context.Context, desc v1.Descriptor) error {
	if c.settled[desc.Digest] {
		return nil
	}
	if c.spares != nil && c.spares(desc) {
		c.existed(desc)
		return nil
	}
	s := &stream{copier: c, desc: desc, far: c.reached(desc, 0)}
	defer s.drop()
	if c.declined(desc) {
		c.leave(desc)
		return nil
	}
	if !desc.MediaType.IsDistributable() {
		rc, err := c.src.Blob(ctx, desc, 0)
		if errors.Is(err, ErrNotFound) {
			c.leave(desc)
			return nil
		}
		if err != nil {
			return fmt.Errorf("blob %s: %w", desc.Digest, err)
		}
		s.ready = rc
	}
	c.event(Started, desc, 0)
	taken, err := c.dst.PutBlob(ctx, desc, s.open)
	if wrong := s.wrong(); wrong != nil {
		return wrong
	}
	if err != nil {
		if wrong, ok := errors.AsType[*DigestError](err); ok && wrong.Want == desc.Digest {
			return err
		}
		return fmt.Errorf("blob %s: %w", desc.Digest, err)
	}
	c.mu.Lock()
	c.res.Bytes += taken
	c.res.Reused += max(0, desc.Size-taken)
	c.mu.Unlock()
	if s.opened() {
		c.event(Done, desc, desc.Size)
	} else {
		c.event(Existed, desc, desc.Size)
	}
	return nil
}
