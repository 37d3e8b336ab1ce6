package relay

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/vicr-cli/vicr/internal/transfer"
)

const (
	maxMounts  = 3  // repositories that are asked for one blob
	maxUploads = 64 // begun at the same time; engines have 5
)

// A Target is the repository that an engine pushes to.
type Target interface {
	transfer.Streamer
	// BlobSize is how large a blob of the repository is. The error wraps
	// [transfer.ErrNotFound] if it has none.
	BlobSize(ctx context.Context, digest v1.Hash) (int64, error)
	// MountBlob has the registry take a blob out of another of its repositories,
	// and says whether it did.
	MountBlob(ctx context.Context, digest v1.Hash, from string) (bool, error)
}

// A Push is one image on its way out of the engine.
type Push struct {
	relay *Relay
	repo  string
	tag   string
	dst   Target
	// known are the repositories of the registry where a blob was seen.
	known func(v1.Hash) []string

	sent atomic.Int64 // bytes

	committed chan struct{} // closed when the engine was told that the registry has the tag

	mu      sync.Mutex
	uploads map[string]*upload
	moved   map[v1.Hash]bool  // blobs that the engine sent
	sizes   map[v1.Hash]int64 // of blobs that the repository has
	blobs   map[v1.Hash]v1.Descriptor
	root    v1.Descriptor
}

// Push has the relay take REPOSITORY:TAG to dst.
func (s *Relay) Push(repository, tag string, dst Target, known func(v1.Hash) []string) *Push {
	p := &Push{
		relay: s, repo: repository, tag: tag, dst: dst, known: known, committed: make(chan struct{}), moved: map[v1.Hash]bool{},
		uploads: map[string]*upload{}, sizes: map[v1.Hash]int64{}, blobs: map[v1.Hash]v1.Descriptor{},
	}
	s.open(p)
	return p
}

// Root is what the tag stands for in the registry now; zero: the engine put nothing.
func (p *Push) Root() v1.Descriptor {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.root
}

// Committed is closed once the registry has what the engine put under the tag, and
// the engine was told so: engines put that last of all.
func (p *Push) Committed() <-chan struct{} { return p.committed }

// Moved says whether the engine sent a blob, rather than be told that it is there.
func (p *Push) Moved(blob v1.Hash) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.moved[blob]
}

// Sent is how many bytes of blobs went to the registry.
func (p *Push) Sent() int64 { return p.sent.Load() }

// Blobs are those that the manifests name which were put.
func (p *Push) Blobs() []v1.Descriptor {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]v1.Descriptor, 0, len(p.blobs))
	for _, b := range p.blobs {
		all = append(all, b)
	}
	return all
}

func (p *Push) repository() string { return p.repo }

func (p *Push) end() {
	p.mu.Lock()
	all := p.uploads
	p.uploads = map[string]*upload{}
	p.mu.Unlock()
	for _, u := range all {
		u.abort(errGone)
	}
}

func (p *Push) serve(w http.ResponseWriter, r *http.Request, path string) {
	id, uploading := strings.CutPrefix(path, "blobs/uploads/")
	kind, name, _ := strings.Cut(path, "/")
	switch {
	case uploading && id == "" && r.Method == http.MethodPost:
		p.begin(w, r)
	case uploading && id != "":
		p.upload(w, r, id)
	case kind == "blobs" && r.Method == http.MethodHead:
		p.look(w, r, name)
	case kind == "manifests" && r.Method == http.MethodPut:
		p.putManifest(w, r, name)
	case kind == "manifests" && (r.Method == http.MethodHead || r.Method == http.MethodGet):
		refuse(w, http.StatusNotFound, "MANIFEST_UNKNOWN") // so that the engine puts it
	default:
		refuse(w, http.StatusMethodNotAllowed, "UNSUPPORTED")
	}
}

// look answers whether the registry has a blob, once it was mounted if that can be.
func (p *Push) look(w http.ResponseWriter, r *http.Request, name string) {
	digest, err := v1.NewHash(name)
	if err != nil {
		refuse(w, http.StatusNotFound, "BLOB_UNKNOWN")
		return
	}
	size, err := p.size(r.Context(), digest)
	switch {
	case errors.Is(err, transfer.ErrNotFound):
		refuse(w, http.StatusNotFound, "BLOB_UNKNOWN")
	case err != nil:
		p.relay.fail(r.Context(), err)
		denied(w)
	default:
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Docker-Content-Digest", digest.String())
		w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	}
}

// size is how large a blob is that the repository has, or has by now: a
// repository of the registry where it was seen may give it. The error wraps
// [transfer.ErrNotFound] if it has none.
func (p *Push) size(ctx context.Context, digest v1.Hash) (int64, error) {
	p.mu.Lock()
	size, ok := p.sizes[digest]
	p.mu.Unlock()
	if ok {
		return size, nil
	}
	here, from := false, []string(nil)
	for _, repo := range p.known(digest) {
		here = here || repo == p.repo
		if repo != p.repo && len(from) < maxMounts {
			from = append(from, repo)
		}
	}
	err := error(transfer.ErrNotFound)
	if here {
		size, err = p.dst.BlobSize(ctx, digest)
	}
	for i := 0; i < len(from) && errors.Is(err, transfer.ErrNotFound); i++ {
		mounted, failed := p.dst.MountBlob(ctx, digest, from[i])
		if failed != nil {
			return 0, failed
		}
		if mounted {
			size, err = p.dst.BlobSize(ctx, digest) // a mount does not tell it
			here = true
			break
		}
	}
	if !here {
		size, err = p.dst.BlobSize(ctx, digest)
	}
	if err == nil {
		p.has(digest, size)
	}
	return size, err
}

func (p *Push) has(digest v1.Hash, size int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sizes[digest] = size
}

// putManifest takes a manifest to the registry: the tag's last of all.
func (p *Push) putManifest(w http.ResponseWriter, r *http.Request, name string) {
	raw, err := io.ReadAll(io.LimitReader(r.Body, transfer.MaxManifest+1))
	if err != nil || len(raw) > transfer.MaxManifest {
		refuse(w, http.StatusRequestEntityTooLarge, "MANIFEST_INVALID")
		return
	}
	desc, blobs, err := described(r.Header.Get("Content-Type"), raw)
	if err == nil && name != p.tag && name != desc.Digest.String() {
		refuse(w, http.StatusNotFound, "MANIFEST_UNKNOWN")
		return
	}
	if err == nil {
		if name == p.tag {
			err = p.dst.Commit(r.Context(), desc, raw)
		} else {
			err = p.dst.PutManifest(r.Context(), desc, raw)
		}
	}
	if err != nil {
		p.relay.fail(r.Context(), err)
		denied(w)
		return
	}
	p.mu.Lock()
	for _, b := range blobs {
		p.blobs[b.Digest] = b
	}
	first := name == p.tag && p.root.Digest == (v1.Hash{})
	if name == p.tag {
		p.root = desc
	}
	p.mu.Unlock()
	w.Header().Set("Location", r.URL.Path)
	w.Header().Set("Docker-Content-Digest", desc.Digest.String())
	w.WriteHeader(http.StatusCreated)
	if first {
		_ = http.NewResponseController(w).Flush() // the engine may be gone
		close(p.committed)
	}
}

// described reads a manifest. One of schema 1, which old engines try when
// another was refused, is an error.
func described(contentType string, raw []byte) (v1.Descriptor, []v1.Descriptor, error) {
	mediaType, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		mediaType = ""
	}
	digest, size, err := v1.SHA256(strings.NewReader(string(raw)))
	if err != nil {
		return v1.Descriptor{}, nil, err
	}
	desc := v1.Descriptor{MediaType: types.MediaType(mediaType), Size: size, Digest: digest}
	_, blobs, err := transfer.Named(desc, raw)
	return desc, blobs, err
}
