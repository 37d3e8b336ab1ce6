package sandbox

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// V1Rules are what the API of one 1.x release answers in another way than the others.
type v1Rules struct {
	version  string
	info     func(*site) map[string]any                              // fields of systeminfo that not all have
	adminCA  bool                                                    // getcert is for administrators
	noCA     string                                                  // there is none
	ping     bool                                                    // /api/ping is there
	flag     func(bool) any                                          // how yes and no are written
	deny     func(w http.ResponseWriter, status int, user string)    // 401, and 403 to user
	tell     func(w http.ResponseWriter, status int, message string) // an error with words
	byForm   func(http.ResponseWriter)                               // a project in a body that is not JSON by its type
	nameMin  int                                                     // of a project's name, bytes, as the next
	nameMax  int
	conflict string // there is such a project already
	noID     string // no project has the id; a format
	noName   string // no project has the name; a format
	notEmpty string // a project with repositories is not deleted

	metadata    bool   // a project's metadata count, and are shown; else the number public
	filter      string // the query parameter for a project's name
	membersOnly bool   // the list has the projects of one's own, and others for whoever asks for the public ones
	byID        bool   // projects are listed in order of their ids
	bare        bool   // repositories and tags are lists of names, one project is shown without counts
	headAsks    bool   // HEAD tells members and for public projects alone, unless somebody logs in
	headLogin   bool   // HEAD takes a login
	osVersion   bool   // a tag has os.version
	charts      bool   // a project has a chart_count
}

func number(yes bool) any {
	if yes {
		return 1
	}
	return 0
}

func boolean(yes bool) any { return yes }

func rules11() *v1Rules {
	return &v1Rules{
		version: "v1.1.2", info: func(*site) map[string]any { return nil },
		adminCA: true, noCA: noCAText, flag: number, nameMin: 2, nameMax: 30,
		deny:     func(w http.ResponseWriter, status int, _ string) { w.WriteHeader(status) },
		tell:     writeText,
		byForm:   func(w http.ResponseWriter) { writeText(w, http.StatusBadRequest, badJSONText) },
		conflict: "\n", noID: "project does not exist, id: %s", noName: "Not Found",
		notEmpty: "project contains repositores, can not be deleted",
		filter:   "project_name", membersOnly: true, bare: true, headAsks: true,
	}
}

func rules15() *v1Rules {
	return &v1Rules{
		version: "v1.5.4", info: func(s *site) map[string]any {
			return map[string]any{
				"with_clair": false, "next_scan_all": 0, "registry_storage_provider_name": "filesystem", "read_only": s.policy.ReadOnly,
			}
		},
		adminCA: true, noCA: noCAText, ping: true, flag: number, nameMin: 2, nameMax: maxProjectName,
		deny: func(w http.ResponseWriter, status int, _ string) { writeText(w, status, "\n") },
		tell: writeLine, byForm: unsupportedMedia,
		noID: "project %s not found", noName: "project %s not found",
		notEmpty: "the project contains repositories, can not be deleled",
		metadata: true, filter: "name",
	}
}

func rules17() *v1Rules {
	r := rules15()
	r.version, r.adminCA, r.flag, r.byID, r.osVersion, r.charts = "v1.7.8", false, boolean, true, true, true
	r.info = func(s *site) map[string]any {
		return map[string]any{
			"with_clair": false, "registry_storage_provider_name": "filesystem", "read_only": s.policy.ReadOnly, "with_chartmuseum": false,
		}
	}
	r.deny = func(w http.ResponseWriter, status int, user string) {
		if status != http.StatusForbidden {
			user = ""
		}
		writeLine(w, status, user)
	}
	r.notEmpty = "the project contains repositories, can not be deleted"
	return r
}

func rules110() *v1Rules {
	r := rules17()
	r.version, r.nameMin, r.headLogin = "v1.10.19-b1a56175", 1, true
	r.noCA, r.conflict = "no certificate found", "conflict project"
	r.info = func(s *site) map[string]any {
		return map[string]any{
			"external_url": s.scheme + "://" + s.public, "registry_storage_provider_name": "filesystem", "read_only": s.policy.ReadOnly,
			"with_chartmuseum": false, "notification_enable": true, "self_registration": false,
		}
	}
	r.tell = func(w http.ResponseWriter, status int, message string) {
		raw, _ := json.Marshal(struct { // a number and a string
			Code    int    `json:"code"`
			Message string `json:"message"`
		}{status, message})
		writeLine(w, status, string(raw))
	}
	r.deny = func(w http.ResponseWriter, status int, user string) {
		if status == http.StatusUnauthorized {
			user = "UnAuthorize"
		}
		r.tell(w, status, user)
	}
	return r
}

const (
	noCAText    = "No certificate found."
	badJSONText = "Invalid json request"
)

// writeLine is [http.Error]: text with a new line behind it.
func writeLine(w http.ResponseWriter, status int, text string) { writeText(w, status, text+"\n") }

func unsupportedMedia(w http.ResponseWriter) { w.WriteHeader(http.StatusUnsupportedMediaType) }

// routesV1 are those of Harbor 1.x beside /v2/.
func (s *site) routesV1() *http.ServeMux {
	m := http.NewServeMux()
	m.HandleFunc("/v2", s.slashAdded)
	m.HandleFunc("/service/token", s.token)
	m.HandleFunc("/v1/", nginxNotFound)
	m.HandleFunc("/{$}", portal)
	m.HandleFunc("/", notFoundV1)
	for path, h := range map[string]http.HandlerFunc{
		"GET /api/systeminfo":                s.systemInfoV1,
		"GET /api/systeminfo/getcert":        s.getcertV1,
		"GET /api/systeminfo/volumes":        s.volumesV1,
		"GET /api/users/current":             s.currentUserV1,
		"GET /api/search":                    s.searchV1,
		"GET /api/projects":                  s.projectsV1, // HEAD too
		"POST /api/projects":                 s.createProjectV1,
		"GET /api/projects/{id}":             s.projectV1,
		"DELETE /api/projects/{id}":          s.deleteProjectV1,
		"GET /api/repositories":              s.repositoriesV1,
		"GET /api/repositories/{path...}":    s.repositoryV1,
		"DELETE /api/repositories/{path...}": s.deleteInV1,
	} {
		m.HandleFunc(path, h)
	}
	if s.gen.v1.ping {
		m.HandleFunc("GET /api/ping", func(w http.ResponseWriter, _ *http.Request) { writeV1(w, "Pong") })
	}
	return m
}

func notFoundV1(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(http.StatusNotFound)
	_, _ = fmt.Fprint(w, corePage)
}

// writeV1 sends JSON as beego does: indented.
func writeV1(w http.ResponseWriter, v any) {
	raw, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_, _ = w.Write(raw)
}

// listV1 is a list that is null when there is nothing in it, from 1.5 on.
func (s *site) listV1(w http.ResponseWriter, all []any, nullable bool) {
	if len(all) == 0 && nullable && s.gen.words.nullLists {
		all = nil
	}
	writeV1(w, all)
}

func timeV1(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// loginV1 answers anonymous ones.
func (s *site) loginV1(w http.ResponseWriter, r *http.Request) (string, bool) {
	user := s.user(r)
	if user == "" {
		s.gen.v1.deny(w, http.StatusUnauthorized, "")
	}
	return user, user != ""
}

// adminV1 answers whoever is no administrator.
func (s *site) adminV1(w http.ResponseWriter, r *http.Request) bool {
	user, ok := s.loginV1(w, r)
	if ok && user != userAdmin {
		s.gen.v1.deny(w, http.StatusForbidden, user)
		return false
	}
	return ok
}

func (s *site) systemInfoV1(w http.ResponseWriter, _ *http.Request) {
	info := map[string]any{
		"with_notary": false, "with_admiral": s.policy.Admiral, "admiral_endpoint": "", "auth_mode": s.policy.authMode(),
		"registry_url": s.public, "project_creation_restriction": s.policy.whoCreates(), "self_registration": true,
		"has_ca_root": s.caPEM != nil, "harbor_version": s.gen.v1.version,
	}
	if s.policy.Admiral {
		info["admiral_endpoint"] = "https://admiral.invalid:8282"
	}
	for key, value := range s.gen.v1.info(s) {
		info[key] = value
	}
	writeV1(w, info)
}

func (s *site) getcertV1(w http.ResponseWriter, r *http.Request) {
	if s.gen.v1.adminCA && !s.adminV1(w, r) {
		return
	}
	if s.caPEM == nil {
		s.gen.v1.tell(w, http.StatusNotFound, s.gen.v1.noCA)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", "attachment; filename=ca.crt")
	w.Header().Set("Accept-Ranges", "bytes")
	w.Header().Set("Last-Modified", s.now().UTC().Format(http.TimeFormat))
	_, _ = w.Write(s.caPEM)
}

func (s *site) volumesV1(w http.ResponseWriter, r *http.Request) {
	const total = 1 << 38 // bytes
	if s.adminV1(w, r) {
		writeV1(w, map[string]any{"storage": map[string]int64{"total": total, "free": total / 2}})
	}
}

func (s *site) currentUserV1(w http.ResponseWriter, r *http.Request) {
	name, ok := s.loginV1(w, r)
	if !ok {
		return
	}
	u, flag := s.accounts.users[name], s.gen.v1.flag
	if u.Kind == Robot {
		s.gen.v1.deny(w, http.StatusUnauthorized, "")
		return
	}
	writeV1(w, map[string]any{
		"user_id": u.id, "username": name, "email": name + "@example.com", "password": "", "realname": name, "comment": "",
		"deleted": flag(false), "role_name": "", "role_id": 0, "has_admin_role": flag(name == userAdmin), "reset_uuid": "",
		"creation_time": timeV1(s.now()), "update_time": timeV1(s.now()),
	})
}
