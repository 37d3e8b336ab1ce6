package auth

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
)

// Asks is how a registry asks who somebody is.
type Asks struct {
	Scheme  string // "bearer", "basic"; "": it asks nobody, or in no way that is known
	Service string // of "bearer", as the registry wrote it
	Message string // that came with it, raw and cut short; "" if there was none
}

// Learn finds out how the registry asks who somebody is: with one request and
// no credentials, unless it is known. Requests that follow bring what is needed
// at once. The error is that of the round-tripper below.
func (t *Transport) Learn(ctx context.Context) (Asks, error) {
	t.mu.Lock()
	known := t.bearer != nil || t.basicAsked || t.basicOK
	t.mu.Unlock()
	if !known {
		if err := t.learn(ctx); err != nil {
			return Asks{}, err
		}
	}
	return t.Asked(), nil
}

// Asked is what [Transport.Learn] says, as far as it is known by now.
func (t *Transport) Asked() Asks {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.bearer != nil:
		return Asks{Scheme: schemeBearer, Service: t.bearer.params["service"], Message: t.message}
	case t.basicAsked, t.basicOK:
		return Asks{Scheme: schemeBasic}
	}
	return Asks{}
}

// hear notes the words of resp, with which the registry asks for a token, unless
// some are known. Resp can still be read.
func (t *Transport) hear(resp *http.Response) {
	t.mu.Lock()
	known := t.message != ""
	t.mu.Unlock()
	if known {
		return
	}
	var read bytes.Buffer
	body := resp.Body
	resp.Body = io.NopCloser(io.TeeReader(body, &read))
	message := messageOf(resp)
	resp.Body = unread{io.MultiReader(&read, body), body}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.message = message
}

// unread is a body with what was read of it in front again.
type unread struct {
	io.Reader
	io.Closer
}

// A Grant is what a token allows on one repository, by the registry's own word:
// nobody verified it.
type Grant struct {
	Subject string   // whom the token is for, raw; "": nobody, or it is not said
	Actions []string // "pull", "push", "*"
}

// May says whether action is allowed.
func (g Grant) May(action string) bool {
	return slices.Contains(g.Actions, action) || slices.Contains(g.Actions, "*")
}

// Ask says what a token for actions on repository allows, and keeps the token:
// requests that need no more bring it along. It says false where the registry
// gives no token that can be read. [Transport.Learn] is to be called before.
// Errors are those of [Transport.RoundTrip].
func (t *Transport) Ask(ctx context.Context, repository string, actions ...string) (Grant, bool, error) {
	if t.known() == nil || t.credentials.RegistryToken != "" {
		return Grant{}, false, nil
	}
	p, err := t.tokenFor(ctx, newScopeSet(scopeFor(repository, actions...)), nil)
	if err != nil {
		return Grant{}, false, err
	}
	g, ok := grantIn(p.token.value, repository)
	return g, ok, nil
}

// Granted says what the newest token for repository allows; false where there
// is none, or none that can be read.
func (t *Transport) Granted(repository string) (Grant, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, k := range slices.Backward(t.tokens) {
		if _, ok := k.scopes[repositoryScope+repository]; ok {
			return grantIn(k.value, repository)
		}
	}
	return Grant{}, false
}

// Forget drops all tokens: what the user may do has changed.
func (t *Transport) Forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tokens = nil
}

const repositoryScope = "repository:"

func scopeFor(repository string, actions ...string) string {
	return repositoryScope + repository + ":" + strings.Join(actions, ",")
}

// grantIn reads a token that is a JWT in the form of Distribution's token
// specification.
func grantIn(token, repository string) (Grant, bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return Grant{}, false
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return Grant{}, false
	}
	var claims struct {
		Subject string `json:"sub"`
		Access  *[]struct {
			Type    string   `json:"type"`
			Name    string   `json:"name"`
			Actions []string `json:"actions"`
		} `json:"access"`
	}
	if json.Unmarshal(payload, &claims) != nil || claims.Access == nil {
		return Grant{}, false
	}
	g := Grant{Subject: claims.Subject}
	for _, a := range *claims.Access {
		if a.Name == repository {
			g.Actions = append(g.Actions, a.Actions...)
		}
	}
	return g, true
}

// API returns a round-tripper for what the registry serves beside /v2/: it
// sends the password along by HTTP Basic, if there is one, to the registry's
// origin alone, one request after the other, and follows no challenge. A 401 is
// the answer, and so may be what nobody may see: Harbor takes a wrong password
// for none at all. Errors are those of [Transport.RoundTrip], a [*DeniedError]
// when the password was refused often enough.
func (t *Transport) API() http.RoundTripper { return api{t} }

type api struct{ t *Transport }

func (a api) RoundTrip(req *http.Request) (*http.Response, error) {
	t := a.t
	out := req.Clone(req.Context())
	if out.Header == nil {
		out.Header = http.Header{}
	}
	for _, name := range []string{"Authorization", "Cookie"} {
		out.Header.Del(name)
	}
	if !t.owns(req.URL) || !t.credentials.hasPassword() {
		return t.inner.RoundTrip(out)
	}
	out.URL.Scheme, out.URL.Host, out.Host = t.base.Scheme, t.base.Host, ""
	if err := t.mayReveal(); err != nil {
		closeBody(req)
		return nil, err
	}
	release, err := t.takeTurn(req.Context())
	if err != nil {
		closeBody(req)
		return nil, err
	}
	defer release()
	out.Header.Set("Authorization", t.basicPass().header)
	resp, err := t.sendSecret(out)
	if err == nil && accepted(resp) {
		t.settle(false)
	}
	return resp, err
}
