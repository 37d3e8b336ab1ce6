package listing_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/vicr-cli/vicr/internal/listing"
	"github.com/vicr-cli/vicr/internal/ref"
)

// answers are bodies by the beginning of a path; what is not there is 404.
type answers map[string]string

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	resp := &http.Response{StatusCode: http.StatusNotFound, Header: http.Header{}, Body: http.NoBody, Request: r}
	if body, ok := a[r.URL.Path]; ok {
		resp.StatusCode, resp.Body = http.StatusOK, io.NopCloser(strings.NewReader(body))
	}
	return resp, nil
}

func (a answers) list(ctx context.Context, t *testing.T, path string) (listing.Listing, error) {
	t.Helper()
	host, err := ref.ParseHost("r.test")
	if err != nil {
		t.Fatal(err)
	}
	o := listing.Options{Registry: a, API: a, Open: a, Base: &url.URL{Scheme: "https", Host: "r.test"}}
	return listing.Of(ctx, listing.Target{Host: host, Path: path}, o)
}

// A tag that moves while pages are read is at two artifacts: it is listed once.
func TestATagThatMovesIsListedOnce(t *testing.T) {
	t.Parallel()
	l, err := answers{
		"/api/version":         `{"version":"v2.0"}`,
		"/api/v2.0/systeminfo": `{"auth_mode":"db_auth"}`,
		"/api/v2.0/projects/demo/repositories/app/artifacts": `[{"digest":"sha256:a","tags":[{"name":"1"},{"name":"2"}]},{"digest":"sha256:b","tags":[{"name":"1"}]}]`,
	}.list(t.Context(), t, "demo/app")
	if err != nil || !slices.Equal(l.Tags, []string{"1", "2"}) || len(l.Artifacts) != 2 {
		t.Errorf("%q, %d artifacts, %v", l.Tags, len(l.Artifacts), err)
	}
}

// Whoever ends a list while it is found out what is below a name gets no list.
func TestAListEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	a := answers{"/v2/app/tags/list": `{"tags":["1"]}`}
	host, err := ref.ParseHost("r.test")
	if err != nil {
		t.Fatal(err)
	}
	o := listing.Options{Registry: ended{a, cancel}, API: a, Open: a, Base: &url.URL{Scheme: "https", Host: "r.test"}}
	if l, err := listing.Of(ctx, listing.Target{Host: host, Path: "app"}, o); !errors.Is(err, context.Canceled) {
		t.Errorf("%q, %v", l.Tags, err)
	}
}

// An ended is interrupted when it has listed the tags.
type ended struct {
	answers

	end func()
}

func (e ended) RoundTrip(r *http.Request) (*http.Response, error) {
	if !strings.HasSuffix(r.URL.Path, "/tags/list") {
		e.end()
	}
	return e.answers.RoundTrip(r)
}
