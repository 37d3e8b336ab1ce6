package registry

import (
	"context"
	"io"
	"net/http"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/transfer"
)

var _ transfer.Streamer = (*Repository)(nil)

// PutStream sends a blob whose digest is known only when all of it was read: a
// POST, a PATCH with what r gives, and a PUT with the name. What broke on the way
// is not sent again.
func (r *Repository) PutStream(ctx context.Context, body io.Reader, name func() v1.Descriptor) error {
	resp, err := r.send(ctx, http.MethodPost, r.url("blobs", "uploads/"), nil)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusAccepted {
		return r.fail(opBegin, resp)
	}
	u, err := r.begun(resp)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPatch, u.at.String(), io.NopCloser(body))
	if err != nil {
		return err
	}
	req.ContentLength = -1
	req.Header.Set("Content-Type", "application/octet-stream")
	if resp, err = r.do(req); err != nil {
		return err
	}
	if !done(resp.StatusCode) {
		return r.fail("push blob", resp)
	}
	if u, err = r.begun(resp); err != nil {
		return err
	}
	return r.finish(ctx, u.at, name(), 0, nil)
}
