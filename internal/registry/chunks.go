package registry

import (
	"errors"
	"net/http"
	"strconv"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// MaxChunk is how large a chunk of an upload may be, in bytes.
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

// chunkFor is how large the chunks of an upload are whose registry asks for at
// least so many bytes.
func (r *Repository) chunkFor(least int64) int64 {
	if r.chunk <= 0 {
		return 0
	}
	return max(r.chunk, least)
}

// leastChunk is how large the chunks of the upload that resp began are to be at
// least, in bytes; 0 if it does not say, or asks for too much. The header is the
// OCI distribution spec's, "Pushing a blob in chunks".
func leastChunk(resp *http.Response) int64 {
	least, err := strconv.ParseInt(resp.Header.Get("OCI-Chunk-Min-Length"), 10, 64)
	if err != nil || least > MaxChunk {
		return 0
	}
	return max(0, least)
}

func is[T error](err error) bool {
	_, ok := errors.AsType[T](err)
	return ok
}
