package sandbox

import (
	"strings"
	"testing"
)

type shownArtifacts []struct {
	Digest, MediaType, Type string
	Size                    int64
	PushTime                string `json:"push_time"`
	Tags                    []struct {
		Name      string
		PushTime  string `json:"push_time"`
		Immutable bool
	}
	References []struct {
		Platform struct{ Architecture, OS string }
	}
	ScanOverview map[string]struct {
		Status   string `json:"scan_status"`
		Severity string
		Summary  struct {
			Total   int
			Summary map[string]int
		}
	} `json:"scan_overview"`
}

func TestArtifactsAreListed(t *testing.T) {
	t.Parallel()
	b := start(t, Options{Projects: []Project{{
		Name: "team", Images: []string{"deep/er/app:v1", "deep/er/app:v2", "other:1"}, Immutable: []string{"v1"},
		Findings: map[string]int{"High": 1, "Low": 2}, Members: map[string]Role{"dev": Guest},
	}}})
	const repos = "/api/v2.0/projects/team/repositories"
	var names []struct {
		Name  string
		Count int `json:"artifact_count"`
	}
	b.do(t, "GET", repos, b.as("dev")).wants(t, 200).decode(t, &names)
	if len(names) != 2 || names[0].Name != "team/other" || names[1].Name != "team/deep/er/app" || names[1].Count != 1 {
		t.Errorf("repositories %+v", names)
	}
	if a := b.do(t, "GET", repos+"?page_size=1", b.as("dev")).wants(t, 200); a.header.Get("X-Total-Count") != "2" ||
		a.header.Get("Link") != `<`+repos+`?page=2&page_size=1>; rel="next"` {
		t.Errorf("header %v", a.header)
	}
	path := repos + "/deep%252Fer%252Fapp/artifacts"
	var all shownArtifacts
	b.do(t, "GET", path+"?with_tag=true&with_scan_overview=true&with_immutable_status=true&q=tags=*", b.as("dev")).wants(t, 200).decode(t, &all)
	if len(all) != 1 || all[0].Digest != helloDigest || all[0].PushTime == "" || all[0].Type != "IMAGE" || len(all[0].References) != 2 {
		t.Fatalf("artifacts %+v", all)
	}
	if p := all[0].References[1].Platform; p.Architecture != "arm64" || p.OS != "linux" {
		t.Errorf("platform %+v", p)
	}
	if tags := all[0].Tags; len(tags) != 2 || tags[0].Name != "v1" || !tags[0].Immutable || tags[1].Immutable || tags[1].PushTime == "" {
		t.Errorf("tags %+v", tags)
	}
	scan := all[0].ScanOverview["application/vnd.security.vulnerability.report; version=1.1"]
	if scan.Status != "Success" || scan.Severity != "High" || scan.Summary.Total != 3 || scan.Summary.Summary["Low"] != 2 {
		t.Errorf("scan %+v", scan)
	}
	if least := int64(len(helloText)); all[0].Size < least {
		t.Errorf("size %d", all[0].Size)
	}
	// nginx undoes one encoding: what has only one is another path.
	b.do(t, "GET", repos+"/deep%2Fer%2Fapp/artifacts", b.as("dev")).wants(t, 404)
	b.refusal(t, b.do(t, "GET", repos+"/none/artifacts", b.as("dev")).wants(t, 404), "NOT_FOUND", "repository team/none not found")
	b.do(t, "GET", path+"/v1", b.as("dev")).wants(t, 200)
	b.do(t, "GET", repos).wants(t, 401)
	b.do(t, "GET", "/api/v2.0/projects/library/repositories").wants(t, 200) // public
	b.do(t, "GET", "/api/v2.0/projects/demo/repositories", b.as("dev")).wants(t, 200)
	b.do(t, "GET", "/api/v2.0/projects/nope/repositories", b.as("dev")).wants(t, 403)
	b.do(t, "GET", "/api/v2.0/projects/nope/repositories", b.as("admin")).wants(t, 404)
}

// Who makes a project can take it away again, the repositories first.
func TestWhatWasPushedIsDeleted(t *testing.T) {
	t.Parallel()
	b := start(t, Options{})
	admin, dev := b.as("admin"), b.as("dev")
	const project = "/api/v2.0/projects/mine"
	b.do(t, "POST", "/api/v2.0/projects", dev, body([]byte(`{"project_name":"mine"}`))).wants(t, 201)
	b.pushImage(t, "mine/a/b", ociManifest, "v1", "v2")
	b.refusal(t, b.do(t, "DELETE", project, dev).wants(t, 412), "PRECONDITION", "the project contains repositories, can not be deleted")
	const repo = project + "/repositories/a%252Fb"
	b.do(t, "DELETE", repo+"/artifacts/v1/tags/v1", dev).wants(t, 200)
	b.do(t, "GET", "/v2/mine/a/b/manifests/v1", dev).wants(t, 404)
	b.do(t, "DELETE", repo+"/artifacts/v1", dev).wants(t, 404)
	b.do(t, "DELETE", repo+"/artifacts/v2", dev).wants(t, 200)
	b.do(t, "GET", "/v2/mine/a/b/manifests/v2", dev).wants(t, 404)
	b.do(t, "DELETE", repo, dev).wants(t, 200)
	b.do(t, "DELETE", project, dev).wants(t, 200)
	b.do(t, "HEAD", "/api/v2.0/projects?project_name=mine", dev).wants(t, 404)
	// The id is not given out again.
	if a := b.do(t, "POST", "/api/v2.0/projects", dev, body([]byte(`{"project_name":"mine"}`))).wants(t, 201); !strings.HasSuffix(a.header.Get("Location"), "/4") {
		t.Errorf("Location %q", a.header.Get("Location"))
	}
	_, digest := b.pushImage(t, "demo/app", ociManifest, "v1")
	b.do(t, "DELETE", "/v2/demo/app/manifests/"+digest, dev).wants(t, 401)
	b.do(t, "DELETE", "/v2/demo/app/manifests/"+digest, admin).wants(t, 202)
	b.do(t, "DELETE", "/v2/demo/app/manifests/"+digest, admin).wants(t, 404)
}

func TestListsOf1xGoByPages(t *testing.T) {
	t.Parallel()
	for like, want := range map[Like]string{
		Harbor11: `["demo/c"]`,
		Harbor17: `"name":"demo/c"`,
	} {
		b := start(t, Options{Like: like, Projects: []Project{{Name: "demo", Images: []string{"a:1", "b:1", "c:1"}}}})
		a := b.do(t, "GET", "/api/repositories?page=2&page_size=2&project_id=2", b.as("admin")).wants(t, 200)
		if body := strings.Join(strings.Fields(a.body), ""); !strings.Contains(body, want) || strings.Contains(body, "demo/b") || a.header.Get("X-Total-Count") != "3" {
			t.Errorf("%s: %s, %v", like, a.body, a.header)
		}
		if link := `</api/repositories?page=1&page_size=2&project_id=2>; rel="prev"`; a.header.Get("Link") != link {
			t.Errorf("%s: Link %q", like, a.header.Get("Link"))
		}
	}
}

func TestPathsOf1xRepositories(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]struct {
		repo string
		rest int
		ok   bool
	}{
		"demo/app/tags":            {"demo/app", 1, true},
		"demo/a/b/tags/1":          {"demo/a/b", 2, true},
		"demo/app/tags/1/manifest": {"demo/app", 3, true},
		"demo/app":                 {"demo/app", 0, true},
		"demo/app/tags/1/other":    {"demo/app", 3, false},
		"app/tags":                 {"app", 1, false},
		"":                         {"", 0, false},
		"demo/tags/tags":           {"demo/tags", 1, true},
	} {
		repo, rest, ok := pathV1(path)
		if ok != want.ok || ok && (repo != want.repo || len(rest) != want.rest) {
			t.Errorf("%q: %q %q %v", path, repo, rest, ok)
		}
	}
}
