package harbor_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/vicr-cli/vicr/internal/harbor"
	"github.com/vicr-cli/vicr/internal/sandbox"
)

// What is known by the challenge alone is what each generation does.
func TestListsByTheChallenge(t *testing.T) {
	t.Parallel()
	const (
		image   = "application/vnd.docker.distribution.manifest.v2+json"
		list    = "application/vnd.docker.distribution.manifest.list.v2+json"
		oci     = "application/vnd.oci.image.manifest.v1+json"
		ociList = "application/vnd.oci.image.index.v1+json"
	)
	for _, like := range sandbox.Likes() {
		s, err := sandbox.Start(t.Context(), sandbox.Options{Like: like, PlainHTTP: true})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close() //nolint:errcheck // nothing is kept
		resp, err := http.Get("http://" + s.Host() + "/v2/")
		if err != nil {
			t.Fatal(err)
		}
		var doc struct{ Errors []struct{ Message string } }
		if err := json.NewDecoder(resp.Body).Decode(&doc); err != nil || len(doc.Errors) == 0 {
			t.Fatal(like, err)
		}
		resp.Body.Close()
		service := ""
		if m := regexp.MustCompile(`service="([^"]*)"`).FindStringSubmatch(resp.Header.Get("Www-Authenticate")); m != nil {
			service = m[1]
		}
		before20 := strings.HasPrefix(string(like), "harbor-1.")
		for mediaType, want := range map[string]bool{image: true, list: !before20, oci: !before20, ociList: !before20} {
			if got := harbor.Lists(service, doc.Errors[0].Message, mediaType); got != want {
				t.Errorf("%s lists %s: %v", like, mediaType, got)
			}
		}
	}
}
