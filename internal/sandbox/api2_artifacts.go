package sandbox

import (
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"
)

// neverText is how the API writes a time that has not been.
const neverText = "0001-01-01T00:00:00.000Z"

func (s *site) listRepositories(w http.ResponseWriter, r *http.Request) {
	if p, ok := s.project(w, r, actionPull, true); ok {
		s.showRepositories(w, r, s.manifests.below(p.Name+"/"))
	}
}

// allRepositories are those of all projects that the user may see.
func (s *site) allRepositories(w http.ResponseWriter, r *http.Request) {
	user := s.user(r)
	s.showRepositories(w, r, slices.DeleteFunc(s.manifests.below(""), func(repo record) bool {
		name, _, _ := strings.Cut(repo.name, "/")
		p, found := s.accounts.find(name)
		return !found || !p.allows(user, actionPull)
	}))
}

// showRepositories lists the newest first.
func (s *site) showRepositories(w http.ResponseWriter, r *http.Request, all []record) {
	slices.SortFunc(all, func(x, y record) int { return y.id - x.id })
	shown := []any{}
	for _, repo := range page(s, w, r, all) {
		shown = append(shown, s.shownRepository(repo))
	}
	writeAPI(w, shown)
}

func (s *site) shownRepository(repo record) map[string]any {
	name, _, _ := strings.Cut(repo.name, "/")
	p, _ := s.accounts.find(name)
	return map[string]any{
		"artifact_count": len(repo.top()), "creation_time": repo.created.UTC().Format(apiTime), "id": repo.id, "name": repo.name,
		"project_id": p.id, "pull_count": repo.pulls, "update_time": repo.updated.UTC().Format(apiTime),
	}
}

// repository finds the one that the path names. A slash in its name is encoded
// twice there: nginx undoes the first encoding, and what is left is another path.
func (s *site) repository(w http.ResponseWriter, r *http.Request, act action) (project, record, bool) {
	segment := r.PathValue("repository")
	inner, err := url.PathUnescape(segment)
	if strings.Contains(segment, "/") || err != nil {
		apiNotFound(w, r)
		return project{}, record{}, false
	}
	p, ok := s.project(w, r, act, true)
	if !ok {
		return project{}, record{}, false
	}
	repo, found := s.manifests.find(p.Name + "/" + inner)
	if !found {
		problem{status: http.StatusNotFound, code: codeNotFound, message: "repository " + p.Name + "/" + inner + " not found"}.write(w)
	}
	return p, repo, found
}

func (s *site) getRepository(w http.ResponseWriter, r *http.Request) {
	if _, repo, ok := s.repository(w, r, actionPull); ok {
		writeAPI(w, s.shownRepository(repo))
	}
}

func (s *site) deleteRepository(w http.ResponseWriter, r *http.Request) {
	p, repo, ok := s.repository(w, r, actionDelete)
	if !ok || s.keepsTag(w, p, repo.tags) {
		return
	}
	s.manifests.removeAll(repo.name)
}

// keepsTag answers if one of the tags is never deleted.
func (s *site) keepsTag(w http.ResponseWriter, p project, tags []tagged) bool {
	i := slices.IndexFunc(tags, func(t tagged) bool { return p.fixes(t.name) })
	if i < 0 {
		return false
	}
	problem{status: http.StatusPreconditionFailed, code: codePrecondition, message: fixedTagText(tags[i].name)}.write(w)
	return true
}

// artifact finds the one that the path names by tag or digest.
func (s *site) artifact(w http.ResponseWriter, r *http.Request, act action) (p project, repo record, a artifact, ok bool) {
	if p, repo, ok = s.repository(w, r, act); !ok {
		return
	}
	ref := r.PathValue("reference")
	if a, ok = s.manifests.get(repo.name, ref); !ok {
		s.noArtifact(w, r, route{kind: kindManifest, repo: repo.name, ref: ref})
	}
	return
}

func (s *site) getArtifact(w http.ResponseWriter, r *http.Request) {
	if p, repo, a, ok := s.artifact(w, r, actionPull); ok {
		writeAPI(w, s.shownArtifact(r, p, repo, a))
	}
}

func (s *site) deleteArtifact(w http.ResponseWriter, r *http.Request) {
	if p, repo, a, ok := s.artifact(w, r, actionDelete); ok && !s.keepsTag(w, p, a.tags) {
		s.manifests.remove(repo.name, a.digest)
	}
}

func (s *site) listTags(w http.ResponseWriter, r *http.Request) {
	p, repo, a, ok := s.artifact(w, r, actionPull)
	if !ok {
		return
	}
	shown := []any{}
	for _, t := range page(s, w, r, a.tags) {
		shown = append(shown, shownTag(p, repo, a, t, r.URL.Query().Get("with_immutable_status") == "true"))
	}
	writeAPI(w, shown)
}

func (s *site) deleteTag(w http.ResponseWriter, r *http.Request) {
	p, repo, a, ok := s.artifact(w, r, actionDelete)
	if !ok {
		return
	}
	i := slices.IndexFunc(a.tags, func(t tagged) bool { return t.name == r.PathValue("tagname") })
	switch {
	case i < 0:
		problem{status: http.StatusNotFound, code: codeNotFound, message: "tag " + r.PathValue("tagname") + " attached to artifact not found"}.write(w)
	case !s.keepsTag(w, p, a.tags[i:i+1]):
		s.manifests.untag(repo.name, a.tags[i].name)
	}
}

func shownTag(p project, repo record, a artifact, t tagged, immutable bool) map[string]any {
	return map[string]any{
		"artifact_id": a.id, "id": t.id, "immutable": immutable && p.fixes(t.name), "name": t.name,
		"pull_time": pulledText(t.pulled), "push_time": t.pushed.UTC().Format(apiTime), "repository_id": repo.id,
	}
}

func pulledText(t time.Time) string {
	if t.IsZero() {
		return neverText
	}
	return t.UTC().Format(apiTime)
}

// top are the artifacts that a list shows: the parts of an index and what
// refers to another one stand under those, unless they have a tag.
func (r record) top() []artifact {
	inner := map[string]bool{}
	for _, a := range r.artifacts {
		for _, d := range a.parts.Manifests {
			inner[d.Digest.String()] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(r.artifacts), func(a artifact) bool {
		return len(a.tags) == 0 && (inner[a.digest] || a.parts.Subject != nil)
	})
}

// listArtifacts shows the newest first; q=tags=* leaves out those without a tag.
func (s *site) listArtifacts(w http.ResponseWriter, r *http.Request) {
	p, repo, ok := s.repository(w, r, actionPull)
	if !ok {
		return
	}
	query := r.URL.Query().Get("q")
	all := slices.DeleteFunc(repo.top(), func(a artifact) bool {
		return query == "tags=*" && len(a.tags) == 0 || query == "tags=nil" && len(a.tags) > 0
	})
	shown := []any{}
	for _, a := range page(s, w, r, all) {
		shown = append(shown, s.shownArtifact(r, p, repo, a))
	}
	writeAPI(w, shown)
}

// shownArtifact has the fields of api/v2.0/swagger.yaml.
func (s *site) shownArtifact(r *http.Request, p project, repo record, a artifact) map[string]any {
	query := r.URL.Query()
	shown := map[string]any{
		"accessories": repo.accessories(a), "addition_links": map[string]any{}, "artifact_type": a.parts.artifactType(),
		"digest": a.digest, "extra_attrs": s.configShown(repo, a), "id": a.id, "labels": nil,
		"manifest_media_type": a.mediaType, "media_type": a.mediaType, "project_id": p.id, "pull_time": pulledText(a.pulled),
		"push_time": a.pushed.UTC().Format(apiTime), "references": repo.references(a), "repository_id": repo.id,
		"repository_name": repo.name, "size": repo.size(a), "tags": nil, "type": "IMAGE",
	}
	if !a.mediaType.IsIndex() {
		shown["media_type"] = a.parts.Config.MediaType
	}
	if query.Get("with_tag") != "false" && len(a.tags) > 0 {
		tags := []any{}
		for _, t := range a.tags {
			tags = append(tags, shownTag(p, repo, a, t, query.Get("with_immutable_status") == "true"))
		}
		shown["tags"] = tags
	}
	if query.Get("with_scan_overview") == "true" && p.Findings != nil {
		shown["scan_overview"] = scanOverview(p, a.pushed)
	}
	return shown
}

// configShown is what the API tells of an image's config; nil: it has none.
func (s *site) configShown(repo record, a artifact) map[string]any {
	raw, c := s.config(repo, a)
	if raw == nil {
		return nil
	}
	return map[string]any{"architecture": c.Architecture, "author": c.Author, "config": c.Config, "created": c.Created, "os": c.OS}
}

func (r record) references(a artifact) any {
	if len(a.parts.Manifests) == 0 {
		return nil
	}
	shown := []any{}
	for _, d := range a.parts.Manifests {
		shown = append(shown, map[string]any{
			"child_digest": d.Digest.String(), "child_id": r.idOf(d.Digest.String()), "parent_id": a.id, "platform": d.Platform, "urls": nil,
		})
	}
	return shown
}

func (r record) idOf(digest string) int {
	i := slices.IndexFunc(r.artifacts, func(a artifact) bool { return a.digest == digest })
	if i < 0 {
		return 0
	}
	return r.artifacts[i].id
}

func (r record) accessories(a artifact) any {
	shown := []any{}
	for _, other := range r.artifacts {
		if other.parts.Subject == nil || other.parts.Subject.Digest.String() != a.digest {
			continue
		}
		kind := "subject.accessory"
		if ok, _ := path.Match("application/vnd.dev.cosign.*", other.parts.artifactType()); ok {
			kind = "signature.cosign"
		}
		shown = append(shown, map[string]any{
			"artifact_id": other.id, "creation_time": other.pushed.UTC().Format(apiTime), "digest": other.digest, "icon": "", "id": other.id,
			"size": r.size(other), "subject_artifact_digest": a.digest, "subject_artifact_id": a.id, "subject_artifact_repo": r.name, "type": kind,
		})
	}
	if len(shown) == 0 {
		return nil
	}
	return shown
}

// scanOverview is the summary of what a scanner is said to have found.
func scanOverview(p project, at time.Time) map[string]any {
	when := at.UTC().Format(apiTime)
	return map[string]any{"application/vnd.security.vulnerability.report; version=1.1": map[string]any{
		"complete_percent": 100, "duration": 1, "end_time": when, "report_id": "00000000-0000-4000-8000-000000000000", "scan_status": "Success",
		"scanner":  map[string]string{"name": "Trivy", "vendor": "Aqua Security", "version": "v0.0.0"},
		"severity": worst(p.Findings), "start_time": when,
		"summary": map[string]any{"fixable": 0, "summary": p.Findings, "total": total(p.Findings)},
	}}
}
