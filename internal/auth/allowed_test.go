package auth

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

// jwt is a token that says what it allows; nobody signed it.
func jwt(claims string) string {
	return "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln"
}

func TestATokenSaysWhatItAllows(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, token string
		want        Grant
		readable    bool
	}{
		{"a member", jwt(`{"sub":"dev","access":[{"type":"repository","name":"demo/app","actions":["pull","push"]}]}`), Grant{"dev", []string{"pull", "push"}}, true},
		{"nobody", jwt(`{"sub":"","access":[{"type":"repository","name":"demo/app","actions":[]}]}`), Grant{}, true},
		{"null for an empty list", jwt(`{"sub":"dev","access":[{"name":"demo/app","actions":null}]}`), Grant{Subject: "dev"}, true},
		{"another repository", jwt(`{"sub":"dev","access":[{"name":"demo/other","actions":["push"]}]}`), Grant{Subject: "dev"}, true},
		{"in two parts", jwt(`{"access":[{"name":"demo/app","actions":["pull"]},{"name":"demo/app","actions":["push"]}]}`), Grant{Actions: []string{"pull", "push"}}, true},
		{"no access at all", jwt(`{"sub":"dev"}`), Grant{}, false},
		{"access is null", jwt(`{"access":null}`), Grant{}, false},
		{"opaque", "abc", Grant{}, false},
		{"no base64", "a.!.c", Grant{}, false},
		{"no JSON", "a.YQ.c", Grant{}, false},
		{"wrong types", jwt(`{"sub":1,"access":"x"}`), Grant{}, false},
	}
	for _, tt := range tests {
		got, readable := grantIn(tt.token, "demo/app")
		if readable != tt.readable || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %+v, %v; want %+v, %v", tt.name, got, readable, tt.want, tt.readable)
		}
	}
	if !(Grant{Actions: []string{"*"}}).May("push") || (Grant{Actions: []string{"pull"}}).May("push") {
		t.Error("* is any action, and pull is not push")
	}
}

// The token that is looked at is the one that the push brings along: asking
// first costs nothing.
func TestAskingFirstCostsNothing(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		style  style
		scheme string
		trips  int // to the token service
	}{{harbor1, "bearer", 1}, {harbor2, "bearer", 1}, {htpasswd, "basic", 0}, {open, "", 0}} {
		t.Run(string(tt.style), func(t *testing.T) {
			t.Parallel()
			d := newDouble(t, tt.style)
			d.onToken = func(w http.ResponseWriter, _ *http.Request) bool {
				token := jwt(`{"sub":"dev","access":[{"name":"demo/app","actions":["pull","push"]}]}`)
				d.mu.Lock()
				d.tokens[token] = grant{user: user, access: newScopeSet("repository:demo/app:pull,push")}
				d.mu.Unlock()
				_ = json.NewEncoder(w).Encode(map[string]any{"token": token})
				return true
			}
			rt := transportTo(t, d, login(password))
			asks, err := rt.Learn(t.Context())
			if err != nil || asks.Scheme != tt.scheme || (asks.Service == "harbor-registry") != (tt.scheme == "bearer") {
				t.Fatalf("%+v, %v", asks, err)
			}
			g, readable, err := rt.Ask(t.Context(), "demo/app", "pull", "push")
			if err != nil || readable != (tt.trips == 1) || g.May("push") != readable {
				t.Fatalf("%+v, %v, %v", g, readable, err)
			}
			mustDo(t, rt, http.MethodHead, d.URL+"/v2/demo/app/manifests/1", http.StatusOK)
			mustDo(t, rt, http.MethodPost, d.URL+"/v2/demo/app/blobs/uploads/", http.StatusOK)
			if _, trips, _ := d.counts(); trips != tt.trips {
				t.Errorf("%d trips to the token service, want %d", trips, tt.trips)
			}
			if n, want := d.seen(func(*http.Request) bool { return true }), 3+tt.trips; n != want {
				t.Errorf("%d requests, want %d: the challenge, a token, and what was asked for", n, want)
			}
			if kept, ok := rt.Granted("demo/app"); ok != readable || !reflect.DeepEqual(kept, g) {
				t.Errorf("granted %+v, %v", kept, ok)
			}
			if _, ok := rt.Granted("demo/other"); ok {
				t.Error("a token for another repository")
			}
			rt.Forget()
			if _, ok := rt.Granted("demo/app"); ok {
				t.Error("not forgotten")
			}
		})
	}
}

// The API gets the password, the registry's origin alone gets it, and no more
// often than anything else.
func TestTheAPIGetsThePasswordAndNobodyElse(t *testing.T) {
	t.Parallel()
	d, other := newDouble(t, harbor2), newDouble(t, open)
	api := transportTo(t, d, login(password)).API()
	for range 5 { // 404: the password was not refused
		mustDo(t, api, http.MethodGet, d.URL+"/api/v2.0/projects", http.StatusNotFound)
	}
	mustDo(t, api, http.MethodHead, d.URL+"/api/v2.0/projects", http.StatusNotFound)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.URL+"/api/v2.0/projects", strings.NewReader(`{"project_name":"x"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Cookie", "sid=1")
	resp, err := api.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	if passwords, _, _ := d.counts(); passwords != 7 {
		t.Errorf("%d requests with a password, want 7", passwords)
	}
	if n := len(d.bodies); d.bodies[n-1] != `{"project_name":"x"}` {
		t.Errorf("the body came as %q", d.bodies[n-1])
	}
	if n := d.seen(func(r *http.Request) bool { return r.Header.Get("Cookie") != "" }); n != 0 {
		t.Errorf("%d requests with a cookie", n)
	}
	_, _, _ = do(t, api, http.MethodGet, other.URL+"/api/v2.0/projects", nil) // refused below, or bare
	if passwords, _, _ := other.counts(); passwords != 0 {
		t.Error("another origin got a password")
	}
	if passwords, _, _ := d.counts(); passwords != 7 {
		t.Error("what was for another origin came to this one")
	}
	clear := newClearDouble(t, harbor2)
	_, _, err = do(t, transportTo(t, clear, login(password)).API(), http.MethodGet, clear.URL+"/api/v2.0/projects", nil)
	if _, ok := errors.AsType[*ClearTextError](err); !ok || len(clear.asked) != 0 {
		t.Errorf("in clear: %v, %d requests", err, len(clear.asked))
	}
}

func TestARefusedPasswordIsSentThreeTimesAtMost(t *testing.T) {
	t.Parallel()
	d := newDouble(t, htpasswd)
	api := transportTo(t, d, login("wrong")).API()
	var err error
	for range 6 {
		_, _, err = do(t, api, http.MethodGet, d.URL+"/v2/", nil)
	}
	if _, ok := errors.AsType[*DeniedError](err); !ok {
		t.Errorf("%v, want a refusal", err)
	}
	if passwords, _, _ := d.counts(); passwords != maxSends {
		t.Errorf("sent %d times, want %d", passwords, maxSends)
	}
}
