package sandbox

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const maxManifest = 4 << 20 // bytes, the least that the distribution spec lets a registry take

// manifest is GET, HEAD, PUT and DELETE of a manifest.
func (s *site) manifest(w http.ResponseWriter, r *http.Request, rt route) {
	switch {
	case r.Method == http.MethodGet, r.Method == http.MethodHead:
		s.getManifest(w, r, rt)
	case r.Method == http.MethodPut:
		s.putManifest(w, r, rt)
	case r.Method == http.MethodDelete && s.gen.words.deletes && isDigest(rt.ref):
		if !s.manifests.remove(rt.repo, rt.ref) {
			s.gen.words.missing(s, w, r, rt)
			return
		}
		fromRegistry(w)
		w.WriteHeader(http.StatusAccepted)
	default:
		unsupported(w)
	}
}

func (s *site) getManifest(w http.ResponseWriter, r *http.Request, rt route) {
	a, ok := s.manifests.get(rt.repo, rt.ref)
	if !ok {
		s.gen.words.missing(s, w, r, rt)
		return
	}
	if r.Method == http.MethodGet && s.notes(r, string(a.mediaType)) {
		s.manifests.pulled(rt.repo, rt.ref, a.digest)
	}
	fromRegistry(w)
	w.Header().Set("Content-Type", string(a.mediaType))
	w.Header().Set("Content-Length", strconv.Itoa(len(a.raw)))
	w.Header().Set("Docker-Content-Digest", a.digest)
	w.Header().Set("Etag", `"`+a.digest+`"`)
	_, _ = w.Write(a.raw) // not sent in answer to HEAD
}

// notes says whether Harbor takes note of a push or a pull by r.
func (s *site) notes(r *http.Request, mediaType string) bool {
	return s.gen.words.records == nil || s.gen.words.records(r.UserAgent(), mediaType)
}

// noArtifact is how core says what is missing: it tells a repository from a tag
// or digest, and leaves a blob to the registry unless it is asked by HEAD.
func (s *site) noArtifact(w http.ResponseWriter, r *http.Request, rt route) {
	if rt.kind == kindBlob {
		what := problem{status: http.StatusNotFound, code: codeNotFound, message: "blob " + rt.ref + " not found"}
		if r.Method != http.MethodHead {
			fromRegistry(w)
			what = blobUnknown(rt.ref)
		}
		what.write(w)
		return
	}
	what := "repository " + rt.repo
	if _, found := s.manifests.find(rt.repo); found && rt.ref != "" {
		separator := ":"
		if isDigest(rt.ref) {
			separator = "@"
		}
		what = "artifact " + rt.repo + separator + rt.ref
	}
	problem{status: http.StatusNotFound, code: codeNotFound, message: what + " not found"}.write(w)
}

// unknownManifest is how Distribution says it.
func (s *site) unknownManifest(w http.ResponseWriter, _ *http.Request, rt route) {
	p := problem{status: http.StatusNotFound, code: "MANIFEST_UNKNOWN", message: "manifest unknown", detail: map[string]string{"Tag": rt.ref}}
	switch {
	case rt.kind == kindBlob:
		p = blobUnknown(rt.ref)
	case rt.kind == kindTags:
		p.code, p.message, p.detail = "NAME_UNKNOWN", "repository name not known to registry", map[string]string{"name": rt.repo}
	case isDigest(rt.ref):
		p.detail = map[string]string{"Name": rt.repo, "Revision": rt.ref}
	}
	p.write(w)
}

func blobUnknown(digest string) problem {
	return problem{status: http.StatusNotFound, code: codeBlobUnknown, message: "blob unknown to registry", detail: digest}
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
	if s.gen.words.noLists && strings.Contains(string(mediaType), "manifest.list.v2") {
		s.gen.words.refusal.write(w, http.StatusUnsupportedMediaType, "UNSUPPORTED_MEDIA_TYPE", "Manifest.list is not supported.")
		return
	}
	if p := s.checkManifest(rt.repo, mediaType, raw); p != nil {
		p.write(w)
		return
	}
	if s.overQuota(w, rt.repo, int64(len(raw))) {
		return
	}
	s.manifests.put(rt.repo, rt.ref, mediaType, raw, s.notes(r, string(mediaType)))
	fromRegistry(w)
	if a, ok := s.manifests.get(rt.repo, digest.String()); ok && s.gen.words.referrers && a.parts.Subject != nil {
		// Harbor says that it knows what this is about (src/server/middleware/subject).
		w.Header().Set("Oci-Subject", a.parts.Subject.Digest.String())
	}
	s.created(w, r, rt.repo, "manifests", digest)
}

// checkManifest returns nil for a manifest or index whose parts repo has.
func (s *site) checkManifest(repo string, mediaType types.MediaType, raw []byte) *problem {
	switch {
	case s.policy.NoOCI && strings.Contains(string(mediaType), ".oci."):
		return invalidManifest(nil)
	case mediaType.IsIndex():
		index, err := v1.ParseIndexManifest(bytes.NewReader(raw))
		if err != nil {
			return s.gen.words.invalid(err)
		}
		for _, d := range index.Manifests {
			if !s.manifests.has(repo, d.Digest.String()) {
				return unknownPart(d.Digest)
			}
		}
	case mediaType.IsImage():
		manifest, err := v1.ParseManifest(bytes.NewReader(raw))
		if err != nil {
			return s.gen.words.invalid(err)
		}
		for _, d := range append([]v1.Descriptor{manifest.Config}, manifest.Layers...) {
			if _, ok := s.blobs.get(repo, d.Digest); !ok && d.MediaType.IsDistributable() {
				return unknownPart(d.Digest)
			}
		}
	default:
		return s.gen.words.invalid(fmt.Errorf("unsupported media type %q", mediaType))
	}
	return nil
}

func invalidToCore(err error) *problem {
	return &problem{status: http.StatusBadRequest, code: codeInvalid, message: fmt.Sprintf("unmarshal manifest failed: %v", err)}
}

func invalidManifest(error) *problem {
	return &problem{status: http.StatusBadRequest, code: codeInvalid, message: "manifest invalid", detail: struct{}{}}
}

func unknownPart(h v1.Hash) *problem {
	return &problem{status: http.StatusBadRequest, code: "MANIFEST_BLOB_UNKNOWN", message: "blob unknown to registry", detail: h.String(), registry: true}
}

// referrers lists the manifests whose subject is rt.ref.
func (s *site) referrers(w http.ResponseWriter, r *http.Request, rt route) {
	if r.Method != http.MethodGet {
		unsupported(w)
		return
	}
	if _, found := s.manifests.find(rt.repo); !found {
		problem{status: http.StatusNotFound, code: codeNotFound, message: "repository " + rt.repo + " not found"}.write(w)
		return
	}
	index := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{}}
	only := r.URL.Query().Get("artifactType")
	for _, a := range s.manifests.referrers(rt.repo, rt.ref) {
		d := v1.Descriptor{
			MediaType: a.mediaType, Size: int64(len(a.raw)), ArtifactType: a.parts.artifactType(), Annotations: a.parts.Annotations,
		}
		d.Digest, _ = v1.NewHash(a.digest) // it is one
		if only == "" || only == d.ArtifactType {
			index.Manifests = append(index.Manifests, d)
		}
	}
	if only != "" {
		w.Header().Set("Oci-Filters-Applied", "artifactType")
	}
	w.Header().Set("Content-Type", string(types.OCIImageIndex))
	w.Header().Set("X-Total-Count", strconv.Itoa(len(index.Manifests)))
	_ = json.NewEncoder(w).Encode(index) // fails with the connection only
}

// artifactType is what a manifest says it is, or else its config.
func (p parts) artifactType() string {
	if p.ArtifactType != "" {
		return p.ArtifactType
	}
	return string(p.Config.MediaType)
}

// tags is GET of the list of tags.
func (s *site) tags(w http.ResponseWriter, r *http.Request, rt route) {
	if r.Method != http.MethodGet {
		unsupported(w)
		return
	}
	repo, found := s.manifests.find(rt.repo)
	if !found {
		s.gen.words.missing(s, w, r, rt)
		return
	}
	page, ok := make([]string, 0, len(repo.tags)), true
	for _, t := range repo.tags {
		page = append(page, t.name)
	}
	if s.gen.words.tagPages {
		page, ok = s.onePage(w, r, page)
	}
	if ok {
		s.list(w, struct {
			Name string   `json:"name"`
			Tags []string `json:"tags"`
		}{rt.repo, page})
	}
}

// list sends a list of the registry's.
func (s *site) list(w http.ResponseWriter, v any) {
	if s.gen.words.listHeader {
		fromRegistry(w)
	}
	writeJSON(w, http.StatusOK, v)
}

// catalog is GET of the list of repositories; only who may see it gets here.
func (s *site) catalog(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		unsupported(w)
		return
	}
	names := []string{}
	for _, repo := range s.manifests.below("") {
		if repo.listed || !s.gen.words.hidesUnlisted {
			names = append(names, repo.name)
		}
	}
	page, ok := s.onePage(w, r, names)
	if len(page) == 0 && s.gen.words.nullLists {
		page = nil
	}
	if ok {
		s.list(w, struct {
			Repositories []string `json:"repositories"`
		}{page})
	}
}

// onePage cuts out of a sorted list what comes after the query's last, n of it,
// and says by a Link where it goes on. It answers a bad n itself.
func (s *site) onePage(w http.ResponseWriter, r *http.Request, all []string) (page []string, ok bool) {
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
		w.Header().Set("Link", s.link(r, query, "next"))
	}
	return page, true
}
