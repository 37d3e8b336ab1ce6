package registry_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/registry"
)

// A failing is a round-tripper whose token service answers with a status.
type failing int

func (f failing) Error() string                                   { return fmt.Sprintf("status %d", int(f)) }
func (f failing) StatusCode() int                                 { return int(f) }
func (f failing) RoundTrip(*http.Request) (*http.Response, error) { return nil, f }

// Only a token service that fails says that a name has no project in it: one that
// refuses refuses whoever asks, and most registries have names without projects.
func TestATokenServiceThatFailsForANameWithoutAProject(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		status  int
		unnamed bool
	}{
		{"app:1", 500, true}, {"app:1", 401, false}, {"app:1", 429, false}, {"demo/app:1", 500, false},
	} {
		s := serve(t, nil)
		img, err := ref.ParseImage(strings.TrimPrefix(s.URL, "https://") + "/" + tt.name)
		if err != nil {
			t.Fatal(err)
		}
		_, err = registry.OpenWith(img, failing(tt.status), s.rt.Base(), noSleep).Resolve(t.Context())
		e, ok := errors.AsType[*registry.Error](err)
		if unnamed := ok && e.Refusal == registry.ProjectUnnamed; unnamed != tt.unnamed || !errors.Is(err, failing(tt.status)) {
			t.Errorf("%s, %d: %v", tt.name, tt.status, err)
		}
	}
}
