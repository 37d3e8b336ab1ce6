package cmd

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/vicr-cli/vicr/internal/auth"
	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/registry"
	"github.com/vicr-cli/vicr/internal/transfer"
)

type pushOptions struct {
	images []ref.Image
	from   string
	jobs   int
	create createFlag
	tls    tlsFlags
}

func newPush(a *app) *cobra.Command {
	var o pushOptions
	c := &cobra.Command{
		Use:   "push REF...",
		Short: "Bring images from the engine, vicr's store or a folder to a registry",
		Example: `  vicr push registry.example.com/demo/ubuntu:14.04
  vicr push --from oci:ubuntu registry.example.com/demo/ubuntu:14.04
  vicr push --create-project registry.example.com/new/ubuntu:14.04`,
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
	c.Flags().StringVar(&o.from, "from", "auto", "the `place` that has the images: auto, docker, store or oci:DIR[:TAG]")
	c.Flags().IntVarP(&o.jobs, "jobs", "j", 4, "how many blobs are under way at the same time")
	c.Flags().Var(&o.create, "create-project", "create the project if it is missing: private or public")
	c.Flags().Lookup("create-project").NoOptDefVal = private
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
	return forEach(a, o.images, func(img ref.Image) error {
		return aboutHost(img.Host, pushOne(ctx, a, img, from, o))
	})
}

func pushOne(ctx context.Context, a *app, img ref.Image, from ref.Place, o pushOptions) error {
	at, err := a.openSource(ctx, from, img)
	if err != nil {
		return err
	}
	a.note("from: %s", at)
	r, err := a.road(ctx, img.Host, o.tls)
	if err != nil {
		return err
	}
	if err := a.mayPush(ctx, r, img, o.create); err != nil {
		return err
	}
	ctx = auth.WithScope(ctx, "repository:"+img.Repository+":pull,push") // one token for all
	src, closeSource := at.source(img)
	onEvent, done := a.progress()
	moved, err := transfer.Copy(ctx, src, registry.Open(img, r.auth, r.base), transfer.Options{Jobs: o.jobs, OnEvent: onEvent})
	done()
	if cerr := closeSource(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return a.moved(img, at, moved)
}
