package registry

import (
	"context"
	"fmt"
	"mime"
	"net/http"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/vicr-cli/vicr/internal/transfer"
)

// What the engine's relay asks of a registry beyond Source and Sink.

// manifestTypes are those that [transfer.Copy] takes.
var manifestTypes = []string{
	string(types.OCIManifestSchema1), string(types.DockerManifestSchema2),
	string(types.OCIImageIndex), string(types.DockerManifestList),
}

// Head says what the tag or digest stands for, with one request and without its
// bytes. The error wraps [transfer.ErrNotFound] if there is nothing, or if the
// registry does not say its digest; else it is an [*Error], a
// [*transfer.DigestError], or that of the round-tripper.
func (r *Repository) Head(ctx context.Context) (v1.Descriptor, error) {
	resp, err := r.send(ctx, http.MethodHead, r.url("manifests", r.img.Reference()), http.Header{"Accept": manifestTypes})
	if err != nil {
		return v1.Descriptor{}, err
	}
	_ = resp.Body.Close() // HEAD has none
	if resp.StatusCode != http.StatusOK {
		return v1.Descriptor{}, r.fail("get manifest", resp)
	}
	digest, err := v1.NewHash(resp.Header.Get("Docker-Content-Digest"))
	if err != nil {
		return v1.Descriptor{}, fmt.Errorf("digest of %s: %w", r.img, transfer.ErrNotFound)
	}
	if r.img.Digest != "" && r.img.Digest != digest.String() {
		return v1.Descriptor{}, fmt.Errorf("%s: the registry calls it %s: %w", r.img, digest, transfer.ErrNotFound)
	}
	mediaType, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil {
		mediaType = ""
	}
	return v1.Descriptor{MediaType: types.MediaType(mediaType), Size: resp.ContentLength, Digest: digest}, nil
}

// BlobSize is how large a blob of the repository is, in bytes. The error wraps
// [transfer.ErrNotFound] if the registry does not have it, or does not say.
func (r *Repository) BlobSize(ctx context.Context, digest v1.Hash) (int64, error) {
	resp, err := r.send(ctx, http.MethodHead, r.url("blobs", digest.String()), nil)
	if err != nil {
		return 0, err
	}
	_ = resp.Body.Close() // HEAD has none
	switch {
	case resp.StatusCode >= http.StatusInternalServerError:
		return 0, &Error{Op: "look for blob", Image: r.img.String(), Status: resp.StatusCode}
	case resp.StatusCode != http.StatusOK || resp.ContentLength < 0:
		return 0, fmt.Errorf("blob %s: %w", digest, transfer.ErrNotFound)
	}
	return resp.ContentLength, nil
}

// MountBlob asks for a blob out of another repository of the registry, and says
// whether it came. A registry that refuses to mount is no error: an upload that
// it begins instead expires.
func (r *Repository) MountBlob(ctx context.Context, digest v1.Hash, from string) (bool, error) {
	_, has, err := r.mount(ctx, v1.Descriptor{Digest: digest}, from)
	if is[statusError](err) || is[*Error](err) { // the token service of Harbor 1 fails for a name without a project
		return false, nil
	}
	return has, err
}
