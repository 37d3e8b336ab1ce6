package auth

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// How a registry asks for a token is known from the first challenge, whatever
// it was about; and what was read of that answer is still there to be read.
func TestWhatWasAskedIsKnownFromAnyChallenge(t *testing.T) {
	t.Parallel()
	const body = `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`
	var asked []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.URL.Path)
		if r.URL.Path == "/token" {
			_, _ = io.WriteString(w, `{"token":"x"}`)
			return
		}
		w.Header().Set("Www-Authenticate", `Bearer realm="http://`+r.Host+`/token",service="harbor-registry",scope="repository:p/r:pull"`)
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(s.Close)
	base, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	rt := NewTransport(s.Client().Transport, base, Credentials{}, Policy{})
	if got := rt.Asked(); got != (Asks{}) {
		t.Errorf("%+v before anything was asked", got)
	}
	// A body that cannot be sent twice leaves the challenge to the caller.
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPatch, s.URL+"/v2/p/r/blobs/uploads/1", io.MultiReader(strings.NewReader("x")))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := rt.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if left, err := io.ReadAll(resp.Body); err != nil || string(left) != body {
		t.Errorf("%q, %v", left, err)
	}
	if got, want := rt.Asked(), (Asks{Scheme: "bearer", Service: "harbor-registry", Message: "authentication required"}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := strings.Join(asked, ", "); strings.Contains(got, "GET /v2/") {
		t.Errorf("asked %s", got)
	}
}
