package sandbox

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// createProject lets every user create one, unless the policy says who may.
func (s *site) createProject(w http.ResponseWriter, r *http.Request) {
	user := s.user(r)
	switch {
	case user == "":
		unauthorized(w)
		return
	case s.accounts.users[user].Kind == Robot && strings.Contains(user, "+"): // of a project
		problem{status: http.StatusForbidden, code: "FORBIDDEN", message: "Only system level robot can create project"}.write(w)
		return
	case s.policy.AdminOnly && user != userAdmin:
		problem{status: http.StatusForbidden, code: "FORBIDDEN", message: "Only system admin can create project"}.write(w)
		return
	}
	var body struct {
		Name     string            `json:"project_name"`
		Public   *bool             `json:"public"` // 1 and 0, as 1.x had it, are 422
		Metadata map[string]string `json:"metadata"`
	}
	raw, err := readBody(w, r)
	if err != nil {
		problem{status: http.StatusRequestEntityTooLarge, code: codeBadRequest, message: "request body too large"}.write(w)
		return
	}
	if err := json.Unmarshal(raw, &body); err != nil {
		problem{status: http.StatusUnprocessableEntity, code: "UNPROCESSABLE_ENTITY", message: "parsing project body failed"}.write(w)
		return
	}
	if len(body.Name) > maxProjectName || !projectName().MatchString(body.Name) {
		problem{status: http.StatusBadRequest, code: codeBadRequest, message: "project name is not in lower case or contains illegal characters"}.write(w)
		return
	}
	public := body.Metadata["public"] == "true" || body.Public != nil && *body.Public
	owner := user
	if s.accounts.users[user].Kind == Robot {
		owner = userAdmin // src/server/v2.0/handler/project.go
	}
	p, created := s.accounts.create(Project{Name: body.Name, Public: public, Owner: owner}, s.now())
	if !created {
		problem{status: http.StatusConflict, code: "CONFLICT", message: "The project named " + body.Name + " already exists"}.write(w)
		return
	}
	w.Header().Set("Location", "/api/v2.0/projects/"+p.locator(r))
	w.WriteHeader(http.StatusCreated)
}

// locator is the id, or the name for a client that asks for it.
func (p project) locator(r *http.Request) string {
	if r.Header.Get("X-Resource-Name-In-Location") == "true" {
		return p.Name
	}
	return strconv.Itoa(p.id)
}

// headProject tells every user, members or not, whether a project is there.
func (s *site) headProject(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("project_name")
	switch _, found := s.accounts.find(name); {
	case name == "":
		problem{status: http.StatusBadRequest, code: codeBadRequest, message: "project_name in query is required"}.write(w)
	case s.user(r) == "":
		unauthorized(w)
	case !found:
		noProject(w, name)
	default:
		w.WriteHeader(http.StatusOK)
	}
}

// project finds the project that the path names by id, or by a name that is no
// number, and answers whoever may not do act to what is in it. Anonymous ones
// may see what is public, if open says so.
func (s *site) project(w http.ResponseWriter, r *http.Request, act action, open bool) (project, bool) {
	user, name := s.user(r), r.PathValue("project")
	p, found := s.accounts.find(name)
	if id, err := strconv.Atoi(name); err == nil && r.Header.Get("X-Is-Resource-Name") != "true" {
		p, found = s.accounts.byID(id)
	}
	allowed := found && p.allows(user, act)
	switch {
	case user == "" && (!open || !allowed):
		unauthorized(w)
	case allowed:
		return p, true
	case user == userAdmin:
		noProject(w, name)
	default:
		forbidden(w)
	}
	return project{}, false
}

func (s *site) getProject(w http.ResponseWriter, r *http.Request) {
	if p, ok := s.project(w, r, actionPull, false); ok {
		writeAPI(w, s.shown(p))
	}
}

func (s *site) deleteProject(w http.ResponseWriter, r *http.Request) {
	p, ok := s.project(w, r, actionDelete, false)
	switch {
	case !ok:
	case len(s.manifests.below(p.Name+"/")) > 0:
		problem{status: http.StatusPreconditionFailed, code: codePrecondition, message: "the project contains repositories, can not be deleted"}.write(w)
	default:
		s.accounts.remove(p.id)
	}
}

// listProjects shows what the user may see; a wrong password is anonymous.
func (s *site) listProjects(w http.ResponseWriter, r *http.Request) {
	user, query := s.user(r), r.URL.Query()
	public, err := strconv.ParseBool(query.Get("public"))
	all := s.accounts.visible(func(p project) bool {
		return p.allows(user, actionPull) && strings.Contains(p.Name, query.Get("name")) && (err != nil || p.Public == public)
	})
	shown := []any{}
	for _, p := range page(s, w, r, all) {
		shown = append(shown, s.shown(p))
	}
	writeAPI(w, shown)
}

// shown is the project as the API shows it.
func (s *site) shown(p project) map[string]any {
	created := p.created.UTC().Format(apiTime)
	metadata := map[string]string{"public": strconv.FormatBool(p.Public)}
	if p.Prevent != "" {
		metadata["prevent_vul"], metadata["severity"] = "true", strings.ToLower(p.Prevent)
	}
	if p.Unsigned == "cosign" {
		metadata["enable_content_trust_cosign"] = "true"
	}
	shown := map[string]any{
		"creation_time":         created,
		"current_user_role_ids": nil,
		"cve_allowlist": map[string]any{
			"creation_time": neverText, "id": p.id, "items": []any{}, "project_id": p.id, "update_time": neverText,
		},
		"metadata":    metadata,
		"name":        p.Name,
		"owner_id":    s.accounts.users[p.Owner].id,
		"owner_name":  p.Owner,
		"project_id":  p.id,
		"repo_count":  len(s.manifests.below(p.Name + "/")),
		"update_time": created,
	}
	if p.ProxyCache {
		shown["registry_id"] = 1
	}
	return shown
}

// quotas are shown to administrators, the newest project first.
func (s *site) quotas(w http.ResponseWriter, r *http.Request) {
	switch user := s.user(r); user {
	case "":
		unauthorized(w)
		return
	case userAdmin:
	default:
		forbidden(w)
		return
	}
	all := s.accounts.visible(func(project) bool { return true })
	slices.SortFunc(all, func(x, y project) int { return y.id - x.id })
	shown := []any{}
	for _, p := range page(s, w, r, all) {
		hard, created := p.Quota, p.created.UTC().Format(apiTime)
		if hard == 0 {
			hard = -1
		}
		shown = append(shown, map[string]any{
			"creation_time": created, "hard": map[string]int64{"storage": hard}, "id": p.id,
			"ref":         map[string]any{"id": p.id, "name": p.Name, "owner_name": ""},
			"update_time": created, "used": map[string]int64{"storage": s.used(p.Name)},
		})
	}
	writeAPI(w, shown)
}
