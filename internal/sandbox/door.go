package sandbox

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// admitByCore is how Harbor 2.x lets in. The order of the checks is that of its
// core (src/server/middleware/artifactinfo and v2auth).
func (s *site) admitByCore(w http.ResponseWriter, r *http.Request, rt route) bool {
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
	for i, n := range needs {
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
		if !who.may(n.action, p) || i > 0 && s.policy.NoMount {
			s.refuse(w, s.challenge(r, needs), fmt.Sprintf("unauthorized to access repository: %s, action: %s", n.repo, n.action))
			return false
		}
	}
	return true
}

const basicChallenge = `Basic realm="harbor"`

// challenge asks for Basic whoever sent an Authorization header already, were
// it a bearer token, and names the token service to all others.
func (s *site) challenge(r *http.Request, needs []need) string {
	if r.Header.Get("Authorization") != "" {
		return basicChallenge
	}
	return s.bearer(r, needs)
}

// bearer names the token service and what a token has to be good for.
func (s *site) bearer(r *http.Request, needs []need) string {
	c := fmt.Sprintf(`Bearer realm="%s/service/token",service="%s"`, s.realm(r), tokenService)
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

// realm is the origin of the token service: where the policy has it, or the
// one public name, or the host that the request names.
func (s *site) realm(r *http.Request) string {
	switch {
	case s.policy.Realm != "":
		return s.scheme + "://" + s.policy.Realm
	case s.gen.fixedRealm:
		return s.scheme + "://" + s.public
	}
	return s.origin(r)
}

func (s *site) origin(r *http.Request) string { return s.scheme + "://" + r.Host }

// refuse says 401. The challenge stands there also when it is empty, and the
// message twice.
func (s *site) refuse(w http.ResponseWriter, challenge, message string) {
	w.Header().Set("Www-Authenticate", challenge)
	fromRegistry(w)
	problem{status: http.StatusUnauthorized, code: codeUnauthorized, message: message + ": " + message}.write(w)
}

// Wanted is one thing that Distribution says a request would have to be allowed.
type wanted struct {
	Type, Class, Name string
	Action            action
}

// wants are the needs of Distribution's own check, one for each action.
func (rt route) wants(r *http.Request) (all []wanted, needs []need) {
	switch rt.kind {
	case kindPing:
		return nil, nil
	case kindCatalog:
		return []wanted{{Type: "registry", Name: "catalog", Action: actionAll}}, nil
	}
	needs = rt.needs(r)
	for _, n := range needs {
		if n.action == actionPush {
			all = append(all, wanted{Type: repository, Name: n.repo, Action: actionPull})
		}
		all = append(all, wanted{Type: repository, Name: n.repo, Action: n.action})
	}
	return all, needs
}

// admitByToken is how Harbor 1.x lets in: Distribution itself checks the token,
// and takes no password.
func (s *site) admitByToken(w http.ResponseWriter, r *http.Request, rt route) bool {
	if !s.knowsPath(w, rt) {
		return false
	}
	all, needs := rt.wants(r)
	why := ""
	if scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " "); strings.EqualFold(scheme, "Bearer") {
		c, ok := s.tokens.read(token)
		switch {
		case !ok:
			why = `,error="invalid_token"`
		case c.grants(all) && (len(needs) < 2 || !s.policy.NoMount):
			return true
		default:
			why = `,error="insufficient_scope"`
		}
	}
	challenge := s.bearer(r, needs)
	if rt.kind == kindCatalog {
		challenge += `,scope="registry:catalog:*"`
	}
	authenticate(w, challenge+why, all)
	return false
}

// admitByPassword is how Distribution with a htpasswd file lets in: whoever
// logs in may do everything.
func (s *site) admitByPassword(w http.ResponseWriter, r *http.Request, rt route) bool {
	if !s.knowsPath(w, rt) {
		return false
	}
	if s.user(r) != "" {
		return true
	}
	all, _ := rt.wants(r)
	authenticate(w, `Basic realm="Registry Realm"`, all)
	return false
}

// knowsPath answers a path that Distribution does not know before it asks who
// comes.
func (s *site) knowsPath(w http.ResponseWriter, rt route) bool {
	fromRegistry(w)
	if rt.kind != kindUnknown && (rt.kind != kindReferrers || s.gen.words.referrers) {
		return true
	}
	pageNotFound(w)
	return false
}

func authenticate(w http.ResponseWriter, challenge string, all []wanted) {
	w.Header().Set("Www-Authenticate", challenge)
	var detail any = json.RawMessage("null")
	if len(all) > 0 {
		detail = all
	}
	problem{status: http.StatusUnauthorized, code: codeUnauthorized, message: "authentication required", detail: detail}.write(w)
}
