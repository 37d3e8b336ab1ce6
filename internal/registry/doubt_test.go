package registry_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/memo"
	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/registry"
	"github.com/vicr-cli/vicr/internal/testkit"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

// A doubter is the way of somebody of whom it is known whether a push is taken.
type doubter struct {
	stranger

	mayNot bool
}

func (d doubter) MayNotPush(string) bool { return d.mayNot }
func (doubter) MayNotPull(string) bool   { return false }

// A mount that is refused ends a push where it is known that the push itself
// would be, or the answer is about the image's own project.
func TestARefusedMountEndsWhatWouldBeRefusedToo(t *testing.T) {
	t.Parallel()
	const unauthorized = `{"errors":[{"code":"UNAUTHORIZED"}]}`
	missing := func(project string) string {
		return `{"errors":[{"code":"NOT_FOUND","message":"project ` + project + ` not found: project ` + project + ` not found"}]}`
	}
	for name, test := range map[string]struct {
		answer string
		mayNot bool
		posts  int
		want   registry.Refusal // Unexplained: none
	}{
		"nothing is known":           {unauthorized, false, 2, registry.Unexplained},
		"the push is not taken":      {unauthorized, true, 1, registry.LoginNeeded},
		"the project is missing":     {missing("demo"), false, 1, registry.ProjectMissing},
		"the other's is missing":     {missing("base"), false, 2, registry.Unexplained},
		"one with a longer name too": {missing("demo2"), false, 2, registry.Unexplained},
	} {
		for _, remembered := range []bool{true, false} {
			if !remembered && strings.Contains(test.answer, "NOT_FOUND") {
				continue // copy looks for projects before
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				u := &testkit.UploadRegistry{Before: func(w http.ResponseWriter, r *http.Request) bool {
					return r.URL.Query().Get("from") == "base/os" && refuse(w, http.StatusUnauthorized, test.answer)
				}}
				s := takes(t, u)
				host := strings.TrimPrefix(s.URL, "https://")
				img, err := ref.ParseImage(host + "/demo/app:1")
				if err != nil {
					t.Fatal(err)
				}
				c := transfertest.Content{}
				layer := c.Layer(transfertest.Bytes(1, 100))
				repo := registry.OpenWith(img, doubter{stranger{s.rt}, test.mayNot}, s.rt.Base(), noSleep)
				if remembered {
					blobs := memo.OpenBlobs(t.TempDir())
					if err := blobs.Add(host, "base/os", layer.Digest); err != nil {
						t.Fatal(err)
					}
					repo.MountingKnown(blobs)
				} else {
					repo.MountFrom("base/os")
				}
				_, err = repo.PutBlob(t.Context(), layer, opener(&transfertest.Source{Root: layer, Content: c}, layer))
				e, refused := errors.AsType[*registry.Error](err)
				if refused != (test.want != registry.Unexplained) || refused && e.Refusal != test.want || !refused && err != nil {
					t.Errorf("%v, want %q", err, test.want)
				}
				if n := s.seen(http.MethodPost, "/uploads/"); n != test.posts {
					t.Errorf("%d POST, want %d", n, test.posts)
				}
			})
		}
	}
}

// What a push will ask to be mounted is known beforehand, each repository once,
// and nothing that it has itself.
func TestDonorsAreKnownBeforehand(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	host := strings.TrimPrefix(s.URL, "https://")
	blobs := memo.OpenBlobs(t.TempDir())
	c := transfertest.Content{}
	repo := s.open(t, "demo/app:1").MountingKnown(blobs)
	layers := manyLayers(c, 8)
	for i, names := range [][]string{{"base/os"}, {"base/two", "base/os"}, {"base/two"}, {"base/own", "demo/app"}, nil, {"x/1"}, {"x/2"}, {"x/3"}} {
		for _, name := range names {
			if err := blobs.Add(host, name, layers[i].Digest); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := strings.Join(repo.Donors(layers), " "); got != "base/os base/two x/1 x/2" {
		t.Errorf("%s", got)
	}
	if got := s.open(t, "demo/app:1").Donors(layers); len(got) > 0 {
		t.Errorf("without a memory %q", got)
	}
}

func manyLayers(c transfertest.Content, n int) (layers []v1.Descriptor) {
	for i := range n {
		layers = append(layers, c.Layer(transfertest.Bytes(byte(i), 100)))
	}
	return layers
}
