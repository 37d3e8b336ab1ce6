package registry

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/vicr-cli/vicr/internal/wire"
)

const (
	opAsk             = "ask how far the upload is"
	codeUploadInvalid = "BLOB_UPLOAD_INVALID"
)

// errTookLess says that the registry took a part of what it was sent. The rest
// is sent again.
var errTookLess = errors.New("the registry took less than it was sent")

// maxAsked is how often in a row a registry is asked how far an upload is.
const maxAsked = 50

// untilStill asks how far an upload is until it does not grow any more, unless
// the last request to it was answered: one that was broken off may be read for a
// while, and what is sent from an old offset is sent for nothing. It ends too when
// the answer is "".
func untilStill(ctx context.Context, answered bool, ask func() (far string, err error)) error {
	before := ""
	for range maxAsked {
		far, err := ask()
		if err != nil || answered || far == before || far == "" {
			return err
		}
		before = far
		if err := wire.Sleep(ctx, standstill); err != nil {
			return err
		}
	}
	return nil
}

// askStanding is ask of an upload that stands still.
func (s *sending) askStanding(ctx context.Context) error {
	return untilStill(ctx, s.answered, func() (string, error) {
		if err := s.ask(ctx); err != nil || s.at == nil {
			return "", err
		}
		return strconv.FormatInt(s.at.offset, 10), nil
	})
}

// ask asks the registry how far the upload is. Where it has dropped the upload
// or does not say, the upload is to be begun again.
//
// Distribution 3 and Harbor on top of it keep what arrived of a request that
// broke. Distribution 2 does not give it out any more: the state in the location
// has the old offset (registry/handlers/blobupload.go, blobUploadDispatcher);
// zot drops the upload (pkg/api/routes.go, PatchBlobUpload).
func (s *sending) ask(ctx context.Context) error {
	resp, err := s.r.send(ctx, http.MethodGet, s.at.at, nil)
	if err != nil {
		return err
	}
	if resp.StatusCode >= http.StatusInternalServerError {
		return s.r.fail(opAsk, resp)
	}
	discard(resp)
	offset, ok := offsetOf(resp)
	if !done(resp.StatusCode) || !ok || offset > s.desc.Size {
		s.drop()
		return nil
	}
	if s.at.at, err = s.r.follow(s.at.at, resp); err != nil {
		return err
	}
	if !s.sent {
		s.had = offset
	}
	s.at.offset, s.at.unsure, s.loose = offset, false, true
	s.noted = min(s.noted, offset)
	s.remember()
	return nil
}

// follow is where an upload goes on that was at a place, as an answer says.
func (r *Repository) follow(at *url.URL, resp *http.Response) (*url.URL, error) {
	location := resp.Header.Get("Location")
	if location == "" {
		return at, nil
	}
	return wire.Join(at, secured(r.base, location))
}

// drop gives an upload up that does not go on.
func (s *sending) drop() {
	s.at, s.forgot, s.had = nil, true, 0
	_ = s.session.Forget() // what is remembered wrongly costs a request
}

// offsetOf is how many bytes of an upload the registry has, by the Range of its
// answer: 0-LAST. Nothing and one byte are written alike, 0-0 (Distribution
// since 2.0), which says nothing.
func offsetOf(resp *http.Response) (int64, bool) {
	first, last, ok := strings.Cut(strings.TrimPrefix(resp.Header.Get("Range"), "bytes="), "-")
	end, err := strconv.ParseInt(last, 10, 64)
	if !ok || first != "0" || err != nil || end <= 0 || end == 1<<63-1 {
		return 0, false
	}
	return end + 1, true
}

// remember notes for the next run where the upload goes on, now and then: it
// takes a write to the disk.
func (s *sending) remember() {
	if s.session == nil || s.at.offset > 0 && s.at.offset-s.noted < keptSize {
		return
	}
	if !s.r.memorable(s.at.at) {
		_ = s.session.Forget()
		return
	}
	if s.session.Keep(s.at.at.String()) == nil {
		s.noted = s.at.offset
	}
}

// memorable says whether the address of an upload may be kept on the disk: it is
// of the registry itself, which asks who comes, and does not let in by itself.
func (r *Repository) memorable(u *url.URL) bool {
	if wire.OriginOf(u) != wire.OriginOf(r.base) {
		return false
	}
	for key := range u.Query() {
		key = strings.ToLower(key)
		if strings.HasPrefix(key, "x-amz-") || strings.HasPrefix(key, "x-goog-") || strings.HasPrefix(key, "sig") {
			return false
		}
	}
	return true
}

// recalled is a remembered address, nil if there is none that may be used.
func (r *Repository) recalled(address string) *url.URL {
	if address == "" {
		return nil
	}
	u, err := wire.Join(r.url("blobs", "uploads/"), address)
	if err != nil || !r.memorable(u) {
		return nil
	}
	return u
}
