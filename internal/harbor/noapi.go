package harbor

import (
	"context"
	"fmt"
	"net/http"
)

// A NoAPIError says that a Harbor, known by its challenge, has an API that does
// not answer as one.
type NoAPIError struct {
	Path   string
	Status int
}

func (e *NoAPIError) Error() string {
	what := fmt.Sprintf("status %d", e.Status)
	if e.Status == http.StatusOK {
		what = "something that is no answer of it"
	}
	return fmt.Sprintf("the registry is a Harbor and its API does not answer: %s answered with %s", e.Path, what)
}

// WhyNoAPI says what came in place of an answer of the API, after
// [Client.Detect] found none. The error is never nil: a [*NoAPIError], or that
// of the round-tripper.
func (c *Client) WhyNoAPI(ctx context.Context) error {
	last := &NoAPIError{}
	for _, path := range []string{pathVersion, pathV1 + pathSysInfo} { // of 2.x, of 1.x
		resp, err := c.get(ctx, path, "application/json", nil)
		if err != nil {
			return err
		}
		closeBody(resp)
		last = &NoAPIError{Path: path, Status: resp.StatusCode}
		if resp.StatusCode != http.StatusNotFound { // one of the two is not there in either
			break
		}
	}
	return last
}
