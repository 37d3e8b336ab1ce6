package sandbox

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
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
var routePatterns = []struct {
	kind kind
	re   *regexp.Regexp
}{
	{kindManifest, below(`/manifests/(\w[\w.-]{0,127}|` + digestPart + `)`)},
	{kindBlob, below(`/blobs/(` + digestPart + `)`)},
	{kindUploads, below(`/blobs/uploads/()`)},
	{kindUpload, below(`/blobs/uploads/([0-9A-Za-z-]+)`)},
	{kindTags, below(`/tags/list()`)},
	{kindReferrers, below(`/referrers/(` + digestPart + `)`)},
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
	for _, p := range routePatterns {
		if m := p.re.FindStringSubmatch(path); m != nil {
			return route{kind: p.kind, repo: m[1], ref: m[2]}
		}
	}
	return route{}
}

// registry is all below /v2/.
func (s *site) registry(w http.ResponseWriter, r *http.Request) {
	rt := parseRoute(r.URL.Path)
	if !s.admit(w, r, rt) {
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

// admit answers whatever must not come through and says false then. The order
// of the checks is that of Harbor's core (src/server/middleware/artifactinfo
// and v2auth).
func (s *site) admit(w http.ResponseWriter, r *http.Request, rt route) bool {
	who := s.whoIs(r)
	switch rt.kind {
	case kindUnknown:
		s.refuse(w, "", fmt.Sprintf("un-recognized request: %s %s", r.Method, r.URL.Path))
	case kindPing:
		if who.name != "" {
			return true
		}
		s.refuse(w, s.challenge(r, nil), "unauthorized")
	case kindCatalog:
		if who.isAdmin() {
			return true
		}
		s.refuse(w, basicChallenge, "unauthorized to list catalog")
	default:
		return s.admitTo(w, r, rt.needs(r), who)
	}
	return false
}

func (s *site) admitTo(w http.ResponseWriter, r *http.Request, needs []need, who subject) bool {
	for _, n := range needs {
		if !strings.Contains(n.repo, "/") {
			problem{status: http.StatusBadRequest, code: codeBadRequest, message: "bad request: invalid repository name: " + n.repo}.write(w)
			return false
		}
	}
	for _, n := range needs {
		if n.action == actionPull && r.Header.Get("Authorization") == "" && r.Method != http.MethodPost {
			s.refuse(w, s.challenge(r, needs), "authorize header needed to send HEAD to repository")
			return false
		}
		name, _, _ := strings.Cut(n.repo, "/")
		p, found := s.accounts.find(name)
		if !found {
			s.refuse(w, "", fmt.Sprintf("project %s not found", name))
			return false
		}
		if !who.may(n.action, p) {
			s.refuse(w, s.challenge(r, needs), fmt.Sprintf("unauthorized to access repository: %s, action: %s", n.repo, n.action))
			return false
		}
	}
	return true
}

const basicChallenge = `Basic realm="harbor"`

// challenge asks for Basic whoever sent an Authorization header already, were
// it a bearer token, and names the token service to all others. The realm is
// at the host that the request names.
func (s *site) challenge(r *http.Request, needs []need) string {
	if r.Header.Get("Authorization") != "" {
		return basicChallenge
	}
	c := fmt.Sprintf(`Bearer realm="%s/service/token",service="%s"`, s.origin(r), tokenService)
	scopes := make([]string, 0, len(needs))
	for _, n := range needs {
		actions := string(n.action)
		if n.action == actionPush {
			actions = "pull,push"
		}
		scopes = append(scopes, repository+":"+n.repo+":"+actions)
	}
	if len(scopes) > 0 {
		c += `,scope="` + strings.Join(scopes, " ") + `"`
	}
	return c
}

func (s *site) origin(r *http.Request) string { return s.scheme + "://" + r.Host }

// refuse says 401. The challenge stands there also when it is empty, and the
// message twice.
func (s *site) refuse(w http.ResponseWriter, challenge, message string) {
	w.Header().Set("Www-Authenticate", challenge)
	fromRegistry(w)
	problem{status: http.StatusUnauthorized, code: codeUnauthorized, message: message + ": " + message}.write(w)
}

// unsupported is what the registry says to a method that it has not.
func unsupported(w http.ResponseWriter) {
	fromRegistry(w)
	problem{status: http.StatusMethodNotAllowed, code: "UNSUPPORTED", message: "The operation is unsupported."}.write(w)
}
