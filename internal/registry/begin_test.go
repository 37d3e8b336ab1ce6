package registry_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

const sure = 8 << 20 // bytes, from which on a registry is asked once more

// A blob takes two requests, and one that is there takes one. Where mounting out
// of the same repository tells nothing, HEAD is asked, and mounting is not tried
// again. What is there is never sent.
func TestAskingAndBeginningAreOneRequest(t *testing.T) {
	t.Parallel()
	small, large := 5000, sure
	status := func(code int) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			return r.URL.Query().Has("mount") && refuse(w, code, `{"errors":[{"code":"UNAUTHORIZED"}]}`)
		}
	}
	for name, test := range map[string]struct {
		sizes []int
		there []int // the numbers of those that the registry has
		front func(http.ResponseWriter, *http.Request) bool
		want  string
		from  string // see MountFrom
	}{
		"new":                       {[]int{small, small}, nil, nil, "mount PUT, mount PUT", ""},
		"there":                     {[]int{small, small}, []int{0, 1}, nil, "mount, mount", ""},
		"new and large":             {[]int{large}, nil, nil, "mount HEAD PUT", ""},
		"large, it has told":        {[]int{small, large}, []int{0}, nil, "mount, mount PUT", ""},
		"refused with 401":          {[]int{small, small}, []int{1}, status(401), "mount HEAD POST PUT, HEAD", ""},
		"refused with 404":          {[]int{small, small}, nil, status(404), "mount HEAD POST PUT, HEAD POST PUT", ""},
		"refused with 500":          {[]int{small, small}, nil, status(500), "mount HEAD POST PUT, HEAD POST PUT", ""},
		"begins whatever it has":    {[]int{large, small, small}, []int{0, 1}, beginsAlways, "mount HEAD, HEAD, HEAD POST PUT", ""},
		"a policy, not of mounts":   {[]int{small}, nil, readOnly, "mount", ""},
		"there, and not in another": {[]int{small}, []int{0}, notFrom("demo/other"), "mount HEAD", "demo/other"},
		"another tells nothing":     {[]int{small}, nil, notFrom("demo/other"), "mount HEAD PUT", "demo/other"},
		"begins, and lacks it all":  {[]int{large, small}, nil, beginsAlways, "mount HEAD PUT, mount PUT", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			var asked []string
			counting := false
			s := serve(t, func(w http.ResponseWriter, r *http.Request) bool {
				mu.Lock()
				if counting {
					what := r.Method
					if r.URL.Query().Has("mount") {
						what = "mount"
					}
					asked[len(asked)-1] += " " + what
				}
				front := test.front
				if !counting {
					front = nil
				}
				mu.Unlock()
				return front != nil && front(w, r)
			})
			c := transfertest.Content{}
			var layers []v1.Descriptor
			for i, size := range test.sizes {
				layers = append(layers, c.Layer(transfertest.Bytes(byte(i), size)))
			}
			for _, i := range test.there {
				src := &transfertest.Source{Root: layers[i], Content: c}
				if _, err := s.open(t, "demo/app:1").PutBlob(t.Context(), layers[i], opener(src, layers[i])); err != nil {
					t.Fatal(err)
				}
			}
			mu.Lock()
			counting = true
			mu.Unlock()
			repo := s.open(t, "demo/app:1").MountFrom(test.from)
			for i, l := range layers {
				mu.Lock()
				asked = append(asked, "")
				mu.Unlock()
				src := &transfertest.Source{Root: l, Content: c}
				taken, err := repo.PutBlob(t.Context(), l, opener(src, l))
				isThere := strings.Contains(test.want, "PUT") || len(test.there) > 0
				if (err == nil) != isThere || (err == nil && taken != 0) != (len(src.Opened()) > 0) {
					t.Errorf("blob %d: took %d, %v", i, taken, err)
				}
			}
			for i := range asked {
				asked[i] = strings.TrimSpace(asked[i])
			}
			if got := strings.Join(asked, ", "); got != test.want {
				t.Errorf("asked %s; want %s", got, test.want)
			}
		})
	}
}

func beginsAlways(w http.ResponseWriter, r *http.Request) bool {
	if !r.URL.Query().Has("mount") {
		return false
	}
	w.Header().Set("Location", "/v2/demo/app/blobs/uploads/17")
	w.WriteHeader(http.StatusAccepted)
	return true
}

func notFrom(repository string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		return r.URL.Query().Get("from") == repository && beginsAlways(w, r)
	}
}

func readOnly(w http.ResponseWriter, r *http.Request) bool {
	return r.URL.Query().Has("mount") &&
		refuse(w, http.StatusForbidden, `{"errors":[{"code":"DENIED","message":"The system is in read only mode. Any modification is prohibited."}]}`)
}
