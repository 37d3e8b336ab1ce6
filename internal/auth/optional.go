package auth

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
)

type optionalKey struct{}

// WithOptionalScope adds what scopes returns to what tokens are asked for on
// behalf of requests with this context, as far as the token service goes along:
// where it refuses, it is asked again without. scopes is called when a token is
// wanted, each time.
func WithOptionalScope(ctx context.Context, scopes func() []string) context.Context {
	return context.WithValue(ctx, optionalKey{}, scopes)
}

func optionalOf(ctx context.Context) scopeSet {
	scopes, ok := ctx.Value(optionalKey{}).(func() []string)
	if !ok {
		return scopeSet{}
	}
	return newScopeSet(scopes()...)
}

// fetchMore fetches a token for want and what is optional, or for want alone
// where the token service refused the rest once.
func (t *Transport) fetchMore(ctx context.Context, want scopeSet) (*token, error) {
	all := want.union(optionalOf(ctx))
	if t.refusedMore() != nil || want.covers(all) {
		return t.fetch(ctx, want)
	}
	k, err := t.fetch(ctx, all)
	if !refusesScope(err) {
		return k, err
	}
	t.mu.Lock()
	t.more = &failure{scopes: strings.Join(all.list(), " "), err: err}
	t.mu.Unlock()
	return t.fetch(ctx, want)
}

// refusedMore is the refusal of what was optional; nil: there was none.
func (t *Transport) refusedMore() *failure {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.more
}

// refusesScope says whether err may be about one scope of several. A service
// that fails will do so for fewer.
func refusesScope(err error) bool {
	if denied, ok := errors.AsType[*DeniedError](err); ok {
		return denied.Status != 0
	}
	answer, ok := errors.AsType[*AnswerError](err)
	return ok && answer.Status >= http.StatusBadRequest && answer.Status < http.StatusInternalServerError
}

// MayNotPush says that nothing that is pushed to repository will be taken from
// these credentials: the registry asks nobodies for a password, or gave a token
// for it that does not allow it. False says nothing.
func (t *Transport) MayNotPush(repository string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.basicAsked && t.credentials.IsZero() {
		return true
	}
	return t.lacks(repository, "push")
}

// MayNotPull says that a token in hand was asked for a pull from repository, and
// does not allow it. False says nothing.
func (t *Transport) MayNotPull(repository string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.lacks(repository, "pull")
}

// lacks says of the newest token that was asked for action that it lacks it.
func (t *Transport) lacks(repository, action string) bool {
	for _, k := range slices.Backward(t.tokens) {
		if !slices.Contains(k.scopes[repositoryScope+repository], action) {
			continue
		}
		g, ok := grantIn(k.value, repository)
		return ok && !g.May(action)
	}
	return false
}
