package registry_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/vicr-cli/vicr/internal/registry"
)

// Who asks in clear where TLS is spoken is told so.
func TestARegistryThatSpeaksTLSIsAskedInClear(t *testing.T) {
	t.Parallel()
	nginx := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, "<center>The plain HTTP request was sent to HTTPS port</center>")
	}))
	t.Cleanup(nginx.Close)
	goServer := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(goServer.Close)
	for name, url := range map[string]string{"nginx": nginx.URL, "net/http": goServer.URL} {
		_, addr, _ := strings.Cut(url, "://")
		_, err := plain(t, addr, patience).Resolve(t.Context())
		e, ok := errors.AsType[*registry.Error](err)
		if !ok || e.Refusal != registry.AskedInClear || !strings.Contains(err.Error(), "speaks TLS") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
