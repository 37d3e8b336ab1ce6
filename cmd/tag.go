package cmd

import (
	"context"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"

	"github.com/vicr-cli/vicr/internal/auth"
	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/registry"
)

type tagOptions struct {
	images []ref.Image // the source first
	in     string
	placed bool // --in was given
	remote bool
	tls    tlsFlags
}

type tagResult struct {
	Source string
	Names  []string
	Place  string
}

func newTag(a *app) *cobra.Command {
	var o tagOptions
	c := &cobra.Command{
		Use:   "tag SRC DST...",
		Short: "Give an image in the engine, vicr's store or a folder one more name",
		Long: "Give an image that is here one more name, as docker tag does. No registry is asked,\n" +
			"unless with --remote: then the image is one in a registry, and gets one more tag in\nits repository there. No layer is moved.",
		Example: `  vicr tag registry.example.com/library/ubuntu:14.04 registry.example.com/demo/ubuntu:14.04
  vicr tag --remote registry.example.com/demo/ubuntu:14.04 registry.example.com/demo/ubuntu:stable`,
		Args: atLeast(2, "the name of an image and its new names"),
		RunE: func(c *cobra.Command, args []string) error {
			images, err := each(args, ref.ParseImage)
			if err != nil {
				return err
			}
			o.images, o.placed = images, c.Flags().Changed("in")
			return a.atHome(c.Context(), func() error { return runTag(c.Context(), a, o) })
		},
	}
	c.Flags().StringVar(&o.in, "in", "auto", "the `place` that has the image: auto, docker, store or oci:DIR[:TAG]; an archive takes no more names")
	c.Flags().BoolVar(&o.remote, "remote", false, "give an image in a registry one more tag, there")
	o.tls.register(c.Flags())
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
	if o.remote {
		return tagRemote(ctx, a, o, src, dst)
	}
	if o.tls != (tlsFlags{}) {
		return usagef("--ca-file, --insecure-skip-verify and --plain-http are for --remote: else no registry is asked")
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

func tagRemote(ctx context.Context, a *app, o tagOptions, src ref.Image, dst []ref.Image) error {
	if o.placed {
		return usagef("--remote and --in exclude each other: the image is in a registry, or here")
	}
	tags := make([]string, len(dst))
	for i, d := range dst {
		if d.Name() != src.Name() {
			return &usageError{
				text: fmt.Sprintf("%s: not in the repository %s, the only one where --remote gives names", d, src.Name()),
				hint: "bring it there: vicr copy " + src.String() + " " + d.String(),
			}
		}
		tags[i] = d.Tag
	}
	return aboutHost(src.Host, func() error {
		r, err := a.road(ctx, src.Host, o.tls)
		if err != nil {
			return err
		}
		ctx = auth.WithScope(ctx, "repository:"+src.Repository+":pull,push") // one token for all
		begin := func(root v1.Descriptor) {
			a.warnUnlisted(r.auth.Asked(), dst[0], root, onePlatformOf(src.String(), dst[0].String()))
		}
		if _, err := registry.Open(src, r.auth, r.base).Tag(ctx, begin, tags...); err != nil {
			return err
		}
		res := tagResult{Source: src.String(), Names: texts(dst), Place: src.Host.String()}
		return a.result(res, lines(res.Names))
	}())
}
