package auth

import (
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
