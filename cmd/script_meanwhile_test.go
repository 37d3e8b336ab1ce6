package cmd_test

import (
	"encoding/base64"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vicr-cli/vicr/internal/sandbox"
	"github.com/vicr-cli/vicr/internal/testkit"
)

// Two who push to a project that is missing both want to create it. Whoever
// comes second finds it there, and pushes; not if it is a project of others.
func TestAProjectThatSomebodyElseMadeMeanwhileIsPushedTo(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t)
	for _, tt := range []struct {
		like    sandbox.Like
		project string
		code    int
	}{
		{sandbox.Harbor17, "demo", 0},
		{sandbox.Harbor216, "demo", 0},
		{sandbox.Harbor17, "library", 4},
		{sandbox.Harbor216, "library", 4},
	} {
		front, c := openFront(t, tt.like, ca, nil)
		image := "oci:" + filepath.Join(t.TempDir(), "image")
		d := c.desk(t, row{as: "dev", setup: []string{"pull --to " + image + " HOST/demo/app:1"}})
		nothing := base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"dev","access":[]}`))
		front.Script(testkit.On(http.MethodGet, "/service/token"), testkit.Fault{Status: http.StatusOK, Body: `{"token":"e30.` + nothing + `.c2ln"}`})
		front.Script(testkit.On(http.MethodHead, "/api/"), testkit.Fault{Status: http.StatusNotFound})
		code, _, errs := d.says(t, "", c.expand("push --create-project --from "+image+" HOST/"+tt.project+"/app:2")...)
		sent := front.Seen(func(r *http.Request) bool { return strings.Contains(r.URL.Path, "/uploads/") })
		if code != tt.code || code != 0 && len(sent) > 0 || strings.Contains(errs, "created") || len(front.Seen(testkit.On(http.MethodPost, "/api/"))) != 1 {
			t.Errorf("%s, %s: exit code %d, want %d, sent %v\n%s", tt.like, tt.project, code, tt.code, sent, errs)
		}
	}
}
