package sandbox

import (
	"net/http"
	"regexp"
	"sync"
)

// A kind is what a path below /v2/ is about.
type kind int

const (
	kindUnknown kind = iota
	kindPing
	kindCatalog
	kindManifest
	kindTags
	kindBlob
	kindUploads // where an upload begins
	kindUpload  // one that has begun
	kindReferrers
)

// A route is a path below /v2/, taken apart.
type route struct {
	kind kind
	repo string // "demo/app"
	ref  string // tag, digest or upload id
}

// The grammar of names and digests is that of
// https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md and
// its image-spec; a tag is \w[\w.-]{0,127} there.
const (
	component   = `[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*`
	namePattern = `(` + component + `(?:/` + component + `)*)`
	digestPart  = `[a-z0-9]+(?:[+._-][a-z0-9]+)*:[0-9a-fA-F]{32,}`
)

// routePatterns are all paths that name a repository, each with the repository
// and a reference, which may be empty.
var routePatterns = sync.OnceValue(func() []routePattern {
	return []routePattern{
		{kindManifest, below(`/manifests/(\w[\w.-]{0,127}|` + digestPart + `)`)},
		{kindBlob, below(`/blobs/(` + digestPart + `)`)},
		{kindUploads, below(`/blobs/uploads/()`)},
		{kindUpload, below(`/blobs/uploads/([0-9A-Za-z-]+)`)},
		{kindTags, below(`/tags/list()`)},
		{kindReferrers, below(`/referrers/(` + digestPart + `)`)},
	}
})

type routePattern struct {
	kind kind
	re   *regexp.Regexp
}

func below(rest string) *regexp.Regexp {
	return regexp.MustCompile(`^/v2/` + namePattern + rest + `$`)
}

func parseRoute(path string) route {
	switch path {
	case "/v2/":
		return route{kind: kindPing}
	case "/v2/_catalog":
		return route{kind: kindCatalog}
	}
	for _, p := range routePatterns() {
		if m := p.re.FindStringSubmatch(path); m != nil {
			return route{kind: p.kind, repo: m[1], ref: m[2]}
		}
	}
	return route{}
}

// registry is all below /v2/.
func (s *site) registry(w http.ResponseWriter, r *http.Request) {
	rt := parseRoute(r.URL.Path)
	if s.barred(w, r, rt) || !s.gen.admit(s, w, r, rt) || s.prohibited(w, r, rt) {
		return
	}
	switch rt.kind {
	case kindPing:
		fromRegistry(w)
		writeJSON(w, http.StatusOK, struct{}{})
	case kindCatalog:
		s.catalog(w, r)
	case kindManifest:
		s.manifest(w, r, rt)
	case kindTags:
		s.tags(w, r, rt)
	case kindReferrers:
		s.referrers(w, r, rt)
	case kindBlob:
		s.blob(w, r, rt)
	case kindUploads:
		s.beginUpload(w, r, rt)
	case kindUpload:
		s.upload(w, r, rt)
	}
}

// A need is one thing that a request has to be allowed.
type need struct {
	repo   string
	action action
}

// needs says what r wants of which repositories; mounting takes a pull from another.
func (rt route) needs(r *http.Request) []need {
	first := need{repo: rt.repo}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		first.action = actionPull
	case http.MethodPost, http.MethodPut, http.MethodPatch:
		first.action = actionPush
	case http.MethodDelete:
		first.action = actionDelete
	default:
		return nil
	}
	if from := mountFrom(r); rt.kind == kindUploads && from != "" {
		return []need{first, {repo: from, action: actionPull}}
	}
	return []need{first}
}

func mountFrom(r *http.Request) string {
	if query := r.URL.Query(); r.Method == http.MethodPost && query.Get("mount") != "" {
		return query.Get("from")
	}
	return ""
}

// unsupported is what the registry says to a method that it has not.
func unsupported(w http.ResponseWriter) {
	fromRegistry(w)
	problem{status: http.StatusMethodNotAllowed, code: "UNSUPPORTED", message: "The operation is unsupported."}.write(w)
}
