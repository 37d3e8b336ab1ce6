package sandbox

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// pushing is what a client brings to push to repo as a user, in any generation.
func (b *box) pushing(t *testing.T, user, repo string) ask {
	t.Helper()
	if b.site.gen.v1 == nil {
		return b.as(user)
	}
	return bearing(b.token(t, b.as(user), "repository:"+repo+":pull,push"))
}

// What each policy refuses, and in which words.
func TestPoliciesRefuse(t *testing.T) {
	t.Parallel()
	projects := []Project{
		{Name: "quota", Quota: 1000, Members: map[string]Role{"dev": Developer}},
		{Name: "fixed", Immutable: []string{"v*"}, Images: []string{"app:v1", "app:dev"}, Members: map[string]Role{"dev": Developer}},
		{Name: "proxy", ProxyCache: true, Members: map[string]Role{"dev": Developer}},
		{Name: "holes", Findings: map[string]int{"High": 3, "Low": 9}, Prevent: "High", Images: []string{"app:v1"}, Members: map[string]Role{"dev": Developer}},
		{Name: "mild", Findings: map[string]int{"Low": 9}, Prevent: "High", Images: []string{"app:v1"}, Members: map[string]Role{"dev": Developer}},
		{Name: "unsigned", Unsigned: "cosign", Images: []string{"app:v1"}, Members: map[string]Role{"dev": Developer}},
	}
	const (
		holes2 = `current image with 12 vulnerabilities cannot be pulled due to configured policy in 'Prevent images with vulnerability severity of "High" or higher from running.' ` +
			`To continue with pull, please contact your project administrator to exempt matched vulnerabilities through configuring the CVE allowlist.`
		holes1 = `The severity of vulnerability of the image: "High" is equal or higher than the threshold in project setting: "High".`
		fixed  = `Failed to process request due to 'app:v1' configured as immutable.`
	)
	for like, tests := range map[Like][]struct {
		method, repo, path string
		status             int
		code, message      string
	}{
		Harbor216: {
			{"PUT", "fixed/app", "/manifests/v1", 412, "PRECONDITION", fixed},
			{"PUT", "fixed/app", "/manifests/v2", 400, "MANIFEST_INVALID", `unmarshal manifest failed: invalid character 'x' looking for beginning of value`},
			{"POST", "proxy/app", "/blobs/uploads/", 403, "DENIED", "denied: can not push artifact to a proxy project: proxy"},
			{"GET", "holes/app", "/manifests/v1", 412, "PROJECTPOLICYVIOLATION", holes2},
			{"HEAD", "holes/app", "/manifests/v1", 200, "", ""},
			{"GET", "mild/app", "/manifests/v1", 200, "", ""},
			{"GET", "unsigned/app", "/manifests/v1", 412, "PROJECTPOLICYVIOLATION", "The image is not signed by cosign."},
			{"GET", "unsigned/app", "/manifests/none", 404, "NOT_FOUND", "artifact unsigned/app:none not found"},
		},
		Harbor17: {
			{"PUT", "fixed/app", "/manifests/v1", 412, "DENIED", fixed},
			{"GET", "holes/app", "/manifests/v1", 412, "PROJECT_POLICY_VIOLATION", holes1},
			{"GET", "unsigned/app", "/manifests/v1", 412, "PROJECT_POLICY_VIOLATION", "The image is not signed in Notary."},
		},
	} {
		b := start(t, Options{Like: like, Projects: projects})
		for _, tc := range tests {
			a := b.do(t, tc.method, "/v2/"+tc.repo+tc.path, b.pushing(t, "dev", tc.repo), header("Content-Type", ociManifest), body([]byte("x"))).wants(t, tc.status)
			if tc.code == "" {
				continue
			}
			b.refusal(t, a, tc.code, tc.message)
			if tc.status == 412 && a.header.Get("Docker-Distribution-Api-Version") != "" {
				t.Errorf("%s %s: answered by the registry", like, tc.path)
			}
		}
	}
}

func (b *box) refusal(t *testing.T, a answer, code, message string) {
	t.Helper()
	var got struct {
		Errors []struct{ Code, Message string }
	}
	a.decode(t, &got)
	if len(got.Errors) != 1 || got.Errors[0].Code != code || got.Errors[0].Message != message {
		t.Errorf("%s, want %s %s", a.body, code, message)
	}
}

func TestAQuotaCountsEachBlobOnce(t *testing.T) {
	t.Parallel()
	b := start(t, Options{Projects: []Project{{Name: "quota", Quota: 1000, Members: map[string]Role{"dev": Developer}}}})
	content := []byte(strings.Repeat("x", 700))
	b.push(t, "quota/app", content)
	// Another repository of the project has it for nothing.
	b.do(t, "POST", "/v2/quota/other/blobs/uploads/?mount="+digestOf(content)+"&from=quota/app", b.as("dev")).wants(t, 201)
	b.push(t, "quota/other", []byte(strings.Repeat("y", 300)))
	where := b.begin(t, "quota/app")
	b.refusal(t, b.do(t, "PUT", where+"&digest="+digestOf([]byte("z")), b.as("dev"), body([]byte("z"))).wants(t, 403), "DENIED",
		"adding 1 B of storage resource, which when updated to current usage of 1000 B will exceed the configured upper limit of 1000 B.")
	b.refusal(t, b.do(t, "PUT", "/v2/quota/app/manifests/1", b.as("dev"), header("Content-Type", ociManifest),
		body(manifestOf(t, digestOf(content), digestOf(content)))).wants(t, 403), "DENIED",
		"adding 397 B of storage resource, which when updated to current usage of 1000 B will exceed the configured upper limit of 1000 B.")
}

// Of its API Harbor 1 forbids only that images are deleted: that projects are
// made is from the source of 1.5 and 1.10 (src/ui/filter and src/core/filter,
// readonly.go), and was not recorded from a running one. Harbor 2 has one
// answer for all that changes something.
func TestReadOnlyModeChangesNoImage(t *testing.T) {
	t.Parallel()
	const text = "The system is in read only mode. Any modification is prohibited."
	for _, like := range []Like{Harbor15, Harbor110, Harbor216} {
		b := start(t, Options{Like: like, Policy: Policy{ReadOnly: true}})
		post := func(path string) answer {
			return b.do(t, "POST", path, b.as("admin"), header("Content-Type", "application/json"), body([]byte(`{"project_name":"new"}`)))
		}
		b.refusal(t, post("/v2/demo/app/blobs/uploads/").wants(t, 403), "DENIED", text)
		if like == Harbor216 {
			b.refusal(t, post("/api/v2.0/projects").wants(t, 403), "DENIED", text)
		} else {
			post("/api/projects").wants(t, 201)
			if a := b.do(t, "DELETE", "/api/repositories/library/hello/tags/1.0", b.as("admin")).wants(t, 503); a.body != text {
				t.Errorf("body %q", a.body)
			}
		}
		b.do(t, "GET", "/service/token?service=harbor-registry", b.as("dev")).wants(t, 200)
	}
}

func TestOnlyAdministratorsCreateProjects(t *testing.T) {
	t.Parallel()
	for _, p := range []Policy{{AdminOnly: true}, {Admiral: true}} {
		b := start(t, Options{Like: Harbor17, Policy: p})
		create := func(user, name string) answer {
			return b.do(t, "POST", "/api/projects", b.as(user), header("Content-Type", "application/json"), body([]byte(`{"project_name":"`+name+`"}`)))
		}
		if a := create("dev", "one").wants(t, 403); a.body != "Only system admin can create project\n" {
			t.Errorf("body %s", a.body)
		}
		create("admin", "two").wants(t, 201)
	}
	b := start(t, Options{Policy: Policy{AdminOnly: true}})
	a := b.do(t, "POST", "/api/v2.0/projects", b.as("dev"), body([]byte(`{"project_name":"one"}`))).wants(t, 403)
	b.refusal(t, a, "FORBIDDEN", "Only system admin can create project")
}

// Inside VIC a password counts at few paths; the rest wants Admiral's token.
func TestAdmiralTakesPasswordsAtFewPaths(t *testing.T) {
	t.Parallel()
	b := start(t, Options{Like: Harbor15, Policy: Policy{Admiral: true}, Users: []User{{Name: "dev@corp.local"}}, Projects: []Project{
		{Name: "demo", Images: []string{"app:1"}, Members: map[string]Role{"dev@corp.local": Developer}},
	}})
	sso := b.as("dev@corp.local")
	for path, want := range map[string]int{
		"/api/projects": 200, "/api/repositories/demo/app/tags": 200, "/service/token?service=harbor-registry": 200,
		"/api/users/current": 401, "/api/systeminfo/getcert": 401, "/api/repositories?project_id=2": 401,
	} {
		b.do(t, "GET", path, sso).wants(t, want)
	}
	b.do(t, "GET", "/api/systeminfo/getcert", b.as("admin")).wants(t, 401)
	b.do(t, "POST", "/v2/demo/app/blobs/uploads/", bearing(b.token(t, sso, "repository:demo/app:pull,push"))).wants(t, 202)
	if a := b.do(t, "GET", "/api/systeminfo").wants(t, 200); !strings.Contains(a.body, `"with_admiral": true`) {
		t.Errorf("body %s", a.body)
	}
}

func TestAccountsThatAreNoPersons(t *testing.T) {
	t.Parallel()
	b := start(t, Options{
		Policy:   Policy{AuthMode: "oidc_auth"},
		Users:    []User{{Name: "robot$demo+ci", Password: "s3cret", Kind: Robot}, {Name: "jane", Kind: OIDC}},
		Projects: []Project{{Name: "demo", Images: []string{"app:1"}, Members: map[string]Role{"robot$demo+ci": Developer, "jane": Guest}}},
	})
	if b.password("robot$demo+ci") != "s3cret" {
		t.Error("another password than the one that was asked for")
	}
	robot, jane := b.as("robot$demo+ci"), b.as("jane")
	a := b.do(t, "GET", "/api/v2.0/users/current", robot).wants(t, 412)
	b.refusal(t, a, "PRECONDITION", "get current user not available for security context: robot")
	b.do(t, "POST", "/v2/demo/app/blobs/uploads/", robot).wants(t, 202)
	b.do(t, "GET", "/v2/", wrongly("robot$demo+ci")).wants(t, 401)
	for line, want := range map[string]int{
		"GET /v2/": 200, "GET /v2/demo/app/tags/list": 200, "GET /service/token?service=harbor-registry": 200, "GET /api/v2.0/projects?name=demo": 200,
		"GET /api/v2.0/projects/demo/repositories": 200, "GET /api/v2.0/projects/demo/repositories/app/artifacts": 200,
		"GET /api/v2.0/users/current": 401, "HEAD /api/v2.0/projects?project_name=demo": 401, "GET /api/v2.0/projects/demo": 401,
		"POST /v2/demo/app/blobs/uploads/": 401,
	} {
		method, path, _ := strings.Cut(line, " ")
		b.do(t, method, path, jane).wants(t, want)
	}
	if a := b.do(t, "GET", "/api/v2.0/systeminfo"); !strings.Contains(a.body, `"auth_mode":"oidc_auth"`) {
		t.Errorf("body %s", a.body)
	}
	old := start(t, Options{Like: Harbor110, Users: []User{{Name: "robot$ci", Kind: Robot}}, Projects: []Project{{Name: "demo", Members: map[string]Role{"robot$ci": Developer}}}})
	old.do(t, "POST", "/v2/demo/app/blobs/uploads/", old.pushing(t, "robot$ci", "demo/app")).wants(t, 202)
}

// While a wrong password is being answered not even the right one is good.
func TestAWrongPasswordLocksTheUser(t *testing.T) {
	t.Parallel()
	const delay = 300 * time.Millisecond
	b := start(t, Options{Policy: Policy{LoginDelay: delay}})
	began := time.Now()
	var wg sync.WaitGroup
	wg.Go(func() {
		if a := b.do(t, "GET", "/v2/", wrongly("dev")); a.status != 401 || time.Since(began) < delay {
			t.Errorf("status %d after %v", a.status, time.Since(began))
		}
	})
	for { // until the wrong one has come in
		a := b.do(t, "GET", "/v2/", b.as("dev"))
		if a.status == 401 {
			break
		}
		if time.Since(began) > delay {
			t.Fatal("the right password was good all the time")
		}
	}
	b.do(t, "GET", "/v2/", b.as("admin")).wants(t, 200)
	wg.Wait()
	b.do(t, "GET", "/v2/", b.as("dev")).wants(t, 200)
}

func TestCloseDoesNotWaitForAWrongPassword(t *testing.T) {
	t.Parallel()
	b := start(t, Options{Policy: Policy{LoginDelay: time.Hour}})
	gone := make(chan error)
	go func() {
		req, _ := http.NewRequest("GET", b.origin+"/v2/", nil)
		wrongly("dev")(req)
		resp, err := b.client.Do(req)
		if err == nil {
			_ = resp.Body.Close()
		}
		gone <- err
	}()
	for b.do(t, "GET", "/service/token?service=harbor-registry", b.as("dev")).status != 401 {
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if err := <-gone; err == nil {
		t.Error("the wrong password was answered")
	}
}

func TestTooManyRequests(t *testing.T) {
	t.Parallel()
	b := start(t, Options{Policy: Policy{TooMany: 2, RetryAfter: 3 * time.Second}})
	for range 2 {
		b.do(t, "GET", "/v2/", b.as("dev")).wants(t, 200) // names no repository
		a := b.do(t, "GET", "/v2/library/hello/tags/list", b.as("dev")).wants(t, 429)
		if a.header.Get("Retry-After") != "3" {
			t.Errorf("Retry-After %q", a.header.Get("Retry-After"))
		}
	}
	b.do(t, "GET", "/v2/library/hello/tags/list", b.as("dev")).wants(t, 200)
}

func TestAProxyInFrontLimitsBodies(t *testing.T) {
	t.Parallel()
	b := start(t, Options{Policy: Policy{MaxBody: 10}})
	where := b.begin(t, "demo/app")
	chunked := func(r *http.Request) { r.ContentLength = -1 }
	for _, asks := range [][]ask{{body(make([]byte, 11))}, {body(make([]byte, 11)), chunked}} {
		a := b.do(t, "PATCH", where, append(asks, b.as("dev"))...).wants(t, 413)
		if !strings.Contains(a.body, "<title>413 Request Entity Too Large</title>") || a.header.Get("Content-Type") != "text/html" {
			t.Errorf("%v %s", a.header, a.body)
		}
	}
	where = b.begin(t, "demo/app")
	for range 2 {
		where = b.do(t, "PATCH", where, body(make([]byte, 10)), b.as("dev")).wants(t, 202).header.Get("Location")
	}
	b.do(t, "PUT", where+"&digest="+digestOf(make([]byte, 20)), b.as("dev")).wants(t, 201)
}

func TestLocationsAndLinksBehindAProxy(t *testing.T) {
	t.Parallel()
	b := start(t, Options{Policy: Policy{InsecureLocation: true, AbsoluteLinks: true}})
	if where := b.begin(t, "demo/app"); !strings.HasPrefix(where, "http://"+b.Host()+"/v2/demo/app/blobs/uploads/") {
		t.Errorf("Location %q", where)
	}
	a := b.do(t, "GET", "/v2/_catalog?n=1", b.as("admin")).wants(t, 200)
	if want := `<` + b.origin + `/v2/_catalog?last=library%2Fhello&n=1>; rel="next"`; a.header.Get("Link") != want {
		t.Errorf("Link %q, want %q", a.header.Get("Link"), want)
	}
	a = b.do(t, "GET", "/api/v2.0/projects?page_size=1", b.as("admin")).wants(t, 200)
	if want := `<` + b.origin + `/api/v2.0/projects?page=2&page_size=1>; rel="next"`; a.header.Get("Link") != want {
		t.Errorf("Link %q, want %q", a.header.Get("Link"), want)
	}
}

func TestMountingIsRefused(t *testing.T) {
	t.Parallel()
	for _, like := range []Like{Harbor17, Harbor216} {
		b := start(t, Options{Like: like, Policy: Policy{NoMount: true}})
		who := b.as("dev")
		if like == Harbor17 {
			who = bearing(b.token(t, who, "repository:demo/new:pull,push", "repository:library/hello:pull"))
		}
		b.do(t, "POST", "/v2/demo/new/blobs/uploads/?mount="+zeroDigest+"&from=library/hello", who).wants(t, 401)
		b.do(t, "POST", "/v2/demo/new/blobs/uploads/", who).wants(t, 202)
	}
	b := start(t, Options{Like: Distribution, Policy: Policy{NoMount: true}})
	digest := b.push(t, "demo/app", []byte("{}"))
	b.do(t, "POST", "/v2/demo/new/blobs/uploads/?mount="+digest+"&from=demo/app", b.as("dev")).wants(t, 202)
}

func TestWhichRobotsThereAre(t *testing.T) {
	t.Parallel()
	users := []User{{Name: "robot$ci", Kind: Robot}, {Name: "robot$demo+ci", Kind: Robot}, {Name: "bot-demo+ci", Kind: Robot}}
	for _, like := range Likes() {
		b := start(t, Options{Like: like, Users: users})
		for i, u := range users {
			want := map[Like]bool{Harbor110: i < 2, Harbor216: true, Distribution: true}[like]
			path := "/service/token?service=harbor-registry"
			if like == Distribution {
				path = "/v2/"
			}
			if got := b.do(t, "GET", path, b.as(u.Name)).status == 200; got != want {
				t.Errorf("%s, %s: let in %v", like, u.Name, got)
			}
		}
	}
}

func TestWhichRobotsCreateProjects(t *testing.T) {
	t.Parallel()
	users := []User{{Name: "robot$ci", Kind: Robot}, {Name: "robot$demo+ci", Kind: Robot}}
	create := func(b *box, path, user string) answer {
		return b.do(t, "POST", path, b.as(user), header("Content-Type", "application/json"), body([]byte(`{"project_name":"x"}`)))
	}
	b := start(t, Options{Users: users})
	a := create(b, "/api/v2.0/projects", "robot$demo+ci").wants(t, 403)
	b.refusal(t, a, "FORBIDDEN", "Only system level robot can create project")
	create(b, "/api/v2.0/projects", "robot$ci").wants(t, 201)
	if a := b.do(t, "GET", "/api/v2.0/projects/x", b.as("admin")).wants(t, 200); !strings.Contains(a.body, `"owner_name":"admin"`) {
		t.Errorf("body %s", a.body)
	}
	b = start(t, Options{Like: Harbor110, Users: users})
	a = create(b, "/api/projects", "robot$ci").wants(t, 500)
	if a.body != `{"code":500,"message":"Internal Server Error"}`+"\n" {
		t.Errorf("body %s", a.body)
	}
}

func TestMediaTypesThatARegistryTakes(t *testing.T) {
	t.Parallel()
	b := start(t, Options{Like: Harbor15, Policy: Policy{NoOCI: true}})
	who := b.pushing(t, "dev", "demo/app")
	a := b.do(t, "PUT", "/v2/demo/app/manifests/1", who, header("Content-Type", ociManifest), body(manifestOf(t, zeroDigest, zeroDigest))).wants(t, 400)
	b.refusal(t, a, "MANIFEST_INVALID", "manifest invalid")

	// Layers that are to be had elsewhere need not be there.
	b = start(t, Options{})
	config := b.push(t, "demo/app", []byte("{}"))
	foreign := strings.Replace(string(manifestOf(t, config, zeroDigest)), "image.layer.v1.tar+gzip", "image.layer.nondistributable.v1.tar+gzip", 1)
	b.do(t, "PUT", "/v2/demo/app/manifests/1", b.as("dev"), header("Content-Type", ociManifest), body([]byte(foreign))).wants(t, 201)
}
