package cmd_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/vicr-cli/vicr/internal/sandbox"
)

// A project that somebody else creates after vicr saw that it is missing, and
// before it creates it, is as good as one that vicr created.
func TestAProjectThatIsCreatedMeanwhileIsPushedTo(t *testing.T) {
	t.Parallel()
	var r *rig
	var once sync.Once
	r = newRig(t, sandbox.Options{OnRequest: func(method, path string, status int) {
		if method != http.MethodHead || !strings.HasSuffix(path, "/projects") || status != http.StatusNotFound {
			return
		}
		once.Do(func() {
			req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+r.box.Host()+path, strings.NewReader(`{"project_name":"new"}`))
			req.Header.Set("Content-Type", "application/json")
			for _, u := range r.box.Users() {
				if u.Name == "dev" {
					req.SetBasicAuth(u.Name, u.Password)
				}
			}
			answer := httptest.NewRecorder()
			r.box.Handler().ServeHTTP(answer, req)
			if answer.Code != http.StatusCreated {
				t.Errorf("status %d: %s", answer.Code, answer.Body)
			}
		})
	}})
	r.seen.take()
	code, said := r.vicr("", "push", "--create-project", "--from", "oci:image", r.box.Host()+"/new/app:1")
	asked, _ := r.seen.take()
	if code != 0 || strings.Contains(said, "created") || !strings.Contains(strings.Join(asked, "\n"), "/projects 409") {
		t.Errorf("exit code %d, asked %q\n%s", code, asked, said)
	}
}
