package registry_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/registry"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

// A stranger is the way of somebody who is not logged in.
type stranger struct{ http.RoundTripper }

func (stranger) LoggedIn() bool { return false }

// Who is nobody is not told one and the same three times: where the upload itself
// may not be begun, no other request would be answered otherwise. A mount out of
// another repository may be all that is refused.
func TestNobodyIsRefusedByOneRequest(t *testing.T) {
	t.Parallel()
	refused := func(from string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			return strings.HasPrefix(r.URL.Query().Get("from"), from) && refuse(w, http.StatusUnauthorized, `{"errors":[{"code":"UNAUTHORIZED"}]}`)
		}
	}
	for name, test := range map[string]struct {
		refused, from string
		posts         int
		done          bool
	}{
		"the upload":       {"demo/", "", 1, false},
		"the other's, too": {"demo/", "demo/other", 2, false},
		"the other's":      {"demo/other", "demo/other", 2, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, refused(test.refused))
			img, err := ref.ParseImage(strings.TrimPrefix(s.URL, "https://") + "/demo/app:1")
			if err != nil {
				t.Fatal(err)
			}
			c := transfertest.Content{}
			layer := c.Layer(transfertest.Bytes(1, 5000))
			src := &transfertest.Source{Root: layer, Content: c}
			repo := registry.OpenWith(img, stranger{s.rt}, s.rt.Base(), noSleep).MountFrom(test.from)
			_, err = repo.PutBlob(t.Context(), layer, opener(src, layer))
			e, _ := errors.AsType[*registry.Error](err)
			if test.done && err != nil || !test.done && (e == nil || e.Refusal != registry.LoginNeeded || len(src.Opened()) > 0) {
				t.Errorf("%v; opened %d times", err, len(src.Opened()))
			}
			if posts := s.seen(http.MethodPost, "/uploads/"); posts != test.posts || !test.done && s.seen(http.MethodHead, "") > 0 {
				t.Errorf("%d POST, want %d, and %d HEAD", posts, test.posts, s.seen(http.MethodHead, ""))
			}
		})
	}
}
