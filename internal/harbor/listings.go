package harbor

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// The limits of a list. What lies behind them is cut off, and told.
const (
	listPage     = 100 // items asked for at once: no Harbor gives more
	maxListPages = 100
	maxListItems = 10_000
	maxListBytes = 8 << 20 // of one page
)

// A ListedProject is a project as a list shows it. Names may hold any byte.
type ListedProject struct {
	ID           int64
	Name         string
	Public       bool
	Repositories int
}

// A ListedRepository is a repository as a list shows it. What the version of
// Harbor does not tell is -1, or the zero time.
type ListedRepository struct {
	Name    string // with the project; may hold any byte
	Tags    int    // 2.x: artifacts
	Pulls   int64
	Updated time.Time // of the last push
}

// A ListedArtifact is a manifest of a repository with its tags, or, before 2.0,
// one tag. What the version does not tell is "", -1, nil or the zero time.
type ListedArtifact struct {
	Tags    []string // may hold any byte; none: known by its digest alone
	Digest  string
	Size    int64 // bytes, as Harbor counts them
	Pushed  time.Time
	Created time.Time // of the image, by its config
	Scan    *Scan     // nil: this version is not asked, or shows none
}

// Projects lists the projects that the user of the round-tripper may see. More
// says that the list was cut. Errors: [*AnswerError], [*RefusedListError], those
// of the round-tripper.
func (c *Client) Projects(ctx context.Context, i Info) (all []ListedProject, more bool, err error) {
	return c.projects(ctx, i, "")
}

// projects lists those whose name has a part. Which parameter that takes
// depends on the version, and the others are ignored: callers look themselves.
func (c *Client) projects(ctx context.Context, i Info, part string) (all []ListedProject, more bool, err error) {
	l := list[ListedProject]{what: "its projects", parse: parseProject, key: func(p ListedProject) string { return p.Name }}
	query := url.Values{}
	if part != "" {
		query.Set("name", part)
	}
	if i.Generation != 1 {
		err = c.pages(ctx, pathV2+"/projects", query, &l)
		return l.all, l.more, err
	}
	if part != "" {
		query.Set("project_name", part) // 1.1
	}
	err = c.pages(ctx, pathV1+"/projects", query, &l)
	refused, ok := err.(*RefusedListError) //nolint:errorlint // made by pages itself
	anonymous := ok && refused.Status == http.StatusUnauthorized
	if !anonymous && !ofOne(i.Version) {
		return l.all, l.more, err
	}
	// 1.1 lists the projects that one is a member of, and the public ones only to
	// whoever asks for those.
	query.Set("is_public", "1")
	open := list[ListedProject]{what: l.what, parse: l.parse, key: l.key}
	err = c.pages(ctx, pathV1+"/projects", query, &open)
	for _, p := range open.all {
		if !l.have[p.Name] {
			l.all = append(l.all, p)
		}
	}
	return l.all, l.more || open.more, err
}

// ofOne says whether a version is 1.1 or older.
func ofOne(version string) bool {
	version = strings.TrimPrefix(version, "v")
	return strings.HasPrefix(version, "1.1.") || version == "1.1" || strings.HasPrefix(version, "0.")
}

func parseProject(raw json.RawMessage) (ListedProject, bool) {
	var p struct {
		ID           int64           `json:"project_id"`
		Name         string          `json:"name"`
		Public       json.RawMessage `json:"public"` // before 1.3: 1 or 0
		Repositories int             `json:"repo_count"`
		Metadata     struct {
			Public string `json:"public"`
		} `json:"metadata"`
	}
	if json.Unmarshal(raw, &p) != nil || p.Name == "" {
		return ListedProject{}, false
	}
	old := string(p.Public)
	return ListedProject{
		ID: p.ID, Name: p.Name, Public: p.Metadata.Public == "true" || old == "1" || old == "true",
		Repositories: p.Repositories,
	}, true
}

// Repositories lists those of a project. More says that the list was cut.
// Errors: [*NoProjectError], [*AnswerError], [*RefusedListError], those of the
// round-tripper.
func (c *Client) Repositories(ctx context.Context, i Info, project string) (all []ListedRepository, more bool, err error) {
	l := list[ListedRepository]{
		what: "the repositories of " + project, parse: parseRepository,
		key: func(r ListedRepository) string { return r.Name },
	}
	if i.Generation != 1 {
		err = c.pages(ctx, pathV2+"/projects/"+url.PathEscape(project)+"/repositories", nil, &l)
		return l.all, l.more, c.whyRefused(ctx, i, project, err)
	}
	id, err := c.projectID(ctx, i, project)
	if err != nil {
		return nil, false, err
	}
	err = c.pages(ctx, pathV1+"/repositories", url.Values{"project_id": {strconv.FormatInt(id, 10)}}, &l)
	return l.all, l.more, c.whyRefused(ctx, i, project, err)
}

// projectID finds the number by which 1.x knows a project.
func (c *Client) projectID(ctx context.Context, i Info, project string) (int64, error) {
	all, more, err := c.projects(ctx, i, project)
	if err != nil {
		return 0, err
	}
	for _, p := range all {
		if p.Name == project {
			return p.ID, nil
		}
	}
	if more {
		return 0, &AnswerError{Path: pathV1 + "/projects", Status: http.StatusOK, Why: "more projects than are looked at, and none of the first is " + project}
	}
	return 0, c.whyRefused(ctx, i, project, &RefusedListError{What: "the repositories of " + project})
}

func parseRepository(raw json.RawMessage) (ListedRepository, bool) {
	r := ListedRepository{Tags: -1, Pulls: -1}
	if bytes.HasPrefix(raw, []byte(`"`)) { // 1.1
		err := json.Unmarshal(raw, &r.Name)
		return r, err == nil && r.Name != ""
	}
	var v struct {
		Name      string `json:"name"`
		Tags      *int   `json:"tags_count"`     // 1.x
		Artifacts *int   `json:"artifact_count"` // 2.x
		Pulls     *int64 `json:"pull_count"`
		Updated   string `json:"update_time"`
	}
	if json.Unmarshal(raw, &v) != nil || v.Name == "" {
		return r, false
	}
	r.Name, r.Updated = v.Name, moment(v.Updated)
	for _, n := range []*int{v.Tags, v.Artifacts} {
		if n != nil {
			r.Tags = *n
		}
	}
	if v.Pulls != nil {
		r.Pulls = *v.Pulls
	}
	return r, true
}

// Artifacts lists what a repository, named without its project, has. More says
// that the list was cut. A Harbor 1.x gives an empty list where there is no
// such repository. Errors: [*RefusedListError], also where there is none
// (status 404), [*AnswerError], those of the round-tripper.
func (c *Client) Artifacts(ctx context.Context, i Info, project, repository string) (all []ListedArtifact, more bool, err error) {
	l := list[ListedArtifact]{what: "the tags of " + project + "/" + repository, key: func(a ListedArtifact) string {
		return strings.Join(append([]string{a.Digest}, a.Tags...), "\n")
	}}
	if i.Generation == 1 {
		l.parse = parseTag
		err = c.pages(ctx, pathV1+"/repositories/"+project+"/"+repository+"/tags", nil, &l)
		return l.all, l.more, err
	}
	l.parse = parseArtifact
	// nginx undoes one encoding of a slash in the name.
	name := url.PathEscape(url.PathEscape(repository))
	query := url.Values{"with_tag": {"true"}, "with_scan_overview": {"true"}}
	err = c.pages(ctx, pathV2+"/projects/"+url.PathEscape(project)+"/repositories/"+name+"/artifacts", query, &l)
	return l.all, l.more, err
}

func parseTag(raw json.RawMessage) (ListedArtifact, bool) {
	a := ListedArtifact{Size: -1}
	if bytes.HasPrefix(raw, []byte(`"`)) { // 1.1
		a.Tags = make([]string, 1)
		err := json.Unmarshal(raw, &a.Tags[0])
		return a, err == nil && a.Tags[0] != ""
	}
	var v struct {
		Name    string `json:"name"`
		Digest  string `json:"digest"`
		Size    *int64 `json:"size"`
		Created string `json:"created"`
		Pushed  string `json:"push_time"` // from 1.9 on
	}
	if json.Unmarshal(raw, &v) != nil || v.Name == "" {
		return a, false
	}
	a.Tags, a.Digest, a.Created, a.Pushed = []string{v.Name}, v.Digest, moment(v.Created), moment(v.Pushed)
	if v.Size != nil {
		a.Size = *v.Size
	}
	return a, true
}

func parseArtifact(raw json.RawMessage) (ListedArtifact, bool) {
	var v struct {
		Digest string `json:"digest"`
		Size   int64  `json:"size"`
		Pushed string `json:"push_time"`
		Tags   []struct {
			Name string `json:"name"`
		} `json:"tags"`
		Extra struct {
			Created string `json:"created"`
		} `json:"extra_attrs"`
		Scans map[string]json.RawMessage `json:"scan_overview"`
	}
	if json.Unmarshal(raw, &v) != nil || v.Digest == "" {
		return ListedArtifact{}, false
	}
	a := ListedArtifact{
		Digest: v.Digest, Size: v.Size, Pushed: moment(v.Pushed), Created: moment(v.Extra.Created), Scan: parseScan(v.Scans),
	}
	for _, t := range v.Tags {
		a.Tags = append(a.Tags, t.Name)
	}
	return a, true
}

// moment reads a time; what has not been is the year 1.
func moment(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || t.Year() <= 1 || t.Year() > 9999 {
		return time.Time{}
	}
	return t.UTC()
}

// A list is one that is being read, page by page.
type list[T any] struct {
	what  string // for errors
	parse func(json.RawMessage) (T, bool)
	key   func(T) string // tells one item from another

	all  []T
	more bool
	have map[string]bool
}

func (l *list[T]) items() int { return len(l.all) }

// add takes what a page holds, and says how much of it was new.
func (l *list[T]) add(raw []json.RawMessage) (fresh int, ok bool) {
	if l.have == nil {
		l.have = map[string]bool{}
	}
	for _, r := range raw {
		item, ok := l.parse(bytes.TrimSpace(r))
		if !ok {
			return 0, false
		}
		key := l.key(item)
		if l.have[key] {
			continue
		}
		if len(l.all) == maxListItems {
			l.more = true
			return fresh, true
		}
		l.have[key] = true
		l.all = append(l.all, item)
		fresh++
	}
	return fresh, true
}

func (l *list[T]) about() string { return l.what }
func (l *list[T]) cut()          { l.more = true }

type pageTaker interface {
	about() string
	add([]json.RawMessage) (fresh int, ok bool)
	items() int
	cut()
}

// pages asks for one page after the other by its number: links that the server
// sends are not followed. The list ends with a page that is not full, unless
// the server said that there is more, or with one that has nothing new.
func (c *Client) pages(ctx context.Context, path string, query url.Values, l pageTaker) error {
	q := url.Values{}
	for k, v := range query {
		q[k] = v
	}
	q.Set("page_size", strconv.Itoa(listPage))
	seen := 0
	for number := 1; ; number++ {
		q.Set("page", strconv.Itoa(number))
		raw, total, err := c.page(ctx, path, q, l.about())
		if err != nil {
			return err
		}
		fresh, ok := l.add(raw)
		if !ok {
			return &AnswerError{Path: path, Status: http.StatusOK, Why: "a list of something else"}
		}
		seen += len(raw)
		switch {
		case fresh == 0, total >= 0 && seen >= total, total < 0 && len(raw) != listPage:
			return nil
		case number == maxListPages || l.items() >= maxListItems:
			l.cut()
			return nil
		}
	}
}

// page gets one page; total is -1 where the server does not tell it.
func (c *Client) page(ctx context.Context, path string, query url.Values, what string) (items []json.RawMessage, total int, err error) {
	resp, err := c.get(ctx, path+"?"+query.Encode(), "application/json", nil)
	if err != nil {
		return nil, 0, err
	}
	defer closeBody(resp)
	fail := func(why string) ([]json.RawMessage, int, error) {
		return nil, 0, &AnswerError{Path: path, Status: resp.StatusCode, Why: why}
	}
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound:
		return nil, 0, &RefusedListError{What: what, Status: resp.StatusCode}
	default:
		return fail("")
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxListBytes+1))
	switch {
	case err != nil:
		return nil, 0, fmt.Errorf("read %s: %w", path, err)
	case len(body) > maxListBytes:
		return fail("a page larger than 8 MiB")
	case isPage(resp, body):
		return fail("a web page and no list")
	case json.Unmarshal(body, &items) != nil: // null is an empty list
		return fail("no list")
	}
	total, err = strconv.Atoi(resp.Header.Get("X-Total-Count"))
	if err != nil || total < 0 {
		total = -1
	}
	return items, total, nil
}
