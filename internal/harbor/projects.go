package harbor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

const (
	pathProjects = "/projects"

	maxProjectName  = 255 // bytes (goharbor/harbor src/server/v2.0/handler/project.go)
	maxOldName      = 30  // of v1.1
	pageSize        = 100 // the most that Harbor gives at once
	maxPage         = 4 << 20
	maxPages        = 1000
	freePages       = 50      // whatever they bring
	leastNew        = 5       // things that a page beyond those has to bring, on the average
	maxProjects     = 100_000 // of one list
	maxRefusal      = 8 << 10 // bytes of a refusal that are read
	publicText      = "true"
	privateText     = "false"
	onlySystemAdmin = "only system admin can create project"
	onlySystemRobot = "only system level robot can create project"
	readOnlyMode    = "read only mode"
)

// IsService says whether service, as the bearer challenge at /v2/ names it, is
// that of a Harbor.
func IsService(service string) bool { return service == Service || service == serviceOld }

// A Project is one as Harbor lists it.
type Project struct {
	ID           int64
	Name         string // raw
	Public       bool
	Repositories int
}

// projectName is Harbor's grammar (src/server/v2.0/handler/project.go).
var projectName = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[a-z0-9]+(?:[._-][a-z0-9]+)*$`)
})

// CheckProjectName holds a name against the rules that all versions share. The
// error is a [*ProjectNameError].
func CheckProjectName(name string) error {
	fail := func(why string) error { return &ProjectNameError{Name: name, Why: why} }
	switch {
	case name == "":
		return fail("it is empty")
	case len(name) > maxProjectName:
		return fail("it is longer than 255 characters")
	case !projectName().MatchString(name):
		return fail("only a-z and 0-9, with single . _ or - between them")
	}
	return nil
}

// ProjectOf is the project of a repository. The error is a [*NoProjectPartError]
// where its name has none.
func ProjectOf(repository string) (string, error) {
	name, _, ok := strings.Cut(repository, "/")
	if !ok {
		return "", &NoProjectPartError{Repository: repository}
	}
	return name, nil
}

func api(generation int) string {
	if generation == 1 {
		return pathV1
	}
	return pathV2
}

// CreateProject creates a project. The body is the one that all versions of the
// generation take: 1.1 and 1.2 look at the number alone, those from 1.3 on at
// the metadata, and 2.x refuses a number. Errors: [*ProjectNameError],
// [*ProjectExistsError], [*ProjectDeniedError], [*AnswerError], those of the
// round-tripper.
func (c *Client) CreateProject(ctx context.Context, info Info, name string, public bool) error {
	if err := CheckProjectName(name); err != nil {
		return err
	}
	type metadata struct {
		Public string `json:"public"`
	}
	body := struct {
		Name     string   `json:"project_name"`
		Public   *int     `json:"public,omitempty"`
		Metadata metadata `json:"metadata"`
	}{Name: name, Metadata: metadata{privateText}}
	number := 0
	if public {
		body.Metadata.Public, number = publicText, 1
	}
	if info.Generation == 1 {
		body.Public = &number
	}
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	path := api(info.Generation) + pathProjects
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base.String()+path, bytes.NewReader(raw))
	if err != nil {
		return fmt.Errorf("request %s: %w", path, err)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.rt.RoundTrip(req)
	if err != nil {
		return err
	}
	defer closeBody(resp)
	switch resp.StatusCode {
	case http.StatusCreated:
		return nil
	case http.StatusConflict:
		return &ProjectExistsError{Project: name}
	case http.StatusBadRequest:
		return refusedName(info, name)
	case http.StatusUnauthorized, http.StatusForbidden:
		return refusedProject(info, name, resp)
	}
	if info.Generation == 1 && resp.StatusCode == http.StatusInternalServerError && isRobot(c.user) {
		// It looks among people for the owner of the project, and fails for
		// every robot (src/core/promgr/pmsdriver/local of 1.8 to 1.10).
		return &ProjectDeniedError{Project: name, Status: resp.StatusCode, Why: People}
	}
	return &AnswerError{Path: path, Status: resp.StatusCode}
}

// refusedName is why an old Harbor does not take a name that later ones take.
func refusedName(info Info, name string) error {
	e := &ProjectNameError{Name: name, Why: "this Harbor does not take it"}
	switch {
	case strings.HasPrefix(info.Version, "v1.1.") && len(name) > maxOldName:
		e.Why = "Harbor 1.1 takes 30 characters at most"
	case info.Generation == 1 && len(name) < 2: //nolint:mnd // a name of one letter
		e.Why = "this Harbor takes two characters at least"
	}
	return e
}

// refusedProject is who may create projects here.
func refusedProject(info Info, name string, resp *http.Response) error {
	e := &ProjectDeniedError{Project: name, Status: resp.StatusCode, Message: messageOf(resp)}
	said := strings.ToLower(e.Message)
	switch {
	case resp.StatusCode == http.StatusUnauthorized:
		e.Why = LoginNeeded
	case strings.Contains(said, readOnlyMode):
		e.Why = ReadOnly
	case strings.Contains(said, onlySystemRobot):
		e.Why = SystemRobots
	case info.Admiral:
		e.Why = VICAdministrators
	case info.ProjectCreation == "adminonly", strings.Contains(said, onlySystemAdmin):
		e.Why = Administrators
	}
	return e
}

// messageOf is what a refusal of the API says, raw and short. 2.x has a list of
// errors; 1.8 to 1.10 one, as text by its type; versions before plain text.
func messageOf(resp *http.Response) string {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxRefusal))
	if err != nil || isPage(resp, body) {
		return ""
	}
	var doc struct {
		Message string                     `json:"message"`
		Errors  []struct{ Message string } `json:"errors"`
	}
	text := string(bytes.TrimSpace(body))
	if json.Unmarshal(body, &doc) == nil {
		text = doc.Message
		if len(doc.Errors) > 0 {
			text = doc.Errors[0].Message
		}
	}
	const limit = 300 // bytes that are shown
	return text[:min(len(text), limit)]
}

// A Presence says whether there is a project, as far as a user is told.
type Presence int

// What a user can be told about a project.
const (
	Untold Presence = iota // it is missing, or it is not this user's
	Exists
	Missing
)

// ProjectExists asks whether there is a project of this name: by HEAD, which
// tells every user, members or not, and by the list where HEAD tells nothing,
// as to users of OIDC. Errors are [*AnswerError] and those of the round-tripper.
func (c *Client) ProjectExists(ctx context.Context, info Info, name string) (Presence, error) {
	if info.Generation == 0 { // its API does not answer
		return Untold, nil
	}
	path := api(info.Generation) + pathProjects
	resp, err := c.do(ctx, http.MethodHead, path+"?"+url.Values{"project_name": {name}}.Encode())
	if err != nil {
		return Untold, err
	}
	defer closeBody(resp)
	page := isPage(resp, nil)
	switch {
	case resp.StatusCode == http.StatusOK && !page:
		return Exists, nil
	case resp.StatusCode == http.StatusNotFound && !page:
		return Missing, nil
	case resp.StatusCode != http.StatusUnauthorized && resp.StatusCode != http.StatusForbidden:
		return Untold, &AnswerError{Path: path, Status: resp.StatusCode}
	}
	_, seen, err := c.Project(ctx, info, name)
	if seen {
		return Exists, err
	}
	return Untold, err
}

// WhyNoPush says why a token allows no push to repository: a
// [*ProjectMissingError], a [*PushDeniedError], or an error of
// [Client.ProjectExists]. MayPull says that the token allows a pull, which no
// token does in a project that is not there.
func (c *Client) WhyNoPush(ctx context.Context, info Info, repository string, mayPull bool) error {
	project, err := ProjectOf(repository)
	if err != nil {
		return err
	}
	denied := &PushDeniedError{Project: project, MayPull: mayPull}
	if mayPull {
		return denied
	}
	there, err := c.ProjectExists(ctx, info, project)
	switch {
	case err != nil:
		return err
	case there == Missing:
		return &ProjectMissingError{Project: project}
	}
	denied.Unsure = there == Untold
	return denied
}

// Project looks up a project that the user may see. It says false where there
// is none. Errors are those of [Client.Projects].
func (c *Client) Project(ctx context.Context, info Info, name string) (Project, bool, error) {
	// The filter is named by each generation in its own way, ignored by the
	// other, and finds names that have this one in them.
	all, err := c.projects(ctx, info, url.Values{"name": {name}, "project_name": {name}})
	if err != nil {
		return Project{}, false, err
	}
	for _, p := range all {
		if p.Name == name {
			return p, true, nil
		}
	}
	return Project{}, false, nil
}

// Projects lists the projects that the user may see, in Harbor's order: nobody
// sees the public ones. Harbor takes a wrong password for nobody's, so that the
// login is to be verified before. Errors: [*ListError] for a list without end,
// [*AnswerError], those of the round-tripper.
func (c *Client) Projects(ctx context.Context, info Info) ([]Project, error) {
	return c.projects(ctx, info, url.Values{})
}

func (c *Client) projects(ctx context.Context, info Info, query url.Values) ([]Project, error) {
	path := api(info.Generation) + pathProjects
	own := projectList{seen: map[string]bool{}}
	err := c.pages(ctx, path, query, own.add)
	if !listsApart(info) {
		return own.all, err
	}
	// Harbor 1.1 lists the user's own, which nobody has, and apart the public ones.
	if refused, ok := errors.AsType[*AnswerError](err); err != nil && (!ok || refused.Status != http.StatusUnauthorized) {
		return nil, err
	}
	query.Set("is_public", "1")
	public := projectList{seen: map[string]bool{}}
	if err := c.pages(ctx, path, query, public.add); err != nil {
		return nil, err
	}
	for _, p := range public.all {
		if !own.seen[p.Name] {
			own.all = append(own.all, p)
		}
	}
	return own.all, nil
}

// listsApart says whether the public projects are a list of their own: before
// 1.3, and where the version is not told. Later versions ignore the question.
func listsApart(info Info) bool {
	if info.Generation != 1 {
		return false
	}
	rest, ok := strings.CutPrefix(info.Version, "v1.")
	minor, _, _ := strings.Cut(rest, ".")
	n, err := strconv.Atoi(minor)
	const metadata = 3 // the minor version of 1.x from which on projects have them
	return !ok || err != nil || n < metadata
}

// A projectList takes projects as they come by pages, each once.
type projectList struct {
	all  []Project
	seen map[string]bool
}

var errTooMany = errors.New("more projects than anybody can use")

// add reads one page and says how many projects on it were new.
func (l *projectList) add(body []byte) (fresh int, err error) {
	var page []struct {
		ID           int64           `json:"project_id"`
		Name         string          `json:"name"`
		Public       json.RawMessage `json:"public"` // before 1.3: 1 or 0
		Repositories int             `json:"repo_count"`
		Metadata     struct {
			Public string `json:"public"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal(body, &page); err != nil { // null is an empty one
		return 0, err
	}
	for _, p := range page {
		if p.Name == "" || len(p.Name) > maxProjectName || l.seen[p.Name] {
			continue
		}
		l.seen[p.Name] = true
		fresh++
		if len(l.all) >= maxProjects {
			return 0, errTooMany
		}
		l.all = append(l.all, Project{
			ID: p.ID, Name: p.Name, Repositories: max(0, p.Repositories),
			Public: p.Metadata.Public == publicText || string(p.Public) == "1" || string(p.Public) == publicText,
		})
	}
	return fresh, nil
}

// do sends a request without a body.
func (c *Client) do(ctx context.Context, method, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base.String()+path, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("request %s: %w", path, err)
	}
	req.Header.Set("Accept", "application/json")
	return c.rt.RoundTrip(req)
}
