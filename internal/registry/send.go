package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/wire"
)

// bodyContext is what the blob is read with: a sending that is remembered ends
// gently.
func (s *sending) bodyContext(ctx context.Context) context.Context {
	if s.ends() {
		return context.WithoutCancel(ctx)
	}
	return ctx
}

// streams says whether the next request is a PATCH with all that is missing.
func (s *sending) streams() bool {
	return s.at.chunk == 0 && s.desc.Size >= streamedSize && !s.anew
}

// ends says whether the body of the next request may end early.
func (s *sending) ends() bool { return s.streams() && s.session.URL() != "" }

// send sends what is missing of the blob.
func (s *sending) send(ctx context.Context, body *upload) error {
	rest := s.desc.Size - s.at.offset
	var err error
	switch {
	case rest == 0:
	case s.at.chunk > 0 && rest > s.at.chunk:
		err = s.sendChunks(ctx, body)
	case s.streams():
		s.loose = true
		err = s.sendStream(ctx, body)
	default:
		open := func() (io.ReadCloser, error) { return body.from(s.at.offset) }
		return s.r.finish(ctx, s.at, s.desc, rest, open)
	}
	if err != nil {
		return err
	}
	s.at.unsure = true
	return s.r.finish(ctx, s.at, s.desc, 0, nil)
}

// sendStream sends all that is missing with one PATCH, as docker does.
func (s *sending) sendStream(ctx context.Context, body *upload) error {
	soft, stop := ctx, context.CancelFunc(func() {})
	if s.ends() {
		soft, stop = body.gently(ctx, s.r.lastWords)
	}
	defer stop()
	open := func() (io.ReadCloser, error) { return body.from(s.at.offset) }
	header := sentRange(s.at.offset, s.desc.Size-s.at.offset)
	if s.at.offset == 0 {
		header = nil
	}
	resp, err := s.r.sendBody(soft, http.MethodPatch, s.at.at, unknownSize, open, header)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return err
	}
	discard(resp)
	if err := s.took(resp, body.sent()); err != nil || s.at.offset == s.desc.Size {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return errTookLess
}

// sendChunks sends all that is missing, a chunk with each request.
func (s *sending) sendChunks(ctx context.Context, body *upload) error {
	src, err := body.from(s.at.offset)
	if err != nil {
		return err
	}
	for s.at.offset < s.desc.Size {
		size := min(s.at.chunk, s.desc.Size-s.at.offset)
		first := true
		open := func() (io.ReadCloser, error) {
			if first {
				first = false
				return io.NopCloser(io.LimitReader(src, size)), nil
			}
			again, err := body.from(s.at.offset)
			if err != nil {
				return nil, err
			}
			return io.NopCloser(io.LimitReader(again, size)), nil
		}
		s.at.unsure = true
		resp, err := s.r.sendBody(ctx, http.MethodPatch, s.at.at, size, open, sentRange(s.at.offset, size))
		if err != nil {
			return err
		}
		discard(resp)
		if err := s.took(resp, size); err != nil {
			return err
		}
	}
	return nil
}

// took notes where the upload goes on after the registry took size bytes more,
// as its answer says, which was closed.
// One that says that it has less is believed.
func (s *sending) took(resp *http.Response, size int64) error {
	location := resp.Header.Get("Location")
	if location == "" {
		return &wire.Error{Op: opPush, Host: s.r.base.Host, Kind: wire.BadAnswer, Err: errors.New("the answer does not say where the upload goes on")}
	}
	at, err := wire.Join(s.at.at, secured(s.r.base, location))
	if err != nil {
		return err
	}
	end := s.at.offset + size
	s.at.at, s.at.offset, s.at.unsure = at, end, false
	if has, ok := offsetOf(resp); ok && has < end {
		s.at.offset = has
	}
	s.remember()
	if s.at.offset < end {
		return errTookLess
	}
	return nil
}

const (
	unknownSize = -1
)

// sentRange is how the OCI distribution spec has it, without a unit.
func sentRange(offset, size int64) http.Header {
	return http.Header{"Content-Range": {fmt.Sprintf("%d-%d", offset, offset+size-1)}}
}

// finish puts the last size bytes of a blob to where its upload goes on.
func (r *Repository) finish(ctx context.Context, u *begun, desc v1.Descriptor, size int64, open func() (io.ReadCloser, error)) error {
	at := *u.at
	if at.RawQuery != "" { // the state of the upload, which may be signed as it is
		at.RawQuery += "&"
	}
	at.RawQuery += url.Values{"digest": {desc.Digest.String()}}.Encode()
	var header http.Header
	if u.offset > 0 && size > 0 {
		header = sentRange(u.offset, size)
	}
	resp, err := r.sendBody(ctx, http.MethodPut, &at, size, open, header)
	if err != nil {
		return err
	}
	discard(resp)
	return checkDigest("blob", desc.Digest, resp)
}

// sendBody sends size bytes of a blob, or unknownSize; open is not called for
// none. Every answer but one that took them is an error.
func (r *Repository) sendBody(ctx context.Context, method string, at *url.URL, size int64, open func() (io.ReadCloser, error), header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, at.String(), http.NoBody)
	if err != nil {
		return nil, err
	}
	if size != 0 { // a body that is not NoBody and has length 0 is one of unknown length
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
