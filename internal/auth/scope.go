package auth

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Bounds on what a challenge may ask for.
const (
	maxScopes  = 16
	maxActions = 16
)

// A scopeSet maps a resource, as repository:library/app, to the actions on it.
// The grammar is that of Distribution's token specification:
// TYPE:NAME:ACTION,ACTION; what has another form is a resource without actions.
type scopeSet map[string][]string

func newScopeSet(texts ...string) scopeSet {
	s := scopeSet{}
	for _, text := range texts {
		for _, one := range strings.Fields(text) {
			s.add(one)
		}
	}
	return s
}

func (s scopeSet) add(one string) {
	resource, actions := one, ""
	first, last := strings.IndexByte(one, ':'), strings.LastIndexByte(one, ':')
	if first < last {
		resource, actions = one[:last], one[last+1:]
	}
	if _, ok := s[resource]; !ok && len(s) >= maxScopes {
		return
	}
	have := slices.Clone(s[resource])
	for a := range strings.SplitSeq(actions, ",") {
		if a != "" && !slices.Contains(have, a) && len(have) < maxActions {
			have = append(have, a)
		}
	}
	slices.Sort(have)
	s[resource] = have
}

// list is the scopes in one order, each once.
func (s scopeSet) list() []string {
	texts := []string{}
	for _, resource := range slices.Sorted(maps.Keys(s)) {
		text := resource
		if actions := s[resource]; len(actions) > 0 {
			text += ":" + strings.Join(actions, ",")
		}
		texts = append(texts, text)
	}
	return texts
}

func (s scopeSet) union(other scopeSet) scopeSet {
	return newScopeSet(append(s.list(), other.list()...)...)
}

// covers says whether a token for s does for want too.
func (s scopeSet) covers(want scopeSet) bool {
	for resource, actions := range want {
		have, ok := s[resource]
		if !ok {
			return false
		}
		for _, a := range actions {
			if !slices.Contains(have, a) {
				return false
			}
		}
	}
	return true
}

type scopeKey struct{}

// WithScope adds scopes, as "repository:library/app:pull,push", to what tokens
// are asked for on behalf of requests with this context: one token then does
// for several requests.
func WithScope(ctx context.Context, scopes ...string) context.Context {
	return context.WithValue(ctx, scopeKey{}, scopeSet.union(scopesOf(ctx), newScopeSet(scopes...)))
}

func scopesOf(ctx context.Context) scopeSet {
	s, _ := ctx.Value(scopeKey{}).(scopeSet)
	return s
}

const apiRoot = "/v2/"

// scopesFor is what a request to the registry's API needs as a rule
// (Distribution, registry/handlers/app.go: appendAccessRecords): nothing for
// what is not about one repository.
func scopesFor(method string, u *url.URL) scopeSet {
	path, ok := strings.CutPrefix(u.Path, apiRoot)
	if !ok {
		return scopeSet{}
	}
	name := ""
	for _, part := range []string{"/manifests/", "/blobs/", "/tags/", "/referrers/"} {
		if i := strings.LastIndex(path, part); i > len(name) {
			name = path[:i]
		}
	}
	if !isRepository(name) {
		return scopeSet{}
	}
	actions := "pull,push"
	switch method {
	case http.MethodGet, http.MethodHead:
		actions = "pull"
	case http.MethodDelete:
		actions = "delete"
	}
	s := newScopeSet("repository:" + name + ":" + actions)
	if from := u.Query().Get("from"); method == http.MethodPost && isRepository(from) {
		s.add("repository:" + from + ":pull")
	}
	return s
}

// isRepository keeps out of a scope what would give it another meaning.
func isRepository(name string) bool {
	return name != "" && strings.IndexFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && !strings.ContainsRune("._-/", r)
	}) < 0
}
