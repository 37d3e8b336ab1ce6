package cmd

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vicr-cli/vicr/internal/harbor"
	"github.com/vicr-cli/vicr/internal/listing"
	"github.com/vicr-cli/vicr/internal/ref"
)

const (
	private = "private"
	public  = "public"
)

// noteOnlyPublic says why there may be more projects than are listed: Harbor's
// API shows those of a user by password alone.
func (a *app) noteOnlyPublic(r *road) {
	switch {
	case r.anonymous:
		a.note("nobody is logged in: these are the public ones; vicr login %s shows yours", r.host)
	case !r.auth.HasPassword():
		a.note("what is kept for %s is a token, by which its API shows the public ones alone; vicr login %s, with name and password, shows yours", r.host, r.host)
	}
}

type projectOptions struct {
	host   ref.Host
	name   string
	public bool
	tls    tlsFlags
}

type projectResult struct {
	Host       string
	Project    string
	Created    bool   // false: it was there already
	Visibility string `json:",omitempty"` // "private", "public"; empty: not told to this user
}

type projectsResult struct {
	Host     string
	Projects []projectRow
}

type projectRow struct {
	Name         string
	Visibility   string
	Repositories int
}

func newProject(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "project create|ls",
		Short: "Create and list the projects of a Harbor",
		Example: `  vicr project create registry.example.com/demo
  vicr project ls registry.example.com`,
		Args: cobra.ArbitraryArgs,
		RunE: func(*cobra.Command, []string) error {
			return &usageError{text: "project: say what to do: create or ls", hint: "vicr project create HOST/NAME, or vicr project ls HOST"}
		},
	}
	c.AddCommand(newProjectCreate(a), newProjectList(a))
	return c
}

func newProjectCreate(a *app) *cobra.Command {
	var o projectOptions
	c := &cobra.Command{
		Use:   "create HOST/NAME",
		Short: "Create a project, unless it is there",
		Long: `Create a project in a Harbor. A project that is there already is left as it is,
and that is no failure. Only its members see a project, unless it is public.`,
		Example: `  vicr project create registry.example.com/demo
  vicr project create --public registry.example.com/base-images`,
		Args: exactly(1, "one project, as HOST/NAME"),
		RunE: func(c *cobra.Command, args []string) (err error) {
			if o.host, o.name, err = parseProject(args[0]); err != nil {
				return err
			}
			return a.atHome(c.Context(), func() error { return aboutHost(o.host, runProjectCreate(c.Context(), a, o)) })
		},
	}
	c.Flags().BoolVar(&o.public, "public", false, "let everybody pull from it, without a login")
	o.tls.register(c.Flags())
	return c
}

func newProjectList(a *app) *cobra.Command {
	var o projectOptions
	c := &cobra.Command{
		Use:     "ls HOST",
		Short:   "List the projects that you may see",
		Example: "  vicr project ls registry.example.com",
		Args:    exactly(1, "the address of one registry"),
		RunE: func(c *cobra.Command, args []string) (err error) {
			if o.host, err = ref.ParseHost(args[0]); err != nil {
				return err
			}
			return a.atHome(c.Context(), func() error { return aboutHost(o.host, runProjectList(c.Context(), a, o)) })
		},
	}
	o.tls.register(c.Flags())
	return c
}

// parseProject reads HOST/NAME.
func parseProject(s string) (ref.Host, string, error) {
	h, name, ok, err := ref.CutHost(s)
	switch {
	case err != nil:
		return h, "", err
	case !ok:
		return h, "", &usageError{text: "no project is named", hint: "vicr project create " + h.String() + "/NAME"}
	}
	return h, name, aboutHost(h, harbor.CheckProjectName(name))
}

func runProjectCreate(ctx context.Context, a *app, o projectOptions) error {
	res := projectResult{Host: o.host.String(), Project: o.name, Created: true, Visibility: visibility(o.public)}
	if err := a.checkFormat(res); err != nil {
		return err
	}
	r, err := a.road(ctx, o.host, o.tls)
	if err != nil {
		return err
	}
	api, info, err := r.harbor(ctx)
	if err != nil {
		return err
	}
	err = r.createBy(ctx, api, info, o.name, o.public)
	if there, ok := errors.AsType[*harbor.ProjectExistsError](err); ok {
		if err := a.isThere(ctx, api, info, &res, there); err != nil {
			return err
		}
		return a.result(res, line("%s is there already", o.host.String()+"/"+o.name))
	}
	if err != nil {
		return err
	}
	return a.result(res, line("created %s, %s", o.host.String()+"/"+o.name, res.Visibility))
}

// isThere finds out whether a project that was there is as it was wanted.
func (a *app) isThere(ctx context.Context, api *harbor.Client, info harbor.Info, res *projectResult, there error) error {
	wanted := res.Visibility
	res.Created, res.Visibility = false, ""
	p, seen, err := api.Project(ctx, info, res.Project)
	switch {
	case err != nil:
		return err
	case !seen:
		a.warn("%s, and it is not this user's", there)
		return nil
	}
	res.Visibility = visibility(p.Public)
	if res.Visibility != wanted {
		a.warn("%s, and it is %s, not %s: its administrators can change that in the registry's web page", there, res.Visibility, wanted)
	}
	return nil
}

func visibility(isPublic bool) string {
	if isPublic {
		return public
	}
	return private
}

func runProjectList(ctx context.Context, a *app, o projectOptions) error {
	if err := a.checkFormat(projectsResult{Projects: []projectRow{{}}}); err != nil {
		return err
	}
	r, err := a.road(ctx, o.host, o.tls)
	if err != nil {
		return err
	}
	api, info, err := r.harbor(ctx)
	if err != nil {
		return err
	}
	a.noteOnlyPublic(r)
	if err := r.verify(ctx); err != nil { // with a wrong password Harbor lists what nobody may see
		return err
	}
	var all []harbor.Project
	err = a.patiently(slowAfter, "the list of "+o.host.String(), func() (err error) {
		all, err = api.Projects(ctx, info)
		return err
	})
	if err != nil {
		return err
	}
	slices.SortFunc(all, func(x, y harbor.Project) int { return strings.Compare(x.Name, y.Name) })
	res, rows := projectsResult{Host: o.host.String(), Projects: []projectRow{}}, []listing.Project{}
	for _, p := range all {
		res.Projects = append(res.Projects, projectRow{p.Name, visibility(p.Public), p.Repositories})
		rows = append(rows, listing.Project{Name: p.Name, Public: p.Public, Repositories: p.Repositories})
	}
	return a.result(res, func(w io.Writer) error { return a.table(w, projectHeader, projectRows(rows)) })
}

// verify asks whether the credentials, if there are any, are right.
func (r *road) verify(ctx context.Context) error {
	if r.anonymous {
		return nil
	}
	_, err := r.auth.Verify(ctx)
	return err
}

// harbor finds out, without credentials, that the registry is a Harbor, and
// returns the user's way to its API.
func (r *road) harbor(ctx context.Context) (*harbor.Client, harbor.Info, error) {
	asks, err := r.auth.Learn(ctx)
	if err != nil {
		return nil, harbor.Info{}, err
	}
	info, found, err := harbor.NewClient(r.wire, r.base).Detect(ctx, asks.Service)
	if err == nil && !found {
		err = &harbor.NoProjectsError{}
	}
	return harbor.NewClient(r.auth.API(), r.base).As(r.user), info, err
}
