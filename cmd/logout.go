package cmd

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/vicr-cli/vicr/internal/auth"
	"github.com/vicr-cli/vicr/internal/ref"
)

type logoutOptions struct {
	hosts []ref.Host
	all   bool
}

type logoutResult struct {
	Host   string
	Erased bool // false: nobody was logged in
}

func newLogout(a *app) *cobra.Command {
	var o logoutOptions
	c := &cobra.Command{
		Use:     "logout HOST",
		Short:   "Forget the password for a registry",
		Example: "  vicr logout registry.example.com\n  vicr logout --all",
		Args: func(_ *cobra.Command, args []string) error {
			if o.all == (len(args) > 0) || len(args) > 1 {
				return usagef("vicr logout takes the address of one registry, or --all")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) (err error) {
			if o.hosts, err = each(args, ref.ParseHost); err != nil {
				return err
			}
			return a.atHome(c.Context(), func() error { return runLogout(c.Context(), a, o) })
		},
	}
	c.Flags().BoolVar(&o.all, "all", false, "forget the passwords for all registries")
	return c
}

func runLogout(ctx context.Context, a *app, o logoutOptions) error {
	if err := a.checkFormat(logoutResult{Host: "h", Erased: true}); err != nil {
		return err
	}
	kept := a.credentials()
	if o.all {
		names, err := kept.Hosts(ctx)
		if err != nil {
			return err
		}
		if o.hosts, err = each(names, ref.ParseHost); err != nil {
			return err
		}
	}
	if err := a.forgetMarks(ctx, o); err != nil {
		return err
	}
	return forEach(ctx, a, o.hosts, func(h ref.Host) error {
		erased, err := kept.Erase(ctx, h)
		if err != nil {
			return aboutHost(h, err)
		}
		if err := auth.SaveMark(ctx, marksFile(a.dirs()), h, auth.Mark{}); err != nil {
			return aboutHost(h, err)
		}
		text := "logged out of " + h.String()
		if !erased {
			text = "nobody was logged in to " + h.String()
		}
		return a.result(logoutResult{Host: h.String(), Erased: erased}, line("%s", text))
	})
}

// forgetMarks forgets, for --all, what was allowed where nobody is logged in
// any more: docker logout knows nothing of it.
func (a *app) forgetMarks(ctx context.Context, o logoutOptions) error {
	path := marksFile(a.dirs())
	if !o.all || path == "" {
		return nil
	}
	marks, err := auth.LoadMarks(path)
	if err != nil {
		return err
	}
	for name := range marks {
		h, err := ref.ParseHost(name)
		if err != nil {
			continue // vicr wrote no such name
		}
		if err := auth.SaveMark(ctx, path, h, auth.Mark{}); err != nil {
			return aboutHost(h, err)
		}
	}
	return nil
}
