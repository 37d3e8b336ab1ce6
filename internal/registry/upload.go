package registry

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/wire"
)

const (
	maxUploads  = 3 // how often one blob is sent from its beginning
	uploadPause = 500 * time.Millisecond
)

// PutBlob uploads a blob unless the registry has it. One POST asks for both: to
// mount the blob out of this very repository is to find it there or to begin an
// upload; then comes one PUT with all of it, or as [Repository.InChunks] and
// [Repository.MountFrom] say. A layer that may not be distributed is not sent.
// When the connection breaks or the registry fails it asks and sends again from
// the beginning, up to three times in all. Errors: [*Error],
// [*transfer.DigestError] if the registry says that it holds something else,
// those of open and of the round-tripper.
func (r *Repository) PutBlob(ctx context.Context, desc v1.Descriptor, open transfer.Opener) (taken int64, err error) {
	if r.Declines(desc) {
		return 0, nil
	}
	for try := 1; ; try++ {
		body := newUpload(ctx, open)
		has, err := r.upload(ctx, desc, body, try > 1)
		body.end()
		if cause := body.failure(); cause != nil {
			return 0, cause
		}
		switch {
		case err == nil && has:
			return taken, nil
		case err == nil:
			return desc.Size, nil
		case try == maxUploads || ctx.Err() != nil || !passing(err):
			return 0, err
		}
		if err := r.wait(ctx, time.Duration(try)*uploadPause); err != nil {
			return 0, err
		}
		taken = desc.Size // if it is there now, the lost answer was a good one
	}
}

// passing says whether an upload that failed with err may go well in another try.
func passing(err error) bool {
	switch wire.KindOf(err) {
	case wire.Unreachable, wire.Silent:
		return true
	}
	e, ok := errors.AsType[*Error](err)
	return ok && e.Refusal == Unexplained && (e.Status >= http.StatusInternalServerError || e.Code == CodeBlobUploadUnknown)
}

// has says whether the registry has the blob. What it refuses to say here it
// says better, with a body, when the upload is begun.
func (r *Repository) has(ctx context.Context, desc v1.Descriptor) (bool, error) {
	resp, err := r.send(ctx, http.MethodHead, r.url("blobs", desc.Digest.String()), nil)
	if err != nil {
		return false, err
	}
	_ = resp.Body.Close() // HEAD has none
	switch {
	case resp.StatusCode == http.StatusOK:
		return resp.ContentLength < 0 || resp.ContentLength == desc.Size, nil
	case resp.StatusCode >= http.StatusInternalServerError:
		return false, &Error{Op: "look for blob", Image: r.img.String(), Status: resp.StatusCode}
	}
	return false, nil
}

// upload sends a blob, unless the registry has it.
func (r *Repository) upload(ctx context.Context, desc v1.Descriptor, body *upload, again bool) (has bool, err error) {
	u, err := r.begin(ctx, desc, again)
	if err != nil || u == nil {
		return u == nil, err
	}
	if u.chunk > 0 && desc.Size > u.chunk {
		if u.at, err = r.sendChunks(ctx, u.at, u.chunk, desc, body); err != nil {
			return false, err
		}
		return false, r.finish(ctx, u.at, desc, 0, nil)
	}
	return false, r.finish(ctx, u.at, desc, desc.Size, body.again)
}

// finish puts the last size bytes of a blob to where its upload goes on.
func (r *Repository) finish(ctx context.Context, at *url.URL, desc v1.Descriptor, size int64, open func() (io.ReadCloser, error)) error {
	if at.RawQuery != "" { // the upload's state, which may be signed as it is
		at.RawQuery += "&"
	}
	at.RawQuery += url.Values{"digest": {desc.Digest.String()}}.Encode()
	resp, err := r.sendPart(ctx, http.MethodPut, at, size, open, nil)
	if err != nil {
		return err
	}
	discard(resp)
	return checkDigest("blob", desc.Digest, resp)
}

// sendPart sends size bytes of a blob; open is not called for none. Every
// answer but one that took them is an error.
func (r *Repository) sendPart(ctx context.Context, method string, at *url.URL, size int64, open func() (io.ReadCloser, error), header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, at.String(), http.NoBody)
	if err != nil {
		return nil, err
	}
	if size > 0 { // a body that is not NoBody and has length 0 is one of unknown length
		if req.Body, err = open(); err != nil {
			return nil, err
		}
		req.GetBody = open
	}
	req.ContentLength = size
	for k, v := range header {
		req.Header[k] = v
	}
	req.Header.Set("Content-Type", "application/octet-stream")
	resp, err := r.do(req)
	if err != nil {
		return nil, err
	}
	if !done(resp.StatusCode) {
		return nil, r.fail(opPush, resp)
	}
	return resp, nil
}

// secured is location with https instead of http where it names the registry
// itself: behind a proxy that ends TLS, registries do not know better
// (Harbor and Distribution without X-Forwarded-Proto).
func secured(base *url.URL, location string) string {
	u, err := url.Parse(location)
	if err != nil || base.Scheme != "https" || !strings.EqualFold(u.Scheme, "http") || !strings.EqualFold(u.Hostname(), base.Hostname()) {
		return location
	}
	if p := u.Port(); p != "" && p != "80" && p != base.Port() {
		return location
	}
	u.Scheme, u.Host = base.Scheme, base.Host
	return u.String()
}

// An upload opens the blob each time that the request is sent, and remembers
// how reading it failed: net/http may return another error in its place. It may
// also go on reading when the registry has answered already; end ends that.
type upload struct {
	ctx    context.Context // that of one try; GetBody has no parameter for it
	cancel context.CancelFunc
	open   transfer.Opener

	mu      sync.Mutex
	ended   bool
	err     error
	readers []*uploadReader
}

func newUpload(ctx context.Context, open transfer.Opener) *upload {
	ctx, cancel := context.WithCancel(ctx)
	return &upload{ctx: ctx, cancel: cancel, open: open}
}

func (u *upload) again() (io.ReadCloser, error) {
	rc, err := u.open(u.ctx, 0)
	if err != nil {
		u.failed(err)
		return nil, err
	}
	r := &uploadReader{upload: u, rc: rc}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.readers = append(u.readers, r)
	return r, nil
}

// end closes what is still open. Nothing is read from the source afterwards.
func (u *upload) end() {
	u.mu.Lock()
	u.ended = true
	readers := u.readers
	u.mu.Unlock()
	u.cancel()
	for _, r := range readers {
		_ = r.Close() // what was to be read was read, or is not wanted any more
	}
}

func (u *upload) failed(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.err == nil && !u.ended {
		u.err = err
	}
}

func (u *upload) failure() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.err
}

type uploadReader struct {
	upload *upload

	mu     sync.Mutex
	rc     io.ReadCloser
	closed bool
}

func (r *uploadReader) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return 0, fs.ErrClosed
	}
	n, err := r.rc.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		r.upload.failed(err)
	}
	return n, err
}

func (r *uploadReader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	r.closed = true
	return r.rc.Close()
}
