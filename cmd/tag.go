package cmd

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/vicr-cli/vicr/internal/ref"
)

type tagOptions struct {
	images []ref.Image // the source first
	in     string
}

type tagResult struct {
	Source string
	Names  []string
	Place  string
}

func newTag(a *app) *cobra.Command {
	var o tagOptions
	c := &cobra.Command{
		Use:     "tag SRC DST...",
		Short:   "Give an image in the engine, vicr's store or a folder one more name",
		Long:    "Give an image that is here one more name, as docker tag does. No registry is asked.",
		Example: "  vicr tag registry.example.com/library/ubuntu:14.04 registry.example.com/demo/ubuntu:14.04",
		Args:    atLeast(2, "the name of an image and its new names"),
		RunE: func(c *cobra.Command, args []string) error {
			images, err := each(args, ref.ParseImage)
			if err != nil {
				return err
			}
			o.images = images
			return a.atHome(c.Context(), func() error { return runTag(c.Context(), a, o) })
		},
	}
	c.Flags().StringVar(&o.in, "in", "auto", "the `place` that has the image: auto, docker, store or oci:DIR[:TAG]")
	return c
}

func runTag(ctx context.Context, a *app, o tagOptions) error {
	if err := a.checkFormat(tagResult{Source: "h/p/r:t", Names: []string{"h/p/r:u"}, Place: "store"}); err != nil {
		return err
	}
	in, err := ref.ParsePlace(o.in)
	if err != nil {
		return err
	}
	src, dst := o.images[0], o.images[1:]
	for _, d := range dst {
		if d.Digest != "" {
			return usagef("%s: a new name cannot have a digest", d)
		}
	}
	at, err := a.openSource(ctx, in, src)
	if err != nil {
		return err
	}
	a.note("in: %s", at)
	if err := at.tag(ctx, src, dst); err != nil {
		return err
	}
	res := tagResult{Source: src.String(), Names: texts(dst), Place: at.String()}
	return a.result(res, lines(res.Names))
}
