package auth

import (
	"net/http"
	"strings"
	"testing"
)

// One token does for all that a scoped transport is asked; what it adds goes to
// its own registry, also where the context of the requests is that of another.
func TestAScopeStaysWithItsRegistry(t *testing.T) {
	t.Parallel()
	one, other := newDouble(t, harbor1), newDouble(t, harbor1)
	rt := transportTo(t, one, login(password)).For("repository:demo/app:pull,push", "repository:library/app:pull")
	ctx := t.Context()
	for _, r := range []struct{ method, path string }{
		{http.MethodHead, demoTag}, {http.MethodPost, demoUpload}, {http.MethodGet, publicTag},
	} {
		req, err := http.NewRequestWithContext(ctx, r.method, one.URL+r.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := rt.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		ctx = req.Context()
	}
	if _, trips, _ := one.counts(); trips != 1 {
		t.Errorf("%d token trips, want 1", trips)
	}
	if !rt.LoggedIn() {
		t.Error("it does not say that somebody is logged in")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, other.URL+publicTag, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := transportTo(t, other, login(password)).For("repository:library/app:pull").RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	other.mu.Lock()
	defer other.mu.Unlock()
	for _, r := range other.asked {
		if strings.Contains(r.URL.RawQuery, "demo") {
			t.Errorf("the other registry was asked for %s", r.URL)
		}
	}
}
