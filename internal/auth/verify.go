package auth

import (
	"context"
	"net/http"
)

// An Identity is what a registry accepted.
type Identity struct {
	Username string
	Scheme   string // "bearer", "basic"; "": the registry asks nobody who they are, and nothing was verified
	Realm    string // of "bearer", as the registry wrote it, as the next
	Service  string // "harbor-registry" is Harbor
}

// Verify asks whether the registry accepts the credentials. The token is asked
// for without a scope: with one, Harbor gives a token for a wrong password too,
// with the rights of nobody. Errors are as those of [Transport.RoundTrip]; a
// host that answers nothing like a registry is an [*AnswerError].
func (t *Transport) Verify(ctx context.Context) (Identity, error) {
	resp, err := t.ping(ctx, pass{})
	if err != nil {
		return Identity{}, err
	}
	defer discard(resp)
	if t.isAnotherHost(resp) {
		return Identity{}, &AnswerError{Host: t.base.Host, Status: resp.StatusCode, Why: "it redirects to another host, which is not asked who may log in"}
	}
	id := Identity{Username: t.credentials.Username}
	switch resp.StatusCode {
	case http.StatusOK:
		return id, nil
	case http.StatusUnauthorized:
	default:
		why := "this is not what a registry answers"
		if resp.StatusCode == http.StatusBadRequest && t.base.Scheme == schemeHTTP {
			why = "this is what a server with TLS answers to plain http"
		}
		return Identity{}, &AnswerError{Host: t.base.Host, Status: resp.StatusCode, Why: why}
	}
	c, ok := choose(challengesOf(resp.Header))
	if !ok {
		return Identity{}, &AnswerError{Host: t.base.Host, Status: resp.StatusCode, Why: "it asks for a login in no way that is known"}
	}
	id.Scheme, id.Realm, id.Service = c.scheme, c.params["realm"], c.params["service"]
	p, err := t.verifying(ctx, c, resp)
	if err != nil {
		return Identity{}, err
	}
	return id, t.confirm(ctx, p)
}

func (t *Transport) verifying(ctx context.Context, c challenge, resp *http.Response) (pass, error) {
	switch {
	case t.credentials.RegistryToken != "":
		return pass{header: "Bearer " + t.credentials.RegistryToken}, nil
	case c.scheme == schemeBasic:
		return t.firstBasic(resp)
	}
	t.mu.Lock()
	t.bearer, t.tokens = &c, nil
	t.mu.Unlock()
	return t.tokenFor(ctx, scopeSet{}, nil)
}

// confirm asks for the root of the API with p.
func (t *Transport) confirm(ctx context.Context, p pass) error {
	resp, err := t.ping(ctx, p)
	if err != nil {
		return err
	}
	defer discard(resp)
	switch resp.StatusCode {
	case http.StatusOK:
		return nil
	case http.StatusUnauthorized, http.StatusForbidden:
		return t.denied(resp)
	}
	return &AnswerError{Host: t.base.Host, Status: resp.StatusCode, Why: "this is not what a registry answers"}
}
