package auth

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// An evil origin keeps every byte that comes to it.
type evil struct {
	*httptest.Server
	mu   sync.Mutex
	seen strings.Builder
	hits int
}

func newEvil(t *testing.T) *evil {
	t.Helper()
	e := &evil{}
	e.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		e.mu.Lock()
		defer e.mu.Unlock()
		e.hits++
		fmt.Fprintf(&e.seen, "%s %s\n%v\n%s\n", r.Method, r.URL, r.Header, body)
		_, _ = io.WriteString(w, `{"token":"from-evil"}`)
	}))
	t.Cleanup(e.Close)
	return e
}

// leaks says which of the secrets are among what was seen, in any coding.
func leaks(seen string) []string {
	basic := http.Request{Header: http.Header{}}
	basic.SetBasicAuth(user, password)
	var found []string
	for _, secret := range []string{password, url.QueryEscape(password), strings.TrimPrefix(basic.Header.Get("Authorization"), "Basic "), "Authorization", "canary-identity"} {
		if strings.Contains(seen, secret) {
			found = append(found, secret)
		}
	}
	return found
}

type sender func(*http.Request) (*http.Response, error)

func (s sender) RoundTrip(r *http.Request) (*http.Response, error) { return s(r) }

// An address with a user name in it is nobody's own: what package wire refuses
// is handed to it bare.
func TestAnAddressWithAUserNameGetsNoCredentials(t *testing.T) {
	t.Parallel()
	base := &url.URL{Scheme: "https", Host: "registry.example.com"}
	for address, want := range map[string]string{
		"https://registry.example.com/v2/a/tags/list":     "Bearer canary-token",
		"https://dev@registry.example.com/v2/a/tags/list": "",
		"https://registry.example.com@evil.example/v2/":   "",
	} {
		sent, got := 0, ""
		inner := sender(func(r *http.Request) (*http.Response, error) {
			sent++
			got = r.Header.Get("Authorization")
			return nil, errors.New("no")
		})
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = NewTransport(inner, base, Credentials{RegistryToken: "canary-token"}, Policy{}).RoundTrip(req) //nolint:bodyclose // there is none
		if err == nil || sent != 1 || got != want {
			t.Errorf("%s: sent %d times with %q, want %q: %v", address, sent, got, want, err)
		}
	}
}
