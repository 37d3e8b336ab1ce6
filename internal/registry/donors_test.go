package registry_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/memo"
	"github.com/vicr-cli/vicr/internal/testkit"
	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

// A blob that another repository is remembered to have is mounted with the one
// request that asks for it anyway. Where that is refused, it is asked for once.
func TestBlobsAreMountedFromWhereTheyAreRemembered(t *testing.T) {
	t.Parallel()
	status := func(code int) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			return r.URL.Query().Get("from") == "base/os" && refuse(w, code, `{"errors":[{"code":"UNAUTHORIZED"}]}`)
		}
	}
	for name, test := range map[string]struct {
		remembered []string // repositories, the last seen last
		has        []string // repositories that have the blobs
		front      func(http.ResponseWriter, *http.Request) bool
		size       int
		want       string // of three blobs, one after the other
	}{
		"nothing is remembered":          {nil, []string{"base/os"}, nil, 100, "demo/app PUT, demo/app PUT, demo/app PUT"},
		"mounted":                        {[]string{"base/os"}, []string{"base/os"}, nil, 100, "base/os, base/os, base/os"},
		"from the last":                  {[]string{"base/old", "base/os"}, []string{"base/os"}, nil, 100, "base/os, base/os, base/os"},
		"it has the blob itself":         {[]string{"base/os", "demo/app"}, []string{"demo/app"}, nil, 100, "demo/app, demo/app, demo/app"},
		"not there any more":             {[]string{"base/os"}, nil, nil, 100, "base/os PUT, base/os PUT, base/os PUT"},
		"not there any more, and large":  {[]string{"base/os"}, nil, nil, sure, "base/os HEAD PUT, base/os HEAD PUT, base/os HEAD PUT"},
		"only here any more, and large":  {[]string{"base/os"}, []string{"demo/app"}, nil, sure, "base/os HEAD, base/os HEAD, base/os HEAD"},
		"401":                            {[]string{"base/os"}, nil, status(401), 100, "base/os demo/app PUT, demo/app PUT, demo/app PUT"},
		"403":                            {[]string{"base/os"}, nil, status(403), 100, "base/os demo/app PUT, demo/app PUT, demo/app PUT"},
		"400":                            {[]string{"base/os"}, nil, status(400), 100, "base/os demo/app PUT, demo/app PUT, demo/app PUT"},
		"refused, another is remembered": {[]string{"base/two", "base/os"}, []string{"base/two"}, status(401), 100, "base/os demo/app PUT, base/two, base/two"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := &testkit.UploadRegistry{Before: test.front}
			var mu sync.Mutex
			var asked []string
			s := serve(t, func(w http.ResponseWriter, r *http.Request) bool {
				mu.Lock()
				what := r.Method
				if r.Method == http.MethodPost {
					what = r.URL.Query().Get("from")
				}
				if len(asked) > 0 {
					asked[len(asked)-1] += " " + what
				}
				mu.Unlock()
				u.ServeHTTP(w, r)
				return true
			})
			host := strings.TrimPrefix(s.URL, "https://")
			blobs := memo.OpenBlobs(t.TempDir())
			c := transfertest.Content{}
			var layers []v1.Descriptor
			for i := range 3 {
				l := c.Layer(transfertest.Bytes(byte(i), test.size))
				layers = append(layers, l)
				for _, repository := range test.remembered {
					if err := blobs.Add(host, repository, l.Digest); err != nil {
						t.Fatal(err)
					}
				}
				for _, repository := range test.has {
					u.Give(repository, l.Digest.String(), l.Size)
				}
			}
			repo := s.open(t, "demo/app:1").MountingKnown(blobs)
			for _, l := range layers {
				mu.Lock()
				asked = append(asked, "")
				mu.Unlock()
				src := &transfertest.Source{Root: l, Content: c}
				taken, err := repo.PutBlob(t.Context(), l, opener(src, l))
				if err != nil || !u.Has("demo/app", l.Digest.String()) || (taken != 0) != (len(src.Opened()) > 0) {
					t.Errorf("took %d, %v", taken, err)
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

// Blobs that are pushed at the same time ask once whether a repository lets
// itself be mounted from.
func TestARefusalIsAskedForOnce(t *testing.T) {
	t.Parallel()
	u := &testkit.UploadRegistry{Before: func(w http.ResponseWriter, r *http.Request) bool {
		return r.URL.Query().Get("from") == "base/os" && refuse(w, 401, `{"errors":[{"code":"UNAUTHORIZED"}]}`)
	}}
	s := takes(t, u)
	host := strings.TrimPrefix(s.URL, "https://")
	blobs := memo.OpenBlobs(t.TempDir())
	c := transfertest.Content{}
	var layers []v1.Descriptor
	for i := range 10 {
		l := c.Layer(transfertest.Bytes(byte(i), 100))
		layers = append(layers, l)
		if err := blobs.Add(host, "base/os", l.Digest); err != nil {
			t.Fatal(err)
		}
	}
	src := &transfertest.Source{Root: c.Image(transfertest.Amd64(), layers...), Content: c}
	if _, err := transfer.Copy(t.Context(), src, s.open(t, "demo/app:1").MountingKnown(blobs), transfer.Options{Jobs: 8}); err != nil {
		t.Fatal(err)
	}
	refused := 0
	s.each(func(r *http.Request) {
		if r.URL.Query().Get("from") == "base/os" {
			refused++
		}
	})
	if refused != 1 {
		t.Errorf("asked %d times", refused)
	}
}
