package harbor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// maxListed is how many repositories or artifacts are listed. What lies behind
// is cut off, and told.
const maxListed = 10_000

// A ListedRepository is a repository as a list shows it. What the version of
// Harbor does not tell is -1, or the zero time.
type ListedRepository struct {
	Name      string // with the project; may hold any byte
	Tags      int    // before 2.0
	Artifacts int    // from 2.0 on
	Pulls     int64
	Updated   time.Time // of the last push or pull (AddPullCount in src/pkg/repository/dao)
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

// Repositories lists those of a project. More says that the list was cut.
// Errors: [*ProjectMissingError], [*RefusedListError], [*ListError], [*AnswerError],
// those of the round-tripper.
func (c *Client) Repositories(ctx context.Context, i Info, project string) (all []ListedRepository, more bool, err error) {
	l := list[ListedRepository]{
		what: "the repositories of " + project, parse: parseRepository,
		key: func(r ListedRepository) string { return r.Name },
	}
	if i.Generation != 1 {
		err = c.listed(ctx, pathV2+pathProjects+"/"+url.PathEscape(project)+"/repositories", url.Values{}, &l)
		return l.all, l.more, c.whyRefused(ctx, i, project, err)
	}
	p, found, err := c.Project(ctx, i, project) // 1.x knows it by its number
	if err == nil && !found {
		err = &RefusedListError{What: l.what}
	}
	if err == nil {
		err = c.listed(ctx, pathV1+"/repositories", url.Values{"project_id": {strconv.FormatInt(p.ID, 10)}}, &l)
	}
	return l.all, l.more, c.whyRefused(ctx, i, project, err)
}

func parseRepository(raw json.RawMessage) (ListedRepository, bool) {
	r := ListedRepository{Tags: -1, Artifacts: -1, Pulls: -1}
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
	if v.Tags != nil {
		r.Tags = *v.Tags
	}
	if v.Artifacts != nil {
		r.Artifacts = *v.Artifacts
	}
	if v.Pulls != nil {
		r.Pulls = *v.Pulls
	}
	return r, true
}

// Artifacts lists what a repository, named without its project, has. More says
// that the list was cut. A Harbor 1.x gives an empty list where there is no
// such repository. Errors: [*RefusedListError], also where there is none
// (status 404), [*ListError], [*AnswerError], those of the round-tripper.
func (c *Client) Artifacts(ctx context.Context, i Info, project, repository string) (all []ListedArtifact, more bool, err error) {
	l := list[ListedArtifact]{what: "the tags of " + project + "/" + repository, key: func(a ListedArtifact) string {
		return strings.Join(append([]string{a.Digest}, a.Tags...), "\n")
	}}
	if i.Generation == 1 {
		l.parse = parseTag
		err = c.listed(ctx, pathV1+"/repositories/"+project+"/"+repository+"/tags", url.Values{}, &l)
		return l.all, l.more, err
	}
	l.parse = parseArtifact
	// nginx undoes one encoding of a slash in the name.
	name := url.PathEscape(url.PathEscape(repository))
	query := url.Values{"with_tag": {"true"}, "with_scan_overview": {"true"}}
	err = c.listed(ctx, pathV2+pathProjects+"/"+url.PathEscape(project)+"/repositories/"+name+"/artifacts", query, &l)
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
	if t = t.UTC(); err != nil || t.Year() <= 1 || t.Year() > 9999 { // a zone may lead beyond what can be written
		return time.Time{}
	}
	return t
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

// add takes what a page holds, and says how much of it was new: nothing once
// there is enough, so that no more pages are asked for.
func (l *list[T]) add(body []byte) (fresh int, err error) {
	var page []json.RawMessage
	if err := json.Unmarshal(body, &page); err != nil { // null is an empty one
		return 0, err
	}
	if l.have == nil {
		l.have = map[string]bool{}
	}
	for _, raw := range page {
		item, ok := l.parse(bytes.TrimSpace(raw))
		if !ok {
			return 0, errors.New("an item of another kind")
		}
		key := l.key(item)
		if l.have[key] {
			continue
		}
		if len(l.all) == maxListed {
			l.more = true
			return 0, nil
		}
		l.have[key] = true
		l.all = append(l.all, item)
		fresh++
	}
	return fresh, nil
}

func (l *list[T]) about() string { return l.what }

// A taker takes the pages of a list.
type taker interface {
	about() string
	add(body []byte) (fresh int, err error)
}

// listed gets a list, whose refusal is a [*RefusedListError].
func (c *Client) listed(ctx context.Context, path string, query url.Values, l taker) error {
	err := c.pages(ctx, path, query, l.add)
	answer, ok := errors.AsType[*AnswerError](err)
	if ok {
		switch answer.Status {
		case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound:
			return &RefusedListError{What: l.about(), Status: answer.Status}
		}
	}
	return err
}
