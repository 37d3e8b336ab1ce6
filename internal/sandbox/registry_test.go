package sandbox

import (
	"strings"
	"testing"
	"time"
)

const (
	zeroDigest   = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
	basicRealm   = `Basic realm="harbor"`
	missing      = "project nope not found: project nope not found"
	unauthorised = "UNAUTHORIZED"
)

func denied(repo, action string) string {
	one := "unauthorized to access repository: " + repo + ", action: " + action
	return one + ": " + one
}

// The refusals as Harbor 2.16 gives them, recorded.
func TestRefusalsOfTheRegistry(t *testing.T) {
	t.Parallel()
	b := start(t, Options{})
	b.accounts().create(Project{Name: "secret"}, b.clock.Now())
	bearer := func(scopes string) string {
		c := `Bearer realm="` + b.origin + `/service/token",service="harbor-registry"`
		if scopes != "" {
			c += `,scope="` + scopes + `"`
		}
		return c
	}
	const (
		uploads  = "/blobs/uploads/"
		noHeader = "authorize header needed to send HEAD to repository: authorize header needed to send HEAD to repository"
	)
	dev := b.as("dev")
	tests := []struct {
		name, method, path string
		who                ask
		challenge, message string
	}{
		{"ping, anonymous", "GET", "/v2/", nil, bearer(""), "unauthorized: unauthorized"},
		{"ping, wrong password", "GET", "/v2/", wrongly("admin"), basicRealm, "unauthorized: unauthorized"},
		{"ping, unknown user", "GET", "/v2/", wrongly("nobody"), basicRealm, "unauthorized: unauthorized"},
		{"ping, garbage token", "GET", "/v2/", bearing("abc.def.ghi"), basicRealm, "unauthorized: unauthorized"},
		{"ping, anonymous token", "GET", "/v2/", bearing(b.token(t, nil, "repository:library/hello:pull")), basicRealm, "unauthorized: unauthorized"},

		{"missing project, upload, anonymous", "POST", "/v2/nope/app" + uploads, nil, "", missing},
		{"missing project, upload, admin", "POST", "/v2/nope/app" + uploads, b.as("admin"), "", missing},
		{"missing project, upload, dev's token", "POST", "/v2/nope/app" + uploads, bearing(b.token(t, dev, "repository:nope/app:pull,push")), "", missing},
		{"missing project, manifest PUT", "PUT", "/v2/nope/app/manifests/v1", dev, "", missing},
		{"missing project, manifest GET", "GET", "/v2/nope/app/manifests/v1", dev, "", missing},
		{"missing project, manifest GET, anonymous, looks like one that is there", "GET", "/v2/nope/app/manifests/v1", nil, bearer("repository:nope/app:pull"), noHeader},

		{"no permission, upload", "POST", "/v2/library/app" + uploads, dev, basicRealm, denied("library/app", "push")},
		{"no permission, upload, token", "POST", "/v2/library/app" + uploads, bearing(b.token(t, dev, "repository:library/app:pull,push")), basicRealm, denied("library/app", "push")},
		{"no permission, upload, anonymous", "POST", "/v2/library/app" + uploads, nil, bearer("repository:library/app:pull,push"), denied("library/app", "push")},
		{"no permission, private", "GET", "/v2/secret/app/manifests/v1", dev, basicRealm, denied("secret/app", "pull")},
		{"no permission, private, token", "GET", "/v2/secret/app/tags/list", bearing(b.token(t, dev, "repository:secret/app:pull")), basicRealm, denied("secret/app", "pull")},
		{"no permission, delete", "DELETE", "/v2/demo/app/manifests/" + zeroDigest, dev, basicRealm, denied("demo/app", "delete")},
		{"a wrong password is anonymous", "GET", "/v2/demo/app/manifests/v1", wrongly("dev"), basicRealm, denied("demo/app", "pull")},
		{"a token to pull does not push", "POST", "/v2/demo/app" + uploads, bearing(b.token(t, dev, "repository:demo/app:pull")), basicRealm, denied("demo/app", "push")},
		{"a token for another project", "GET", "/v2/demo/app/manifests/v1", bearing(b.token(t, dev, "repository:library/app:pull")), basicRealm, denied("demo/app", "pull")},

		{"public project, without a header", "GET", "/v2/library/hello/manifests/1.0", nil, bearer("repository:library/hello:pull"), noHeader},
		{"public blob, without a header", "GET", "/v2/library/hello/blobs/" + zeroDigest, nil, bearer("repository:library/hello:pull"), noHeader},

		{"mount from where dev may not read", "POST", "/v2/demo/new" + uploads + "?mount=" + zeroDigest + "&from=secret/app", dev, basicRealm, denied("secret/app", "pull")},
		{"mount from a missing project", "POST", "/v2/demo/new" + uploads + "?mount=" + zeroDigest + "&from=nope/app", dev, "", missing},
		{
			"mount, anonymous", "POST", "/v2/demo/new" + uploads + "?mount=" + zeroDigest + "&from=demo/app", nil,
			bearer("repository:demo/new:pull,push repository:demo/app:pull"), denied("demo/new", "push"),
		},

		{"catalog, anonymous", "GET", "/v2/_catalog", nil, basicRealm, "unauthorized to list catalog: unauthorized to list catalog"},
		{"catalog, dev", "GET", "/v2/_catalog", dev, basicRealm, "unauthorized to list catalog: unauthorized to list catalog"},
		{"catalog, admin's token", "GET", "/v2/_catalog", bearing(b.token(t, b.as("admin"), "registry:catalog:*")), basicRealm, "unauthorized to list catalog: unauthorized to list catalog"},

		{"a path that is none", "GET", "/v2/demo/app/nothing", dev, "", "un-recognized request: GET /v2/demo/app/nothing: un-recognized request: GET /v2/demo/app/nothing"},
		{"an upper-case name", "GET", "/v2/Demo/app/tags/list", dev, "", "un-recognized request: GET /v2/Demo/app/tags/list: un-recognized request: GET /v2/Demo/app/tags/list"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			asks := []ask{}
			if tc.who != nil {
				asks = append(asks, tc.who)
			}
			a := b.do(t, tc.method, tc.path, asks...).wants(t, 401)
			challenge, there := a.header["Www-Authenticate"]
			if !there || len(challenge) != 1 || challenge[0] != tc.challenge {
				t.Errorf("challenge %q, want %q", challenge, tc.challenge)
			}
			if want := errorBody(unauthorised, tc.message); a.body != want {
				t.Errorf("body %s, want %s", a.body, want)
			}
			if a.header.Get("Docker-Distribution-Api-Version") != "registry/2.0" || !strings.HasPrefix(a.header.Get("Content-Type"), "application/json") {
				t.Errorf("header %v", a.header)
			}
		})
	}
}

func TestWhatIsNotThere(t *testing.T) {
	t.Parallel()
	b := start(t, Options{})
	b.push(t, "demo/bare", []byte("a blob makes no repository yet"))
	anonymous := bearing(b.token(t, nil, "repository:library/none:pull"))
	hello := bearing(b.token(t, nil, "repository:library/hello:pull"))
	tests := []struct {
		name, method, path string
		who                ask
		body               string
		length             string // of a HEAD
		registry           bool   // answered by the registry behind core
	}{
		{"repository", "GET", "/v2/demo/none/manifests/v1", b.as("dev"), errorBody("NOT_FOUND", "repository demo/none not found"), "", false},
		{"repository, HEAD", "HEAD", "/v2/demo/none/manifests/v1", b.as("dev"), "", "77", false},
		{"repository of blobs alone", "GET", "/v2/demo/bare/manifests/v1", b.as("dev"), errorBody("NOT_FOUND", "repository demo/bare not found"), "", false},
		{"repository, tags", "GET", "/v2/demo/none/tags/list", b.as("dev"), errorBody("NOT_FOUND", "repository demo/none not found"), "", false},
		{"repository, public, anonymous token", "GET", "/v2/library/none/manifests/v1", anonymous, errorBody("NOT_FOUND", "repository library/none not found"), "", false},
		{"tag", "GET", "/v2/library/hello/manifests/none", hello, errorBody("NOT_FOUND", "artifact library/hello:none not found"), "", false},
		{"digest", "GET", "/v2/library/hello/manifests/" + zeroDigest, hello, errorBody("NOT_FOUND", "artifact library/hello@"+zeroDigest+" not found"), "", false},
		{"blob", "GET", "/v2/demo/app/blobs/" + zeroDigest, b.as("dev"), `{"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown to registry","detail":"` + zeroDigest + `"}]}` + "\n", "", true},
		{"blob, HEAD", "HEAD", "/v2/demo/app/blobs/" + zeroDigest, b.as("dev"), "", "133", false},
		{"upload", "PATCH", "/v2/demo/app/blobs/uploads/0-0?_state=x", b.as("dev"), errorBody("BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry"), "", true},
		{"referrers of nothing", "GET", "/v2/demo/none/referrers/" + zeroDigest, b.as("dev"), errorBody("NOT_FOUND", "repository demo/none not found"), "", false},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			a := b.do(t, tc.method, tc.path, tc.who).wants(t, 404)
			if a.body != tc.body || tc.length != "" && a.header.Get("Content-Length") != tc.length {
				t.Errorf("%s bytes: %s, want %s: %s", a.header.Get("Content-Length"), a.body, tc.length, tc.body)
			}
			if got := a.header.Get("Docker-Distribution-Api-Version") != ""; got != tc.registry {
				t.Errorf("answered by the registry: %v, want %v", got, tc.registry)
			}
		})
	}
}

func TestANameWithoutAProjectIsABadRequest(t *testing.T) {
	t.Parallel()
	b := start(t, Options{})
	for _, path := range []string{"/v2/app/blobs/uploads/", "/v2/demo/new/blobs/uploads/?mount=" + zeroDigest + "&from=app"} {
		a := b.do(t, "POST", path, b.as("admin")).wants(t, 400)
		if want := errorBody("BAD_REQUEST", "bad request: invalid repository name: app"); a.body != want {
			t.Errorf("%s: body %s, want %s", path, a.body, want)
		}
	}
}

func TestPingWithAGoodLogin(t *testing.T) {
	t.Parallel()
	b := start(t, Options{})
	for _, who := range []ask{b.as("admin"), b.as("dev"), bearing(b.token(t, b.as("dev")))} {
		a := b.do(t, "GET", "/v2/", who).wants(t, 200)
		if a.body != "{}\n" || a.header.Get("Docker-Distribution-Api-Version") != "registry/2.0" {
			t.Errorf("body %q, header %v", a.body, a.header)
		}
	}
}

func TestATokenWorksForTheWholeProjectUntilItExpires(t *testing.T) {
	t.Parallel()
	b := start(t, Options{})
	token := bearing(b.token(t, b.as("dev"), "repository:library/other:pull"))
	b.do(t, "GET", "/v2/library/hello/manifests/1.0", token).wants(t, 200)
	demo := bearing(b.token(t, b.as("dev"), "repository:demo/app:pull,push"))
	b.clock.forward(29 * time.Minute)
	b.do(t, "POST", "/v2/demo/app/blobs/uploads/", demo).wants(t, 202)
	b.clock.forward(time.Minute)
	a := b.do(t, "POST", "/v2/demo/app/blobs/uploads/", demo).wants(t, 401)
	if a.header.Get("Www-Authenticate") != basicRealm {
		t.Errorf("challenge %q", a.header.Get("Www-Authenticate"))
	}
}

func TestTheRealmFollowsTheHostHeader(t *testing.T) {
	t.Parallel()
	b := start(t, Options{})
	_, port, _ := strings.Cut(b.Host(), ":")
	a := b.do(t, "GET", "https://localhost:"+port+"/v2/").wants(t, 401)
	if want := `Bearer realm="https://localhost:` + port + `/service/token",service="harbor-registry"`; a.header.Get("Www-Authenticate") != want {
		t.Errorf("challenge %q, want %q", a.header.Get("Www-Authenticate"), want)
	}
}

func TestMethodsThatTheRegistryHasNot(t *testing.T) {
	t.Parallel()
	b := start(t, Options{})
	for _, line := range []string{
		"DELETE /v2/library/hello/manifests/1.0", "DELETE /v2/demo/app/blobs/" + zeroDigest,
		"PUT /v2/demo/app/blobs/uploads/", "PUT /v2/demo/app/tags/list", "PUT /v2/demo/app/referrers/" + zeroDigest, "PUT /v2/_catalog",
	} {
		method, path, _ := strings.Cut(line, " ")
		a := b.do(t, method, path, b.as("admin")).wants(t, 405)
		if want := errorBody("UNSUPPORTED", "The operation is unsupported."); a.body != want {
			t.Errorf("%s: %s", line, a.body)
		}
	}
}

// accounts is the sandbox's own table of projects.
func (b *box) accounts() *accounts { return b.site.accounts }

func FuzzParseRoute(f *testing.F) {
	for _, path := range []string{
		"/v2/", "/v2/_catalog", "/v2/demo/app/manifests/v1", "/v2/demo/app/blobs/" + zeroDigest, "/v2/a/b/c/blobs/uploads/",
		"/v2/demo/app/blobs/uploads/0-0", "/v2/demo/app/tags/list", "/v2/../manifests/x", "/v2/demo//app/tags/list", "/v2/a/blobs/manifests/x",
	} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		rt := parseRoute(path)
		if rt.kind <= kindCatalog {
			if rt.repo != "" || rt.ref != "" {
				t.Fatalf("%q: %+v", path, rt)
			}
			return
		}
		if !strings.HasPrefix(path, "/v2/"+rt.repo+"/") || !strings.HasSuffix(path, rt.ref) {
			t.Errorf("%q: %+v", path, rt)
		}
		if strings.ContainsAny(rt.repo+rt.ref, " \n\x00%?#\\") || strings.Contains(rt.repo, "..") || strings.Contains(rt.repo, "//") {
			t.Errorf("%q: %+v", path, rt)
		}
	})
}
