package auth

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// The API challenges nobody, so the password goes along, to the registry alone.
func TestThePasswordGoesWithRequestsToTheAPI(t *testing.T) {
	t.Parallel()
	d := newDouble(t, harbor2)
	rt := transportTo(t, d, login(password)).API()
	var wait sync.WaitGroup
	for range 5 {
		wait.Go(func() { mustDo(t, rt, http.MethodGet, d.URL+"/api/v2.0/projects", http.StatusNotFound) })
	}
	wait.Wait()
	passwords, _, busy := d.counts()
	if passwords != 5 || busy != 1 {
		t.Errorf("%d passwords, %d at once, want 5 and 1", passwords, busy)
	}
	if n := d.seen(func(r *http.Request) bool { return len(r.Cookies()) > 0 }); n > 0 {
		t.Errorf("%d requests had a cookie", n)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.URL+"/api/projects", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Basic of-the-caller")
	req.Header.Set("Cookie", "sid=1")
	resp, err := transportTo(t, d, setup{}).API().RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if n := d.seen(func(r *http.Request) bool {
		return strings.Contains(r.Header.Get("Authorization"), "caller") || len(r.Cookies()) > 0
	}); n > 0 {
		t.Error("what a caller put there was sent")
	}
}

func TestNoPasswordForTheAPIGoesElsewhereOrInClear(t *testing.T) {
	t.Parallel()
	var seen []string
	evil := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Header.Get("Authorization"))
	}))
	defer evil.Close()
	d := newDouble(t, harbor2)
	_, _, _ = do(t, transportTo(t, d, login(password)).API(), http.MethodGet, evil.URL+"/api/projects", nil)
	if slices.ContainsFunc(seen, func(a string) bool { return a != "" }) {
		t.Errorf("another host was sent %q", seen)
	}
	if n := d.seen(func(*http.Request) bool { return true }); n > 0 {
		t.Errorf("the registry was sent %d requests that were for another host", n)
	}
	plain := newClearDouble(t, harbor2)
	_, _, err := do(t, transportTo(t, plain, login(password)).API(), http.MethodGet, plain.URL+"/api/projects", nil)
	if clear := (*ClearTextError)(nil); !errors.As(err, &clear) {
		t.Errorf("in clear: %v", err)
	}
	if n, _, _ := plain.counts(); n > 0 {
		t.Error("the password went in clear")
	}
}

func TestLoginsNameUsersAndNoSecrets(t *testing.T) {
	t.Parallel()
	rig := newHelperRig(t, "", `{
		"auths": {
			"b.test": {"auth": "`+basicAuth("me", "pw")+`"}, "https://a.test:5000/v1/": {"username": "u"}, "empty.test": {},
			"https://index.docker.io/v1/": {"identitytoken": "t"}, "not a host!": {"auth": "`+basicAuth("me", "pw")+`"}, "torn.test": {"auth": "x"},
			"not-kept.test": {"auth": "`+basicAuth("old", "pw")+`"}
		},
		"credHelpers": {"kept.test": "double", "not-kept.test": "double"}
	}`)
	rig.put(t, kept{"kept.test", "helped", "p"})
	got, err := rig.Logins(t.Context())
	want := []Login{{"a.test:5000", "u"}, {"b.test", "me"}, {"docker.io", ""}, {"kept.test", "helped"}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
	s := OpenStore(Options{AuthConfig: `{"auths":{"env.test":{"username":"e"}}}`})
	if got, err := s.Logins(t.Context()); err != nil || !slices.Equal(got, []Login{{"env.test", "e"}}) {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := OpenStore(Options{}).Logins(t.Context()); err != nil || len(got) > 0 {
		t.Errorf("%v, %v", got, err)
	}
}
