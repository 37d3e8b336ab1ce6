package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/wire"
)

// MaxChunk is how large a chunk of an upload may be, in bytes: a chunk is in
// memory while it is sent, one for each blob under way.
const MaxChunk = 128 << 20

// InChunks has r upload blobs larger than size in several requests of at most
// size bytes, for registries behind something that limits the size of a
// request; 0 is all at once. A registry that asks for larger chunks gets them,
// up to [MaxChunk]. It returns r, and is called before r is used.
func (r *Repository) InChunks(size int64) *Repository {
	r.chunk = min(size, MaxChunk)
	return r
}

// MountFrom has r ask the registry to take blobs from that repository of its
// own before they are sent. A refusal is no error: the blob is sent then. It
// returns r, and is called before r is used.
func (r *Repository) MountFrom(repository string) *Repository {
	r.from = repository
	return r
}

// Declines says of layers that may not be distributed (foreign layers of
// Windows) that they are not sent; docker and skopeo do not send them either.
func (r *Repository) Declines(desc v1.Descriptor) bool { return !desc.MediaType.IsDistributable() }

// chunkFor is how large the chunks of the upload that resp began are. The
// header is the OCI distribution spec's, "Pushing a blob in chunks".
func (r *Repository) chunkFor(resp *http.Response) int64 {
	if r.chunk <= 0 {
		return 0
	}
	least, err := strconv.ParseInt(resp.Header.Get("OCI-Chunk-Min-Length"), 10, 64)
	if err != nil || least > MaxChunk {
		return r.chunk
	}
	return max(r.chunk, least)
}

// sendChunks sends all of a blob from at on, and returns where the upload is
// to be finished.
func (r *Repository) sendChunks(ctx context.Context, at *url.URL, chunk int64, desc v1.Descriptor, body *upload) (*url.URL, error) {
	src, err := body.again()
	if err != nil {
		return nil, err
	}
	for sent := int64(0); sent < desc.Size; {
		part := make([]byte, min(chunk, desc.Size-sent)) // a request that was answered early may read the last one still
		if _, err := io.ReadFull(src, part); err != nil {
			return nil, fmt.Errorf("read blob: %w", err)
		}
		if at, err = r.sendChunk(ctx, at, sent, part); err != nil {
			return nil, err
		}
		sent += int64(len(part))
	}
	return at, nil
}

func (r *Repository) sendChunk(ctx context.Context, at *url.URL, offset int64, part []byte) (next *url.URL, err error) {
	size := int64(len(part))
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(part)), nil }
	header := http.Header{"Content-Range": {fmt.Sprintf("%d-%d", offset, offset+size-1)}}
	resp, err := r.sendPart(ctx, http.MethodPatch, at, size, open, header)
	if err != nil {
		return nil, err
	}
	discard(resp)
	location := resp.Header.Get("Location")
	if location == "" {
		return nil, &wire.Error{Op: opPush, Host: r.base.Host, Kind: wire.BadAnswer, Err: errors.New("the answer does not say where the upload goes on")}
	}
	return wire.Join(at, secured(r.base, location))
}

func is[T error](err error) bool {
	_, ok := errors.AsType[T](err)
	return ok
}
