package auth

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"testing"
	"time"
)

// What is optional is asked for in the same token. Where the service refuses it,
// what is needed is asked for alone, and the rest never again; a service that
// fails is left in peace.
func TestOptionalScopesAreLeftOutWhereTheyAreRefused(t *testing.T) {
	t.Parallel()
	const needed, more = "repository:demo/app:pull,push", "repository:library/app:pull"
	for status, want := range map[int]struct {
		trips int
		ok    bool // the token that is needed
	}{
		0:                              {1, true},
		http.StatusBadRequest:          {2, true},
		http.StatusUnauthorized:        {2, true},
		http.StatusForbidden:           {2, true},
		http.StatusInternalServerError: {1, false},
	} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			t.Parallel()
			d := newDouble(t, harbor1)
			d.onToken = func(w http.ResponseWriter, r *http.Request) bool {
				if status == 0 || len(r.URL.Query()["scope"]) < 2 {
					return false
				}
				w.WriteHeader(status)
				return true
			}
			rt := transportTo(t, d, login(password))
			if _, err := rt.Learn(t.Context()); err != nil {
				t.Fatal(err)
			}
			ctx := WithOptionalScope(t.Context(), func() []string { return []string{more} })
			if _, err := rt.tokenFor(ctx, newScopeSet(needed), nil); (err == nil) != want.ok {
				t.Fatalf("the token: %v", err)
			}
			if !want.ok {
				return
			}
			_, trips, _ := d.counts()
			_, err := rt.tokenFor(ctx, newScopeSet(needed, more), nil) // as for a mount
			if _, after, _ := d.counts(); trips != want.trips || after != trips || (err == nil) != (status == 0) {
				t.Errorf("%d token trips, want %d; for both %d more, %v", trips, want.trips, after-trips, err)
			}
			if _, err := rt.tokenFor(ctx, newScopeSet("repository:demo/other:pull"), nil); err != nil {
				t.Errorf("another token: %v", err)
			}
			both := d.seen(func(r *http.Request) bool { return len(r.URL.Query()["scope"]) > 1 })
			if most := map[bool]int{true: 2, false: 1}[status == 0]; both != most {
				t.Errorf("asked for two at once %d times, want %d", both, most)
			}
		})
	}
}

// Of several tokens for a repository the newest counts.
func TestTheNewestGrantCounts(t *testing.T) {
	t.Parallel()
	d := newDouble(t, harbor1)
	rt := transportTo(t, d, login(password))
	for _, actions := range []string{`[]`, `["pull","push"]`} {
		value := jwt(`{"sub":"dev","access":[{"name":"demo/app","actions":` + actions + `}]}`)
		rt.tokens = append(rt.tokens, &token{value: value, scopes: newScopeSet("repository:demo/app:pull,push"), until: time.Now().Add(time.Hour)})
	}
	if g, ok := rt.Granted("demo/app"); !ok || !g.May("push") || rt.MayNotPush("demo/app") {
		t.Errorf("%+v, %v", g, ok)
	}
}

// Who may not push is known by a token that was asked for that, or where the
// registry asks nobody for a password; by nothing else.
func TestMayNotPush(t *testing.T) {
	t.Parallel()
	allows := func(actions ...string) string {
		raw, err := json.Marshal(map[string]any{"access": []any{map[string]any{"type": "repository", "name": "demo/app", "actions": actions}}})
		if err != nil {
			t.Fatal(err)
		}
		return "e30." + base64.RawURLEncoding.EncodeToString(raw) + ".sig"
	}
	for name, test := range map[string]struct {
		scope, value string
		want         bool
	}{
		"nothing is known":   {"", "", false},
		"allowed":            {"repository:demo/app:pull,push", allows("pull", "push"), false},
		"all is allowed":     {"repository:demo/app:pull,push", allows("*"), false},
		"not allowed":        {"repository:demo/app:pull,push", allows("pull"), true},
		"nothing is allowed": {"repository:demo/app:pull,push", allows(), true},
		"not asked for":      {"repository:demo/app:pull", allows("pull"), false},
		"of another":         {"repository:demo/other:pull,push", allows("pull"), false},
		"not to be read":     {"repository:demo/app:pull,push", "opaque", false},
	} {
		d := newDouble(t, harbor1)
		rt := transportTo(t, d, login(password))
		if test.scope != "" {
			rt.tokens = []*token{{value: test.value, scopes: newScopeSet(test.scope), until: time.Now().Add(time.Hour)}}
		}
		if got := rt.MayNotPush("demo/app"); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	for name, test := range map[string]struct {
		setup setup
		want  bool
	}{"nobody": {setup{}, true}, "somebody": {login(password), false}} {
		d := newDouble(t, htpasswd)
		rt := transportTo(t, d, test.setup)
		_, _, _ = do(t, rt, http.MethodPost, d.URL+demoUpload, nil)
		if got := rt.MayNotPush("demo/app"); got != test.want {
			t.Errorf("%s, by a password: %v", name, got)
		}
	}
}
