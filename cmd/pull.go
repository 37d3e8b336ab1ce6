package cmd

import (
	"context"
	"errors"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"

	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/engine"
	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/registry"
	"github.com/vicr-cli/vicr/internal/transfer"
)

type pullOptions struct {
	images       []ref.Image
	to           string
	platform     string
	allPlatforms bool
	jobs         int
	tls          tlsFlags

	shared sharedRoads // of all images
}

// exampleDigest stands in a result to try --format on.
const exampleDigest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// A movedResult is what pull and push say of one image.
type movedResult struct {
	Image    string // the full name
	Digest   string // of what the tag stands for: an index when there is one
	Manifest string // digest of the manifest that was moved
	Place    string
	Bytes    int64    // moved
	Reused   int64    // already there
	Left     []string // digests of layers that may not be distributed, and were not
}

func newPull(a *app) *cobra.Command {
	var o pullOptions
	c := &cobra.Command{
		Use:   "pull REF...",
		Short: "Get images from a registry into the engine, vicr's store, a folder or a file",
		Long: `Get images from a registry into the engine, vicr's store, a folder or a file.

An archive holds all images of the command, under their full names, and is
written when all are there, or not at all. oci-archive:FILE is an OCI layout in
a tar; docker-archive:FILE is what docker load reads, also an old one. The same
images give the same bytes. With - for FILE the archive goes to standard output
and the names with their digests to standard error. A part that was fetched for
an archive is not kept: where that matters, pull into a folder.`,
		Example: `  vicr pull registry.example.com/library/ubuntu:14.04
  vicr pull --to oci:ubuntu --all-platforms registry.example.com/library/ubuntu:14.04
  vicr pull --to docker-archive:both.tar registry.example.com/demo/a:1 registry.example.com/demo/b:1`,
		Args: atLeast(1, "the names of images"),
		RunE: func(c *cobra.Command, args []string) error {
			images, err := each(args, ref.ParseImage)
			if err != nil {
				return err
			}
			o.images = images
			return a.atHome(c.Context(), func() error { return runPull(c.Context(), a, o) })
		},
	}
	c.Flags().StringVar(&o.to, "to", "auto", "the `place` that gets the images: "+placeWords+", with - for standard output")
	c.Flags().StringVar(&o.platform, "platform", "", "the platform to get out of an index, as in linux/arm64")
	c.Flags().BoolVar(&o.allPlatforms, "all-platforms", false, "get the whole index, all platforms")
	c.Flags().IntVarP(&o.jobs, "jobs", "j", 8, "how many connections fetch blobs at the same time")
	o.tls.register(c.Flags())
	return c
}

func runPull(ctx context.Context, a *app, o pullOptions) error {
	if err := checkMove(a, o.jobs); err != nil {
		return err
	}
	want, err := ref.ParsePlace(o.to)
	if err != nil {
		return err
	}
	if o.allPlatforms && o.platform != "" {
		return usagef("--all-platforms and --platform exclude each other")
	}
	chosen, err := parsePlatform(o.platform)
	if err != nil {
		return err
	}
	at, err := a.openPlace(ctx, want)
	if err != nil {
		return err
	}
	if err := a.gather(at, len(o.images), o.allPlatforms); err != nil {
		return err
	}
	a.note("to: %s", at)
	if chosen == nil && !o.allPlatforms {
		p, err := at.platform(ctx)
		if err != nil {
			return err
		}
		chosen = &p
	}
	o.shared = newSharedRoads(o.jobs)
	return a.release(at, forEach(ctx, a, o.images, func(img ref.Image) error {
		return aboutHost(img.Host, pullOne(ctx, a, img, at, o, chosen))
	}))
}

func pullOne(ctx context.Context, a *app, img ref.Image, at place, o pullOptions, p *v1.Platform) error {
	r, err := o.shared.to(ctx, a, img.Host, o.tls)
	if err != nil {
		return err
	}
	onEvent, done := a.progress()
	from := registry.Open(img, r.auth, r.base).Within(o.shared.streams).Watched(onEvent)
	src := transfer.Keep(from) // both roads ask for manifests
	moved, err := a.relayPull(ctx, at, img, img, src, from, p, onEvent)
	other := a.whenOther(img, o.platform, p)
	switch {
	case errors.Is(err, engine.ErrNoRelay):
		moved, err = a.copyTo(ctx, at, img, src, transfer.Options{Platform: p, Jobs: o.jobs, OnEvent: onEvent, OnOther: other})
		if err == nil {
			a.loaded(ctx, at, img, img, p, moved)
		}
	case err == nil && moved.Bytes > 0 && moved.Resolved.MediaType.IsImage():
		tellOther(ctx, src, p, other)
	}
	done()
	if err != nil {
		return r.whyDenied(ctx, ofImage(img, err))
	}
	return a.moved(img, at, moved)
}

// whenOther warns of an image that is not for the platform that was asked for,
// as docker does: it is the only one there is. Nil: none was asked for.
func (a *app) whenOther(img ref.Image, asked string, want *v1.Platform) func(v1.Platform) {
	if asked == "" {
		return nil
	}
	return func(have v1.Platform) {
		a.warn("%s is for %s, not for %s, and there is no other: it is taken as it is", img, have.String(), want.String())
	}
}

// tellOther is for a single image that an engine fetched by itself.
func tellOther(ctx context.Context, src transfer.Source, want *v1.Platform, other func(v1.Platform)) {
	if other == nil {
		return
	}
	if have, err := transfer.Other(ctx, src, *want); err == nil && have != nil {
		other(*have)
	}
}

func (a *app) copyTo(ctx context.Context, at place, img ref.Image, src transfer.Source, how transfer.Options) (transfer.Result, error) {
	sink, err := at.sink(img)
	if err != nil {
		return transfer.Result{}, err
	}
	also, remember := a.seen(img, how.OnEvent)
	how.OnEvent = also
	moved, err := transfer.Copy(ctx, src, sink, how)
	if err == nil {
		remember()
	}
	return moved, err
}

// moved prints the result of one transfer: the name, pinned to its digest.
func (a *app) moved(img ref.Image, at place, m transfer.Result) error {
	res := a.movedTo(img, at.String(), m)
	return a.whenThere(func() error { return a.result(res, line("%s", img.WithDigest(res.Digest))) })
}

// movedTo is the result of one transfer, and says what was left out of it.
func (a *app) movedTo(img ref.Image, at string, m transfer.Result) movedResult {
	res := movedResult{
		Image: img.String(), Digest: m.Resolved.Digest.String(), Manifest: m.Root.Digest.String(),
		Place: at, Bytes: m.Bytes, Reused: m.Reused, Left: []string{},
	}
	for _, d := range m.Left {
		res.Left = append(res.Left, d.Digest.String())
		a.note("left out: layer %s, which may not be distributed; the manifest says where it comes from", d.Digest)
	}
	return res
}

// checkMove judges what pull and push have in common.
func checkMove(a *app, jobs int) error {
	if jobs < 1 {
		return usagef("--jobs %d: not a number from 1 on", jobs)
	}
	return a.checkFormat(movedResult{Image: "h/p/r:t", Digest: exampleDigest, Manifest: exampleDigest, Place: "store", Bytes: 1, Reused: 1})
}

func parsePlatform(s string) (*v1.Platform, error) {
	if s == "" {
		return nil, nil //nolint:nilnil // no platform was chosen
	}
	p, err := v1.ParsePlatform(s)
	if err != nil || p.Architecture == "" {
		return nil, usagef("--platform %q: write OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT", s)
	}
	return p, nil
}

// forEach does the same with every argument. One failing argument does not
// keep the others from being done; when all fail alike that error is the result.
// Whoever interrupts one wants none of those that follow.
func forEach[T any](ctx context.Context, a *app, all []T, do func(T) error) error {
	var errs []error
	for _, one := range all {
		err := ctx.Err()
		if err == nil {
			err = do(one)
		}
		if err == nil {
			continue
		}
		if end := interruption(ctx, err); end != nil {
			for _, err := range errs {
				a.fail(err)
			}
			return end
		}
		errs = append(errs, err)
	}
	if len(errs) == 0 {
		return nil
	}
	last := errs[len(errs)-1]
	alike := len(errs) == len(all)
	for _, err := range errs {
		alike = alike && exitCode(err) == exitCode(last)
	}
	if alike {
		errs = errs[:len(errs)-1]
	}
	for _, err := range errs {
		a.fail(err)
	}
	if alike {
		return last
	}
	return &partlyError{failed: len(errs), of: len(all)}
}

// interruption is what to say where err came of the end of ctx, or of Ctrl-C at
// a question; nil where it did not. What could not be put back is said first.
func interruption(ctx context.Context, err error) error {
	switch {
	case is[errSignal](err), ctx.Err() != nil && is[*change.RollbackError](err):
		return err
	}
	return context.Cause(ctx)
}
