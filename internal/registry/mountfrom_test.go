package registry_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/vicr-cli/vicr/internal/sandbox"
	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

// A registry that mounts nothing out of another repository, by whatever answer,
// is asked to for the first blob and for no other; all are sent.
func TestAMountThatIsRefusedIsAskedForOnce(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(http.ResponseWriter, *http.Request) bool{
		"202": func(_ http.ResponseWriter, r *http.Request) bool { r.URL.RawQuery = ""; return false },
		"400": func(w http.ResponseWriter, _ *http.Request) bool { return refuse(w, 400, "{}") },
		"401": func(w http.ResponseWriter, _ *http.Request) bool { return refuse(w, 401, "{}") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBox(t, sandbox.Options{})
			var asked, sent atomic.Int64
			front := b.fronted(t, func(w http.ResponseWriter, r *http.Request) bool {
				switch {
				case r.Method == http.MethodPost && r.URL.Query().Get("from") == "demo/app":
					asked.Add(1)
					return answer(w, r)
				case r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/blobs/"):
					sent.Add(1)
				}
				return false
			})
			c := transfertest.Content{}
			root := c.Image(transfertest.Amd64(), c.Layer([]byte("1")), c.Layer([]byte("2")), c.Layer([]byte("3")))
			src := &transfertest.Source{Root: root, Content: c}
			dst := b.openFronted(t, front, "demo/other:1").MountFrom("demo/app")
			if _, err := transfer.Copy(t.Context(), src, dst, transfer.Options{Jobs: 1}); err != nil {
				t.Fatal(err)
			}
			once := map[string]int64{"202": 2, "400": 1, "401": 2}[name] // after a 401 again, with a token
			if asked.Load() != once || sent.Load() != 4 {
				t.Errorf("asked %d times, want %d; %d blobs were sent", asked.Load(), once, sent.Load())
			}
		})
	}
}
