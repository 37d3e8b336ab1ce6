package sandbox

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// An upload is a blob that is not whole yet.
type upload struct {
	id    string
	repo  string
	state string // what every request about it has to bring as _state

	writing sync.Mutex // held by the one request that adds bytes
	over    bool       // committed or cancelled; guarded by writing
	bytes   *spool     // written under writing and mu

	mu   sync.Mutex
	size int64
}

// Write lets others see the size while bytes come in. Writing must be held.
func (u *upload) Write(p []byte) (int, error) {
	n, err := u.bytes.Write(p)
	u.mu.Lock()
	u.size += int64(n)
	u.mu.Unlock()
	if err != nil {
		return n, &storageError{err}
	}
	return n, nil
}

func (u *upload) length() int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.size
}

// A storageError says that bytes could not be kept: the client is not at fault.
type storageError struct{ err error }

func (e *storageError) Error() string { return e.err.Error() }
func (e *storageError) Unwrap() error { return e.err }

// begin makes an upload for repo.
func (b *blobStore) begin(repo string) *upload {
	u := &upload{id: newUUID(), repo: repo, state: rand.Text(), bytes: newSpool(b.dir)}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.uploads[u.id] = u
	return u
}

// find looks an upload up.
func (b *blobStore) find(repo, id string) (*upload, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	u, ok := b.uploads[id]
	return u, ok && u.repo == repo
}

// forget ends an upload. Writing must be held.
func (b *blobStore) forget(u *upload) {
	u.over = true
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.uploads, u.id)
}

// newUUID is a random one, RFC 9562 section 5.4.
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// beginUpload mounts a blob from another repository or begins an upload. As in
// Harbor a digest in the query does not make the POST a whole upload.
func (s *site) beginUpload(w http.ResponseWriter, r *http.Request, rt route) {
	if r.Method != http.MethodPost {
		unsupported(w)
		return
	}
	fromRegistry(w)
	if from := mountFrom(r); from != "" && (!s.policy.NoMount || from == rt.repo) {
		h, err := v1.NewHash(r.URL.Query().Get("mount"))
		if err == nil && s.blobs.mount(rt.repo, from, h) {
			s.created(w, r, rt.repo, "blobs", h)
			return
		}
	}
	s.uploadState(w, r, s.blobs.begin(rt.repo), http.StatusAccepted)
}

// created says 201 and where the new thing is.
func (s *site) created(w http.ResponseWriter, r *http.Request, repo, what string, h v1.Hash) {
	w.Header().Set("Location", fmt.Sprintf("%s/v2/%s/%s/%s", s.origin(r), repo, what, h))
	w.Header().Set("Docker-Content-Digest", h.String())
	w.WriteHeader(http.StatusCreated)
}

// uploadState says where an upload goes on and how far it is.
func (s *site) uploadState(w http.ResponseWriter, r *http.Request, u *upload, status int) {
	s.uploadHeader(w, r, u)
	w.WriteHeader(status)
}

func (s *site) uploadHeader(w http.ResponseWriter, r *http.Request, u *upload) {
	query, origin := url.Values{"_state": {u.state}}, s.origin(r)
	if s.policy.InsecureLocation {
		origin = "http://" + r.Host
	}
	w.Header().Set("Location", fmt.Sprintf("%s/v2/%s/blobs/uploads/%s?%s", origin, u.repo, u.id, query.Encode()))
	w.Header().Set("Docker-Upload-Uuid", u.id)
	w.Header().Set("Range", fmt.Sprintf("0-%d", max(u.length()-1, 0)))
}

// upload is everything about an upload that has begun.
func (s *site) upload(w http.ResponseWriter, r *http.Request, rt route) {
	fromRegistry(w)
	u, ok := s.blobs.find(rt.repo, rt.ref)
	if !ok {
		uploadUnknown(w)
		return
	}
	if r.URL.Query().Get("_state") != u.state {
		problem{status: http.StatusNotFound, code: "BLOB_UPLOAD_INVALID", message: "blob upload invalid"}.write(w)
		return
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		s.uploadState(w, r, u, http.StatusNoContent)
	case http.MethodPatch, http.MethodPut, http.MethodDelete:
		u.writing.Lock()
		defer u.writing.Unlock()
		if u.over {
			uploadUnknown(w)
			return
		}
		s.changeUpload(w, r, u)
	default:
		unsupported(w)
	}
}

// changeUpload is a request that holds writing.
func (s *site) changeUpload(w http.ResponseWriter, r *http.Request, u *upload) {
	if r.Method == http.MethodDelete {
		s.blobs.forget(u)
		_ = u.bytes.Close() // it is gone for the client either way
		w.WriteHeader(http.StatusNoContent)
		return
	}
	var want v1.Hash
	if r.Method == http.MethodPut {
		var err error
		digest := r.URL.Query().Get("digest")
		if want, err = v1.NewHash(digest); err != nil || want.Algorithm != algorithm {
			digestInvalid(w, digest)
			return
		}
	}
	if !continues(r, u.length()) {
		s.uploadHeader(w, r, u)
		problem{status: http.StatusRequestedRangeNotSatisfiable, code: "RANGE_INVALID", message: "invalid content range"}.write(w)
		return
	}
	if _, err := io.Copy(u, r.Body); err != nil {
		cutShort(w, err)
		return
	}
	if r.Method == http.MethodPatch {
		s.uploadState(w, r, u, http.StatusAccepted)
		return
	}
	s.finishUpload(w, r, u, want)
}

// finishUpload makes the upload a blob if its bytes are the right ones, and
// drops it if not.
func (s *site) finishUpload(w http.ResponseWriter, r *http.Request, u *upload, want v1.Hash) {
	s.blobs.forget(u)
	if s.overQuota(w, u.repo, u.length()) {
		_ = u.bytes.Close()
		return
	}
	if u.bytes.digest() != want {
		_ = u.bytes.Close()
		digestInvalid(w, want.String())
		return
	}
	if err := s.blobs.add(u.repo, u.bytes); err != nil {
		cutShort(w, &storageError{err})
		return
	}
	s.created(w, r, u.repo, "blobs", want)
}

// continues says whether the body of r goes on where the upload ends. Without
// a Content-Range it does; START-END is how the distribution spec writes it.
func continues(r *http.Request, size int64) bool {
	header := r.Header.Get("Content-Range")
	if header == "" {
		return true
	}
	first, last, _ := strings.Cut(strings.TrimPrefix(header, "bytes "), "-")
	last, _, _ = strings.Cut(last, "/")
	start, err1 := strconv.ParseInt(first, 10, 64)
	end, err2 := strconv.ParseInt(last, 10, 64)
	if err1 != nil || err2 != nil || start != size || end < start-1 {
		return false
	}
	return r.ContentLength < 0 || r.ContentLength == end-start+1
}

func uploadUnknown(w http.ResponseWriter) {
	problem{status: http.StatusNotFound, code: "BLOB_UPLOAD_UNKNOWN", message: "blob upload unknown to registry"}.write(w)
}

// cutShort answers a body that did not come whole, should anybody still listen;
// what did come is kept.
func cutShort(w http.ResponseWriter, err error) {
	if isTooLarge(err) {
		tooLarge(w)
		return
	}
	if _, ours := errors.AsType[*storageError](err); ours {
		problem{status: http.StatusInternalServerError, code: codeInternal, message: "unknown error"}.write(w)
		return
	}
	problem{status: http.StatusBadRequest, code: "BLOB_UPLOAD_INVALID", message: "blob upload invalid"}.write(w)
}
