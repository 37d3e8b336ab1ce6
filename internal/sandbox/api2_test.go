package sandbox

import (
	"crypto/x509"
	"encoding/pem"
	"slices"
	"strings"
	"testing"
)

func TestGetcertIsForEverybody(t *testing.T) {
	t.Parallel()
	b := start(t, Options{})
	const path = "/api/v2.0/systeminfo/getcert"
	for _, who := range []ask{header("X-None", ""), wrongly("admin"), b.as("dev")} {
		a := b.do(t, "GET", path, who).wants(t, 200)
		block, rest := pem.Decode([]byte(a.body))
		if block == nil || block.Type != "CERTIFICATE" || len(rest) > 0 {
			t.Fatalf("body %q", a.body)
		}
		if cert, err := x509.ParseCertificate(block.Bytes); err != nil || !cert.Equal(b.CA()) {
			t.Errorf("another certificate: %v", err)
		}
		if a.header.Get("Content-Type") != "application/octet-stream" || a.header.Get("Content-Disposition") != "attachment; filename=ca.crt" || a.header.Get("Content-Length") != "" {
			t.Errorf("header %v", a.header)
		}
	}
	if a := b.do(t, "HEAD", path).wants(t, 405); a.header.Get("Content-Length") != "97" || !strings.HasPrefix(a.header.Get("Content-Type"), "application/json") {
		t.Errorf("HEAD: header %v", a.header)
	}
	a := b.do(t, "POST", path).wants(t, 405)
	if want := errorBody("METHOD_NOT_ALLOWED", "method POST is not allowed, but [GET] are"); a.body != want {
		t.Errorf("POST: body %s", a.body)
	}
}

func TestSysteminfoTellsMoreAfterLogin(t *testing.T) {
	t.Parallel()
	b := start(t, Options{})
	const anonymous = `{"auth_mode":"db_auth","banner_message":"","oidc_provider_name":"","primary_auth_mode":false,"self_registration":false}`
	for _, who := range []ask{header("X-None", ""), wrongly("admin")} {
		if a := b.do(t, "GET", "/api/v2.0/systeminfo", who).wants(t, 200); a.body != anonymous || a.header.Get("Content-Type") != "application/json" {
			t.Errorf("body %s, header %v", a.body, a.header)
		}
	}
	var got map[string]any
	b.do(t, "GET", "/api/v2.0/systeminfo", b.as("dev")).wants(t, 200).decode(t, &got)
	for key, want := range map[string]any{
		"harbor_version": "v2.16.0-c50c7ddd", "has_ca_root": true, "registry_url": b.Host(), "external_url": b.origin,
		"read_only": false, "project_creation_restriction": "everyone", "auth_mode": "db_auth",
	} {
		if got[key] != want {
			t.Errorf("%s: %v, want %v", key, got[key], want)
		}
	}
	if len(got) != 14 {
		t.Errorf("%d fields: %v", len(got), got)
	}
}

func TestPathsOutsideTheRegistry(t *testing.T) {
	t.Parallel()
	b := start(t, Options{})
	const (
		page = "<title>404 Not Found</title>"
		core = "<title>404 - Page Not Found</title>"
	)
	tests := []struct {
		path   string
		status int
		media  string
		body   string // all of JSON and text, a part of a page
	}{
		{"/api/version", 200, "text/plain; charset=utf-8", `{"version":"v2.0"}`},
		{"/api/v2.0/ping", 200, "text/plain", "Pong"},
		{"/api/v2.0/nothing", 404, "application/json; charset=utf-8", errorBody("NOT_FOUND", "path /api/v2.0/nothing was not found")},
		{"/api/systeminfo", 404, "text/html", core},
		{"/api/systeminfo/getcert", 404, "text/html", core},
		{"/api/ping", 404, "text/html", core},
		{"/v1/_ping", 404, "text/html", page},
		{"/service/notifications", 404, "text/html", page},
		{"/", 200, "text/html", "<title>Harbor</title>"},
		{"/foo/bar", 200, "text/html", "<title>Harbor</title>"},
		{"/v2", 301, "text/html", ""},
		{"/api", 301, "text/html", ""},
	}
	for _, tc := range tests {
		a := b.do(t, "GET", tc.path).wants(t, tc.status)
		if media := a.header.Get("Content-Type"); !strings.HasPrefix(media, tc.media) {
			t.Errorf("%s: media type %q, want %q", tc.path, media, tc.media)
		}
		if tc.media == "text/html" && !strings.Contains(a.body, tc.body) || tc.media != "text/html" && a.body != tc.body {
			t.Errorf("%s: body %s, want %s", tc.path, a.body, tc.body)
		}
		if tc.status == 301 && !strings.HasSuffix(a.header.Get("Location"), tc.path+"/") {
			t.Errorf("%s: Location %q", tc.path, a.header.Get("Location"))
		}
	}
}

func TestCurrentUser(t *testing.T) {
	t.Parallel()
	b := start(t, Options{})
	for _, who := range []ask{header("X-None", ""), wrongly("admin"), bearing(b.token(t, b.as("admin")))} {
		if a := b.do(t, "GET", "/api/v2.0/users/current", who).wants(t, 401); a.body != errorBody("UNAUTHORIZED", "unauthorized") || a.header["Www-Authenticate"] != nil {
			t.Errorf("body %s, header %v", a.body, a.header)
		}
	}
	for name, admin := range map[string]bool{"admin": true, "dev": false} {
		var got struct {
			Username string
			Admin    bool `json:"sysadmin_flag"`
		}
		b.do(t, "GET", "/api/v2.0/users/current", b.as(name)).wants(t, 200).decode(t, &got)
		if got.Username != name || got.Admin != admin {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestProjectsAreCreatedOnce(t *testing.T) {
	t.Parallel()
	b := start(t, Options{})
	const path = "/api/v2.0/projects"
	create := func(t *testing.T, json string, asks ...ask) answer {
		t.Helper()
		return b.do(t, "POST", path, append(asks, body([]byte(json)), header("Content-Type", "application/json"))...)
	}
	dev := b.as("dev")
	refusals := []struct {
		name, json string
		who        ask
		status     int
		body       string
	}{
		{"exists", `{"project_name":"demo"}`, b.as("admin"), 409, errorBody("CONFLICT", "The project named demo already exists")},
		{"anonymous", `{"project_name":"anon"}`, header("X-None", ""), 401, errorBody("UNAUTHORIZED", "unauthorized")},
		{"a bad name", `{"project_name":"A B"}`, dev, 400, errorBody("BAD_REQUEST", "project name is not in lower case or contains illegal characters")},
		{"no name", `{}`, dev, 400, errorBody("BAD_REQUEST", "project name is not in lower case or contains illegal characters")},
		{"too long", `{"project_name":"` + strings.Repeat("a", 256) + `"}`, dev, 400, errorBody("BAD_REQUEST", "project name is not in lower case or contains illegal characters")},
		{"public as 1.x had it", `{"project_name":"x","public":1}`, dev, 422, errorBody("UNPROCESSABLE_ENTITY", "parsing project body failed")},
		{"too large", `{"project_name":"x"` + strings.Repeat(" ", maxAPIBody) + `}`, dev, 413, errorBody("BAD_REQUEST", "request body too large")},
	}
	for _, tc := range refusals {
		if a := create(t, tc.json, tc.who).wants(t, tc.status); a.body != tc.body {
			t.Errorf("%s: body %s", tc.name, a.body)
		}
	}
	if a := create(t, `{"project_name":"mine","metadata":{"public":"false"},"storage_limit":-1}`, dev).wants(t, 201); a.header.Get("Location") != path+"/3" || a.body != "" {
		t.Errorf("Location %q, body %q", a.header.Get("Location"), a.body)
	}
	if a := create(t, `{"project_name":"open","public":true}`, dev, header("X-Resource-Name-In-Location", "true")).wants(t, 201); a.header.Get("Location") != path+"/open" {
		t.Errorf("Location %q", a.header.Get("Location"))
	}
	// Who made a project may push to it, and everybody pull from a public one.
	b.push(t, "mine/app", []byte("x"))
	digest := b.push(t, "open/app", []byte("x"))
	b.do(t, "GET", "/v2/open/app/blobs/"+digest, bearing(b.token(t, nil, "repository:open/app:pull"))).wants(t, 200)
	b.do(t, "GET", "/v2/mine/app/blobs/"+digest, bearing(b.token(t, nil, "repository:mine/app:pull"))).wants(t, 401)
}

func TestProjectsAreFound(t *testing.T) {
	t.Parallel()
	b := start(t, Options{})
	b.accounts().create(Project{Name: "demoint"}, b.clock.Now())
	const path = "/api/v2.0/projects"
	list := func(query string, who ask) (names []string, a answer) {
		a = b.do(t, "GET", path+query, who).wants(t, 200)
		var got []struct{ Name string }
		a.decode(t, &got)
		for _, p := range got {
			names = append(names, p.Name)
		}
		return names, a
	}
	for _, tc := range []struct {
		query string
		who   ask
		names []string
		total string
		link  string
	}{
		{"", header("X-None", ""), []string{"library"}, "1", ""},
		{"", wrongly("admin"), []string{"library"}, "1", ""},
		{"", b.as("dev"), []string{"demo", "library"}, "2", ""},
		{"", b.as("admin"), []string{"demo", "demoint", "library"}, "3", ""},
		{"?name=demo", b.as("admin"), []string{"demo", "demoint"}, "2", ""},
		{"?public=false", b.as("dev"), []string{"demo"}, "1", ""},
		{"?page_size=2", b.as("admin"), []string{"demo", "demoint"}, "3", `<` + path + `?page=2&page_size=2>; rel="next"`},
		{"?page=2&page_size=2", b.as("admin"), []string{"library"}, "3", `<` + path + `?page=1&page_size=2>; rel="prev"`},
		{"?page=2&page_size=1", b.as("admin"), []string{"demoint"}, "3", `<` + path + `?page=1&page_size=1>; rel="prev" , <` + path + `?page=3&page_size=1>; rel="next"`},
		{"?page=9", b.as("admin"), nil, "3", ""},
		{"?page=x&page_size=-1", b.as("admin"), []string{"demo", "demoint", "library"}, "3", ""},
	} {
		names, a := list(tc.query, tc.who)
		if !slices.Equal(names, tc.names) || a.header.Get("X-Total-Count") != tc.total || a.header.Get("Link") != tc.link {
			t.Errorf("%s: %q of %s, Link %q", tc.query, names, a.header.Get("X-Total-Count"), a.header.Get("Link"))
		}
		if len(tc.names) == 0 && a.body != "[]" {
			t.Errorf("%s: body %s", tc.query, a.body)
		}
	}

	for line, want := range map[string]int{
		"HEAD ?project_name=demo": 200, "HEAD ?project_name=demoint": 200, "HEAD ?project_name=nope": 404, "HEAD ": 400,
		"GET /demo": 200, "GET /2": 200, "GET /demoint": 403, "GET /nope": 403, "GET /99": 403, "GET /0": 403,
	} {
		method, rest, _ := strings.Cut(line, " ")
		b.do(t, method, path+rest, b.as("dev")).wants(t, want)
	}
	if a := b.do(t, "HEAD", path+"?project_name=nope", b.as("admin")).wants(t, 404); a.header.Get("Content-Length") != "69" {
		t.Errorf("header %v", a.header)
	}
	b.do(t, "HEAD", path+"?project_name=library").wants(t, 401)
	b.do(t, "GET", path+"/library").wants(t, 401)
	if a := b.do(t, "GET", path+"/nope", b.as("admin")).wants(t, 404); a.body != errorBody("NOT_FOUND", "project nope not found") {
		t.Errorf("body %s", a.body)
	}
	if a := b.do(t, "GET", path+"/library", b.as("dev")).wants(t, 200); !strings.Contains(a.body, `"repo_count":2`) || !strings.Contains(a.body, `"metadata":{"public":"true"}`) {
		t.Errorf("body %s", a.body)
	}
}

// A client that keeps cookies runs into this.
func TestASessionCookieNeedsTheTokenOfAWebPage(t *testing.T) {
	t.Parallel()
	b := start(t, Options{})
	a := b.do(t, "GET", "/v2/")
	if !strings.HasPrefix(a.header.Get("Set-Cookie"), "sid=") {
		t.Fatalf("header %v", a.header)
	}
	cookie := header("Cookie", strings.Split(a.header.Get("Set-Cookie"), ";")[0])
	a = b.do(t, "POST", "/v2/demo/app/blobs/uploads/", b.as("dev"), cookie).wants(t, 403)
	if a.body != errorBody("FORBIDDEN", "CSRF token not found in request") {
		t.Errorf("body %s", a.body)
	}
	b.do(t, "GET", "/v2/", b.as("dev"), cookie).wants(t, 200)
}
