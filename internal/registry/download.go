package registry

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/transfer"
)

// Blob opens a blob at offset. The URLs that a foreign layer comes with are
// never followed. Errors: [*Error], wrapping [transfer.ErrNotFound] if there is
// no such blob; [*RangeError], which wraps [transfer.ErrOffset];
// [*transfer.DigestError] if the registry announces another size.
func (r *Repository) Blob(ctx context.Context, desc v1.Descriptor, offset int64) (io.ReadCloser, error) {
	switch {
	case offset < 0 || offset > desc.Size:
		return nil, fmt.Errorf("offset %d of %d bytes: %w", offset, desc.Size, transfer.ErrOffset)
	case offset > 0 && offset == desc.Size:
		return http.NoBody, nil
	}
	header := http.Header{"Accept-Encoding": {"identity"}} // the digest is over the bytes as they are stored
	if offset > 0 {
		// With an end, since go-containerregistry's own registry takes no other.
		header.Set("Range", fmt.Sprintf("bytes=%d-%d", offset, desc.Size-1))
	}
	resp, err := r.send(ctx, http.MethodGet, r.url("blobs", desc.Digest.String()), header)
	if err != nil {
		return nil, err
	}
	if err := r.judgeBlob(resp, desc, offset); err != nil {
		_ = resp.Body.Close() // the answer was of no use
		return nil, err
	}
	return resp.Body, nil
}

// judgeBlob sees to it that resp begins at offset.
func (r *Repository) judgeBlob(resp *http.Response, desc v1.Descriptor, offset int64) error {
	switch resp.StatusCode {
	case http.StatusOK:
		if n := resp.ContentLength; n >= 0 && n != desc.Size {
			return &transfer.DigestError{What: "blob", Want: desc.Digest, Size: n, Of: desc.Size}
		}
		// A registry that knows no ranges sends all of it.
		if _, err := io.CopyN(io.Discard, resp.Body, offset); err != nil {
			return fmt.Errorf("skip to byte %d: %w", offset, err)
		}
		return nil
	case http.StatusPartialContent:
		return judgeRange(resp, desc.Size, offset)
	case http.StatusRequestedRangeNotSatisfiable:
		return &RangeError{Want: contentRange(offset, desc.Size), Got: "status 416"}
	}
	return r.fail("get blob", resp)
}

func contentRange(offset, size int64) string {
	return fmt.Sprintf("bytes %d-%d/%d", offset, size-1, size)
}

// judgeRange takes exactly the part that was asked for: one part, from offset
// to the end (RFC 9110 section 14.4).
func judgeRange(resp *http.Response, size, offset int64) error {
	want := contentRange(offset, size)
	got := strings.TrimSpace(resp.Header.Get("Content-Range"))
	unknownTotal := fmt.Sprintf("bytes %d-%d/*", offset, size-1)
	if (got != want && got != unknownTotal) || len(resp.Header.Values("Content-Range")) != 1 {
		return &RangeError{Want: want, Got: got}
	}
	if n := resp.ContentLength; n >= 0 && n != size-offset {
		return &RangeError{Want: want, Got: fmt.Sprintf("%s with %d bytes", got, n)}
	}
	return nil
}
