package cmd

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/registry"
)

type listOptions struct {
	image ref.Image
	tls   tlsFlags
}

type listResult struct {
	Repository string
	Tags       []string
}

func newList(a *app) *cobra.Command {
	var o listOptions
	c := &cobra.Command{
		Use:     "ls HOST/PROJECT/REPO",
		Short:   "List the tags of a repository",
		Example: "  vicr ls registry.example.com/library/ubuntu",
		Args:    exactly(1, "the name of one repository"),
		RunE: func(c *cobra.Command, args []string) error {
			image, err := ref.ParseImage(args[0])
			if err != nil {
				return err
			}
			o.image = image
			return a.atHome(c.Context(), func() error { return runList(c.Context(), a, o) })
		},
	}
	o.tls.register(c.Flags())
	return c
}

func runList(ctx context.Context, a *app, o listOptions) error {
	if err := a.checkFormat(listResult{Repository: "h/p/r", Tags: []string{"t"}}); err != nil {
		return err
	}
	r, err := a.road(ctx, o.image.Host, o.tls)
	if err != nil {
		return aboutHost(o.image.Host, err)
	}
	tags, err := registry.Open(o.image, r.auth, r.base).Tags(ctx)
	if err != nil {
		return aboutHost(o.image.Host, err)
	}
	return a.result(listResult{Repository: o.image.Name(), Tags: tags}, lines(tags))
}

// lines prints one text a line. The texts may come from outside.
func lines(all []string) func(io.Writer) error {
	return func(w io.Writer) error {
		for _, s := range all {
			if err := line("%s", escaped(s))(w); err != nil {
				return err
			}
		}
		return nil
	}
}
