package registry_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/vicr-cli/vicr/internal/registry"
	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

// What storage refuses, to which the registry sent, says nothing of the user.
func TestStorageThatRefusesIsNotTheRegistry(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusUnauthorized, http.StatusForbidden} {
		storage := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		defer storage.Close()
		s := serve(t, func(w http.ResponseWriter, r *http.Request) bool {
			if isGet(r, "blobs") {
				http.Redirect(w, r, storage.URL+"/blob", http.StatusTemporaryRedirect)
			}
			return isGet(r, "blobs")
		})
		layer := transfertest.Content{}.Layer(transfertest.Bytes(1, 100))
		_, err := s.open(t, "demo/app:1").Blob(t.Context(), layer, 0)
		if e, ok := errors.AsType[*registry.Error](err); !ok || e.Refusal != registry.StorageRefused || e.Elsewhere != storage.URL {
			t.Errorf("%d: %v", status, err)
		}
	}
}

// A registry that does not take a media type says of an index no more than of an
// image: what it does not take is told by what was sent.
func TestWhatIsNotTakenIsToldByWhatWasSent(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, r *http.Request) bool {
		named := strings.HasSuffix(r.URL.Path, "/manifests/1")
		return named && r.Method == http.MethodPut && refuse(w, http.StatusUnsupportedMediaType, `{"errors":[{"code":"UNSUPPORTED"}]}`)
	})
	for index, want := range map[bool]registry.Refusal{true: registry.IndexRefused, false: registry.OCIRefused} {
		src := sample(1)
		if index {
			src.Root = src.Content.Index(src.Root)
		}
		_, err := transfer.Copy(t.Context(), src, s.open(t, "demo/app:1"), transfer.Options{})
		if e, ok := errors.AsType[*registry.Error](err); !ok || e.Refusal != want {
			t.Errorf("index %t: %v, want %s", index, err, want)
		}
	}
}
