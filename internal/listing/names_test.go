package listing_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/vicr-cli/vicr/internal/listing"
	"github.com/vicr-cli/vicr/internal/ref"
)

func TestNamesToList(t *testing.T) {
	t.Parallel()
	for typed, want := range map[string]string{
		"reg.example":              "reg.example",
		"reg.example/":             "reg.example",
		"REG.example:5000/a":       "reg.example:5000/a",
		"reg.example/a/b/c":        "reg.example/a/b/c",
		"reg.example/a/b/":         "reg.example/a/b",
		"localhost/a":              "localhost/a",
		"docker.io/ubuntu":         "docker.io/library/ubuntu",
		"reg.example/a/b:1":        "",
		"reg.example/a/b:latest":   "",
		"reg.example/a@sha256:abc": "",
		"reg.example/A":            "",
		"reg.example/a//b":         "",
		"reg.example/../b":         "",
		"https://reg.example":      "",
		"u:p@reg.example":          "",
		"":                         "",
	} {
		target, err := listing.ParseTarget(typed)
		if bad := (*ref.Error)(nil); want == "" && !errors.As(err, &bad) || want != "" && (err != nil || target.String() != want) {
			t.Errorf("%q: %v, %v", typed, target, err)
		}
	}
}

func TestAURLIsNoNameToList(t *testing.T) {
	t.Parallel()
	if _, err := listing.ParseTarget("https://reg.example/library"); err == nil || !strings.Contains(err.Error(), "leave out the scheme") {
		t.Error(err)
	}
}

// A registry that has no catalog still lists tags; a name there may be a
// repository and a part of others.
func TestAPlainRegistry(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		catalog, path, want string
		err                 bool
	}{
		"both":                {`{"repositories":["app/x","app","apple"]}`, "app", "tags 1 2 app/x:-1", false},
		"deep":                {`{"repositories":["team/app/x"]}`, "team/app", "tags 1 2", false},
		"no catalog":          {"", "app", "tags 1 2", false},
		"only below":          {`{"repositories":["other/x"]}`, "other", "repositories other/x:-1", false},
		"nothing, no catalog": {"", "other", "tags ", true},
		"null":                {`{"repositories":null}`, "", "repositories ", false},
		"no names of images":  {`{"repositories":["\u001b[2J","../x"]}`, "", "repositories \x1b[2J:-1 ../x:-1", false},
		"refused":             {"", "", "repositories ", true},
		"a page":              {"<html>", "", "repositories ", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.URL.Path == "/v2/_catalog" && tc.catalog != "":
					fmt.Fprint(w, tc.catalog)
				case r.URL.Path == "/v2/app/tags/list", r.URL.Path == "/v2/team/app/tags/list":
					fmt.Fprint(w, `{"tags":["1","2"]}`)
				case strings.HasPrefix(r.URL.Path, "/api"):
					fmt.Fprint(w, "<html>portal</html>")
				default:
					http.NotFound(w, r)
				}
			}))
			defer s.Close()
			base, err := url.Parse(s.URL)
			if err != nil {
				t.Fatal(err)
			}
			rt := &http.Transport{}
			defer rt.CloseIdleConnections()
			host, _ := ref.ParseHost(base.Host)
			l, err := listing.Of(t.Context(), listing.Target{Host: host, Path: tc.path}, listing.Options{Registry: rt, API: rt, Open: rt, Base: base})
			if got := shown(l); got != tc.want || (err != nil) != tc.err {
				t.Errorf("%s, %v, want %s", got, err, tc.want)
			}
		})
	}
}
