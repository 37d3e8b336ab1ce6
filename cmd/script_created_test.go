package cmd_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/vicr-cli/vicr/internal/sandbox"
)

// A project that is created after vicr saw that it is missing, and before it
// creates it, is as good as one that vicr created, for whom may push to it.
func TestAProjectThatIsCreatedMeanwhile(t *testing.T) {
	t.Parallel()
	for creator, want := range map[string]int{"dev": 0, "admin": 4} {
		t.Run("by "+creator, func(t *testing.T) {
			t.Parallel()
			var r *rig
			var once sync.Once
			r = newRig(t, sandbox.Options{OnRequest: func(method, path string, status int) {
				if method == http.MethodHead && strings.HasSuffix(path, "/projects") && status == http.StatusNotFound {
					once.Do(func() { r.create(creator, path) }) // the answer waits
				}
			}})
			r.seen.take()
			code, said := r.vicr("", "push", "--create-project", "--from", "oci:image", r.box.Host()+"/new/app:1")
			asked, _ := r.seen.take()
			all := strings.Join(asked, "\n")
			if code != want || strings.Contains(said, "created") || !strings.Contains(all, "/projects 409") {
				t.Errorf("exit code %d, want %d, asked %q\n%s", code, want, asked, said)
			}
			if want != 0 && (strings.Contains(all, "/blobs/") || !strings.Contains(said, `no member of project "new"`)) {
				t.Errorf("asked %q\n%s", asked, said)
			}
		})
	}
}

// create makes a project called new as that user.
func (r *rig) create(user, path string) {
	req := httptest.NewRequestWithContext(r.t.Context(), http.MethodPost, "https://"+r.box.Host()+path, strings.NewReader(`{"project_name":"new"}`))
	req.Header.Set("Content-Type", "application/json")
	for _, u := range r.box.Users() {
		if u.Name == user {
			req.SetBasicAuth(u.Name, u.Password)
		}
	}
	answer := httptest.NewRecorder()
	r.box.Handler().ServeHTTP(answer, req)
	if answer.Code != http.StatusCreated {
		r.t.Errorf("status %d: %s", answer.Code, answer.Body)
	}
}
