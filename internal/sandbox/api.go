package sandbox

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

const (
	// harborVersion is the release whose answers are given here.
	harborVersion = "v2.16.0-c50c7ddd"

	apiTime     = "2006-01-02T15:04:05.000Z"
	maxAPIBody  = 64 << 10 // bytes of a request
	defaultPage = 10       // items, as the two below
	maxPage     = 100
)

// byMethod picks the handler by the method alone, HEAD too, and says 405 as
// Harbor's API does.
func byMethod(handlers map[string]http.HandlerFunc) http.HandlerFunc {
	allowed := make([]string, 0, len(handlers))
	for m := range handlers {
		allowed = append(allowed, m)
	}
	slices.Sort(allowed)
	return func(w http.ResponseWriter, r *http.Request) {
		if h, ok := handlers[r.Method]; ok {
			h(w, r)
			return
		}
		problem{
			status: http.StatusMethodNotAllowed, code: "METHOD_NOT_ALLOWED",
			message: fmt.Sprintf("method %s is not allowed, but [%s] are", r.Method, strings.Join(allowed, ",")),
		}.write(w)
	}
}

func apiNotFound(w http.ResponseWriter, r *http.Request) {
	problem{status: http.StatusNotFound, code: codeNotFound, message: "path " + r.URL.Path + " was not found"}.write(w)
}

func apiVersion(w http.ResponseWriter, _ *http.Request) {
	writeText(w, http.StatusOK, `{"version":"v2.0"}`)
}

func apiPing(w http.ResponseWriter, _ *http.Request) { writeText(w, http.StatusOK, "Pong") }

// getcert is open to everybody, and does not look at credentials.
func (s *site) getcert(w http.ResponseWriter, _ *http.Request) {
	if s.caPEM == nil {
		problem{status: http.StatusNotFound, code: codeNotFound, message: "resource not found: cert not found in path: /etc/core/ca/ca.crt"}.write(w)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", "attachment; filename=ca.crt")
	_, _ = w.Write(s.caPEM)
	_ = http.NewResponseController(w).Flush() // sent in chunks, without a length
}

// systemInfo tells more to whoever logs in.
func (s *site) systemInfo(w http.ResponseWriter, r *http.Request) {
	info := map[string]any{
		"auth_mode":          "db_auth",
		"banner_message":     "",
		"oidc_provider_name": "",
		"primary_auth_mode":  false,
		"self_registration":  false,
	}
	if s.user(r) != "" {
		info["current_time"] = s.now().UTC().Format(apiTime)
		info["external_url"] = s.scheme + "://" + r.Host
		info["harbor_version"] = harborVersion
		info["has_ca_root"] = s.caPEM != nil
		info["notification_enable"] = true
		info["project_creation_restriction"] = "everyone"
		info["read_only"] = false
		info["registry_storage_provider_name"] = "filesystem"
		info["registry_url"] = r.Host
	}
	writeAPI(w, info)
}

func (s *site) currentUser(w http.ResponseWriter, r *http.Request) {
	name := s.user(r)
	if name == "" {
		unauthorized(w)
		return
	}
	writeAPI(w, map[string]any{
		"admin_role_in_auth": false,
		"realname":           name,
		"sysadmin_flag":      name == userAdmin,
		"username":           name,
	})
}

// createProject lets every user create one: project_creation_restriction is
// "everyone".
func (s *site) createProject(w http.ResponseWriter, r *http.Request) {
	user := s.user(r)
	if user == "" {
		unauthorized(w)
		return
	}
	var body struct {
		Name     string            `json:"project_name"`
		Public   *bool             `json:"public"` // 1 and 0, as 1.x had it, are 422
		Metadata map[string]string `json:"metadata"`
	}
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxAPIBody))
	if err != nil {
		problem{status: http.StatusRequestEntityTooLarge, code: codeBadRequest, message: "request body too large"}.write(w)
		return
	}
	if err := json.Unmarshal(raw, &body); err != nil {
		problem{status: http.StatusUnprocessableEntity, code: "UNPROCESSABLE_ENTITY", message: "parsing project body failed"}.write(w)
		return
	}
	if len(body.Name) > maxProjectName || !projectName.MatchString(body.Name) {
		problem{status: http.StatusBadRequest, code: codeBadRequest, message: "project name is not in lower case or contains illegal characters"}.write(w)
		return
	}
	public := body.Metadata["public"] == "true" || body.Public != nil && *body.Public
	p, created := s.accounts.create(body.Name, public, user, s.now())
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
		return p.name
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

// getProject takes an id, or a name that is no number.
func (s *site) getProject(w http.ResponseWriter, r *http.Request) {
	user, name := s.user(r), r.PathValue("name")
	if user == "" {
		unauthorized(w)
		return
	}
	p, found := s.accounts.find(name)
	if id, err := strconv.Atoi(name); err == nil && r.Header.Get("X-Is-Resource-Name") != "true" {
		p, found = s.accounts.byID(id)
	}
	switch {
	case found && p.allows(user, actionPull):
		writeAPI(w, p.shown(s))
	case user == userAdmin:
		noProject(w, name)
	default:
		problem{status: http.StatusForbidden, code: "FORBIDDEN", message: "forbidden"}.write(w)
	}
}

// listProjects shows what the user may see; a wrong password is anonymous.
func (s *site) listProjects(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	page, size := positive(query.Get("page"), 1), min(positive(query.Get("page_size"), defaultPage), maxPage)
	all := s.accounts.visible(s.user(r))
	all = slices.DeleteFunc(all, func(p project) bool {
		public, err := strconv.ParseBool(query.Get("public"))
		return !strings.Contains(p.name, query.Get("name")) || err == nil && p.public != public
	})
	start := min((page-1)*size, len(all))
	end := min(start+size, len(all))
	shown := make([]any, 0, end-start)
	for _, p := range all[start:end] {
		shown = append(shown, p.shown(s))
	}
	w.Header().Set("X-Total-Count", strconv.Itoa(len(all)))
	if end < len(all) {
		query.Set("page", strconv.Itoa(page+1))
		query.Set("page_size", strconv.Itoa(size))
		w.Header().Set("Link", fmt.Sprintf(`<%s?%s>; rel="next"`, r.URL.Path, query.Encode()))
	}
	writeAPI(w, shown)
}

// positive reads a number from 1 on and takes fallback for anything else.
func positive(s string, fallback int) int {
	const limit = 1 << 20 // so that a page's first item is still an int
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > limit {
		return fallback
	}
	return n
}

// shown is the project as the API shows it.
func (p project) shown(s *site) map[string]any {
	created := p.created.UTC().Format(apiTime)
	return map[string]any{
		"creation_time": created,
		"metadata":      map[string]string{"public": strconv.FormatBool(p.public)},
		"name":          p.name,
		"owner_name":    p.owner,
		"project_id":    p.id,
		"repo_count":    s.repositoryCount(p.name),
		"update_time":   created,
	}
}

func (s *site) repositoryCount(project string) (n int) {
	for _, name := range s.manifests.repositories() {
		if strings.HasPrefix(name, project+"/") {
			n++
		}
	}
	return n
}

func unauthorized(w http.ResponseWriter) {
	problem{status: http.StatusUnauthorized, code: codeUnauthorized, message: "unauthorized"}.write(w)
}

func noProject(w http.ResponseWriter, name string) {
	problem{status: http.StatusNotFound, code: codeNotFound, message: "project " + name + " not found"}.write(w)
}

// writeAPI sends JSON with the media type of the API, which names no charset.
func writeAPI(w http.ResponseWriter, v any) {
	raw, err := json.Marshal(v)
	if err != nil {
		problem{status: http.StatusInternalServerError, code: codeInternal, message: "internal server error"}.write(w)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(raw)
}
