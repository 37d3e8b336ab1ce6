package cmd

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/vicr-cli/vicr/internal/listing"
	"github.com/vicr-cli/vicr/internal/status"
)

type listOptions struct {
	target listing.Target // the zero Target: what is known here
	tls    tlsFlags
}

func newList(a *app) *cobra.Command {
	var o listOptions
	c := &cobra.Command{
		Use:   "ls [HOST[/PROJECT[/REPO]]]",
		Short: "List registries, projects, repositories and tags",
		Long: `List what is one level below a name: without one the registries that are known
here, of a registry its projects, of a project its repositories, of a repository
its tags. A registry without projects has repositories alone, which many such
registries list for nobody; a name in it may be that of a repository, and of a
part of others.

Harbor from 2.0 on lists artifacts, the newest push first: tags, digest, size,
time of the push and what a scan found; one without a tag is there by its digest.
Projects and repositories are in the order of their names, other tags in the
registry's. Columns that the registry tells nothing for are left out, and a
header over one column too; --quiet prints names alone. 10000 repositories or
artifacts of a Harbor are listed, and that there are more is said.

JSON is one object: Name, Kind (registries, projects, repositories or tags), a
list for each kind, and More. What is not told is -1 or empty.`,
		Example: `  vicr ls
  vicr ls registry.example.com
  vicr ls registry.example.com/library
  vicr ls registry.example.com/library/ubuntu
  vicr ls --format '{{range .Tags}}{{println .}}{{end}}' registry.example.com/library/ubuntu`,
		Args: atMost(1, "the name of one registry, project or repository"),
		RunE: func(c *cobra.Command, args []string) (err error) {
			if len(args) == 0 {
				return a.atHome(c.Context(), func() error { return runKnown(c.Context(), a) })
			}
			if o.target, err = listing.ParseTarget(args[0]); err != nil {
				return err
			}
			return a.atHome(c.Context(), func() error { return runList(c.Context(), a, o) })
		},
	}
	o.tls.register(c.Flags())
	return c
}

// A knownResult is what is known here without asking any registry.
type knownResult struct {
	Kind       listing.Kind // "registries"
	Registries []knownRegistry
}

type knownRegistry struct {
	Host    string
	User    string // who is logged in; "" for nobody
	Token   bool   // somebody is, by a token that names nobody
	Trusted string // how it came to be trusted by vicr trust, as in vicr status; "" if it was not
}

// runKnown lists what there are credentials for and what vicr trust recorded.
func runKnown(ctx context.Context, a *app) error {
	known := knownResult{Kind: "registries", Registries: []knownRegistry{}}
	example := knownResult{Kind: known.Kind, Registries: []knownRegistry{{}}}
	if err := a.checkFormat(example); err != nil {
		return err
	}
	logins, err := a.credentials().Logins(ctx)
	if err != nil {
		return err
	}
	for _, l := range logins {
		known.Registries = append(known.Registries, knownRegistry{Host: l.Host, User: l.User, Token: l.User == ""})
	}
	if err := a.addTrusted(ctx, &known); err != nil {
		return err
	}
	slices.SortFunc(known.Registries, func(x, y knownRegistry) int { return strings.Compare(x.Host, y.Host) })
	if len(known.Registries) == 0 {
		a.note("no registry is known here: vicr trust HOST, or vicr login HOST")
	}
	return a.result(known, func(w io.Writer) error { return a.table(w, knownHeader, knownRows(known.Registries)) })
}

// addTrusted adds what the journals say that this process may read.
func (a *app) addTrusted(ctx context.Context, known *knownResult) error {
	site, err := a.site("")
	if err != nil {
		return err
	}
	defer site.Close()
	entries, err := a.recorded(ctx, site)
	if err != nil {
		return err
	}
	for _, r := range status.Of(entries, site.Machine, status.Options{Now: a.env.Now()}).Registries {
		i := slices.IndexFunc(known.Registries, func(k knownRegistry) bool { return k.Host == r.Host })
		if i < 0 {
			i = len(known.Registries)
			known.Registries = append(known.Registries, knownRegistry{Host: r.Host})
		}
		known.Registries[i].Trusted = firstOf(r.How, "yes")
	}
	a.sayUnseen("", a.unread(site.Machine))
	return nil
}

var knownHeader = []string{"REGISTRY", "USER", "TRUSTED"}

func knownRows(all []knownRegistry) [][]string {
	var rows [][]string
	for _, r := range all {
		user := r.User
		if r.Token {
			user = "(token)"
		}
		rows = append(rows, []string{r.Host, orNone(user), orNone(r.Trusted)})
	}
	return rows
}

func runList(ctx context.Context, a *app, o listOptions) error {
	example := listing.Listing{
		Projects: []listing.Project{{}}, Repositories: []listing.Repository{{}}, Tags: []string{"t"},
		Artifacts: []listing.Artifact{{Tags: []string{"t"}}},
	}
	if err := a.checkFormat(example); err != nil {
		return err
	}
	l, err := a.list(ctx, o)
	if err != nil {
		return aboutHost(o.target.Host, err)
	}
	if err := a.result(l, func(w io.Writer) error { return a.listed(w, l) }); err != nil {
		return err
	}
	if l.More {
		a.warn("%s has more than is listed here", l.Name)
	}
	return nil
}

func (a *app) list(ctx context.Context, o listOptions) (listing.Listing, error) {
	r, err := a.road(ctx, o.target.Host, o.tls)
	if err != nil {
		return listing.Listing{}, err
	}
	ways := listing.Options{Registry: r.auth, API: r.auth.API(), Open: r.wire, Base: r.base}
	ways.Service = func(ctx context.Context) (string, error) {
		asks, err := r.auth.Learn(ctx)
		return asks.Service, err
	}
	if !r.anonymous {
		ways.Verify = r.verify
	}
	var l listing.Listing
	err = a.patiently(slowAfter, "the list of "+o.target.String(), func() (err error) {
		l, err = listing.Of(ctx, o.target, ways)
		return err
	})
	switch {
	case err != nil:
	case l.Kind == listing.Projects && (r.anonymous || !r.auth.HasPassword()):
		a.noteOnlyPublic(r)
	case len(l.Projects)+len(l.Repositories)+len(l.Tags)+len(l.Artifacts) == 0:
		a.note("nothing is listed in %s", l.Name)
	}
	return l, err
}

// listed prints a listing for people.
func (a *app) listed(w io.Writer, l listing.Listing) error {
	switch l.Kind {
	case listing.Projects:
		return a.table(w, projectHeader, projectRows(l.Projects))
	case listing.Repositories:
		return a.table(w, repositoryHeader, repositoryRows(l.Repositories))
	}
	var err error
	if len(l.Artifacts) > 0 && !a.flags.quiet {
		err = a.table(w, []string{"TAGS", "DIGEST", "SIZE", "PUSHED", "CREATED", "SCAN"}, artifactRows(l.Artifacts))
	} else {
		err = lines(l.Tags)(w)
	}
	if err == nil && len(l.Repositories) > 0 {
		err = a.table(w, repositoryHeader, repositoryRows(l.Repositories))
	}
	return err
}

var projectHeader = []string{"PROJECT", "ACCESS", "REPOSITORIES"}

func projectRows(all []listing.Project) [][]string {
	var rows [][]string
	for _, p := range all {
		rows = append(rows, []string{p.Name, visibility(p.Public), fmt.Sprint(p.Repositories)})
	}
	return rows
}

var repositoryHeader = []string{"REPOSITORY", "TAGS", "ARTIFACTS", "PULLS", "UPDATED"}

func repositoryRows(all []listing.Repository) [][]string {
	var rows [][]string
	for _, r := range all {
		rows = append(rows, []string{r.Name, count(int64(r.Tags)), count(int64(r.Artifacts)), count(r.Pulls), minute(r.Updated)})
	}
	return rows
}

func artifactRows(all []listing.Artifact) [][]string {
	// The time of the push says more than that of the build.
	pushed := slices.ContainsFunc(all, func(x listing.Artifact) bool { return x.Pushed != "" })
	var rows [][]string
	for _, x := range all {
		bytes, created := "", minute(x.Created)
		if x.Size >= 0 {
			bytes = size(x.Size)
		}
		if pushed {
			created = ""
		}
		rows = append(rows, []string{strings.Join(x.Tags, ", "), x.Digest, bytes, minute(x.Pushed), created, x.Scan})
	}
	return rows
}

func count(n int64) string {
	if n < 0 {
		return ""
	}
	return fmt.Sprint(n)
}

// minute is a time of RFC 3339 in UTC without its seconds.
func minute(stamp string) string {
	const enough = len("2006-01-02T15:04")
	if len(stamp) < enough {
		return ""
	}
	return strings.Replace(stamp[:enough], "T", " ", 1)
}

// table prints rows without the columns of which no cell holds anything; of one
// column the header is left out too. When quiet it prints the first alone. Cells
// may come from outside.
func (a *app) table(out io.Writer, header []string, rows [][]string) error {
	var keep []int
	for i := range header {
		if i == 0 || !a.flags.quiet && slices.ContainsFunc(rows, func(r []string) bool { return r[i] != "" }) {
			keep = append(keep, i)
		}
	}
	if len(keep) > 1 {
		rows = append([][]string{header}, rows...)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		cells := make([]string, len(keep))
		for i, k := range keep {
			cells[i] = escaped(orNone(row[k]))
		}
		if _, err := io.WriteString(w, strings.Join(cells, "\t")+"\n"); err != nil {
			return err
		}
	}
	return w.Flush()
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
