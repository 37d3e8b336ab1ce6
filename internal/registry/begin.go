package registry

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/wire"
)

// sureSize is from how many bytes on a registry is asked once more, by HEAD,
// before a blob is sent that it seems to lack: some begin an upload whatever
// they have, and to send so much for nothing takes longer than a round trip.
const sureSize = 8 << 20

// A mounting is how a registry answers who would mount a blob out of the very
// repository that it is for.
type mounting int

const (
	untried mounting = iota
	telling          // it said of a blob that it is there, or is believed: when it begins an upload, the blob is not
	mute             // it refuses, or begins an upload whatever it has: only HEAD tells
)

func (r *Repository) mounting() mounting {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mounts
}

func (r *Repository) found(m mounting) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mounts = max(r.mounts, m)
}

// A begun upload goes on at a place and an offset, in chunks of so many bytes;
// 0: all at once.
type begun struct {
	at     *url.URL
	offset int64
	chunk  int64
	least  int64 // bytes that a chunk has at least, if the registry said so
	unsure bool  // a request to it had no answer: it may be further
}

// begin begins the upload of a blob; nil without an error: the registry has it.
// After a try that broke, again, HEAD is asked: what was sent may have arrived.
func (r *Repository) begin(ctx context.Context, desc v1.Descriptor, again bool) (*begun, error) {
	if again || r.mounting() == mute {
		return r.lookAndBegin(ctx, desc)
	}
	if from := r.mountable(); from != "" {
		u, has, err := r.mount(ctx, desc, from)
		if (is[statusError](err) || is[*Error](err)) && !r.mayNotPush() { // the token service of Harbor 1 fails for a name without a project
			err = nil
		}
		if err == nil && !has {
			r.notMountable()
		}
		switch {
		case err != nil || has:
			return nil, err
		case u != nil:
			return r.unlessThere(ctx, desc, u)
		}
	}
	if u, has, err := r.mountKnown(ctx, desc); err != nil || has || u != nil {
		return u, err
	}
	u, has, err := r.mount(ctx, desc, r.img.Repository)
	switch {
	case err != nil:
		return nil, err
	case has:
		r.found(telling)
		return nil, nil //nolint:nilnil // it is there
	case u == nil:
		r.found(mute)
		return r.lookAndBegin(ctx, desc)
	case desc.Size < sureSize || r.mounting() == telling:
		return u, nil
	}
	sure, err := r.unlessThere(ctx, desc, u)
	if err == nil && sure == nil {
		r.found(mute)
	}
	return sure, err
}

// unlessThere is u, or nil if the registry has the blob all the same. An upload
// that was begun for nothing expires.
func (r *Repository) unlessThere(ctx context.Context, desc v1.Descriptor, u *begun) (*begun, error) {
	if has, err := r.has(ctx, desc); err != nil || has {
		return nil, err
	}
	return u, nil
}

// lookAndBegin is begin where only HEAD tells what the registry has.
func (r *Repository) lookAndBegin(ctx context.Context, desc v1.Descriptor) (*begun, error) {
	if has, err := r.has(ctx, desc); err != nil || has {
		return nil, err
	}
	return r.post(ctx)
}

// post begins an upload of whatever will come.
func (r *Repository) post(ctx context.Context) (*begun, error) {
	resp, err := r.send(ctx, http.MethodPost, r.url("blobs", "uploads/"), nil)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusAccepted {
		return nil, r.fail(opBegin, resp)
	}
	return r.begun(resp)
}

const opBegin = "begin upload"

// mount asks for the blob out of a repository of the registry, and says whether
// it came; else it is the upload that was begun in its place, or nil if the
// registry refuses to mount. Harbor does so with 401 where the user may not pull.
func (r *Repository) mount(ctx context.Context, desc v1.Descriptor, from string) (u *begun, has bool, err error) {
	at := r.url("blobs", "uploads/")
	at.RawQuery = url.Values{"mount": {desc.Digest.String()}, "from": {from}}.Encode()
	resp, err := r.send(ctx, http.MethodPost, at, nil)
	if err != nil {
		return nil, false, err
	}
	switch resp.StatusCode {
	case http.StatusCreated:
		discard(resp)
		return nil, true, checkDigest("blob", desc.Digest, resp)
	case http.StatusAccepted:
		u, err = r.begun(resp)
		return u, false, err
	}
	err = r.fail(opBegin, resp)
	if e, ok := errors.AsType[*Error](err); ok {
		switch e.Refusal {
		case LoginNeeded:
			if from == r.img.Repository || r.mayNotPush() { // who may not ask there may not push there
				return nil, false, err
			}
			return nil, false, nil
		case Unexplained, NotPermitted, Hidden:
			return nil, false, nil // it may be the mount alone that is refused
		}
	}
	return nil, false, err
}

// begun reads where the upload that resp began goes on.
func (r *Repository) begun(resp *http.Response) (*begun, error) {
	discard(resp)
	at, err := wire.Join(r.url("blobs", "uploads/"), secured(r.base, resp.Header.Get("Location")))
	if err != nil {
		return nil, err
	}
	least := leastChunk(resp)
	return &begun{at: at, chunk: r.chunkFor(least), least: least}, nil
}
