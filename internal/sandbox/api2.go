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

// routesV2 are those of Harbor 2.x beside /v2/.
func (s *site) routesV2() *http.ServeMux {
	m := http.NewServeMux()
	m.HandleFunc("/v2", s.slashAdded)
	m.HandleFunc("/api", s.slashAdded)
	m.HandleFunc("/service/token", s.token)
	m.HandleFunc("/service/", nginxNotFound)
	m.HandleFunc("/v1/", nginxNotFound)
	m.HandleFunc("/api/", coreNotFound)
	m.HandleFunc("/api/v2.0/", apiNotFound)
	m.HandleFunc("POST /c/login", func(w http.ResponseWriter, _ *http.Request) { noCSRFToken(w) })
	const repository = "/api/v2.0/projects/{project}/repositories/{repository}"
	for path, methods := range map[string]map[string]http.HandlerFunc{
		"/api/version":                 {http.MethodGet: apiVersion},
		"/api/v2.0/ping":               {http.MethodGet: apiPing},
		"/api/v2.0/health":             {http.MethodGet: apiHealth},
		"/api/v2.0/systeminfo":         {http.MethodGet: s.systemInfo},
		"/api/v2.0/systeminfo/getcert": {http.MethodGet: s.getcert},
		"/api/v2.0/users/current":      {http.MethodGet: s.currentUser},
		"/api/v2.0/quotas":             {http.MethodGet: s.quotas},
		"/api/v2.0/repositories":       {http.MethodGet: s.allRepositories},
		"/api/v2.0/projects": {
			http.MethodGet: s.listProjects, http.MethodHead: s.headProject, http.MethodPost: s.createProject,
		},
		"/api/v2.0/projects/{project}":              {http.MethodGet: s.getProject, http.MethodDelete: s.deleteProject},
		"/api/v2.0/projects/{project}/repositories": {http.MethodGet: s.listRepositories},
		repository:                                           {http.MethodGet: s.getRepository, http.MethodDelete: s.deleteRepository},
		repository + "/artifacts":                            {http.MethodGet: s.listArtifacts},
		repository + "/artifacts/{reference}":                {http.MethodGet: s.getArtifact, http.MethodDelete: s.deleteArtifact},
		repository + "/artifacts/{reference}/tags":           {http.MethodGet: s.listTags},
		repository + "/artifacts/{reference}/tags/{tagname}": {http.MethodDelete: s.deleteTag},
	} {
		m.HandleFunc(path, s.byMethod(methods))
	}
	m.HandleFunc("/", portal)
	return m
}

// byMethod picks the handler by the method alone, HEAD too, and says 405 as
// Harbor's API does. In read-only mode nothing is changed.
func (s *site) byMethod(handlers map[string]http.HandlerFunc) http.HandlerFunc {
	allowed := make([]string, 0, len(handlers))
	for m := range handlers {
		allowed = append(allowed, m)
	}
	slices.Sort(allowed)
	return func(w http.ResponseWriter, r *http.Request) {
		h, ok := handlers[r.Method]
		switch {
		case !ok:
			problem{
				status: http.StatusMethodNotAllowed, code: "METHOD_NOT_ALLOWED",
				message: fmt.Sprintf("method %s is not allowed, but [%s] are", r.Method, strings.Join(allowed, ",")),
			}.write(w)
		case s.policy.ReadOnly && changes(r.Method):
			s.gen.words.refusal.write(w, http.StatusForbidden, codeDenied, readOnlyText)
		default:
			h(w, r)
		}
	}
}

func apiNotFound(w http.ResponseWriter, r *http.Request) {
	problem{status: http.StatusNotFound, code: codeNotFound, message: "path " + r.URL.Path + " was not found"}.write(w)
}

func apiVersion(w http.ResponseWriter, _ *http.Request) {
	writeText(w, http.StatusOK, `{"version":"v2.0"}`)
}

func apiPing(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain")
	_, _ = io.WriteString(w, "Pong")
}

func apiHealth(w http.ResponseWriter, _ *http.Request) {
	components := []any{}
	for _, name := range []string{"core", "database", "jobservice", "portal", "redis", "registry", "registryctl"} {
		components = append(components, map[string]string{"name": name, "status": "healthy"})
	}
	writeAPI(w, map[string]any{"components": components, "status": "healthy"})
}

// getcert is open to everybody; a wrong password takes its time all the same.
func (s *site) getcert(w http.ResponseWriter, r *http.Request) {
	s.user(r)
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
		"auth_mode":          s.policy.authMode(),
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
		info["project_creation_restriction"] = s.policy.whoCreates()
		info["read_only"] = s.policy.ReadOnly
		info["registry_storage_provider_name"] = "filesystem"
		info["registry_url"] = r.Host
	}
	writeAPI(w, info)
}

func (p Policy) authMode() string {
	if p.AuthMode == "" {
		return "db_auth"
	}
	return p.AuthMode
}

func (p Policy) whoCreates() string {
	if p.AdminOnly {
		return "adminonly"
	}
	return "everyone"
}

func (s *site) currentUser(w http.ResponseWriter, r *http.Request) {
	name := s.user(r)
	switch {
	case name == "":
		unauthorized(w)
	case s.accounts.users[name].Kind == Robot:
		problem{status: http.StatusPreconditionFailed, code: codePrecondition, message: "get current user not available for security context: robot"}.write(w)
	default:
		writeAPI(w, map[string]any{
			"admin_role_in_auth": false,
			"realname":           name,
			"sysadmin_flag":      name == userAdmin,
			"username":           name,
		})
	}
}

func unauthorized(w http.ResponseWriter) {
	problem{status: http.StatusUnauthorized, code: codeUnauthorized, message: "unauthorized"}.write(w)
}

func forbidden(w http.ResponseWriter) {
	problem{status: http.StatusForbidden, code: "FORBIDDEN", message: "forbidden"}.write(w)
}

func noProject(w http.ResponseWriter, name string) {
	problem{status: http.StatusNotFound, code: codeNotFound, message: "project " + name + " not found"}.write(w)
}

// readBody reads the body of a request to the API.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	return io.ReadAll(http.MaxBytesReader(w, r.Body, maxAPIBody))
}

// page cuts one out of all by the query of r, and says in the header how many
// there are and where the page before and the next one are.
func page[T any](s *site, w http.ResponseWriter, r *http.Request, all []T) []T {
	query := r.URL.Query()
	number, size := positive(query.Get("page"), 1), min(positive(query.Get("page_size"), defaultPage), maxPage)
	start := min((number-1)*size, len(all))
	end := min(start+size, len(all))
	query.Set("page_size", strconv.Itoa(size))
	links := []string{}
	if number > 1 && (number-1)*size <= len(all) {
		query.Set("page", strconv.Itoa(number-1))
		links = append(links, s.link(r, query, "prev"))
	}
	if end < len(all) && start < end {
		query.Set("page", strconv.Itoa(number+1))
		links = append(links, s.link(r, query, "next"))
	}
	if len(links) > 0 {
		w.Header().Set("Link", strings.Join(links, " , "))
	}
	w.Header().Set("X-Total-Count", strconv.Itoa(len(all)))
	return all[start:end]
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
