package harbor

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/vicr-cli/vicr/internal/sandbox"
)

// A roundTrip answers requests in this process.
type roundTrip func(r *http.Request) *http.Response

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r), nil }

func reply(status int, header http.Header, body string) *http.Response {
	if header == nil {
		header = http.Header{}
	}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body))}
}

func to(f roundTrip) *Client { return NewClient(f, &url.URL{Scheme: "https", Host: "harbor.test"}) }

// numbered is a page of repositories from one number on.
func numbered(from, n int) string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf(`{"name":"p%d"}`, from+i))
	}
	return "[" + strings.Join(all, ",") + "]"
}

func TestListsAreBounded(t *testing.T) {
	t.Parallel()
	count := func(s string) http.Header { return http.Header{"X-Total-Count": {s}} }
	for name, tc := range map[string]struct {
		answer      func(n int) *http.Response
		items, asks int
		more        bool
	}{
		"one page":       {func(int) *http.Response { return reply(200, count("2"), numbered(0, 2)) }, 2, 1, false},
		"null":           {func(int) *http.Response { return reply(200, count("0"), "null") }, 0, 1, false},
		"an empty list":  {func(int) *http.Response { return reply(200, nil, "[]") }, 0, 1, false},
		"the same again": {func(int) *http.Response { return reply(200, count("9999"), numbered(0, 100)) }, 100, 2, false},
		"smaller pages":  {func(n int) *http.Response { return reply(200, count("30"), numbered(n*10, 10)) }, 30, 3, false},
		"without end":    {func(n int) *http.Response { return reply(200, count("999999"), numbered(n*100, 100)) }, 10_000, 101, true},
		"all at once":    {func(int) *http.Response { return reply(200, nil, numbered(0, 12_000)) }, 10_000, 1, true},
	} {
		asks := 0
		c := to(func(r *http.Request) *http.Response {
			if r.URL.Host != "harbor.test" || r.Method != http.MethodGet {
				t.Errorf("%s: asked %s %s", name, r.Method, r.URL)
			}
			asks++
			return tc.answer(asks - 1)
		})
		all, more, err := c.Repositories(t.Context(), Info{Generation: 2}, "demo")
		if err != nil || len(all) != tc.items || asks != tc.asks || more != tc.more {
			t.Errorf("%s: %d items, %d requests, more %v, %v", name, len(all), asks, more, err)
		}
	}
}

func TestListsThatAreNone(t *testing.T) {
	t.Parallel()
	for name, resp := range map[string]func() *http.Response{
		"a web page":         func() *http.Response { return reply(200, http.Header{"Content-Type": {"text/html"}}, "<html>") },
		"no list: an object": func() *http.Response { return reply(200, nil, `{"name":"x"}`) },
		"no list: numbers":   func() *http.Response { return reply(200, nil, `[1,2]`) },
		"no list: no names":  func() *http.Response { return reply(200, nil, `[{}]`) },
		"no list: cut":       func() *http.Response { return reply(200, nil, `[{"name":"x"`) },
		"larger than":        func() *http.Response { return reply(200, nil, "["+strings.Repeat(" ", maxPage)+"]") },
		"status 500":         func() *http.Response { return reply(500, nil, "") },
		"status 302":         func() *http.Response { return reply(302, http.Header{"Location": {"https://evil.test"}}, "") },
		"leads elsewhere": func() *http.Response {
			return reply(200, http.Header{"Link": {`<https://evil.test/api/v2.0/projects/demo/repositories?page=2>; rel="next"`}}, `[{"name":"x"}]`)
		},
	} {
		_, _, err := to(func(*http.Request) *http.Response { return resp() }).Repositories(t.Context(), Info{Generation: 2}, "demo")
		answer, list := (*AnswerError)(nil), (*ListError)(nil)
		if !errors.As(err, &answer) && !errors.As(err, &list) || !strings.Contains(err.Error(), strings.Split(name, ":")[0]) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Names come as they are, whatever is in them; who shows them escapes them.
func TestPathsThatAreAsked(t *testing.T) {
	t.Parallel()
	var asked []string
	c := to(func(r *http.Request) *http.Response {
		asked = append(asked, r.Method+" "+r.URL.RequestURI())
		if r.URL.Path == "/api/projects" {
			return reply(200, nil, `[{"project_id":7,"name":"demo-int"},{"project_id":9,"name":"demo"}]`)
		}
		return reply(200, nil, "null")
	})
	for _, i := range []Info{{Generation: 1, Version: "v1.7.8"}, {Generation: 2}} {
		if _, _, err := c.Repositories(t.Context(), i, "demo"); err != nil {
			t.Fatal(err)
		}
		if _, _, err := c.Artifacts(t.Context(), i, "demo", "deep/er/app"); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{
		"GET /api/projects?name=demo&page=1&page_size=100&project_name=demo",
		"GET /api/repositories?page=1&page_size=100&project_id=9", // not that of demo-int, which name finds too
		"GET /api/repositories/demo/deep/er/app/tags?page=1&page_size=100",
		"GET /api/v2.0/projects/demo/repositories?page=1&page_size=100",
		"GET /api/v2.0/projects/demo/repositories/deep%252Fer%252Fapp/artifacts?page=1&page_size=100&with_scan_overview=true&with_tag=true",
	}
	if got := strings.Join(asked, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("asked\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}

func TestArtifactsWithoutATagAndHostileNames(t *testing.T) {
	t.Parallel()
	c := to(func(*http.Request) *http.Response {
		return reply(200, nil, `[{"digest":"sha256:a","size":3,"tags":null,"push_time":"0001-01-01T00:00:00.000Z"},
			{"digest":"sha256:b","tags":[{"name":"\u001b[2J"},{"name":"v1"}],"push_time":"2026-11-23T15:34:14.952Z","extra_attrs":{"created":"nonsense"}}]`)
	})
	all, more, err := c.Artifacts(t.Context(), Info{Generation: 2}, "demo", "app")
	if err != nil || more || len(all) != 2 {
		t.Fatalf("%v, %v", all, err)
	}
	if a := all[0]; a.Digest != "sha256:a" || a.Tags != nil || !a.Pushed.IsZero() || a.Scan.String() != "not scanned" {
		t.Errorf("%+v", a)
	}
	if a := all[1]; len(a.Tags) != 2 || a.Tags[0] != "\x1b[2J" || a.Pushed.Year() != 2026 || !a.Created.IsZero() {
		t.Errorf("%+v", a)
	}
}

func TestScansInWords(t *testing.T) {
	t.Parallel()
	for reports, want := range map[string]string{
		`{}`:                                "not scanned",
		`{"x":{"scan_status":"Pending"}}`:   "scan running",
		`{"x":{"scan_status":"Running"}}`:   "scan running",
		`{"x":{"scan_status":"Error"}}`:     "scan failed",
		`{"x":{"scan_status":"Stopped"}}`:   "scan failed",
		`{"x":{"scan_status":"\u001b[2J"}}`: "not scanned",
		`{"x":7}`:                           "not scanned",
		`{"x":{"scan_status":"Success","summary":{"total":0,"summary":{}}}}`:                                         "nothing found",
		`{"x":{"scan_status":"Success","summary":{"summary":{"High":5,"Critical":2,"Low":0,"Evil\u001b":9}}}}`:       "2 critical, 5 high",
		`{"a":{"scan_status":"Running"},"b":{"scan_status":"Success","summary":{"summary":{"Unknown":1,"Low":-3}}}}`: "1 unknown",
	} {
		var raw map[string]json.RawMessage
		if err := json.Unmarshal([]byte(reports), &raw); err != nil {
			t.Fatal(err)
		}
		if got := parseScan(raw).String(); got != want {
			t.Errorf("%s: %s, want %s", reports, got, want)
		}
	}
}

// Where Harbor does not tell whether there is a project, neither does the error.
func TestARefusalSaysWhetherTheProjectMayBeMissing(t *testing.T) {
	t.Parallel()
	users := []sandbox.User{{Name: "stranger"}, {Name: "sso", Kind: sandbox.OIDC}}
	for user, unsure := range map[string]bool{"stranger": false, "sso": true} {
		t.Run(user, func(t *testing.T) {
			t.Parallel()
			c, info, _ := visit(t, sandbox.Options{Like: sandbox.Harbor216, Users: users}, user)
			_, _, err := c.Repositories(t.Context(), info, "demo")
			refused, ok := errors.AsType[*RefusedListError](err)
			if !ok || refused.Status != http.StatusForbidden || refused.Unsure != unsure {
				t.Errorf("%#v, want unsure %v", err, unsure)
			}
		})
	}
}
