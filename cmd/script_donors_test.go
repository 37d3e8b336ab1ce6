package cmd_test

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/vicr-cli/vicr/internal/sandbox"
	"github.com/vicr-cli/vicr/internal/testkit"
)

// A token service that refuses a token for two repositories is asked for one for
// the first alone, and never again for the second: nothing is mounted then.
func TestWhereATokenForTwoIsRefusedOneIsEnough(t *testing.T) {
	t.Parallel()
	images := suiteImages(t)
	two := func(r *http.Request) bool {
		return r.URL.Path == "/service/token" && len(r.URL.Query()["scope"]) > 1
	}
	from := func(r *http.Request) bool {
		return r.Method == http.MethodPost && r.URL.Query().Get("from") == "demo/app"
	}
	for _, like := range []sandbox.Like{sandbox.Harbor15, sandbox.Harbor216} {
		for status, want := range map[int]string{0: "2 1 3 of 3", 400: "3 1 0 of 3", 401: "3 1 0 of 3", 403: "3 1 0 of 3"} {
			t.Run(string(like)+", "+http.StatusText(status), func(t *testing.T) {
				t.Parallel()
				front, c := openFront(t, like, testkit.NewCA(t), images)
				d := c.desk(t, row{as: "dev"})
				c.must(t, d, "pull --to store HOST/demo/app:1")
				c.must(t, d, "tag --in store HOST/demo/app:1 HOST/empty/app:1")
				if status > 0 {
					front.Always(two, testkit.Fault{Status: status})
				}
				c.must(t, d, "push -j 1 --from store HOST/empty/app:1")
				tokens := front.Seen(testkit.On("GET", "/service/token"))
				posts := front.Seen(testkit.On("POST", "/v2/"))
				got := strings.Join([]string{strconv.Itoa(len(tokens)), strconv.Itoa(len(front.Seen(two))), strconv.Itoa(len(front.Seen(from))), "of", strconv.Itoa(len(posts))}, " ")
				if got != want {
					t.Errorf("tokens, those for two, mounts: %s, want %s", got, want)
				}
				for _, r := range tokens {
					if slices.Contains(r.URL.Query()["scope"], "repository:empty/app:pull,push") != strings.Contains(r.URL.RawQuery, "empty") {
						t.Errorf("a token for %s", r.URL.RawQuery)
					}
				}
			})
		}
	}
}
