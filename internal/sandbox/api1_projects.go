package sandbox

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// projectsV1 is the list of projects, and by HEAD whether there is one.
func (s *site) projectsV1(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodHead {
		s.headProjectV1(w, r)
		return
	}
	rules, user, query := s.gen.v1, s.user(r), r.URL.Query()
	public := query.Get("is_public") == "1"
	if rules.membersOnly && user == "" && !public {
		rules.deny(w, http.StatusUnauthorized, "")
		return
	}
	all := s.accounts.visible(func(p project) bool {
		seen := p.allows(user, actionPull)
		if rules.membersOnly {
			seen = public && p.Public || !public && p.role(user) != 0
		} else if only, err := strconv.ParseBool(query.Get("public")); err == nil {
			seen = seen && p.Public == only
		}
		return seen && strings.Contains(p.Name, query.Get(rules.filter))
	})
	if rules.byID {
		slices.SortFunc(all, func(x, y project) int { return cmp.Compare(x.id, y.id) })
	}
	shown := []any{}
	for _, p := range page(s, w, r, all) {
		shown = append(shown, s.shownV1(p, user, true))
	}
	s.listV1(w, shown, true)
}

// shownV1 is a project as the API shows it, in a list or alone.
func (s *site) shownV1(p project, user string, listed bool) map[string]any {
	rules := s.gen.v1
	count, role := 0, p.role(user)
	for _, repo := range s.manifests.below(p.Name + "/") {
		if repo.listed {
			count++
		}
	}
	if rules.bare && !listed {
		count, role = 0, 0
	}
	shown := map[string]any{
		"project_id": p.id, "owner_id": s.accounts.users[p.Owner].id, "name": p.Name,
		"creation_time": timeV1(p.created), "update_time": timeV1(p.created), "deleted": rules.flag(false), "owner_name": "",
		"current_user_role_id": role, "repo_count": count,
	}
	if !rules.metadata {
		shown["creation_time_str"], shown["public"], shown["Togglable"] = "", number(p.Public), role == ProjectAdmin
		return shown
	}
	shown["togglable"], shown["metadata"] = role == ProjectAdmin, map[string]string{"public": strconv.FormatBool(p.Public)}
	if rules.charts {
		shown["chart_count"] = 0
	}
	return shown
}

func (s *site) headProjectV1(w http.ResponseWriter, r *http.Request) {
	rules, user, name := s.gen.v1, s.user(r), r.URL.Query().Get("project_name")
	p, found := s.accounts.find(name)
	switch {
	case name == "":
		rules.tell(w, http.StatusBadRequest, "project_name is needed")
	case user == "" && (rules.headLogin || rules.headAsks && (!found || !p.Public)):
		rules.deny(w, http.StatusUnauthorized, "")
	case !found:
		rules.tell(w, http.StatusNotFound, format(rules.noName, name))
	default:
		w.WriteHeader(http.StatusOK)
	}
}

// format fills in what a message names, if it names something.
func format(message, what string) string {
	if !strings.Contains(message, "%s") {
		return message
	}
	return fmt.Sprintf(message, what)
}

// createProjectV1 makes projects in read-only mode too: of the API, that
// forbids deletions of images alone (src/core/filter/readonly.go).
func (s *site) createProjectV1(w http.ResponseWriter, r *http.Request) {
	rules := s.gen.v1
	user, ok := s.loginV1(w, r)
	switch {
	case !ok:
		return
	case (s.policy.AdminOnly || s.policy.Admiral) && user != userAdmin:
		rules.tell(w, http.StatusForbidden, "Only system admin can create project")
		return
	case !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json"):
		rules.byForm(w)
		return
	}
	wanted, err := s.readProjectV1(w, r)
	if err != nil {
		rules.tell(w, http.StatusBadRequest, badJSONText)
		return
	}
	if n := len(wanted.Name); n < rules.nameMin || n > rules.nameMax {
		limits := []any{rules.nameMax, rules.nameMin}
		if rules.bare {
			slices.Reverse(limits) // as it says them
		}
		rules.tell(w, http.StatusBadRequest,
			fmt.Sprintf("invalid request: Project name is illegal in length. (greater than %d or less than %d)", limits...))
		return
	}
	if !projectName().MatchString(wanted.Name) {
		rules.tell(w, http.StatusBadRequest, "invalid request: project name is not in lower case or contains illegal characters")
		return
	}
	if _, there := s.accounts.find(wanted.Name); !there && s.accounts.users[user].Kind == Robot {
		// Its owner has to be one of the users (src/core/promgr/pmsdriver/local of 1.10).
		rules.tell(w, http.StatusInternalServerError, http.StatusText(http.StatusInternalServerError))
		return
	}
	wanted.Owner = user
	p, created := s.accounts.create(wanted, s.now())
	if !created {
		rules.tell(w, http.StatusConflict, rules.conflict)
		return
	}
	w.Header().Set("Location", "/api/projects/"+strconv.Itoa(p.id))
	w.WriteHeader(http.StatusCreated)
}

// readProjectV1 reads the body of a new project. Metadata win over the number,
// where there are any.
func (s *site) readProjectV1(w http.ResponseWriter, r *http.Request) (Project, error) {
	var body struct {
		Name     string          `json:"project_name"`
		Public   int             `json:"public"`
		Metadata json.RawMessage `json:"metadata"`
	}
	raw, err := readBody(w, r)
	if err != nil {
		return Project{}, err
	}
	if err := json.Unmarshal(raw, &body); err != nil {
		return Project{}, err
	}
	p := Project{Name: body.Name, Public: body.Public == 1}
	if s.gen.v1.metadata && body.Metadata != nil {
		var metadata map[string]string
		if err := json.Unmarshal(body.Metadata, &metadata); err != nil {
			return Project{}, err
		}
		if public, ok := metadata["public"]; ok {
			p.Public = public == "true"
		}
	}
	return p, nil
}

// findV1 finds the project that the path names, and answers whoever may not do
// act to it.
func (s *site) findV1(w http.ResponseWriter, r *http.Request, act action) (project, string, bool) {
	rules, user := s.gen.v1, s.user(r)
	id := r.PathValue("id")
	n, err := strconv.Atoi(id)
	if err != nil {
		rules.tell(w, http.StatusBadRequest, "invalid project ID: "+id)
		return project{}, "", false
	}
	p, found := s.accounts.byID(n)
	switch {
	case !found:
		rules.tell(w, http.StatusNotFound, format(rules.noID, id))
	case p.allows(user, act):
		return p, user, true
	case user == "":
		rules.deny(w, http.StatusUnauthorized, "")
	case rules.bare && act == actionPull:
		rules.tell(w, http.StatusUnauthorized, "Unauthorized")
	default:
		rules.deny(w, http.StatusForbidden, user)
	}
	return project{}, "", false
}

func (s *site) projectV1(w http.ResponseWriter, r *http.Request) {
	if p, user, ok := s.findV1(w, r, actionPull); ok {
		writeV1(w, s.shownV1(p, user, false))
	}
}

func (s *site) deleteProjectV1(w http.ResponseWriter, r *http.Request) {
	p, _, ok := s.findV1(w, r, actionDelete)
	if !ok {
		return
	}
	for _, repo := range s.manifests.below(p.Name + "/") {
		if repo.listed && len(repo.tags) > 0 {
			s.gen.v1.tell(w, http.StatusPreconditionFailed, s.gen.v1.notEmpty)
			return
		}
	}
	s.accounts.remove(p.id)
}
