package harbor

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// A double answers as one Harbor release does behind its own nginx. The
// answers are the recorded ones.
type double struct {
	answers map[string]answer // by path
	rest    answer            // for any other path
	asked   []string          // "GET /path", " +Basic" behind it when a login came along
	cookies int               // requests that carried one
}

type answer struct {
	status int
	media  string
	body   string
	admin  *answer // to admin:secret
	user   *answer // to dev:secret
}

const (
	jsonMedia  = "application/json; charset=utf-8"
	textMedia  = "text/plain; charset=utf-8"
	htmlMedia  = "text/html; charset=utf-8"
	bytesMedia = "application/octet-stream"
	thePEM     = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
)

var (
	page404 = answer{status: 404, media: htmlMedia, body: "<!DOCTYPE html>\n<html><head><title>404 - Page Not Found</title></head></html>"}
	portal  = answer{status: 200, media: "text/html", body: "<!doctype html><html><head><title>Harbor</title></head></html>"}
	pem     = answer{status: 200, media: bytesMedia, body: thePEM}
)

func info1(version string) answer {
	return answer{status: 200, media: jsonMedia, body: `{
  "with_notary": false, "with_admiral": false, "admiral_endpoint": "", "auth_mode": "db_auth",
  "registry_url": "vic.test", "project_creation_restriction": "everyone",
  "self_registration": true, "has_ca_root": true, "harbor_version": "` + version + `"}`}
}

// harbor1 is v1.1.2 or v1.5.4, whose refusals differ in their bodies only.
func harbor1(version string, refusal answer) *double {
	forbidden := refusal
	forbidden.status = 403
	refusal.admin, refusal.user = &pem, &forbidden
	return &double{rest: page404, answers: map[string]answer{
		"/api/systeminfo":         info1(version),
		"/api/systeminfo/getcert": refusal,
	}}
}

func harbor112() *double { return harbor1("v1.1.2", answer{status: 401}) }
func harbor154() *double { return harbor1("v1.5.4", answer{status: 401, media: textMedia, body: "\n"}) }

func harbor178() *double {
	return &double{rest: page404, answers: map[string]answer{
		"/api/systeminfo":         info1("v1.7.8"),
		"/api/systeminfo/getcert": pem,
	}}
}

func harbor216() *double {
	return &double{rest: portal, answers: map[string]answer{
		"/api/version":                 {status: 200, media: textMedia, body: `{"version":"v2.0"}`},
		"/api/systeminfo":              page404,
		"/api/systeminfo/getcert":      page404,
		"/api/v2.0/systeminfo":         {status: 200, media: "application/json", body: `{"auth_mode":"db_auth","banner_message":"","oidc_provider_name":"","primary_auth_mode":false,"self_registration":false}`},
		"/api/v2.0/systeminfo/getcert": pem,
	}}
}

// with replaces one answer.
func (d *double) with(path string, a answer) *double {
	d.answers[path] = a
	return d
}

func (d *double) RoundTrip(r *http.Request) (*http.Response, error) {
	line := r.Method + " " + r.URL.Path
	a, ok := d.answers[r.URL.Path]
	if !ok {
		a = d.rest
	}
	if user, password, ok := r.BasicAuth(); ok {
		line += " +Basic"
		switch {
		case user == "admin" && password == "secret" && a.admin != nil:
			a = *a.admin
		case user == "dev" && password == "secret" && a.user != nil:
			a = *a.user
		}
	}
	d.asked = append(d.asked, line)
	if len(r.Cookies()) > 0 {
		d.cookies++
	}
	rec := httptest.NewRecorder()
	rec.Header().Set("Set-Cookie", "sid=0123; Path=/; HttpOnly")
	if a.media != "" {
		rec.Header().Set("Content-Type", a.media)
	}
	rec.WriteHeader(a.status)
	_, _ = rec.WriteString(a.body)
	return rec.Result(), nil
}

func (d *double) client() *Client {
	return NewClient(d, &url.URL{Scheme: "https", Host: "vic.test", Path: "/ignored"})
}

func wantAsked(t *testing.T, d *double, want ...string) {
	t.Helper()
	if !slices.Equal(d.asked, want) {
		t.Errorf("asked %q, want %q", d.asked, want)
	}
	if d.cookies > 0 {
		t.Error("a cookie was sent back")
	}
}

// A transport that fails, or whose body does.
type failing struct {
	at   string // path
	err  error
	body bool // not the request but the reading of its answer fails
	next http.RoundTripper
}

func (f failing) RoundTrip(r *http.Request) (*http.Response, error) {
	switch {
	case r.URL.Path != f.at:
		return f.next.RoundTrip(r)
	case !f.body:
		return nil, f.err
	}
	return &http.Response{
		StatusCode: 200,
		Header:     http.Header{},
		Body:       io.NopCloser(io.MultiReader(strings.NewReader(`{"auth`), brokenReader{f.err})),
	}, nil
}

type brokenReader struct{ err error }

func (b brokenReader) Read([]byte) (int, error) { return 0, b.err }
