package testkit

import (
	"crypto/sha256"
	"encoding"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
)

// A Broken is what a registry does with what arrived of a request that broke.
type Broken int

// The ways of registries, as executed or read in their source.
const (
	KeepsBytes   Broken = iota // Distribution 3: the upload goes on after the last byte
	KeepsParts                 // what came in a whole request stays, as where a part is an object of its own
	DropsUploads               // Distribution 2: the upload cannot be reached any more
)

// An UploadRegistry takes images over HTTP, breaks connections as it is told,
// and counts what arrives. It keeps the digests of blobs and none of their bytes.
type UploadRegistry struct {
	Broken   Broken
	CutEvery int64 // the connection is cut each time that so many bytes of blobs have come; 0: never
	// Before sees every request, and answers it and says so, or lets it through.
	Before func(http.ResponseWriter, *http.Request) bool
	// Lose says of a request that was served whether its answer is lost.
	Lose func(*http.Request) bool

	mu        sync.Mutex
	at        func(size, received int64) bool
	last      int
	uploads   map[string]*takenUpload
	blobs     map[string]int64 // by repository@digest, in bytes
	manifests map[string][]byte
	received  int64
	cuts      int
	requests  []string
}

type takenUpload struct {
	repository string
	size       int64
	sum        hash.Hash
}

// Watch has f called when an upload has reached a size, with the bytes that the
// registry took in all so far; true cuts the connection. It may be nil.
func (u *UploadRegistry) Watch(f func(size, received int64) bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.at = f
}

// Received is how many bytes of blobs arrived, in all requests together.
func (u *UploadRegistry) Received() int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.received
}

// Cuts is how many connections were cut by CutEvery or Watch.
func (u *UploadRegistry) Cuts() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.cuts
}

// Requests are the methods of all requests and what they were about, as in
// "PATCH uploads".
func (u *UploadRegistry) Requests() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]string(nil), u.requests...)
}

// Has says whether a repository has a blob or manifest.
func (u *UploadRegistry) Has(repository, digest string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	_, blob := u.blobs[repository+"@"+digest]
	_, manifest := u.manifests[repository+"@"+digest]
	return blob || manifest
}

// Give lets a repository have a blob.
func (u *UploadRegistry) Give(repository, digest string, size int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.ready()
	u.blobs[repository+"@"+digest] = size
}

// Forget drops all uploads that have begun, and says how many there were.
func (u *UploadRegistry) Forget() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	n := len(u.uploads)
	u.uploads = map[string]*takenUpload{}
	return n
}

// Uploads is how many have begun and are not over.
func (u *UploadRegistry) Uploads() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.uploads)
}

func (u *UploadRegistry) ready() {
	if u.uploads == nil {
		u.uploads, u.blobs, u.manifests = map[string]*takenUpload{}, map[string]int64{}, map[string][]byte{}
	}
}

// ServeHTTP is the API of a registry, as far as pushing goes.
func (u *UploadRegistry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	repository, kind, name := splitPath(r.URL.Path)
	u.mu.Lock()
	u.ready()
	u.requests = append(u.requests, strings.TrimSpace(r.Method+" "+kind))
	u.mu.Unlock()
	if u.Before != nil && u.Before(w, r) {
		return
	}
	out := &heldAnswer{header: http.Header{}, status: http.StatusOK}
	switch kind {
	case "":
	case "uploads":
		u.serveUpload(out, r, repository, name)
	case "blobs":
		u.serveBlob(out, repository, name)
	case "manifests":
		u.serveManifest(out, r, repository, name)
	}
	if u.Lose != nil && u.Lose(r) {
		panic(http.ErrAbortHandler)
	}
	out.send(w)
}

// splitPath takes /v2/REPOSITORY/KIND/NAME apart.
func splitPath(path string) (repository, kind, name string) {
	path = strings.TrimPrefix(path, "/v2/")
	for _, kind := range []string{"/blobs/uploads/", "/blobs/", "/manifests/"} {
		if repository, name, ok := strings.Cut(path, kind); ok {
			return repository, strings.TrimPrefix(strings.Trim(kind, "/"), "blobs/"), name
		}
	}
	return path, "", ""
}

// A heldAnswer waits until it is known whether it gets lost.
type heldAnswer struct {
	header http.Header
	status int
	body   []byte
}

func (a *heldAnswer) fail(status int, code string) {
	a.status, a.body = status, fmt.Appendf(nil, `{"errors":[{"code":%q}]}`, code)
	a.header.Set("Content-Type", "application/json")
}

func (a *heldAnswer) send(w http.ResponseWriter) {
	for k, v := range a.header {
		w.Header()[k] = v
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body)
}

func (u *UploadRegistry) serveBlob(w *heldAnswer, repository, digest string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	size, ok := u.blobs[repository+"@"+digest]
	if !ok {
		w.fail(http.StatusNotFound, "BLOB_UNKNOWN")
		return
	}
	w.header.Set("Content-Length", strconv.FormatInt(size, 10))
	w.header.Set("Docker-Content-Digest", digest)
}

func (u *UploadRegistry) serveManifest(w *heldAnswer, r *http.Request, repository, name string) {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if r.Method != http.MethodPut {
		if raw = u.manifests[repository+"@"+name]; raw == nil {
			w.fail(http.StatusNotFound, "MANIFEST_UNKNOWN")
			return
		}
	}
	digest := sumOf(raw)
	w.header.Set("Docker-Content-Digest", digest)
	if r.Method == http.MethodPut {
		u.manifests[repository+"@"+name], u.manifests[repository+"@"+digest] = raw, raw
		w.status = http.StatusCreated
	}
}

func sumOf(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func (u *UploadRegistry) serveUpload(w *heldAnswer, r *http.Request, repository, id string) {
	q := r.URL.Query()
	u.mu.Lock()
	if r.Method == http.MethodPost {
		defer u.mu.Unlock()
		u.begin(w, repository, q)
		return
	}
	up := u.uploads[id]
	if up != nil && q.Get("_state") != strconv.FormatInt(up.size, 10) && (u.Broken == DropsUploads || r.Method != http.MethodGet) {
		u.mu.Unlock()
		w.fail(map[bool]int{true: http.StatusNotFound, false: http.StatusRequestedRangeNotSatisfiable}[u.Broken == DropsUploads], "BLOB_UPLOAD_INVALID")
		return
	}
	u.mu.Unlock()
	if up == nil || up.repository != repository {
		w.fail(http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN")
		return
	}
	switch r.Method {
	case http.MethodGet:
		u.tell(w, id, up, http.StatusNoContent)
	case http.MethodDelete:
		u.over(id)
		w.status = http.StatusNoContent
	default:
		u.take(w, r, id, up)
	}
}

func (u *UploadRegistry) begin(w *heldAnswer, repository string, q url.Values) {
	digest := q.Get("mount")
	if size, ok := u.blobs[q.Get("from")+"@"+digest]; ok {
		u.blobs[repository+"@"+digest] = size
		w.header.Set("Docker-Content-Digest", digest)
		w.status = http.StatusCreated
		return
	}
	u.last++
	id := strconv.Itoa(u.last)
	u.uploads[id] = &takenUpload{repository: repository, sum: sha256.New()}
	w.header.Set("Location", "/v2/"+repository+"/blobs/uploads/"+id+"?_state=0")
	w.status = http.StatusAccepted
}

func (u *UploadRegistry) tell(w *heldAnswer, id string, up *takenUpload, status int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	w.header.Set("Location", fmt.Sprintf("/v2/%s/blobs/uploads/%s?_state=%d", up.repository, id, up.size))
	w.header.Set("Range", fmt.Sprintf("0-%d", max(0, up.size-1)))
	w.status = status
}

func (u *UploadRegistry) over(id string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.uploads, id)
}

// take takes the body of a PATCH or PUT.
func (u *UploadRegistry) take(w *heldAnswer, r *http.Request, id string, up *takenUpload) {
	if header := r.Header.Get("Content-Range"); header != "" {
		if first, _, _ := strings.Cut(header, "-"); first != strconv.FormatInt(up.size, 10) {
			w.fail(http.StatusRequestedRangeNotSatisfiable, "RANGE_INVALID")
			return
		}
	}
	before, _ := up.sum.(encoding.BinaryMarshaler).MarshalBinary() // never fails
	size := up.size
	if !u.read(r.Body, up) {
		if u.Broken == KeepsParts {
			u.mu.Lock()
			_ = up.sum.(encoding.BinaryUnmarshaler).UnmarshalBinary(before) // its own
			up.size = size
			u.mu.Unlock()
		}
		panic(http.ErrAbortHandler)
	}
	if r.Method == http.MethodPatch {
		u.tell(w, id, up, http.StatusAccepted)
		return
	}
	u.over(id)
	want := r.URL.Query().Get("digest")
	if got := "sha256:" + hex.EncodeToString(up.sum.Sum(nil)); got != want {
		w.fail(http.StatusBadRequest, "DIGEST_INVALID")
		return
	}
	u.Give(up.repository, want, up.size)
	w.header.Set("Docker-Content-Digest", want)
	w.status = http.StatusCreated
}

// read takes all of body, or false if the connection broke or is to be cut.
func (u *UploadRegistry) read(body io.Reader, up *takenUpload) bool {
	const most = 32 << 10 // bytes
	buffer := make([]byte, most)
	for {
		n, err := body.Read(buffer[:u.untilCut(most)])
		u.mu.Lock()
		_, _ = up.sum.Write(buffer[:n]) // never fails
		up.size += int64(n)
		u.received += int64(n)
		size, received, at := up.size, u.received, u.at
		cut := n > 0 && u.CutEvery > 0 && u.received%u.CutEvery == 0
		u.mu.Unlock()
		if n > 0 && at != nil && at(size, received) {
			cut = true
		}
		if cut {
			u.mu.Lock()
			u.cuts++
			u.mu.Unlock()
			return false
		}
		if err != nil {
			return err == io.EOF //nolint:errorlint // a reader's end is this very value
		}
	}
}

// untilCut is how many bytes may be read before the next cut, at most so many.
func (u *UploadRegistry) untilCut(most int64) int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.CutEvery <= 0 {
		return most
	}
	return min(most, u.CutEvery-u.received%u.CutEvery)
}
