package harbor

import (
	"errors"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
)

func TestDetectRecognisesEveryGenerationWithoutCredentials(t *testing.T) {
	t.Parallel()
	const version, v1, v2 = "GET /api/version", "GET /api/systeminfo", "GET /api/v2.0/systeminfo"
	tests := []struct {
		name    string
		server  *double
		service string
		want    Info
		found   bool
		asked   []string
	}{
		{
			"v1.1.2", harbor112(), Service,
			Info{Version: "v1.1.2", Generation: 1, AuthMode: "db_auth", ProjectCreation: "everyone"},
			true,
			[]string{version, v1},
		},
		{
			"v1.5.4", harbor154(), Service,
			Info{Version: "v1.5.4", Generation: 1, AuthMode: "db_auth", ProjectCreation: "everyone"},
			true,
			[]string{version, v1},
		},
		{
			"v1.7.8", harbor178(), Service,
			Info{Version: "v1.7.8", Generation: 1, AuthMode: "db_auth", ProjectCreation: "everyone"},
			true,
			[]string{version, v1},
		},
		{
			"v2.16 hides its version from anonymous", harbor216(), Service,
			Info{Generation: 2, AuthMode: "db_auth"},
			true,
			[]string{version, v2},
		},
		{
			"2.x by its API alone", harbor216(), "",
			Info{Generation: 2, AuthMode: "db_auth"},
			true,
			[]string{version, v2},
		},
		{
			"1.x by its API alone", harbor178(), "",
			Info{Version: "v1.7.8", Generation: 1, AuthMode: "db_auth", ProjectCreation: "everyone"},
			true,
			[]string{version, v1},
		},
		{
			"inside VIC", harbor178().with("/api/systeminfo", answer{status: 200, media: jsonMedia, body: `{"with_admiral":true,"admiral_endpoint":"https://vic.test:8282",
				"auth_mode":"db_auth","registry_url":"vic.test","project_creation_restriction":"everyone","harbor_version":"v1.7.1-c3806525"}`}), Service,
			Info{Version: "v1.7.1-c3806525", Generation: 1, AuthMode: "db_auth", Admiral: true, ProjectCreation: "everyone"},
			true,
			[]string{version, v1},
		},
		{
			"2.x whose systeminfo is shut", harbor216().with("/api/v2.0/systeminfo", answer{status: 403, media: textMedia}), Service,
			Info{Generation: 2},
			true,
			[]string{version, v2},
		},
		{
			"by the challenge alone", &double{rest: portal}, Service,
			Info{},
			true,
			[]string{version, v1},
		},
		{
			"by the old challenge", &double{rest: page404}, "token-service",
			Info{},
			true,
			[]string{version, v1},
		},
		{
			"portal page for everything is no API", &double{rest: portal}, "",
			Info{},
			false,
			[]string{version, v1},
		},
		{
			"portal page served as JSON is no API", &double{rest: answer{status: 200, media: jsonMedia, body: portal.body}}, "",
			Info{},
			false,
			[]string{version, v1},
		},
		{
			"plain Distribution", &double{rest: answer{status: 404, media: textMedia, body: "404 page not found\n"}}, "registry.docker.io",
			Info{},
			false,
			[]string{version, v1},
		},
		{
			"another product with a version of its own", &double{
				rest:    answer{status: 404},
				answers: map[string]answer{"/api/version": {status: 200, media: jsonMedia, body: `{"version":"v2.0"}`}},
			}, "",
			Info{},
			false,
			[]string{version, v2, v1},
		},
		{
			"another product with both of its own", &double{
				rest: answer{status: 404},
				answers: map[string]answer{
					"/api/version":         {status: 200, media: jsonMedia, body: `{"version":"v2.0"}`},
					"/api/v2.0/systeminfo": {status: 200, media: jsonMedia, body: `{"uptime":1}`},
				},
			}, "",
			Info{},
			false,
			[]string{version, v2, v1},
		},
		{
			"another product with a systeminfo of its own", &double{
				rest:    answer{status: 404},
				answers: map[string]answer{"/api/systeminfo": {status: 200, media: jsonMedia, body: `{"auth_mode":"db_auth"}`}},
			}, "",
			Info{},
			false,
			[]string{version, v1},
		},
		{
			"JSON of another shape", &double{rest: answer{status: 200, media: jsonMedia, body: `["v2.0"]`}}, "",
			Info{},
			false,
			[]string{version, v1},
		},
		{
			"JSON with wrong types", &double{rest: answer{status: 200, media: jsonMedia, body: `{"version":2,"auth_mode":1,"registry_url":true}`}}, "",
			Info{},
			false,
			[]string{version, v1},
		},
		{
			"an answer without end", &double{rest: answer{status: 200, media: jsonMedia, body: `{"auth_mode":"db_auth","registry_url":"x"` + strings.Repeat(" ", maxJSON) + "}"}}, "",
			Info{},
			false,
			[]string{version, v1},
		},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, found, err := tc.server.client().Detect(t.Context(), tc.service)
			if err != nil || found != tc.found || got != tc.want {
				t.Errorf("Detect = %+v, %v, %v; want %+v, %v", got, found, err, tc.want, tc.found)
			}
			wantAsked(t, tc.server, tc.asked...)
		})
	}
}

func TestDetectLeavesOutValuesThatHarborWouldNotGive(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"-", `v1\u001b[31m`, "v1 beta", strings.Repeat("1", 65), "v1\\u202e"} {
		d := harbor178().with("/api/systeminfo", info1(version))
		got, found, err := d.client().Detect(t.Context(), Service)
		if err != nil || !found || got.Version != "" || got.AuthMode != "db_auth" {
			t.Errorf("version %q: %+v, %v, %v", version, got, found, err)
		}
	}
}

func TestDetectReportsAFailingConnection(t *testing.T) {
	t.Parallel()
	broken := errors.New("connection reset")
	for _, body := range []bool{false, true} {
		for path, next := range map[string]*double{
			"/api/version":         harbor178(),
			"/api/systeminfo":      harbor178(),
			"/api/v2.0/systeminfo": harbor216(),
		} {
			c := NewClient(failing{at: path, err: broken, body: body, next: next}, &url.URL{Scheme: "https", Host: "vic.test"})
			if _, found, err := c.Detect(t.Context(), Service); !errors.Is(err, broken) || found {
				t.Errorf("%s, body %v: found %v, error %v", path, body, found, err)
			}
		}
	}
}

func TestCAIsFetchedWithoutCredentials(t *testing.T) {
	t.Parallel()
	const v1, v2 = "GET /api/systeminfo/getcert", "GET /api/v2.0/systeminfo/getcert"
	withKey := thePEM + "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n"
	noCert := answer{status: 404, media: textMedia, body: "No certificate found."}
	tests := []struct {
		name       string
		server     *double
		generation int
		want       string
		err        error // of this type and with these facts
		asked      []string
	}{
		{"v1.7.8", harbor178(), 1, thePEM, nil, []string{v1}},
		{"v2.16", harbor216(), 2, thePEM, nil, []string{v2}},
		{"v1.1.2", harbor112(), 1, "", &LoginNeededError{Status: 401}, []string{v1}},
		{"v1.5.4", harbor154(), 1, "", &LoginNeededError{Status: 401}, []string{v1}},
		{"generation unknown, 1.x", harbor178(), 0, thePEM, nil, []string{v2, v1}},
		{"generation unknown, 2.x", harbor216(), 0, thePEM, nil, []string{v2}},
		{"generation unknown, before 1.7", harbor112(), 0, "", &LoginNeededError{Status: 401}, []string{v2, v1}},
		{"generation unknown, only a portal", &double{rest: portal}, 0, "", &AnswerError{Path: v1[4:], Status: 200, Why: "a web page and no certificate"}, []string{v2, v1}},
		{"none on v1.7.8", harbor178().with(v1[4:], noCert), 1, "", &NoCAError{Path: v1[4:]}, []string{v1}},
		{
			"none on v2.16", harbor216().with(v2[4:], answer{status: 404, media: jsonMedia, body: `{"errors":[{"code":"NOT_FOUND","message":"resource not found: cert not found in path: /etc/core/ca/ca.crt"}]}`}),
			2, "", &NoCAError{Path: v2[4:]},
			[]string{v2},
		},
		{"an empty file", harbor178().with(v1[4:], answer{status: 200, media: bytesMedia, body: "\r\n"}), 1, "", &NoCAError{Path: v1[4:]}, []string{v1}},
		{"no GET there", harbor216().with(v2[4:], answer{status: 405, media: jsonMedia}), 2, "", &AnswerError{Path: v2[4:], Status: 405}, []string{v2}},
		{"a redirect is not followed", harbor216().with(v2[4:], answer{status: 302}), 2, "", &AnswerError{Path: v2[4:], Status: 302}, []string{v2}},
		{"a web page", harbor216().with(v2[4:], portal), 2, "", &AnswerError{Path: v2[4:], Status: 200, Why: "a web page and no certificate"}, []string{v2}},
		{
			"a web page that claims to be bytes", harbor178().with(v1[4:], answer{status: 200, media: bytesMedia, body: "\uFEFF\n " + portal.body}),
			1, "", &AnswerError{Path: v1[4:], Status: 200, Why: "a web page and no certificate"},
			[]string{v1},
		},
		{"too large", harbor178().with(v1[4:], answer{status: 200, media: bytesMedia, body: strings.Repeat("x", maxCA+1)}), 1, "", &AnswerError{Path: v1[4:], Status: 200, Why: "larger than 1 MiB"}, []string{v1}},
		{"a bundle with a key is for the caller to refuse", harbor178().with(v1[4:], answer{status: 200, media: bytesMedia, body: withKey}), 1, withKey, nil, []string{v1}},
		{"text before the blocks", harbor216().with(v2[4:], answer{status: 200, media: textMedia, body: "our CA\n" + thePEM}), 2, "our CA\n" + thePEM, nil, []string{v2}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := tc.server.client().CA(t.Context(), tc.generation)
			if string(got) != tc.want {
				t.Errorf("CA = %.200q, want %.200q", got, tc.want)
			}
			sameFacts(t, err, tc.err)
			wantAsked(t, tc.server, tc.asked...)
		})
	}
}

func TestCAAsAdminSendsTheLoginToTheOldPathOnly(t *testing.T) {
	t.Parallel()
	const asked = "GET /api/systeminfo/getcert +Basic"
	none := answer{status: 401, admin: &answer{status: 404, media: textMedia, body: "No certificate found."}}
	tests := []struct {
		name     string
		server   *double
		user, pw string
		want     string
		err      error
	}{
		{"v1.1.2", harbor112(), "admin", "secret", thePEM, nil},
		{"v1.5.4", harbor154(), "admin", "secret", thePEM, nil},
		{"wrong password", harbor154(), "admin", "wrong", "", &DeniedError{Status: 401}},
		{"no administrator", harbor154(), "dev", "secret", "", &DeniedError{Status: 403}},
		{"no CA there", harbor112().with("/api/systeminfo/getcert", none), "admin", "secret", "", &NoCAError{Path: "/api/systeminfo/getcert"}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := tc.server.client().CAAsAdmin(t.Context(), tc.user, tc.pw)
			if string(got) != tc.want {
				t.Errorf("CAAsAdmin = %q, want %q", got, tc.want)
			}
			sameFacts(t, err, tc.err)
			if err != nil && strings.Contains(err.Error(), tc.pw) {
				t.Errorf("the password stands in %q", err)
			}
			wantAsked(t, tc.server, asked)
		})
	}
}

func TestCAReportsAFailingConnection(t *testing.T) {
	t.Parallel()
	broken := errors.New("connection reset")
	for _, body := range []bool{false, true} {
		f := failing{at: "/api/systeminfo/getcert", err: broken, body: body, next: harbor178()}
		c := NewClient(f, &url.URL{Scheme: "https", Host: "vic.test"})
		if ca, err := c.CA(t.Context(), 1); !errors.Is(err, broken) || ca != nil {
			t.Errorf("body %v: %q, %v", body, ca, err)
		}
	}
}

func TestErrorsReadAsOneLine(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		"harbor offers no CA at /api/systeminfo/getcert":                           &NoCAError{Path: "/api/systeminfo/getcert"},
		"harbor gives its CA to administrators only, as versions before 1.7 do":    &LoginNeededError{Status: 401},
		"harbor refused the user name or password":                                 &DeniedError{Status: http.StatusUnauthorized},
		"harbor gives its CA to administrators only, and this user is none":        &DeniedError{Status: http.StatusForbidden},
		"/api/systeminfo/getcert answered with status 502":                         &AnswerError{Path: "/api/systeminfo/getcert", Status: 502},
		"/api/v2.0/systeminfo/getcert answered with a web page and no certificate": &AnswerError{Path: "/api/v2.0/systeminfo/getcert", Status: 200, Why: "a web page and no certificate"},
	} {
		if err.Error() != want {
			t.Errorf("%T reads %q, want %q", err, err, want)
		}
	}
}

// sameFacts compares typed errors by what they hold.
func sameFacts(t *testing.T, got, want error) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("error %#v, want %#v", got, want)
	}
}

func FuzzDetectLetsOnlyPlainWordsThrough(f *testing.F) {
	for _, d := range []*double{harbor112(), harbor216()} {
		for _, a := range d.answers {
			f.Add(a.body)
		}
	}
	f.Add(portal.body)
	f.Fuzz(func(t *testing.T, body string) {
		d := &double{rest: answer{status: 200, media: jsonMedia, body: body}}
		got, found, err := d.client().Detect(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		if !found && got != (Info{}) {
			t.Errorf("not found, yet %+v", got)
		}
		if found && (got.AuthMode == "" && got.Version == "" && got.Generation == 0) {
			t.Errorf("found without a fact: %+v", got)
		}
		for _, s := range []string{got.Version, got.AuthMode, got.ProjectCreation} {
			if strings.ContainsAny(s, "\x00\x1b\n\r \u202e") {
				t.Errorf("%q came through", s)
			}
		}
	})
}
