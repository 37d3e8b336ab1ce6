package auth

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestScopesAreMerged(t *testing.T) {
	t.Parallel()
	tests := []struct {
		texts []string
		want  []string
	}{
		{nil, nil},
		{[]string{"repository:a/b:push", "repository:a/b:pull"}, []string{"repository:a/b:pull,push"}},
		{[]string{"repository:b:pull repository:a:pull,pull"}, []string{"repository:a:pull", "repository:b:pull"}},
		{[]string{"repository:host:5000/a:pull"}, []string{"repository:host:5000/a:pull"}},
		{[]string{"registry:catalog:*", "odd"}, []string{"odd", "registry:catalog:*"}},
	}
	for _, tt := range tests {
		if got := newScopeSet(tt.texts...).list(); !slices.Equal(got, tt.want) {
			t.Errorf("%q: %q, want %q", tt.texts, got, tt.want)
		}
	}
}

func TestAHostileScopeIsBounded(t *testing.T) {
	t.Parallel()
	s := newScopeSet(strings.Repeat("a:b:c ", 3), "x:y:"+strings.Join(slices.Repeat([]string{"a"}, 100), ","))
	for i := range 100 {
		s.add("repository:r" + string(rune('a'+i%26)) + strings.Repeat("x", i) + ":pull")
	}
	if len(s) > maxScopes {
		t.Errorf("%d resources", len(s))
	}
}

func TestScopeOfARequest(t *testing.T) {
	t.Parallel()
	tests := []struct {
		method, target string
		want           []string
	}{
		{http.MethodGet, "/v2/", nil},
		{http.MethodGet, "/v2/_catalog", nil},
		{http.MethodGet, "/api/v2.0/projects", nil},
		{http.MethodGet, "/v2/library/ubuntu/manifests/14.04", []string{"repository:library/ubuntu:pull"}},
		{http.MethodHead, "/v2/a/blobs/sha256:0", []string{"repository:a:pull"}},
		{http.MethodGet, "/v2/a/b/tags/list?n=2", []string{"repository:a/b:pull"}},
		{http.MethodGet, "/v2/a/b/referrers/sha256:0", []string{"repository:a/b:pull"}},
		{http.MethodPut, "/v2/a/b/manifests/1", []string{"repository:a/b:pull,push"}},
		{http.MethodDelete, "/v2/a/b/manifests/1", []string{"repository:a/b:delete"}},
		{http.MethodPost, "/v2/a/b/blobs/uploads/?mount=sha256:0&from=c/d", []string{"repository:a/b:pull,push", "repository:c/d:pull"}},
		{http.MethodPost, "/v2/a/b/blobs/uploads/?from=c:*%20x", []string{"repository:a/b:pull,push"}},
		{http.MethodGet, "/v2/manifests/tags/manifests/1", []string{"repository:manifests/tags:pull"}},
		{http.MethodGet, "/v2/a:push,b/manifests/1", nil},
		{http.MethodGet, "/v2/a%20b/manifests/1", nil},
	}
	for _, tt := range tests {
		u, err := url.Parse("https://h" + tt.target)
		if err != nil {
			t.Fatal(err)
		}
		if got := scopesFor(tt.method, u).list(); !slices.Equal(got, tt.want) {
			t.Errorf("%s %s: %q, want %q", tt.method, tt.target, got, tt.want)
		}
	}
}

func TestAUnionCoversItsParts(t *testing.T) {
	t.Parallel()
	scope := rapid.StringMatching(`repository:[a-c]{1,2}(/[a-c])?:(pull|push|delete)(,(pull|push))?`)
	set := rapid.Map(rapid.SliceOfN(scope, 0, 5), func(texts []string) scopeSet { return newScopeSet(texts...) })
	rapid.Check(t, func(t *rapid.T) {
		a, b := set.Draw(t, "a"), set.Draw(t, "b")
		u := a.union(b)
		if !u.covers(a) || !u.covers(b) {
			t.Fatalf("%v does not cover %v and %v", u, a, b)
		}
		if a.covers(b) != (len(a.union(b).list()) == len(a.list()) && slices.Equal(a.union(b).list(), a.list())) {
			t.Fatalf("covers and union disagree on %v and %v", a, b)
		}
		if again := newScopeSet(u.list()...); !slices.Equal(again.list(), u.list()) {
			t.Fatalf("%v is not what it is read as", u)
		}
	})
}
