package cmd

import (
	"context"
	"errors"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"

	"github.com/vicr-cli/vicr/internal/auth"
	"github.com/vicr-cli/vicr/internal/engine"
	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/registry"
	"github.com/vicr-cli/vicr/internal/transfer"
)

type copyOptions struct {
	src, dst       ref.End
	platform       string
	allTags        bool
	referrers      bool
	jobs           int
	create         createFlag
	srcTLS, dstTLS tlsFlags
}

// A copyResult is what copy says of one image. Image, Digest and Manifest are
// those of the destination.
type copyResult struct {
	movedResult

	Source    string   // pinned to what its tag stood for: an index when there is one
	Referrers []string // digests of what was copied beside the image
}

func newCopy(a *app) *cobra.Command {
	var o copyOptions
	c := &cobra.Command{
		Use:   "copy SRC DST",
		Short: "Copy an image between registries, the engine, vicr's store, folders and files",
		Long: "Copy an image between any two of a registry and the places where images are here:\n" +
			"docker[:NAME], store[:NAME], oci:DIR[:TAG], oci-archive:FILE[:NAME] or\n" +
			"docker-archive:FILE[:NAME], with - for standard input or output. Without a NAME, the\n" +
			"image has the name of the other end. Within one registry nothing is moved where it lets layers be mounted;\n" +
			"between two, layers stream through and touch no disk. An index is copied with all of\n" +
			"its platforms, unless docker or a docker-archive gets it, which take one.",
		Example: `  vicr copy registry.example.com/demo/ubuntu:14.04 registry.example.com/prod/ubuntu:14.04
  vicr copy --all-tags registry.example.com/demo/ubuntu other.example.com/demo/ubuntu
  vicr copy --referrers registry.example.com/demo/ubuntu:14.04 other.example.com/demo/ubuntu:14.04
  vicr copy registry.example.com/demo/ubuntu:14.04 oci:ubuntu:14.04
  vicr copy oci:ubuntu:14.04 registry.example.com/demo/ubuntu:14.04`,
		Args: exactly(2, "what to copy and where to"),
		RunE: func(c *cobra.Command, args []string) error {
			ends, err := each(args, ref.ParseEnd)
			if err != nil {
				return err
			}
			o.src, o.dst = ends[0], ends[1]
			return a.atHome(c.Context(), func() error { return runCopy(c.Context(), a, o) })
		},
	}
	c.Flags().StringVar(&o.platform, "platform", "", "copy the image for this platform out of an index, as in linux/arm64")
	c.Flags().BoolVar(&o.allTags, "all-tags", false, "copy all tags of the repository SRC")
	c.Flags().BoolVar(&o.referrers, "referrers", false, "copy signatures, SBOMs and what else refers to the image")
	c.Flags().IntVarP(&o.jobs, "jobs", "j", 4, "how many blobs are under way at the same time")
	c.Flags().Var(&o.create, "create-project", "create the project of DST if it is missing: private or public")
	c.Flags().Lookup("create-project").NoOptDefVal = private
	o.srcTLS.registerAs(c.Flags(), "src-", "the registry of SRC")
	o.dstTLS.registerAs(c.Flags(), "dest-", "the registry of DST")
	return c
}

// check judges what was typed, before anything is asked.
func (o copyOptions) check(a *app) error {
	if o.jobs < 1 {
		return usagef("--jobs %d: not a number from 1 on", o.jobs)
	}
	sameHost := o.src.InRegistry() && o.dst.InRegistry() && o.src.Image.Host == o.dst.Image.Host
	switch {
	case !o.src.InRegistry() && o.srcTLS != (tlsFlags{}), !o.dst.InRegistry() && o.dstTLS != (tlsFlags{}):
		return usagef("--src-ca-file, --dest-plain-http and their like are for a registry: there is none at that end")
	case sameHost && o.srcTLS != o.dstTLS:
		return usagef("SRC and DST are in one registry: give it the same flags as --src-... and as --dest-...")
	case o.referrers && (!o.src.InRegistry() || !o.dst.InRegistry()):
		return usagef("--referrers: only registries know what refers to an image: SRC and DST have to be in one")
	case o.create != "" && !o.dst.InRegistry():
		return usagef("--create-project: %s is in no registry", o.dst)
	case o.allTags:
		if err := o.checkAllTags(); err != nil {
			return err
		}
	}
	return a.checkFormat(copyResult{
		movedResult: movedResult{Image: "h/p/r:t", Digest: exampleDigest, Manifest: exampleDigest, Place: "h", Bytes: 1, Reused: 1}, Source: "h/p/r:s",
	})
}

func (o copyOptions) checkAllTags() error {
	switch {
	case !o.src.InRegistry():
		return usagef("--all-tags: %s is in no registry", o.src)
	case !o.src.Bare, o.dst.Named() && !o.dst.Bare, o.dst.Place.Tag != "":
		return usagef("--all-tags: name repositories, without a tag and without a digest")
	}
	return nil
}

func runCopy(ctx context.Context, a *app, o copyOptions) error {
	if err := o.check(a); err != nil {
		return err
	}
	chosen, err := parsePlatform(o.platform)
	if err != nil {
		return err
	}
	from, to, err := a.openEnds(ctx, o)
	if err != nil {
		return err
	}
	for _, e := range []struct {
		word string
		end
	}{{"from", from}, {"to", to}} {
		if e.at != nil {
			a.note(e.word+": %s", e.at)
		}
	}
	if chosen, err = to.platform(ctx, chosen); err != nil {
		return err
	}
	if o.allTags {
		return copyAll(ctx, a, o, from, to, chosen)
	}
	if err := a.gather(to.at, 1, false); err != nil {
		return err
	}
	return a.release(to.at, copyOne(ctx, a, o, from, to, copying{platform: chosen, prepare: true}))
}

// A copying is what one image is copied with.
type copying struct {
	platform *v1.Platform
	prepare  bool             // nobody looked yet whether the destination may be pushed to
	asks     auth.Asks        // how its registry asks who somebody is
	shared   *transfer.Shared // may be nil
}

func copyAll(ctx context.Context, a *app, o copyOptions, from, to end, p *v1.Platform) error {
	tags, err := from.repository(nil).Tags(ctx)
	if err != nil {
		return from.about(from.why(ctx, err))
	}
	if len(tags) == 0 {
		a.note("%s has no tags", from.img.Name())
		return nil
	}
	asks, err := to.prepare(ctx, a, o.create, from.at)
	if err != nil {
		return err
	}
	if err := a.gather(to.at, len(tags), false); err != nil {
		return err
	}
	shared := &transfer.Shared{}
	return a.release(to.at, forEach(ctx, a, tags, func(tag string) error {
		from, to := from.tagged(tag), to.tagged(tag)
		with := o
		with.referrers = o.referrers && !registry.IsReferrerTag(tag)
		return copyOne(ctx, a, with, from, to, copying{platform: p, asks: asks, shared: shared})
	}))
}

func copyOne(ctx context.Context, a *app, o copyOptions, from, to end, c copying) (err error) {
	onEvent, stop := a.progress()
	done := sync.OnceFunc(stop)
	from.watch, to.watch = onEvent, onEvent
	src, closeSource := from.source()
	defer func() {
		if closing := closeSource(); err == nil {
			err = closing
		}
	}()
	defer done()
	if from.at == nil { // what is missing there is no reason to make a project
		src, _, err = transfer.Pin(ctx, src)
	} else {
		err = wrongHere(from.at, from.at.find(ctx, from.img))
	}
	if err != nil {
		return err
	}
	if from.at != nil && to.at == nil {
		ctx = withDonors(ctx, from.at, from.img, to.repository(a), c.platform)
	}
	if c.prepare {
		if c.asks, err = to.prepare(ctx, a, o.create, from.at); err != nil {
			return err
		}
	}
	options := transfer.Options{Platform: c.platform, Jobs: o.jobs, OnEvent: onEvent, OnOther: a.whenOther(from.img, o.platform, c.platform)}
	remember := func() {}
	if to.at == nil {
		options.OnEvent, remember = a.seen(to.img, onEvent)
	}
	res, name, failed := moveOne(ctx, a, o, src, from, to, c, options)
	done()
	if name == "" {
		return failed
	}
	remember()
	if err := a.whenThere(func() error { return a.result(res, line("%s", name)) }); err != nil {
		return err
	}
	return failed
}

// moveOne moves an image and what refers to it. The name that the image has now
// is there also if the latter failed.
func moveOne(ctx context.Context, a *app, o copyOptions, src transfer.Source, from, to end, c copying, options transfer.Options) (res copyResult, name string, err error) {
	dst, err := to.sink(a, from, c.shared)
	if err != nil {
		return res, "", err
	}
	options.OnBegin = func(root v1.Descriptor) {
		if to.at == nil {
			a.warnUnlisted(c.asks, to.img, root, onePlatformOf(from.typed(o.src), to.img.String()))
		}
	}
	moved, err := a.copyByRelay(ctx, src, from, to, c.asks, options)
	if errors.Is(err, engine.ErrNoRelay) {
		moved, err = transfer.Copy(ctx, src, dst, options)
		if err == nil && from.at == nil && to.at != nil {
			a.loaded(ctx, to.at, to.img, from.img, options.Platform, moved)
		}
	}
	if err != nil {
		return res, "", to.refused(from.typed(o.src), ofImage(from.img, wrongHere(from.at, err)))
	}
	options.OnBegin, options.OnOther = nil, nil
	res = copyResult{Source: from.named(moved.Resolved), Referrers: []string{}}
	moved.Resolved = moved.Root // what the name at the destination stands for
	res.movedResult = a.movedTo(to.img, to.String(), moved)
	if o.referrers {
		res.Referrers, err = copyReferrers(ctx, a, src, from, to, moved.Root, options)
	}
	return res, to.named(moved.Root), err
}

func copyReferrers(ctx context.Context, a *app, src transfer.Source, from, to end, root v1.Descriptor, o transfer.Options) ([]string, error) {
	digests := []string{}
	of, err := transfer.Below(ctx, src, root)
	if err != nil {
		return digests, err
	}
	copied, err := registry.CopyReferrers(ctx, from.repository(nil), to.repository(a).MountFrom(to.mountFrom(from)), of, o)
	for _, r := range copied {
		digests = append(digests, r.Digest.String())
		a.note("copied: %s %s %s", r.Kind, r.Digest, strings.TrimSpace(r.ArtifactType+" "+r.Tag))
	}
	return digests, to.about(err)
}
