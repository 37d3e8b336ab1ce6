package cmd

import (
	"context"
	"errors"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"

	"github.com/vicr-cli/vicr/internal/auth"
	"github.com/vicr-cli/vicr/internal/engine"
	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/registry"
	"github.com/vicr-cli/vicr/internal/transfer"
)

// minChunk is the smallest chunk, in bytes: each takes a round trip.
const minChunk = 64 << 10

type pushOptions struct {
	images   []ref.Image
	from     string
	platform string
	jobs     int
	create   createFlag
	chunk    string
	tls      tlsFlags
}

func newPush(a *app) *cobra.Command {
	var o pushOptions
	c := &cobra.Command{
		Use:   "push REF...",
		Short: "Bring images from the engine, vicr's store, a folder or a file to a registry",
		Long: `Bring images from the engine, vicr's store, a folder or a file to a registry.

An archive may be compressed by gzip or zstd. Its only image is sent under the
name given; of several the one that has this name, or the one called NAME in
docker-archive:FILE:NAME and oci-archive:FILE:NAME. What docker save wrote from
25.0 on has digests, and they stay; for older archives layers are compressed,
each time to the same digest. docker save from 29 on may list platforms that it
left out: --platform says which one to send.`,
		Example: `  vicr push registry.example.com/demo/ubuntu:14.04
  vicr push --from oci:ubuntu registry.example.com/demo/ubuntu:14.04
  vicr push --platform linux/amd64 registry.example.com/demo/ubuntu:14.04
  vicr push --create-project registry.example.com/new/ubuntu:14.04
  docker save ubuntu:14.04 | vicr push --from docker-archive:- registry.example.com/demo/ubuntu:14.04`,
		Args: atLeast(1, "the names of images"),
		RunE: func(c *cobra.Command, args []string) error {
			images, err := each(args, ref.ParseImage)
			if err != nil {
				return err
			}
			o.images = images
			return a.atHome(c.Context(), func() error { return runPush(c.Context(), a, o) })
		},
	}
	c.Flags().StringVar(&o.from, "from", "auto", "the `place` that has the images: "+placeWords+", with - for standard input")
	c.Flags().StringVar(&o.platform, "platform", "", "the platform to choose out of an index, as in linux/arm64; default: the whole index")
	c.Flags().IntVarP(&o.jobs, "jobs", "j", 4, "how many blobs are under way at the same time")
	c.Flags().Var(&o.create, "create-project", "create the project if it is missing: private or public")
	c.Flags().Lookup("create-project").NoOptDefVal = private
	c.Flags().StringVar(&o.chunk, "chunk-size", "", "send larger blobs in requests of at most this `size`, as in 512KiB or 8MB")
	o.tls.register(c.Flags())
	return c
}

func runPush(ctx context.Context, a *app, o pushOptions) error {
	if err := checkMove(a, o.jobs); err != nil {
		return err
	}
	from, err := ref.ParsePlace(o.from)
	if err != nil {
		return err
	}
	chunk, err := parseChunk(o.chunk)
	if err != nil {
		return err
	}
	platform, err := parsePlatform(o.platform)
	if err != nil {
		return err
	}
	if from.IsArchive() && from.File == ref.Stream && o.tls.caFile == ref.Stream {
		return usagef("--from %s and --ca-file -: standard input can be read once", from)
	}
	return forEach(ctx, a, o.images, func(img ref.Image) error {
		return aboutHost(img.Host, pushOne(ctx, a, img, from, chunk, platform, o))
	})
}

func pushOne(ctx context.Context, a *app, img ref.Image, from ref.Place, chunk int64, p *v1.Platform, o pushOptions) error {
	at, err := a.openSource(ctx, from, img)
	if err != nil {
		return err
	}
	a.note("from: %s", at)
	if err := at.find(ctx, img); err != nil { // what is missing here is no reason to ask anybody, or to make a project
		return wrongHere(at, err)
	}
	r, err := a.road(ctx, img.Host, o.tls)
	if err != nil {
		return err
	}
	asks, err := r.asksFor(ctx, o.create, at)
	if err != nil {
		return err
	}
	dst := a.pushTo(r, img).InChunks(chunk)
	ctx = withDonors(ctx, at, img, dst, p)
	if err := a.mayPush(ctx, r, img, asks, o.create); err != nil {
		return err
	}
	ctx = auth.WithScope(ctx, "repository:"+img.Repository+":pull,push") // one token for all
	how := transfer.Options{Platform: p, Jobs: o.jobs, OnBegin: func(root v1.Descriptor) { a.warnUnlisted(asks, img, root, onePlatform(img)) }}
	onEvent, done := a.progress()
	how.OnEvent = onEvent
	dst.Watched(onEvent)
	moved, err := a.relayPush(ctx, at, img, img, dst, r, asks, how)
	if errors.Is(err, engine.ErrNoRelay) {
		moved, err = a.copyFrom(ctx, at, img, dst, how)
	}
	done()
	if err != nil {
		return r.whyNoLogin(ofImage(img, wrongHere(at, err)))
	}
	moved.Resolved = moved.Root // an index that one image was chosen out of stayed here
	return a.moved(img, at, moved)
}

func (a *app) copyFrom(ctx context.Context, at place, img ref.Image, dst transfer.Sink, how transfer.Options) (transfer.Result, error) {
	src, closeSource := at.source(img)
	also, remember := a.seen(img, how.OnEvent)
	how.OnEvent = also
	moved, err := transfer.Copy(ctx, src, dst, how)
	if cerr := closeSource(); err == nil {
		err = cerr
	}
	if err == nil {
		remember()
	}
	return moved, err
}

// parseChunk reads the size of a chunk in bytes; 0 for "".
func parseChunk(s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	number := strings.TrimRight(s, "BKMibkm")
	unit, known := map[string]int64{
		"": 1, "b": 1, "k": 1e3, "kb": 1e3, "kib": 1 << 10, "m": 1e6, "mb": 1e6, "mib": 1 << 20,
	}[strings.ToLower(s[len(number):])]
	n, err := strconv.ParseInt(number, 10, 32) // so that the product is in range
	if err != nil || !known || n*unit < minChunk || n*unit > registry.MaxChunk {
		return 0, usagef("--chunk-size %q: write a size from 64KiB to 128MiB", s)
	}
	return n * unit, nil
}
