package sandbox

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// A blobStore keeps each blob once, and knows which repositories have it. It
// may be used by several goroutines.
type blobStore struct {
	dir string

	mu      sync.Mutex
	blobs   map[v1.Hash]*spool
	repos   map[string]map[v1.Hash]bool
	uploads map[string]*upload // by id
}

func newBlobStore(dir string) *blobStore {
	return &blobStore{
		dir:     dir,
		blobs:   map[v1.Hash]*spool{},
		repos:   map[string]map[v1.Hash]bool{},
		uploads: map[string]*upload{},
	}
}

// get finds a blob that repo has.
func (b *blobStore) get(repo string, h v1.Hash) (*spool, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.blobs[h], b.repos[repo][h]
}

// mount gives repo a blob that another one has, and says false if it has not.
func (b *blobStore) mount(repo, from string, h v1.Hash) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.repos[from][h] {
		return false
	}
	b.link(repo, h)
	return true
}

func (b *blobStore) link(repo string, h v1.Hash) {
	if b.repos[repo] == nil {
		b.repos[repo] = map[v1.Hash]bool{}
	}
	b.repos[repo][h] = true
}

// add gives repo the blob that s holds, and takes s over.
func (b *blobStore) add(repo string, s *spool) error {
	h := s.digest()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.link(repo, h)
	if _, have := b.blobs[h]; have {
		return s.Close()
	}
	b.blobs[h] = s
	return nil
}

// used is the size of all blobs in repositories below prefix.
func (b *blobStore) used(prefix string) (n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	seen := map[v1.Hash]bool{}
	for repo, has := range b.repos {
		for h := range has {
			if strings.HasPrefix(repo, prefix) && !seen[h] {
				seen[h], n = true, n+b.blobs[h].size
			}
		}
	}
	return n
}

// close drops everything. Nobody may use the store at that time or later.
func (b *blobStore) close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var errs []error
	for _, s := range b.blobs {
		errs = append(errs, s.Close())
	}
	for _, u := range b.uploads {
		errs = append(errs, u.bytes.Close())
	}
	b.blobs, b.repos, b.uploads = nil, nil, nil
	return errors.Join(errs...)
}

// blob is GET and HEAD of a blob, in part too.
func (s *site) blob(w http.ResponseWriter, r *http.Request, rt route) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		unsupported(w)
		return
	}
	h, err := v1.NewHash(rt.ref)
	if err != nil {
		digestInvalid(w, rt.ref)
		return
	}
	spool, ok := s.blobs.get(rt.repo, h)
	if !ok {
		s.gen.words.missing(s, w, r, rt)
		return
	}
	fromRegistry(w)
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Cache-Control", "max-age=31536000")
	w.Header().Set("Docker-Content-Digest", h.String())
	w.Header().Set("Etag", `"`+h.String()+`"`)
	http.ServeContent(w, r, "", time.Time{}, io.NewSectionReader(spool, 0, spool.size))
}

func digestInvalid(w http.ResponseWriter, digest string) {
	fromRegistry(w)
	problem{
		status: http.StatusBadRequest, code: codeDigestInvalid, message: "provided digest did not match uploaded content",
		detail: map[string]any{"Digest": digest, "Reason": struct{}{}},
	}.write(w)
}
