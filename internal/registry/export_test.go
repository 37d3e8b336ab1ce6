package registry

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/vicr-cli/vicr/internal/ref"
)

// NextLink is for fuzzing.
var NextLink = nextLink

// Backoff is for tests of how long is waited.
var Backoff = backoff

// OpenWith is [Open] with another way to wait.
func OpenWith(img ref.Image, rt http.RoundTripper, base *url.URL, wait func(context.Context, time.Duration) error) *Repository {
	r := Open(img, rt, base)
	r.wait = wait
	return r
}
