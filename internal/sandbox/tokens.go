package sandbox

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	tokenService  = "harbor-registry"
	tokenIssuer   = "harbor-token-issuer"
	tokenLifetime = 30 * time.Minute              // Harbor's default token_expiration
	tokenHeader   = `{"typ":"JWT","alg":"EdDSA"}` //nolint:gosec // the public first part of every token
	repository    = "repository"                  // the type of most scopes
)

// Claims are what a token says, in the form of
// https://distribution.github.io/distribution/spec/auth/jwt/.
type claims struct {
	Issuer    string   `json:"iss"`
	Subject   string   `json:"sub"` // empty: anonymous
	Audience  string   `json:"aud"`
	Expires   int64    `json:"exp"` // seconds since 1970, as the next two
	NotBefore int64    `json:"nbf"`
	IssuedAt  int64    `json:"iat"`
	ID        string   `json:"jti"`
	Access    []access `json:"access"`
}

type access struct {
	Type    string   `json:"type"`
	Name    string   `json:"name"`
	Actions []action `json:"actions"`
}

// allowsIn looks at projects: a token for one repository is good for the whole
// project, as it is in Harbor 2.x.
func (c *claims) allowsIn(project string, act action) bool {
	return slices.ContainsFunc(c.Access, func(a access) bool {
		p, _, ok := strings.Cut(a.Name, "/")
		return ok && a.Type == repository && p == project && slices.Contains(a.Actions, act)
	})
}

// grants looks at each repository, as Distribution does.
func (c *claims) grants(all []wanted) bool {
	return !slices.ContainsFunc(all, func(w wanted) bool {
		return !slices.ContainsFunc(c.Access, func(a access) bool {
			return a.Type == w.Type && a.Name == w.Name && (slices.Contains(a.Actions, w.Action) || slices.Contains(a.Actions, actionAll))
		})
	})
}

// Tokens signs and reads bearer tokens.
type tokens struct {
	key ed25519.PrivateKey
	now func() time.Time
}

func newTokens(now func() time.Time) (tokens, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return tokens{key: key, now: now}, err
}

func (t tokens) issue(user string, granted []access, at time.Time) (string, error) {
	body, err := json.Marshal(claims{
		Issuer: tokenIssuer, Subject: user, Audience: tokenService,
		Expires: at.Add(tokenLifetime).Unix(), NotBefore: at.Unix(), IssuedAt: at.Unix(),
		ID: rand.Text(), Access: granted,
	})
	if err != nil {
		return "", err
	}
	enc := base64.RawURLEncoding
	text := enc.EncodeToString([]byte(tokenHeader)) + "." + enc.EncodeToString(body)
	return text + "." + enc.EncodeToString(ed25519.Sign(t.key, []byte(text))), nil
}

// read says false for what this sandbox did not sign, and for what has expired.
func (t tokens) read(token string) (c claims, ok bool) {
	i := strings.LastIndexByte(token, '.')
	if i < 0 {
		return claims{}, false
	}
	text := token[:i]
	sig, err := base64.RawURLEncoding.DecodeString(token[i+1:])
	if err != nil || !ed25519.Verify(t.key.Public().(ed25519.PublicKey), []byte(text), sig) {
		return claims{}, false
	}
	_, payload, _ := strings.Cut(text, ".")
	body, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil || json.Unmarshal(body, &c) != nil {
		return claims{}, false
	}
	return c, t.now().Before(time.Unix(c.Expires, 0))
}

// token is GET /service/token; there is no OAuth2 by POST.
func (s *site) token(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		writeText(w, http.StatusMethodNotAllowed, "Method Not Allowed\n")
		return
	}
	query := r.URL.Query()
	if service := query.Get("service"); service != tokenService {
		writeText(w, http.StatusBadRequest, "Unable to handle service: "+service)
		return
	}
	user := s.user(r)
	var granted []access
	for _, scope := range query["scope"] {
		for one := range strings.FieldsSeq(scope) {
			granted = append(granted, s.grant(user, one))
		}
	}
	// A wrong password is told only to who asks for no scope; with one, the
	// answer is what anybody may do.
	if user == "" && len(granted) == 0 {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	noProject := func(a access) bool { return a.Type == repository && !strings.Contains(a.Name, "/") }
	if status := s.gen.token.noProject; status != 0 && slices.ContainsFunc(granted, noProject) {
		w.WriteHeader(status)
		return
	}
	now := s.now()
	token, err := s.tokens.issue(user, granted, now)
	if err != nil {
		problem{status: http.StatusInternalServerError, code: codeInternal, message: "internal server error"}.write(w)
		return
	}
	answer := map[string]any{"token": token, "expires_in": int(tokenLifetime.Seconds()), "issued_at": now.UTC().Format(time.RFC3339)}
	if s.gen.token.accessToken {
		answer["access_token"] = "" // there, and empty
	}
	writeJSON(w, http.StatusOK, answer)
}

// grant reads TYPE:NAME:ACTIONS and leaves out, without a word, the actions
// that user does not have.
func (s *site) grant(user, scope string) access {
	kind, rest, _ := strings.Cut(scope, ":")
	name, list := rest, ""
	if i := strings.LastIndexByte(rest, ':'); i >= 0 {
		name, list = rest[:i], rest[i+1:]
	}
	granted := access{Type: kind, Name: name, Actions: []action{}}
	switch kind {
	case repository:
		projectName, _, ok := strings.Cut(name, "/")
		p, found := s.accounts.find(projectName)
		if !ok || !found {
			break
		}
		for _, act := range s.gen.token.asked(list) {
			if p.allows(user, act) && !slices.Contains(granted.Actions, act) {
				granted.Actions = append(granted.Actions, act)
			}
		}
	case "registry":
		if user == userAdmin && name == "catalog" {
			granted.Actions = append(granted.Actions, actionAll)
		}
	}
	return granted
}

// asked reads a scope's list of actions.
func (t tokenRules) asked(list string) []action {
	if t.allActions {
		return []action{actionPush, actionAll, actionPull}
	}
	var all []action
	for one := range strings.SplitSeq(list, ",") {
		if slices.Contains([]action{actionPull, actionPush, actionDelete}, action(one)) {
			all = append(all, action(one))
		}
	}
	return all
}
