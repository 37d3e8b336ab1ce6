package sandbox

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"
)

// A site is the whole server behind one address: what Harbor's nginx, core,
// portal and registry are together.
type site struct {
	now       func() time.Time
	scheme    string
	onRequest func(method, path string, status int)
	caPEM     []byte // nil: there is no CA to download
	accounts  *accounts
	tokens    tokens
	blobs     *blobStore
	manifests manifests
	mux       *http.ServeMux
}

func newSite(o Options, users []User) (*site, error) {
	s := &site{
		now:       o.Now,
		scheme:    "https",
		onRequest: o.OnRequest,
		accounts:  newAccounts(users, o.Now()),
		blobs:     newBlobStore(o.Dir),
		manifests: newManifests(),
	}
	if o.PlainHTTP {
		s.scheme = "http"
	}
	var err error
	if s.tokens, err = newTokens(o.Now); err != nil {
		return nil, err
	}
	if err := s.seed(); err != nil {
		return nil, errors.Join(err, s.close())
	}
	s.mux = s.routes()
	return s, nil
}

func (s *site) close() error { return s.blobs.close() }

func (s *site) routes() *http.ServeMux {
	m := http.NewServeMux()
	m.HandleFunc("/v2/", s.registry)
	for _, path := range []string{"/v2", "/api"} {
		m.Handle(path, http.RedirectHandler(path+"/", http.StatusMovedPermanently))
	}
	m.HandleFunc("/service/token", s.token)
	m.HandleFunc("/service/", nginxNotFound)
	m.HandleFunc("/v1/", nginxNotFound)
	m.HandleFunc("/api/", coreNotFound)
	m.HandleFunc("/api/v2.0/", apiNotFound)
	for path, methods := range map[string]map[string]http.HandlerFunc{
		"/api/version":                 {http.MethodGet: apiVersion},
		"/api/v2.0/ping":               {http.MethodGet: apiPing},
		"/api/v2.0/systeminfo":         {http.MethodGet: s.systemInfo},
		"/api/v2.0/systeminfo/getcert": {http.MethodGet: s.getcert},
		"/api/v2.0/users/current":      {http.MethodGet: s.currentUser},
		"/api/v2.0/projects": {
			http.MethodGet: s.listProjects, http.MethodHead: s.headProject, http.MethodPost: s.createProject,
		},
		"/api/v2.0/projects/{name}": {http.MethodGet: s.getProject},
	} {
		m.HandleFunc(path, byMethod(methods))
	}
	m.HandleFunc("/", portal)
	return m
}

// ServeHTTP answers one request.
func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	out := &statusWriter{ResponseWriter: w}
	if s.onRequest != nil {
		method, path := r.Method, r.URL.EscapedPath() // the mux may change the request
		defer func() { s.onRequest(method, path, out.status()) }()
	}
	if !withoutSession(out, r) {
		return
	}
	s.mux.ServeHTTP(out, r)
}

// withoutSession hands out the cookie that Harbor sends with nearly every
// answer, and refuses whoever sends it back without the token that only its
// web pages have. A client must not keep it.
func withoutSession(w http.ResponseWriter, r *http.Request) bool {
	const cookie = "sid"
	if _, err := r.Cookie(cookie); err == nil && r.Method != http.MethodGet && r.Method != http.MethodHead {
		problem{status: http.StatusForbidden, code: "FORBIDDEN", message: "CSRF token not found in request"}.write(w)
		return false
	}
	http.SetCookie(w, &http.Cookie{Name: cookie, Value: "0", Path: "/", HttpOnly: true, Secure: true, SameSite: http.SameSiteLaxMode})
	return true
}

// A statusWriter remembers the status that was sent.
type statusWriter struct {
	http.ResponseWriter
	code int
}

func (w *statusWriter) WriteHeader(code int) {
	if w.code == 0 {
		w.code = code
	}
	w.ResponseWriter.WriteHeader(code)
}

func (w *statusWriter) Write(p []byte) (int, error) {
	w.code = w.status()
	return w.ResponseWriter.Write(p)
}

// Unwrap is for [http.ResponseController].
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *statusWriter) status() int {
	if w.code == 0 {
		return http.StatusOK
	}
	return w.code
}

// The error codes that stand at more than one place.
const (
	codeBadRequest    = "BAD_REQUEST"
	codeBlobUnknown   = "BLOB_UNKNOWN"
	codeDigestInvalid = "DIGEST_INVALID"
	codeInternal      = "UNKNOWN"
	codeInvalid       = "MANIFEST_INVALID"
	codeNotFound      = "NOT_FOUND"
	codeUnauthorized  = "UNAUTHORIZED"
)

// A problem is an error answer in the one shape that registry and API share.
type problem struct {
	status  int
	code    string
	message string
	detail  any // nil: none
}

func (p problem) write(w http.ResponseWriter) {
	type item struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		Detail  any    `json:"detail,omitempty"`
	}
	writeJSON(w, p.status, struct {
		Errors []item `json:"errors"`
	}{[]item{{p.code, p.message, p.detail}}})
}

// fromRegistry marks an answer as one that the registry behind Harbor's core gave.
func fromRegistry(w http.ResponseWriter) {
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // fails with the connection only
}

func writeText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text) //nolint:gosec // plain text by its media type, as Harbor sends it
}

func writePage(w http.ResponseWriter, status int, page string) {
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, page)
}

func portal(w http.ResponseWriter, _ *http.Request) {
	writePage(w, http.StatusOK, "<!doctype html><html><head><title>Harbor</title></head><body>a sandbox of vicr</body></html>\n")
}

func nginxNotFound(w http.ResponseWriter, _ *http.Request) {
	writePage(w, http.StatusNotFound, "<html>\r\n<head><title>404 Not Found</title></head>\r\n<body>\r\n<center><h1>404 Not Found</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n")
}

func coreNotFound(w http.ResponseWriter, _ *http.Request) {
	writePage(w, http.StatusNotFound, "<!DOCTYPE html>\n<html><head><title>404 - Page Not Found</title></head></html>\n")
}
