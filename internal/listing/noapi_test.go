package listing_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/vicr-cli/vicr/internal/harbor"
	"github.com/vicr-cli/vicr/internal/listing"
	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/sandbox"
)

// An away stands before a registry and answers for its API.
type away struct {
	next   http.RoundTripper
	status int
	body   string
}

func (a away) RoundTrip(req *http.Request) (*http.Response, error) {
	if !strings.HasPrefix(req.URL.Path, "/api") {
		return a.next.RoundTrip(req)
	}
	return &http.Response{
		StatusCode: a.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: req,
		Header: http.Header{}, Body: io.NopCloser(strings.NewReader(a.body)),
	}, nil
}

// A Harbor whose API is away is still one: nothing is said of its projects.
func TestAHarborWhoseAPIDoesNotAnswer(t *testing.T) {
	t.Parallel()
	for _, like := range []sandbox.Like{sandbox.Harbor17, sandbox.Harbor216} {
		w := start(t, options(like))
		for _, tc := range []struct {
			status int
			body   string
			say    string
		}{
			{http.StatusServiceUnavailable, "", "/api/version answered with status 503"},
			{http.StatusOK, "<html>", "/api/version answered with something that is no answer of it"},
			{http.StatusNotFound, "", "/api/systeminfo answered with status 404"},
		} {
			host, o := w.ways(t, "dev", "")
			o.API, o.Open = away{o.API, tc.status, tc.body}, away{o.Open, tc.status, tc.body}
			for _, path := range []string{"", "team"} {
				_, err := listing.Of(t.Context(), listing.Target{Host: host, Path: path}, o)
				if none := (*harbor.NoAPIError)(nil); !errors.As(err, &none) || !strings.Contains(err.Error(), tc.say) {
					t.Errorf("%s %q: %v", like, path, err)
				}
			}
			l, err := listing.Of(t.Context(), listing.Target{Host: host, Path: "team/app"}, o)
			if got := shown(l); err != nil || got != "tags 1 2" {
				t.Errorf("%s: %s, %v", like, got, err)
			}
		}
	}
}

// A registry without an API is asked as before.
func TestOneThatNeverHadAnAPI(t *testing.T) {
	t.Parallel()
	w := start(t, options(sandbox.Distribution))
	host, o := w.ways(t, "dev", "")
	o.Open = away{o.Open, http.StatusServiceUnavailable, ""}
	l, err := listing.Of(t.Context(), listing.Target{Host: host, Path: "team/app"}, o)
	if err != nil || len(l.Tags) == 0 || host == (ref.Host{}) {
		t.Errorf("%s, %v", shown(l), err)
	}
}

// Where it cannot be found out what the registry is, that is said, and nothing is
// listed in its place.
func TestWhatCannotBeFoundOutIsSaid(t *testing.T) {
	t.Parallel()
	w := start(t, options(sandbox.Distribution))
	host, o := w.ways(t, "dev", "")
	broken := errors.New("connection reset")
	o.Service = func(context.Context) (string, error) { return "", broken }
	l, err := listing.Of(t.Context(), listing.Target{Host: host, Path: "team/app"}, o)
	if !errors.Is(err, broken) || len(l.Tags) > 0 {
		t.Errorf("%s, %v", shown(l), err)
	}
}
