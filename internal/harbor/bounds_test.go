package harbor

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Times that nobody set, and such as no program could write down, are none.
func TestMoments(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"2026-11-23T15:34:14.952Z":      "2026-11-23T15:34:14Z",
		"2026-11-23T15:34:14+02:00":     "2026-11-23T13:34:14Z",
		"0001-01-01T00:00:00Z":          "",
		"0002-01-01T00:00:00+05:00":     "",
		"9999-12-31T23:59:59Z":          "9999-12-31T23:59:59Z",
		"9999-12-31T23:59:59-01:00":     "",
		"10000-01-01T00:00:00Z":         "",
		"2026-11-23 15:34:14":           "",
		"\x1b[2J2026-11-23T15:34:14Z":   "",
		"2026-11-23T15:34:14Z\n\n\x1b[": "",
		"":                              "",
	} {
		got := moment(text)
		if shown := got.Format(time.RFC3339); got.IsZero() != (want == "") || want != "" && shown != want {
			t.Errorf("%q: %s, want %q", text, shown, want)
		}
	}
}

// No project has fewer repositories than none, whatever a list says.
func TestAProjectHasNoFewerRepositoriesThanNone(t *testing.T) {
	t.Parallel()
	c := to(func(*http.Request) *http.Response {
		return reply(200, nil, `[{"name":"demo","repo_count":-3},{"name":"new","repo_count":2}]`)
	})
	all, err := c.Projects(t.Context(), Info{Generation: 2})
	if err != nil || len(all) != 2 || all[0].Repositories != 0 || all[1].Repositories != 2 {
		t.Errorf("%+v, %v", all, err)
	}
}

// A project whose name is longer than any can be is none.
func TestAProjectHasANameThatProjectsCanHave(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", maxProjectName)
	c := to(func(*http.Request) *http.Response {
		return reply(200, nil, `[{"name":"`+long+`"},{"name":"`+long+`x"},{"name":""}]`)
	})
	if all, err := c.Projects(t.Context(), Info{Generation: 2}); err != nil || len(all) != 1 || all[0].Name != long {
		t.Errorf("%d projects, %v", len(all), err)
	}
}

// A web page says nothing of a project, with whatever status it comes.
func TestAPageSaysNothingOfAProject(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusOK, http.StatusNotFound} {
		c := to(func(*http.Request) *http.Response {
			return reply(status, http.Header{"Content-Type": {"text/html; charset=utf-8"}}, "")
		})
		there, err := c.ProjectExists(t.Context(), Info{Generation: 2}, "demo")
		if answer, ok := errors.AsType[*AnswerError](err); there != Untold || !ok || answer.Status != status {
			t.Errorf("%d: %v, %v", status, there, err)
		}
	}
}
