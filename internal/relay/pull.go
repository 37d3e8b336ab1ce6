package relay

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/transfer"
)

const copyBuffer = 256 << 10 // bytes

// A Pull is one image on its way to the engine. It gives out what its name
// stands for and what that names, verified, and nothing else.
type Pull struct {
	relay *Relay
	repo  string
	tag   string
	src   transfer.Source
	root  v1.Descriptor

	mu        sync.Mutex
	manifests map[v1.Hash]*document
	blobs     map[v1.Hash]v1.Descriptor
	served    map[v1.Hash]int64 // bytes of blobs that went to the engine
}

// A document is a manifest or index that something given out names.
type document struct {
	desc  v1.Descriptor
	raw   []byte // nil: not asked for yet
	blobs []v1.Descriptor
}

// Pull has the relay give out, as REPOSITORY:TAG, what src's name stands for:
// root, whose bytes are raw. Errors are [*transfer.DigestError] and
// [*transfer.ManifestError].
func (s *Relay) Pull(repository, tag string, src transfer.Source, root v1.Descriptor, raw []byte) (*Pull, error) {
	p := &Pull{
		relay: s, repo: repository, tag: tag, src: src, root: root,
		manifests: map[v1.Hash]*document{root.Digest: {desc: root}}, blobs: map[v1.Hash]v1.Descriptor{}, served: map[v1.Hash]int64{},
	}
	if err := p.learn(p.manifests[root.Digest], raw); err != nil {
		return nil, err
	}
	s.open(p)
	return p, nil
}

// Served is how many bytes of blobs went to the engine.
func (p *Pull) Served() (bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range p.served {
		bytes += n
	}
	return bytes
}

// IDs are what an engine may call what it pulled: the digests of the manifests
// that it was given, and of their configs.
func (p *Pull) IDs() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var ids []string
	for digest, d := range p.manifests {
		if d.raw == nil {
			continue
		}
		ids = append(ids, digest.String())
		if len(d.blobs) > 0 {
			ids = append(ids, d.blobs[0].Digest.String())
		}
	}
	slices.Sort(ids)
	return ids
}

// learn verifies a manifest and lets through what it names.
func (p *Pull) learn(d *document, raw []byte) error {
	manifests, blobs, err := transfer.Named(d.desc, raw)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	d.raw, d.blobs = raw, blobs
	for _, m := range manifests {
		if p.manifests[m.Digest] == nil {
			p.manifests[m.Digest] = &document{desc: m}
		}
	}
	for _, b := range blobs {
		p.blobs[b.Digest] = b
	}
	return nil
}

func (p *Pull) repository() string { return p.repo }
func (p *Pull) end()               {}

func (p *Pull) serve(w http.ResponseWriter, r *http.Request, path string) {
	kind, name, _ := strings.Cut(path, "/")
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		refuse(w, http.StatusMethodNotAllowed, "UNSUPPORTED")
	case kind == "manifests":
		p.manifest(w, r, name)
	case kind == "blobs":
		p.blob(w, r, name)
	default:
		refuse(w, http.StatusNotFound, "UNSUPPORTED")
	}
}

func (p *Pull) manifest(w http.ResponseWriter, r *http.Request, name string) {
	digest := p.root.Digest
	if name != p.tag {
		digest, _ = v1.NewHash(name) // what is none is not found
	}
	p.mu.Lock()
	d := p.manifests[digest]
	p.mu.Unlock()
	if d == nil {
		refuse(w, http.StatusNotFound, "MANIFEST_UNKNOWN")
		return
	}
	raw, err := p.fetch(r.Context(), d)
	if err != nil {
		p.relay.fail(r.Context(), err)
		denied(w)
		return
	}
	h := w.Header()
	h.Set("Content-Type", string(d.desc.MediaType))
	h.Set("Docker-Content-Digest", digest.String())
	h.Set("Content-Length", strconv.Itoa(len(raw)))
	if r.Method == http.MethodGet {
		_, _ = w.Write(raw) // the engine may be gone
	}
}

// fetch is the bytes of a manifest, got once.
func (p *Pull) fetch(ctx context.Context, d *document) ([]byte, error) {
	p.mu.Lock()
	raw := d.raw
	p.mu.Unlock()
	if raw != nil {
		return raw, nil
	}
	raw, err := p.src.Manifest(ctx, d.desc)
	if err == nil {
		err = p.learn(d, raw)
	}
	return raw, err
}

func (p *Pull) blob(w http.ResponseWriter, r *http.Request, name string) {
	digest, err := v1.NewHash(name)
	p.mu.Lock()
	desc, ok := p.blobs[digest]
	p.mu.Unlock()
	if err != nil || !ok || !desc.MediaType.IsDistributable() {
		refuse(w, http.StatusNotFound, "BLOB_UNKNOWN")
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Docker-Content-Digest", digest.String())
	h.Set("Accept-Ranges", "bytes")
	from := restFrom(r.Header.Get("Range"), desc.Size)
	h.Set("Content-Length", strconv.FormatInt(desc.Size-from, 10))
	if r.Method == http.MethodHead {
		return
	}
	body, err := open(r.Context(), p.src, desc, from)
	if err != nil {
		h.Del("Content-Length")
		p.relay.fail(r.Context(), err)
		denied(w)
		return
	}
	if from > 0 {
		last := strconv.FormatInt(desc.Size-1, 10)
		h.Set("Content-Range", "bytes "+strconv.FormatInt(from, 10)+"-"+last+"/"+strconv.FormatInt(desc.Size, 10))
		w.WriteHeader(http.StatusPartialContent)
	}
	err = p.send(w, body, desc)
	if closing := body.Close(); err == nil {
		err = closing
	}
	if err != nil {
		if !errors.Is(err, errEngine) {
			p.relay.fail(r.Context(), err)
		}
		panic(http.ErrAbortHandler) // the engine sees that something is missing
	}
}

// errEngine says that the engine did not take on what it asked for.
var errEngine = errors.New("the engine went away")

// send is [io.Copy] that counts. An engine that goes away is no failure of the
// registry: it may ask again.
func (p *Pull) send(w io.Writer, body io.Reader, desc v1.Descriptor) error {
	buffer := make([]byte, copyBuffer)
	for {
		n, err := body.Read(buffer)
		if n > 0 {
			p.mu.Lock()
			p.served[desc.Digest] = min(desc.Size, p.served[desc.Digest]+int64(n))
			p.mu.Unlock()
			if _, err := w.Write(buffer[:n]); err != nil {
				return errEngine
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// restFrom is where the rest of size bytes begins that a Range header asks for;
// 0 for all of it, as for anything else that it may say (RFC 9110 section 14.2).
func restFrom(header string, size int64) int64 {
	text, ok := strings.CutPrefix(header, "bytes=")
	if !ok {
		return 0
	}
	text, last, ok := strings.Cut(text, "-")
	if !ok || last != "" && last != strconv.FormatInt(size-1, 10) {
		return 0
	}
	from, err := strconv.ParseInt(text, 10, 64)
	if err != nil || from < 0 || from >= size {
		return 0
	}
	return from
}

// open opens a blob at offset. From 0 on it is verified; who goes on behind
// bytes that it has verifies the whole itself, as engines do.
func open(ctx context.Context, src transfer.Source, desc v1.Descriptor, offset int64) (io.ReadCloser, error) {
	rc, err := src.Blob(ctx, desc, offset)
	if err != nil || offset > 0 {
		return rc, err
	}
	v, err := transfer.Verify(rc, desc)
	if err != nil {
		_ = rc.Close() // nothing was read of it
	}
	return v, err
}
