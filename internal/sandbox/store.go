package sandbox

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// An artifact is a manifest or index in one repository, and what is known of it.
type artifact struct {
	id        int
	digest    string
	mediaType types.MediaType
	raw       []byte
	parts     parts
	pushed    time.Time
	pulled    time.Time // zero: never
	tags      []tagged  // in order of names; filled in for who asks
}

// Parts are what a manifest names.
type parts struct {
	ArtifactType string            `json:"artifactType"`
	Config       v1.Descriptor     `json:"config"`
	Layers       []v1.Descriptor   `json:"layers"`
	Manifests    []v1.Descriptor   `json:"manifests"`
	Subject      *v1.Descriptor    `json:"subject"`
	Annotations  map[string]string `json:"annotations"`
}

type tagged struct {
	id     int
	name   string
	digest string
	pushed time.Time
	pulled time.Time // by this name; zero: never
}

// A record is a repository as it was when it was looked up.
type record struct {
	id               int
	name             string
	created, updated time.Time
	pulls            int
	listed           bool       // Harbor learnt of it
	artifacts        []artifact // the newest first
	tags             []tagged   // in order of names
}

// A manifestStore keeps manifests and tags. It may be used by several goroutines.
type manifestStore struct {
	now func() time.Time

	mu    sync.Mutex
	repos map[string]*shelf
	last  int // id
}

type shelf struct {
	record
	byDigest map[string]*artifact
	byTag    map[string]tagged
}

func newManifestStore(now func() time.Time) *manifestStore {
	return &manifestStore{now: now, repos: map[string]*shelf{}}
}

func (m *manifestStore) id() int {
	m.last++
	return m.last
}

// put keeps a manifest under its digest, and under ref if that is a tag.
func (m *manifestStore) put(repo, ref string, mediaType types.MediaType, raw []byte, listed bool) {
	h, _, _ := v1.SHA256(bytes.NewReader(raw)) // reading memory does not fail
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	s, ok := m.repos[repo]
	if !ok {
		s = &shelf{record: record{id: m.id(), name: repo, created: now}, byDigest: map[string]*artifact{}, byTag: map[string]tagged{}}
		m.repos[repo] = s
	}
	s.updated, s.listed = now, s.listed || listed
	digest := h.String()
	if s.byDigest[digest] == nil {
		a := &artifact{id: m.id(), digest: digest, mediaType: mediaType, raw: raw, pushed: now}
		_ = json.Unmarshal(raw, &a.parts) // what is kept here has been read before
		s.byDigest[digest] = a
	}
	if !isDigest(ref) {
		s.byTag[ref] = tagged{id: m.id(), name: ref, digest: digest, pushed: now}
	}
}

// get finds a manifest by its tag or digest.
func (m *manifestStore) get(repo, ref string) (artifact, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.repos[repo]
	if !ok {
		return artifact{}, false
	}
	if t, ok := s.byTag[ref]; ok {
		ref = t.digest
	}
	a, ok := s.byDigest[ref]
	if !ok {
		return artifact{}, false
	}
	return s.withTags(a), true
}

func (s *shelf) withTags(a *artifact) artifact {
	found := *a
	for _, name := range slices.Sorted(maps.Keys(s.byTag)) {
		if t := s.byTag[name]; t.digest == a.digest {
			found.tags = append(found.tags, t)
		}
	}
	return found
}

// pulled counts a pull of ref, which is digest: it counts as an update of the
// repository too.
func (m *manifestStore) pulled(repo, ref, digest string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.repos[repo]
	if s == nil || s.byDigest[digest] == nil {
		return
	}
	now := m.now()
	s.pulls++
	s.updated, s.byDigest[digest].pulled = now, now
	if t, ok := s.byTag[ref]; ok {
		t.pulled = now
		s.byTag[ref] = t
	}
}

// has says whether repo has a manifest of that tag or digest.
func (m *manifestStore) has(repo, ref string) bool {
	_, ok := m.get(repo, ref)
	return ok
}

// find looks a repository up: one begins with its first manifest.
func (m *manifestStore) find(repo string) (record, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.repos[repo]
	if !ok {
		return record{}, false
	}
	return s.copy(), true
}

func (s *shelf) copy() record {
	r := s.record
	for _, a := range s.byDigest {
		r.artifacts = append(r.artifacts, s.withTags(a))
	}
	slices.SortFunc(r.artifacts, func(x, y artifact) int { return cmp.Compare(y.id, x.id) })
	for _, name := range slices.Sorted(maps.Keys(s.byTag)) {
		r.tags = append(r.tags, s.byTag[name])
	}
	return r
}

// below lists the repositories whose names begin with prefix, in order of names.
func (m *manifestStore) below(prefix string) []record {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []record
	for _, name := range slices.Sorted(maps.Keys(m.repos)) {
		if strings.HasPrefix(name, prefix) {
			all = append(all, m.repos[name].copy())
		}
	}
	return all
}

// remove deletes what ref names, with all of its tags, and says false if there is nothing.
func (m *manifestStore) remove(repo, ref string) bool {
	a, ok := m.get(repo, ref)
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.repos[repo]
	if !ok || s == nil {
		return false
	}
	delete(s.byDigest, a.digest)
	maps.DeleteFunc(s.byTag, func(_ string, t tagged) bool { return t.digest == a.digest })
	return true
}

// untag forgets one name, and says false if there is none.
func (m *manifestStore) untag(repo, tag string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.repos[repo]
	if ok {
		_, ok = s.byTag[tag]
		delete(s.byTag, tag)
	}
	return ok
}

// removeAll forgets a repository.
func (m *manifestStore) removeAll(repo string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.repos, repo)
}

// referrers lists the manifests in repo whose subject is digest.
func (m *manifestStore) referrers(repo, digest string) []artifact {
	r, _ := m.find(repo)
	return slices.DeleteFunc(r.artifacts, func(a artifact) bool {
		return a.parts.Subject == nil || a.parts.Subject.Digest.String() != digest
	})
}

// used is the size of all manifests below prefix.
func (m *manifestStore) used(prefix string) (n int64) {
	seen := map[string]bool{}
	for _, r := range m.below(prefix) {
		for _, a := range r.artifacts {
			if !seen[a.digest] {
				seen[a.digest], n = true, n+int64(len(a.raw))
			}
		}
	}
	return n
}

// size is that of the manifest and all that it names.
func (r record) size(a artifact) int64 {
	n := int64(len(a.raw)) + a.parts.Config.Size
	for _, d := range a.parts.Layers {
		n += d.Size
	}
	for _, d := range a.parts.Manifests {
		i := slices.IndexFunc(r.artifacts, func(child artifact) bool { return child.digest == d.Digest.String() })
		if i >= 0 {
			n += r.size(r.artifacts[i])
		}
	}
	return n
}
