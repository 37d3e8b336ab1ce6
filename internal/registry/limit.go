package registry

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/vicr-cli/vicr/internal/wire"
)

// A LimitError says that the registry wants fewer requests, for longer than the
// round-tripper waits. It wraps a [*wire.RateError], which has the time to wait.
type LimitError struct {
	Op      string // "get manifest"
	Image   string // the full name
	Status  int    // of HTTP
	Code    string // the registry's, or ""
	Message string // the registry's, raw; or ""
	Nobody  bool   // no one is logged in
	Err     error
}

func (e *LimitError) Error() string {
	s := fmt.Sprintf("%s: %s: the registry asks for fewer requests: status %d", e.Op, e.Image, e.Status)
	if e.Code != "" {
		s += " " + e.Code
	}
	if e.Message != "" {
		s += ": " + strconv.Quote(bounded(e.Message))
	}
	return s
}

func (e *LimitError) Unwrap() error { return e.Err }

// limited is what rate means for what was asked of the image.
func (r *Repository) limited(req *http.Request, rate *wire.RateError, err error) *LimitError {
	e := &LimitError{Op: opOf(req), Image: r.img.String(), Status: rate.Status, Err: err}
	e.Code, e.Message = parseRefusal([]byte(rate.Message))
	if e.Code == "" && e.Message == "" && !strings.HasPrefix(rate.Message, "<") && !strings.HasPrefix(rate.Message, "{") {
		e.Message = rate.Message
	}
	e.Nobody = r.nobody()
	return e
}

// opOf is what req is for, in the words of [Error].
func opOf(req *http.Request) string {
	reads := req.Method == http.MethodGet || req.Method == http.MethodHead
	switch path := req.URL.Path; {
	case strings.HasSuffix(path, "/tags/list"):
		return opTags
	case strings.Contains(path, "/manifests/") && reads:
		return "get manifest"
	case strings.Contains(path, "/manifests/"):
		return "push manifest"
	case strings.Contains(path, "/blobs/") && reads:
		return "get blob"
	case strings.Contains(path, "/blobs/"):
		return "push blob"
	}
	return "ask"
}
