package registry_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/vicr-cli/vicr/internal/registry"
)

// A refusal whose words are not known is still known by its code, and what may
// mean anything is left as it is.
func TestRefusalsInOtherWords(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status        int
		code, message string
		want          registry.Refusal
	}{
		{http.StatusPreconditionFailed, "PROJECTPOLICYVIOLATION", "the artifact is blocked", registry.ProjectPolicy},
		{http.StatusPreconditionFailed, "PROJECT_POLICY_VIOLATION", "the artifact is blocked", registry.ProjectPolicy},
		{http.StatusForbidden, "PROJECTPOLICYVIOLATION", "", registry.ProjectPolicy},
		{http.StatusPreconditionFailed, "PRECONDITION", "the artifact is blocked", registry.Unexplained},
		{http.StatusBadRequest, "PROJECTPOLICYVIOLATION", "the artifact is blocked", registry.Unexplained},
		{http.StatusUnsupportedMediaType, "UNSUPPORTED_MEDIA_TYPE", "Manifest.list is not supported.", registry.IndexRefused},
		{http.StatusUnsupportedMediaType, "UNSUPPORTED_MEDIA_TYPE", "no", registry.TypeRefused},
		{http.StatusInsufficientStorage, "DENIED", "quota exceeded", registry.OverQuota},
		{http.StatusMethodNotAllowed, "DENIED", "can not push artifact to a proxy project: cache", registry.ProxyProject},
	} {
		t.Run(fmt.Sprint(c.status, c.code, c.message), func(t *testing.T) {
			t.Parallel()
			s := serve(t, func(w http.ResponseWriter, _ *http.Request) bool {
				return refuse(w, c.status, fmt.Sprintf(`{"errors":[{"code":%q,"message":%q}]}`, c.code, c.message))
			})
			_, err := s.open(t, "demo/app:1").Resolve(t.Context())
			if e, ok := errors.AsType[*registry.Error](err); !ok || e.Refusal != c.want {
				t.Errorf("%#v: %v, want %q", e, err, c.want)
			}
		})
	}
}
