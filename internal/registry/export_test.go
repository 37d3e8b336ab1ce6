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

// CancelTime is how long it may take to tell a registry that an upload is over.
const CancelTime = cancelTime

// OpenWith is [Open] with another way to wait, and patience at the end.
func OpenWith(img ref.Image, rt http.RoundTripper, base *url.URL, wait func(context.Context, time.Duration) error) *Repository {
	r := Open(img, rt, base)
	r.wait = wait
	r.cancelTime, r.lastWords = time.Minute, time.Minute // on a machine that is busy with other tests
	return r
}

// KnownToHelp has s take it that more connections than blobs are faster.
func KnownToHelp(s *Streams) *Streams {
	s.gain = someGain
	return s
}
