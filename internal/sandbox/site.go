package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"
)

// A site is the whole server behind one address: what Harbor's nginx, core,
// portal and registry are together, or a plain registry.
type site struct {
	gen       *generation
	policy    Policy
	now       func() time.Time
	scheme    string
	public    string // host of the one name that 1.x has
	onRequest func(method, path string, status int)
	caPEM     []byte // nil: there is no CA to download
	accounts  *accounts
	tokens    tokens
	blobs     *blobStore
	folders   []string // that were made for blobs, outermost first
	manifests *manifestStore
	tooMany   atomic.Int64 // requests that are still refused; below zero: none
	mux       *http.ServeMux
}

func newSite(o Options, users []User) (*site, error) {
	gen, err := o.Like.find()
	if err != nil {
		return nil, err
	}
	s := &site{
		gen:       gen,
		policy:    o.Policy,
		now:       o.Now,
		scheme:    "https",
		onRequest: o.OnRequest,
		accounts:  newAccounts(o, users, gen.robots),
		blobs:     newBlobStore(o.Dir),
		manifests: newManifestStore(o.Now),
	}
	s.tooMany.Store(int64(o.Policy.TooMany))
	if o.PlainHTTP {
		s.scheme = "http"
	}
	if s.tokens, err = newTokens(o.Now); err != nil {
		return nil, err
	}
	if err := s.seed(o.allProjects()); err != nil {
		return nil, errors.Join(err, s.close())
	}
	s.mux = s.gen.routes(s)
	s.mux.HandleFunc("/v2/", s.registry)
	return s, nil
}

func (s *site) close() error { return errors.Join(s.blobs.close(), removeFolders(s.folders)) }

// ServeHTTP answers one request.
func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	out := &statusWriter{ResponseWriter: w}
	if s.onRequest != nil {
		method, path := r.Method, r.URL.EscapedPath() // the mux may change the request
		defer func() { s.onRequest(method, path, out.status()) }()
	}
	if s.withLimit(out, r) && s.gen.session.begin(out, r) {
		s.mux.ServeHTTP(out, r)
	}
}

// link is a Link header's value for the same list with another query.
func (s *site) link(r *http.Request, query url.Values, rel string) string {
	origin := ""
	if s.policy.AbsoluteLinks {
		origin = s.origin(r)
	}
	return fmt.Sprintf(`<%s%s?%s>; rel="%s"`, origin, r.URL.EscapedPath(), query.Encode(), rel)
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
	codePrecondition  = "PRECONDITION"
	codeUnauthorized  = "UNAUTHORIZED"
)

// A problem is an error answer in the one shape that registry and API share.
type problem struct {
	status   int
	code     string
	message  string
	detail   any  // nil: none
	registry bool // said by the registry behind Harbor's core
}

func (p problem) body() any {
	type item struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		Detail  any    `json:"detail,omitempty"`
	}
	return struct {
		Errors []item `json:"errors"`
	}{[]item{{p.code, p.message, p.detail}}}
}

func (p problem) write(w http.ResponseWriter) {
	if p.registry {
		fromRegistry(w)
	}
	writeJSON(w, p.status, p.body())
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
	_, _ = io.WriteString(w, page) //nolint:gosec // pages of this package, nothing of the request in them
}

func portal(w http.ResponseWriter, _ *http.Request) {
	writePage(w, http.StatusOK, "<!doctype html><html><head><title>Harbor</title></head><body>a sandbox of vicr</body></html>\n")
}

// nginxPage is what nginx says by itself; title is as in "404 Not Found".
func nginxPage(title string) string {
	return "<html>\r\n<head><title>" + title + "</title></head>\r\n<body>\r\n<center><h1>" + title + "</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
}

func nginxNotFound(w http.ResponseWriter, _ *http.Request) {
	writePage(w, http.StatusNotFound, nginxPage("404 Not Found"))
}

// slashAdded is nginx's redirect to path with a slash behind it.
func (s *site) slashAdded(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Location", s.origin(r)+r.URL.Path+"/")
	writePage(w, http.StatusMovedPermanently, nginxPage("301 Moved Permanently"))
}

const corePage = "<!DOCTYPE html>\n<html><head><title>404 - Page Not Found</title></head></html>\n"

func coreNotFound(w http.ResponseWriter, _ *http.Request) {
	writePage(w, http.StatusNotFound, corePage)
}

// pageNotFound is what Go's servers say, and so Distribution.
func pageNotFound(w http.ResponseWriter) {
	writeText(w, http.StatusNotFound, "404 page not found\n")
}

// routesPlain are those of a registry without an API.
func (s *site) routesPlain() *http.ServeMux {
	m := http.NewServeMux()
	m.HandleFunc("/v2", s.slashAdded)
	m.HandleFunc("/{$}", func(http.ResponseWriter, *http.Request) {}) // alive
	m.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		fromRegistry(w)
		pageNotFound(w)
	})
	return m
}
