package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const maxManifest = 4 << 20 // bytes, the least that the distribution spec lets a registry take

// Manifests keeps manifests and tags in go-containerregistry's registry, which
// is asked in process. Its answers are not shown as they are: it says less than
// Harbor does, and ignores the end of a list.
type manifests struct {
	inner http.Handler
}

func newManifests() manifests {
	return manifests{registry.New(
		registry.Logger(log.New(io.Discard, "", 0)),
		registry.WithReferrersSupport(true),
	)}
}

// A reply is an answer of the inner registry.
type reply struct {
	status int
	header http.Header
	body   bytes.Buffer
}

func (a *reply) Header() http.Header         { return a.header }
func (a *reply) Write(p []byte) (int, error) { return a.body.Write(p) }
func (a *reply) WriteHeader(status int)      { a.status = status }

func (m manifests) ask(method, path, mediaType string, body []byte) (*reply, error) {
	req, err := http.NewRequestWithContext(context.Background(), method, path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", mediaType)
	a := &reply{status: http.StatusOK, header: http.Header{}}
	m.inner.ServeHTTP(a, req)
	return a, nil
}

func manifestPath(repo, ref string) string { return "/v2/" + repo + "/manifests/" + ref }

// has says whether repo has a manifest of that tag or digest.
func (m manifests) has(repo, ref string) bool {
	a, err := m.ask(http.MethodHead, manifestPath(repo, ref), "", nil)
	return err == nil && a.status == http.StatusOK
}

// put keeps a manifest under its digest and under ref.
func (m manifests) put(repo, ref string, mediaType types.MediaType, raw []byte) error {
	a, err := m.ask(http.MethodPut, manifestPath(repo, ref), string(mediaType), raw)
	if err != nil {
		return err
	}
	if a.status != http.StatusCreated {
		return fmt.Errorf("keep manifest %s:%s: status %d", repo, ref, a.status)
	}
	return nil
}

// tags lists the tags of repo in order, and says false if there is no such
// repository: one begins with its first manifest.
func (m manifests) tags(repo string) ([]string, bool) {
	var list struct {
		Tags []string `json:"tags"`
	}
	a, err := m.ask(http.MethodGet, "/v2/"+repo+"/tags/list", "", nil)
	if err != nil || a.status != http.StatusOK || json.Unmarshal(a.body.Bytes(), &list) != nil {
		return nil, false
	}
	slices.Sort(list.Tags)
	return list.Tags, true
}

// repositories lists all of them in order.
func (m manifests) repositories() []string {
	var list struct {
		Repositories []string `json:"repositories"`
	}
	a, err := m.ask(http.MethodGet, "/v2/_catalog", "", nil)
	if err != nil || json.Unmarshal(a.body.Bytes(), &list) != nil {
		return nil
	}
	slices.Sort(list.Repositories)
	return list.Repositories
}

// manifest is GET, HEAD and PUT of a manifest.
func (s *site) manifest(w http.ResponseWriter, r *http.Request, rt route) {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		s.getManifest(w, rt)
	case http.MethodPut:
		s.putManifest(w, r, rt)
	default:
		unsupported(w)
	}
}

func (s *site) getManifest(w http.ResponseWriter, rt route) {
	a, err := s.manifests.ask(http.MethodGet, manifestPath(rt.repo, rt.ref), "", nil)
	if err != nil || a.status != http.StatusOK {
		s.noArtifact(w, rt)
		return
	}
	digest := a.header.Get("Docker-Content-Digest")
	fromRegistry(w)
	w.Header().Set("Content-Type", a.header.Get("Content-Type"))
	w.Header().Set("Content-Length", strconv.Itoa(a.body.Len()))
	w.Header().Set("Docker-Content-Digest", digest)
	w.Header().Set("Etag", `"`+digest+`"`)
	_, _ = w.Write(a.body.Bytes()) // not sent in answer to HEAD
}

// noArtifact tells a missing repository from a missing tag or digest.
func (s *site) noArtifact(w http.ResponseWriter, rt route) {
	what := "repository " + rt.repo
	if _, found := s.manifests.tags(rt.repo); found {
		separator := ":"
		if isDigest(rt.ref) {
			separator = "@"
		}
		what = "artifact " + rt.repo + separator + rt.ref
	}
	problem{status: http.StatusNotFound, code: codeNotFound, message: what + " not found"}.write(w)
}

func isDigest(ref string) bool { return strings.ContainsRune(ref, ':') }

// putManifest keeps a manifest only if all that it names is there.
func (s *site) putManifest(w http.ResponseWriter, r *http.Request, rt route) {
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxManifest))
	if err != nil {
		problem{status: http.StatusRequestEntityTooLarge, code: codeInvalid, message: "manifest larger than 4 MiB"}.write(w)
		return
	}
	digest, _, _ := v1.SHA256(bytes.NewReader(raw)) // reading memory does not fail
	if isDigest(rt.ref) && rt.ref != digest.String() {
		digestInvalid(w, rt.ref)
		return
	}
	mediaType := types.MediaType(r.Header.Get("Content-Type"))
	if p := s.checkManifest(rt.repo, mediaType, raw); p != nil {
		p.write(w)
		return
	}
	if err := s.manifests.put(rt.repo, rt.ref, mediaType, raw); err != nil {
		problem{status: http.StatusInternalServerError, code: codeInternal, message: "unknown error"}.write(w)
		return
	}
	fromRegistry(w)
	s.created(w, r, rt.repo, "manifests", digest)
}

// checkManifest returns nil for a manifest or index whose parts repo has.
func (s *site) checkManifest(repo string, mediaType types.MediaType, raw []byte) *problem {
	invalid := func(err error) *problem {
		return &problem{status: http.StatusBadRequest, code: codeInvalid, message: fmt.Sprintf("unmarshal manifest failed: %v", err)}
	}
	switch {
	case mediaType.IsIndex():
		index, err := v1.ParseIndexManifest(bytes.NewReader(raw))
		if err != nil {
			return invalid(err)
		}
		for _, d := range index.Manifests {
			if !s.manifests.has(repo, d.Digest.String()) {
				return unknownPart(d.Digest)
			}
		}
	case mediaType.IsImage():
		manifest, err := v1.ParseManifest(bytes.NewReader(raw))
		if err != nil {
			return invalid(err)
		}
		for _, d := range append([]v1.Descriptor{manifest.Config}, manifest.Layers...) {
			if _, ok := s.blobs.get(repo, d.Digest); !ok && d.MediaType.IsDistributable() {
				return unknownPart(d.Digest)
			}
		}
	default:
		return invalid(fmt.Errorf("unsupported media type %q", mediaType))
	}
	return nil
}

func unknownPart(h v1.Hash) *problem {
	return &problem{status: http.StatusBadRequest, code: "MANIFEST_BLOB_UNKNOWN", message: "blob unknown to registry", detail: h.String()}
}

// referrers lists the manifests whose subject is rt.ref.
func (s *site) referrers(w http.ResponseWriter, r *http.Request, rt route) {
	if r.Method != http.MethodGet {
		unsupported(w)
		return
	}
	a, err := s.manifests.ask(http.MethodGet, "/v2/"+rt.repo+"/referrers/"+rt.ref, "", nil)
	if err != nil || a.status != http.StatusOK {
		problem{status: http.StatusNotFound, code: codeNotFound, message: "repository " + rt.repo + " not found"}.write(w)
		return
	}
	w.Header().Set("Content-Type", a.header.Get("Content-Type"))
	_, _ = w.Write(a.body.Bytes())
}

// tags is GET of the list of tags.
func (s *site) tags(w http.ResponseWriter, r *http.Request, rt route) {
	if r.Method != http.MethodGet {
		unsupported(w)
		return
	}
	all, found := s.manifests.tags(rt.repo)
	if !found {
		s.noArtifact(w, rt)
		return
	}
	if page, ok := onePage(w, r, all); ok {
		writeJSON(w, http.StatusOK, struct {
			Name string   `json:"name"`
			Tags []string `json:"tags"`
		}{rt.repo, page})
	}
}

// catalog is GET of the list of repositories; only an administrator gets here.
func (s *site) catalog(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		unsupported(w)
		return
	}
	if page, ok := onePage(w, r, s.manifests.repositories()); ok {
		writeJSON(w, http.StatusOK, struct {
			Repositories []string `json:"repositories"`
		}{page})
	}
}

// onePage cuts out of a sorted list what comes after the query's last, n of it,
// and says by a relative Link where it goes on. It answers a bad n itself.
func onePage(w http.ResponseWriter, r *http.Request, all []string) (page []string, ok bool) {
	query := r.URL.Query()
	i, found := slices.BinarySearch(all, query.Get("last"))
	if found {
		i++
	}
	page = append([]string{}, all[i:]...)
	if !query.Has("n") {
		return page, true
	}
	n, err := strconv.Atoi(query.Get("n"))
	if err != nil || n < 1 {
		problem{status: http.StatusBadRequest, code: codeBadRequest, message: "bad request: the N must be a positive int type"}.write(w)
		return nil, false
	}
	if n < len(page) {
		page = page[:n]
		query.Set("last", page[n-1])
		w.Header().Set("Link", fmt.Sprintf(`<%s?%s>; rel="next"`, r.URL.Path, query.Encode()))
	}
	return page, true
}
