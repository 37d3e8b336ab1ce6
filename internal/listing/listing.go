// Package listing shows what a registry has, one level below a name: projects
// and repositories and tags of a Harbor of any version by its API, repositories
// and tags of another registry as the Distribution API has them.
package listing

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/vicr-cli/vicr/internal/harbor"
	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/registry"
	"github.com/vicr-cli/vicr/internal/transfer"
)

// A Target is what is listed: a registry, or a path in it.
type Target struct {
	Host ref.Host
	Path string // PROJECT, PROJECT/REPO, or a repository; "" for the registry
}

// String is HOST[/PATH].
func (t Target) String() string {
	if t.Path == "" {
		return t.Host.String()
	}
	return t.Host.String() + "/" + t.Path
}

// ParseTarget reads HOST[/PROJECT[/REPO]]. A slash at the end does not matter.
// The error is a [*ref.Error].
func ParseTarget(s string) (Target, error) {
	host, rest, _, err := ref.CutHost(strings.TrimSuffix(s, "/"))
	if err != nil || rest == "" {
		return Target{Host: host}, err
	}
	fail := func(why string) (Target, error) {
		return Target{}, &ref.Error{What: "name", Input: s, Why: why}
	}
	img, err := ref.ParseImage("registry.invalid/" + rest) // the host was read, by other rules than docker's
	switch {
	case err != nil:
		return fail("not in the form HOST/PROJECT/REPO")
	case img.Repository != rest:
		return fail("leave out the tag and the digest: what is listed is a repository")
	}
	if c := host.Canonical().String(); (c == "docker.io" || c == "index.docker.io") && !strings.Contains(rest, "/") {
		rest = "library/" + rest
	}
	return Target{Host: host, Path: rest}, nil
}

// A Kind says what a [Listing] is of.
type Kind string

// The kinds of listings.
const (
	Projects     Kind = "projects"     // of a Harbor
	Repositories Kind = "repositories" // of a project, or of another registry
	Tags         Kind = "tags"         // of a repository
)

// A Listing is what a registry has below a name, for programs too: fields are
// added, never renamed. Names and digests are the server's: they may hold any
// byte. Lists that do not belong to the kind are empty. Projects and
// repositories are in the order of their names, tags in that of the registry,
// which for artifacts of Harbor 2.x is the newest push first.
type Listing struct {
	Name         string // what was listed: HOST[/PROJECT[/REPO]]
	Kind         Kind
	Projects     []Project
	Repositories []Repository // below a repository that is listed, too
	Tags         []string     // all of them, each once
	Artifacts    []Artifact   // what the tags stand for, and what has none; empty where the registry does not tell
	More         bool         // there are more repositories or artifacts than the 10000 that are listed
}

// A Project is one of a Harbor.
type Project struct {
	Name         string
	Public       bool
	Repositories int
}

// A Repository is one of a project, or of a registry without projects. What the
// registry does not tell is -1 or "".
type Repository struct {
	Name    string // with the project
	Tags    int    // Harbor before 2.0
	Pulls   int64
	Updated string // RFC 3339: when something was pushed or pulled last

	Artifacts int // Harbor 2.x
}

// An Artifact is a manifest, or, in Harbor before 2.0, one tag. What the
// registry does not tell is -1 or "".
type Artifact struct {
	Tags    []string // none: known by its digest alone
	Digest  string
	Size    int64  // bytes
	Pushed  string // RFC 3339
	Created string // RFC 3339, by the image's config
	Scan    string // "2 critical, 5 high", "nothing found", "not scanned", "scan running", "scan failed"; "" before 2.0
	Found   map[string]int
}

// Options are the ways to a registry. Nothing is kept of them.
type Options struct {
	Registry http.RoundTripper // what is below /v2/, with credentials
	API      http.RoundTripper // what is beside it, with credentials
	Open     http.RoundTripper // without credentials, to find out what it is
	Base     *url.URL
	// Service is the one that the challenge at /v2/ names, "" if none is; nil: it
	// is not known. By it a Harbor is told whose API does not answer.
	Service func(context.Context) (string, error)
	// Verify asks whether the credentials are right; nil: there are none. A
	// Harbor shows to a wrong password what it shows to nobody.
	Verify func(context.Context) error
}

// A NoProjectError says that a project that was to be listed is not there.
type NoProjectError struct {
	Project string
}

func (e *NoProjectError) Error() string { return fmt.Sprintf("there is no project %q", e.Project) }

// Of lists what is below t. Errors are [*NoProjectError], those of packages
// harbor and registry, of the round-trippers, of Service and of Verify.
func Of(ctx context.Context, t Target, o Options) (Listing, error) {
	l := Listing{Name: t.String(), Projects: []Project{}, Repositories: []Repository{}, Tags: []string{}, Artifacts: []Artifact{}}
	info, isHarbor, err := harbor.NewClient(o.Open, o.Base).Detect(ctx, "")
	if err != nil {
		return l, err
	}
	if !isHarbor {
		err = l.withoutAPI(ctx, t, o)
		return l, err
	}
	project, repository, deep := strings.Cut(t.Path, "/")
	if o.Verify != nil {
		if err := o.Verify(ctx); err != nil {
			return l, err
		}
	}
	h := harbor.NewClient(o.API, o.Base)
	switch {
	case t.Path == "":
		err = l.projects(ctx, h, info)
	case !deep:
		err = l.repositories(ctx, h, info, project)
	default:
		err = l.artifacts(ctx, h, info, t, project, repository, o)
	}
	return l, err
}

func (l *Listing) projects(ctx context.Context, h *harbor.Client, info harbor.Info) error {
	l.Kind = Projects
	all, err := h.Projects(ctx, info)
	for _, p := range all {
		l.Projects = append(l.Projects, Project{Name: p.Name, Public: p.Public, Repositories: p.Repositories})
	}
	slices.SortFunc(l.Projects, func(a, b Project) int { return cmp.Compare(a.Name, b.Name) })
	return err
}

func (l *Listing) repositories(ctx context.Context, h *harbor.Client, info harbor.Info, project string) error {
	l.Kind = Repositories
	all, more, err := h.Repositories(ctx, info, project)
	if _, missing := errors.AsType[*harbor.ProjectMissingError](err); missing {
		return &NoProjectError{Project: project}
	}
	l.More = more
	for _, r := range all {
		l.Repositories = append(l.Repositories, Repository{Name: r.Name, Tags: r.Tags, Artifacts: r.Artifacts, Pulls: r.Pulls, Updated: stamp(r.Updated)})
	}
	l.sortRepositories()
	return err
}

// artifacts asks the API, and where that does not tell the registry itself,
// which also says best why it does not.
func (l *Listing) artifacts(ctx context.Context, h *harbor.Client, info harbor.Info, t Target, project, repository string, o Options) error {
	l.Kind = Tags
	all, more, err := h.Artifacts(ctx, info, project, repository)
	var refused *harbor.RefusedListError
	if errors.As(err, &refused) || err == nil && len(all) == 0 && info.Generation == 1 {
		return l.tags(ctx, t, o)
	}
	if err != nil {
		return err
	}
	l.More = more
	listed := map[string]bool{}
	for _, a := range all {
		shown := Artifact{Tags: a.Tags, Digest: a.Digest, Size: a.Size, Pushed: stamp(a.Pushed), Created: stamp(a.Created)}
		if a.Tags == nil {
			shown.Tags = []string{}
		}
		if a.Scan != nil {
			shown.Scan, shown.Found = a.Scan.String(), a.Scan.Found
		}
		for _, tag := range a.Tags {
			if !listed[tag] {
				listed[tag] = true
				l.Tags = append(l.Tags, tag)
			}
		}
		if a.Digest != "" { // 1.1 has names alone
			l.Artifacts = append(l.Artifacts, shown)
		}
	}
	return nil
}

// tags asks the registry itself.
func (l *Listing) tags(ctx context.Context, t Target, o Options) error {
	l.Kind = Tags
	tags, err := registry.Open(ref.Image{Host: t.Host, Repository: t.Path}, o.Registry, o.Base).Tags(ctx)
	l.Tags = append(l.Tags, tags...)
	return err
}

// withoutAPI lists what the registry itself has. Of a Harbor whose API does not
// answer that is the tags of a repository alone.
func (l *Listing) withoutAPI(ctx context.Context, t Target, o Options) error {
	service := ""
	if o.Service != nil {
		var err error
		if service, err = o.Service(ctx); err != nil {
			return err
		}
	}
	switch {
	case !harbor.IsService(service):
		return l.plain(ctx, t, o)
	case strings.Contains(t.Path, "/"):
		return l.tags(ctx, t, o)
	}
	return harbor.NewClient(o.Open, o.Base).WhyNoAPI(ctx)
}

// plain lists what a registry without Harbor's API has. A name in it may stand
// for a repository, and for a part of the names of others.
func (l *Listing) plain(ctx context.Context, t Target, o Options) error {
	if t.Path == "" {
		l.Kind = Repositories
		names, err := registry.Catalog(ctx, t.Host, o.Registry, o.Base)
		l.named(names)
		return err
	}
	err := l.tags(ctx, t, o)
	missing := errors.Is(err, transfer.ErrNotFound)
	if err != nil && !missing || err == nil && strings.Contains(t.Path, "/") {
		return err
	}
	names, refused := registry.Open(ref.Image{Host: t.Host, Repository: t.Path}, o.Registry, o.Base).Below(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if refused != nil || len(names) == 0 {
		return err // what is below is beside the question
	}
	if missing {
		l.Kind = Repositories
	}
	l.named(names)
	return nil
}

func (l *Listing) named(names []string) {
	for _, n := range names {
		l.Repositories = append(l.Repositories, Repository{Name: n, Tags: -1, Artifacts: -1, Pulls: -1})
	}
	l.sortRepositories()
}

func (l *Listing) sortRepositories() {
	slices.SortFunc(l.Repositories, func(a, b Repository) int { return cmp.Compare(a.Name, b.Name) })
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
