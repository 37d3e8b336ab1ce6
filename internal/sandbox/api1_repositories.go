package sandbox

import (
	"cmp"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// mayV1 answers whoever may not do act to the repositories of p.
func (s *site) mayV1(w http.ResponseWriter, r *http.Request, p project, act action) bool {
	switch user := s.user(r); {
	case p.allows(user, act):
		return true
	case user == "":
		s.gen.v1.deny(w, http.StatusUnauthorized, "")
	default:
		s.gen.v1.deny(w, http.StatusForbidden, user)
	}
	return false
}

// repositoriesV1 lists those of a project that Harbor learnt of.
func (s *site) repositoriesV1(w http.ResponseWriter, r *http.Request) {
	id := r.URL.Query().Get("project_id")
	n, err := strconv.Atoi(id)
	if err != nil {
		s.gen.v1.tell(w, http.StatusBadRequest, "invalid project_id "+id)
		return
	}
	p, found := s.accounts.byID(n)
	if !found {
		s.gen.v1.tell(w, http.StatusNotFound, "project "+id+" not found")
		return
	}
	if !s.mayV1(w, r, p, actionPull) {
		return
	}
	all := slices.DeleteFunc(s.manifests.below(p.Name+"/"), func(repo record) bool { return !repo.listed || len(repo.tags) == 0 })
	if s.gen.v1.bare {
		slices.SortFunc(all, func(x, y record) int { return cmp.Compare(x.id, y.id) })
	}
	shown := []any{}
	for _, repo := range page(s, w, r, all) {
		if s.gen.v1.bare {
			shown = append(shown, repo.name)
			continue
		}
		shown = append(shown, map[string]any{
			"id": repo.id, "name": repo.name, "project_id": p.id, "description": "", "pull_count": repo.pulls, "star_count": 0,
			"tags_count": len(repo.tags), "labels": []any{}, "creation_time": timeV1(repo.created), "update_time": timeV1(repo.updated),
		})
	}
	s.listV1(w, shown, false)
}

// pathV1 takes apart PROJECT/REPOSITORY[/tags[/TAG[/manifest]]] behind
// /api/repositories/, whose slashes are not encoded.
func pathV1(path string) (repo string, rest []string, ok bool) {
	parts := strings.Split(path, "/")
	i := len(parts) // where tags stands
	for back := 1; back <= 3 && back < len(parts); back++ {
		if parts[len(parts)-back] == "tags" {
			i = len(parts) - back
			break
		}
	}
	repo = strings.Join(parts[:i], "/")
	rest = parts[i:]
	ok = i >= 2 && (len(rest) < 3 || rest[2] == "manifest")
	return repo, rest, ok
}

// inV1 finds the repository that the path names, and answers whoever may not do
// act in its project.
func (s *site) inV1(w http.ResponseWriter, r *http.Request, act action) (repo string, rest []string, ok bool) {
	repo, rest, ok = pathV1(r.PathValue("path"))
	if !ok {
		notFoundV1(w, r)
		return "", nil, false
	}
	name, _, _ := strings.Cut(repo, "/")
	p, found := s.accounts.find(name)
	if !found {
		s.gen.v1.tell(w, http.StatusNotFound, "project "+name+" not found")
		return "", nil, false
	}
	return repo, rest, s.mayV1(w, r, p, act)
}

// repositoryV1 is the list of tags, one tag, and its manifest.
func (s *site) repositoryV1(w http.ResponseWriter, r *http.Request) {
	_, rest, ok := pathV1(r.PathValue("path"))
	if !ok || len(rest) == 0 || len(rest) == 2 && s.gen.v1.bare {
		notFoundV1(w, r)
		return
	}
	name, rest, ok := s.inV1(w, r, actionPull)
	if !ok {
		return
	}
	repo, _ := s.manifests.find(name)
	if len(rest) == 1 {
		shown := []any{}
		for _, t := range repo.tags {
			shown = append(shown, s.tagV1(repo, t))
		}
		s.listV1(w, shown, false)
		return
	}
	i := slices.IndexFunc(repo.tags, func(t tagged) bool { return t.name == rest[1] })
	switch {
	case i < 0:
		s.gen.v1.tell(w, http.StatusNotFound, "resource: "+name+":"+rest[1]+" not found")
	case len(rest) == 2:
		writeV1(w, s.tagV1(repo, repo.tags[i]))
	default:
		a, _ := s.manifests.get(name, rest[1])
		raw, _ := s.config(repo, a)
		writeV1(w, map[string]any{"manifest": json.RawMessage(a.raw), "config": string(raw)})
	}
}

// tagV1 is a tag as the API shows it.
func (s *site) tagV1(repo record, t tagged) any {
	if s.gen.v1.bare {
		return t.name
	}
	a, _ := s.manifests.get(repo.name, t.name)
	raw, c := s.config(repo, a)
	var extra struct {
		DockerVersion string `json:"docker_version"`
	}
	_ = json.Unmarshal(raw, &extra) // it is empty then
	shown := map[string]any{
		"digest": t.digest, "name": t.name, "size": repo.size(a), "architecture": c.Architecture, "os": c.OS,
		"docker_version": extra.DockerVersion, "author": c.Author, "created": c.Created,
		"config": map[string]any{"labels": c.Config.Labels}, "signature": nil, "labels": []any{},
	}
	if s.gen.v1.osVersion {
		shown["os.version"] = c.OSVersion
	}
	return shown
}

// config is that of an image, as it is kept and read; both are empty if it has none.
func (s *site) config(repo record, a artifact) (raw []byte, c v1.ConfigFile) {
	spool, ok := s.blobs.get(repo.name, a.parts.Config.Digest)
	if !ok {
		return nil, c
	}
	raw, err := io.ReadAll(io.NewSectionReader(spool, 0, spool.size))
	if err != nil || json.Unmarshal(raw, &c) != nil {
		return raw, v1.ConfigFile{}
	}
	return raw, c
}

// deleteInV1 deletes a tag, with all others of the same manifest, or every tag.
func (s *site) deleteInV1(w http.ResponseWriter, r *http.Request) {
	if s.policy.ReadOnly {
		writeText(w, http.StatusServiceUnavailable, readOnlyText)
		return
	}
	_, rest, ok := pathV1(r.PathValue("path"))
	if !ok || len(rest) == 1 || len(rest) == 3 || len(rest) == 0 && s.gen.v1.bare {
		notFoundV1(w, r)
		return
	}
	name, rest, ok := s.inV1(w, r, actionDelete)
	if !ok {
		return
	}
	if len(rest) == 2 {
		s.manifests.remove(name, rest[1]) // that there is none is no error
		return
	}
	repo, _ := s.manifests.find(name)
	if len(repo.tags) == 0 {
		s.gen.v1.tell(w, http.StatusNotFound, "no tags found for repository "+name)
		return
	}
	for _, t := range repo.tags {
		s.manifests.remove(name, t.name)
	}
}

// searchV1 finds projects and repositories by a part of their names.
func (s *site) searchV1(w http.ResponseWriter, r *http.Request) {
	user, part := s.user(r), r.URL.Query().Get("q")
	projects, repositories := []any{}, []any{}
	for _, p := range s.accounts.visible(func(p project) bool { return p.allows(user, actionPull) }) {
		if strings.Contains(p.Name, part) {
			projects = append(projects, s.shownV1(p, user, true))
		}
		public := any(p.Public)
		if s.gen.v1.bare {
			public = number(p.Public)
		}
		for _, repo := range s.manifests.below(p.Name + "/") {
			if repo.listed && len(repo.tags) > 0 && strings.Contains(repo.name, part) {
				repositories = append(repositories, map[string]any{
					"project_id": p.id, "project_name": p.Name, "project_public": public, "pull_count": repo.pulls,
					"repository_name": repo.name, "tags_count": len(repo.tags),
				})
			}
		}
	}
	writeV1(w, map[string]any{"project": projects, "repository": repositories})
}
