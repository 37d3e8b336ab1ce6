package harbor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/vicr-cli/vicr/internal/sandbox"
)

var harbors = []sandbox.Like{sandbox.Harbor11, sandbox.Harbor15, sandbox.Harbor17, sandbox.Harbor110, sandbox.Harbor216}

// as sends a user's password along, and notes what was asked.
type as struct {
	next           http.RoundTripper
	user, password string
	asked          []string
	bodies         []string
	media          []string
}

func (a *as) RoundTrip(req *http.Request) (*http.Response, error) {
	a.asked = append(a.asked, req.Method+" "+req.URL.Path)
	if req.Body != nil && req.Body != http.NoBody {
		raw, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		a.bodies = append(a.bodies, string(raw))
		a.media = append(a.media, req.Header.Get("Content-Type"))
		req.Body = io.NopCloser(strings.NewReader(string(raw)))
	}
	if a.user != "" {
		req.SetBasicAuth(a.user, a.password)
	}
	return a.next.RoundTrip(req)
}

// visit starts a sandbox and says who the Harbor is, as Detect finds out. The
// user is one of its own, or nobody for "".
func visit(t *testing.T, o sandbox.Options, user string) (*Client, Info, *as) {
	t.Helper()
	s, err := sandbox.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	roots := x509.NewCertPool()
	roots.AddCert(s.CA())
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	t.Cleanup(transport.CloseIdleConnections)
	rt := &as{next: transport}
	base := &url.URL{Scheme: "https", Host: s.Host()}
	info, found, err := NewClient(transport, base).Detect(t.Context(), Service)
	if err != nil || !found {
		t.Fatalf("found %v, %v", found, err)
	}
	for _, u := range s.Users() {
		if u.Name == user {
			rt.user, rt.password = u.Name, u.Password
		}
	}
	if user != rt.user {
		rt.user, rt.password = user, "wrong"
	}
	return NewClient(rt, base), info, rt
}

func TestAProjectNameIsHeldAgainstHarborsRules(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"a", "demo", "my-team.1", "a_b", "0", strings.Repeat("a", 255)} {
		if err := CheckProjectName(good); err != nil {
			t.Errorf("%.20s: %v", good, err)
		}
	}
	for _, bad := range []string{"", "Demo", "a b", "-a", "a-", "a--b", "a..b", "a._b", "a/b", "a:1", "ä", "a\n", strings.Repeat("a", 256)} {
		if _, ok := errors.AsType[*ProjectNameError](CheckProjectName(bad)); !ok {
			t.Errorf("%.20q is taken", bad)
		}
	}
}

func TestProjectsAreCreatedInEveryHarbor(t *testing.T) {
	t.Parallel()
	for _, like := range harbors {
		t.Run(string(like), func(t *testing.T) {
			t.Parallel()
			c, info, rt := visit(t, sandbox.Options{Like: like}, "dev")
			for name, public := range map[string]bool{"closed": false, "open": true} {
				if err := c.CreateProject(t.Context(), info, name, public); err != nil {
					t.Fatal(err)
				}
				p, seen, err := c.Project(t.Context(), info, name)
				if err != nil || !seen || p.Public != public {
					t.Errorf("%s: %+v, %v, %v", name, p, seen, err)
				}
				sameFacts(t, c.CreateProject(t.Context(), info, name, public), &ProjectExistsError{Project: name})
				sameFacts(t, c.CreateProject(t.Context(), info, "library", public), &ProjectExistsError{Project: "library"})
			}
			for i, body := range rt.bodies {
				number := strings.Contains(body, `"public":0`) || strings.Contains(body, `"public":1`)
				if number != (like != sandbox.Harbor216) || rt.media[i] != "application/json" {
					t.Errorf("%s as %s", body, rt.media[i])
				}
			}
		})
	}
}

func TestANameThatOnlyLaterHarborsTake(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 31)
	for _, tt := range []struct {
		like sandbox.Like
		name string
		want error
	}{
		{sandbox.Harbor11, long, &ProjectNameError{long, "Harbor 1.1 takes 30 characters at most"}},
		{sandbox.Harbor11, "a", &ProjectNameError{"a", "this Harbor takes two characters at least"}},
		{sandbox.Harbor15, "a", &ProjectNameError{"a", "this Harbor takes two characters at least"}},
		{sandbox.Harbor15, long, nil},
		{sandbox.Harbor110, "a", nil},
		{sandbox.Harbor216, "a", nil},
	} {
		c, info, _ := visit(t, sandbox.Options{Like: tt.like}, "dev")
		if err := c.CreateProject(t.Context(), info, tt.name, false); !reflect.DeepEqual(err, tt.want) {
			t.Errorf("%s, %s: %v, want %v", tt.like, tt.name, err, tt.want)
		}
	}
}

func TestWhoMayCreateProjects(t *testing.T) {
	t.Parallel()
	for _, like := range harbors {
		for _, tt := range []struct {
			name   string
			policy sandbox.Policy
			user   string
			want   Creator
			none   bool // no refusal
		}{
			{"nobody", sandbox.Policy{}, "", LoginNeeded, false},
			{"a wrong password", sandbox.Policy{}, "stranger", LoginNeeded, false},
			{"everybody", sandbox.Policy{}, "dev", "", true},
			{"administrators only", sandbox.Policy{AdminOnly: true}, "dev", Administrators, false},
			{"an administrator", sandbox.Policy{AdminOnly: true}, "admin", "", true},
			{"inside VIC", sandbox.Policy{Admiral: true}, "dev", VICAdministrators, false},
			{"VIC's administrator", sandbox.Policy{Admiral: true}, "admin", "", true},
			{"read-only", sandbox.Policy{ReadOnly: true}, "dev", ReadOnly, false},
		} {
			if like == sandbox.Harbor216 && tt.policy.Admiral {
				continue // no VIC has it
			}
			if like != sandbox.Harbor216 && tt.policy.ReadOnly {
				tt.want, tt.none = "", true // read in its source, not seen: its read-only mode is about images
			}
			t.Run(string(like)+", "+tt.name, func(t *testing.T) {
				t.Parallel()
				c, info, _ := visit(t, sandbox.Options{Like: like, Policy: tt.policy}, tt.user)
				err := c.CreateProject(t.Context(), info, "new", false)
				denied, ok := errors.AsType[*ProjectDeniedError](err)
				switch {
				case tt.none && err != nil, !tt.none && !ok:
					t.Errorf("%v", err)
				case !tt.none && denied.Why != tt.want:
					t.Errorf("%q (%v), want %q", denied.Why, err, tt.want)
				}
			})
		}
	}
}

// What a robot is told was read in the source of 2.x; the sandbox has no such refusal.
func TestARefusalInWordsIsTold(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]ProjectDeniedError{
		`{"errors":[{"code":"FORBIDDEN","message":"Only system level robot can create project"}]}`: {Project: "x", Status: 403, Why: SystemRobots, Message: "Only system level robot can create project"},
		`{"code":403,"message":"dev"}`:    {Project: "x", Status: 403, Message: "dev"},
		"dev\n":                           {Project: "x", Status: 403, Message: "dev"},
		"<html>no</html>":                 {Project: "x", Status: 403},
		"\x1b" + strings.Repeat("a", 999): {Project: "x", Status: 403, Message: "\x1b" + strings.Repeat("a", 299)},
	} {
		d := harbor216().with("/api/v2.0/projects", answer{status: 403, media: textMedia, body: body})
		err := d.client().CreateProject(t.Context(), Info{Generation: 2}, "x", false)
		sameFacts(t, err, &want)
		if strings.ContainsAny(err.Error(), "\x1b\n") {
			t.Errorf("raw bytes in %q", err)
		}
	}
}

func TestProjectsAreListedInEveryHarbor(t *testing.T) {
	t.Parallel()
	for _, like := range harbors {
		for _, absolute := range []bool{false, true} {
			o := sandbox.Options{Like: like, Policy: sandbox.Policy{AbsoluteLinks: absolute}}
			var mine []string
			for i := range 230 { // three pages
				name := fmt.Sprintf("p%03d", i)
				mine = append(mine, name)
				o.Projects = append(o.Projects, sandbox.Project{Name: name, Public: i%2 == 0, Members: map[string]sandbox.Role{"dev": sandbox.Guest}})
			}
			t.Run(fmt.Sprintf("%s, absolute %v", like, absolute), func(t *testing.T) {
				t.Parallel()
				c, info, rt := visit(t, o, "dev")
				all, err := c.Projects(t.Context(), info)
				if err != nil {
					t.Fatal(err)
				}
				var got []string
				for _, p := range all {
					got = append(got, p.Name)
					if p.Public != (p.Name == "library" || strings.HasPrefix(p.Name, "p") && p.Name[3]%2 == 0) {
						t.Errorf("%s: public %v", p.Name, p.Public)
					}
					if p.Name == "library" && p.Repositories == 0 {
						t.Error("library has no repositories")
					}
				}
				slices.Sort(got)
				if want := append([]string{"demo", "library"}, mine...); !slices.Equal(got, want) {
					t.Errorf("%d projects, want %d", len(got), len(want))
				}
				want := 3
				if like == sandbox.Harbor11 {
					want += 2 // the public ones are a list of their own
				}
				if len(rt.asked) != want {
					t.Errorf("%d requests, want %d", len(rt.asked), want)
				}
			})
		}
		t.Run(string(like)+", nobody", func(t *testing.T) {
			t.Parallel()
			c, info, _ := visit(t, sandbox.Options{Like: like}, "")
			all, err := c.Projects(t.Context(), info)
			if err != nil || len(all) != 1 || all[0].Name != "library" || !all[0].Public {
				t.Errorf("%+v, %v; want library alone", all, err)
			}
			if p, seen, err := c.Project(t.Context(), info, "none"); err != nil || seen { // null, from 1.5 on
				t.Errorf("%+v, %v, %v", p, seen, err)
			}
		})
	}
}

// A listing has an end, whatever the server says.
func TestAListHasAnEnd(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		page func(number string) (body, link, total string)
		want any
		most int // requests
	}{
		{"a circle", func(n string) (string, string, string) {
			return `[{"name":"p` + n + `"}]`, `</api/v2.0/projects?page=1&page_size=100>; rel="next"`, ""
		}, new(*ListError), 2},
		{"elsewhere", func(string) (string, string, string) {
			return `[{"name":"p"}]`, `<https://evil.test/api/v2.0/projects?page=2>; rel="next"`, ""
		}, new(*ListError), 1},
		{"another path", func(string) (string, string, string) {
			return `[{"name":"p"}]`, `</api/v2.0/users?page=2>; rel="next"`, ""
		}, new(*ListError), 1},
		{"without end", func(n string) (string, string, string) {
			return `[{"name":"p` + n + `"}]`, "", "999999999"
		}, new(*ListError), 2 * freePages},
		{"nothing new", func(string) (string, string, string) {
			return `[{"name":"p"}]`, "", "999999999"
		}, nil, 2},
		{"null", func(string) (string, string, string) { return "null", "", "7" }, nil, 1},
		{"no list", func(string) (string, string, string) { return `{"projects":[]}`, "", "" }, new(*AnswerError), 1},
		{"a web page", func(string) (string, string, string) { return portal.body, "", "" }, new(*AnswerError), 1},
		{"too large", func(string) (string, string, string) {
			return `["` + strings.Repeat("x", maxPage) + `"]`, "", ""
		}, new(*ListError), 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			rt := &paged{page: tt.page}
			_, err := NewClient(rt, &url.URL{Scheme: "https", Host: "harbor.test"}).Projects(t.Context(), Info{Generation: 2})
			if tt.want == nil && err != nil || tt.want != nil && !errors.As(err, tt.want) {
				t.Errorf("%v, want %T", err, tt.want)
			}
			if rt.asked > tt.most {
				t.Errorf("%d requests, want %d at most", rt.asked, tt.most)
			}
		})
	}
}

type paged struct {
	page  func(number string) (body, link, total string)
	asked int
}

func (p *paged) RoundTrip(req *http.Request) (*http.Response, error) {
	p.asked++
	body, link, total := p.page(req.URL.Query().Get("page"))
	header := http.Header{}
	for name, value := range map[string]string{"Content-Type": "application/json", "Link": link, "X-Total-Count": total} {
		if value != "" {
			header.Set(name, value)
		}
	}
	return &http.Response{StatusCode: http.StatusOK, Header: header, Body: io.NopCloser(strings.NewReader(body)), Request: req}, nil
}

func TestWhetherThereIsAProject(t *testing.T) {
	t.Parallel()
	users := []sandbox.User{{Name: "stranger"}, {Name: "sso", Kind: sandbox.OIDC}, {Name: "robot$ci", Kind: sandbox.Robot}}
	for _, like := range harbors {
		for _, tt := range []struct {
			user, project string
			want          Presence
			only          []sandbox.Like // nil: all
		}{
			{"dev", "demo", Exists, nil},
			{"dev", "missing", Missing, nil},
			{"stranger", "demo", Exists, nil},
			{"stranger", "missing", Missing, nil},
			{"robot$ci", "demo", Exists, []sandbox.Like{sandbox.Harbor110, sandbox.Harbor216}},
			{"robot$ci", "missing", Missing, []sandbox.Like{sandbox.Harbor110, sandbox.Harbor216}},
			{"sso", "demo", Untold, []sandbox.Like{sandbox.Harbor216}},
			{"sso", "library", Exists, []sandbox.Like{sandbox.Harbor216}},
			{"sso", "missing", Untold, []sandbox.Like{sandbox.Harbor216}},
			{"", "missing", Missing, []sandbox.Like{sandbox.Harbor15, sandbox.Harbor17}},
			{"", "demo", Exists, []sandbox.Like{sandbox.Harbor15, sandbox.Harbor17}},
			{"", "demo", Untold, []sandbox.Like{sandbox.Harbor11, sandbox.Harbor110, sandbox.Harbor216}},
			{"", "missing", Untold, []sandbox.Like{sandbox.Harbor11, sandbox.Harbor110, sandbox.Harbor216}},
			{"", "library", Exists, nil},
		} {
			if tt.only != nil && !slices.Contains(tt.only, like) {
				continue
			}
			t.Run(fmt.Sprintf("%s, %q asks for %s", like, tt.user, tt.project), func(t *testing.T) {
				t.Parallel()
				c, info, _ := visit(t, sandbox.Options{Like: like, Users: users}, tt.user)
				if got, err := c.ProjectExists(t.Context(), info, tt.project); err != nil || got != tt.want {
					t.Errorf("%v, %v; want %v", got, err, tt.want)
				}
			})
		}
	}
}

func TestWhyATokenAllowsNoPush(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	c, info, rt := visit(t, sandbox.Options{}, "dev")
	sameFacts(t, c.WhyNoPush(ctx, info, "library/app", true), &PushDeniedError{Project: "library", MayPull: true})
	if len(rt.asked) != 0 {
		t.Errorf("asked %q: who may pull from a project knows that it is there", rt.asked)
	}
	sameFacts(t, c.WhyNoPush(ctx, info, "missing/app", false), &ProjectMissingError{Project: "missing"})
	sameFacts(t, c.WhyNoPush(ctx, info, "library/a/b", false), &PushDeniedError{Project: "library"})
	sameFacts(t, c.WhyNoPush(ctx, info, "app", false), &NoProjectPartError{Repository: "app"})
	sameFacts(t, c.WhyNoPush(ctx, Info{}, "missing/app", false), &PushDeniedError{Project: "missing", Unsure: true})
	for status, media := range map[int]string{404: htmlMedia, 502: textMedia} {
		d := harbor216().with("/api/v2.0/projects", answer{status: status, media: media})
		_, ok := errors.AsType[*AnswerError](d.client().WhyNoPush(ctx, info, "demo/app", false))
		if !ok {
			t.Errorf("status %d with %s is taken for an answer", status, media)
		}
	}
}

func TestErrorsAboutProjectsReadAsOneLine(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		`project name "A\n": x`: &ProjectNameError{"A\n", "x"},
		`"app" names no project, and Harbor keeps images in projects alone`:                                  &NoProjectPartError{"app"},
		"this registry is no Harbor and has no projects":                                                     &NoProjectsError{},
		`there is no project "x"`:                                                                            &ProjectMissingError{"x"},
		`there is a project "x" already`:                                                                     &ProjectExistsError{"x"},
		`this user may pull from project "x", and not push to it`:                                            &PushDeniedError{Project: "x", MayPull: true},
		`this user is no member of project "x", and may not push to it`:                                      &PushDeniedError{Project: "x"},
		`there is no project "x", or this user may not push to it: Harbor does not tell which`:               &PushDeniedError{Project: "x", Unsure: true},
		`project "x" was not created: only administrators may do that here`:                                  &ProjectDeniedError{Project: "x", Why: Administrators},
		`project "x" was not created: only administrators of vSphere Integrated Containers may do that here`: &ProjectDeniedError{Project: "x", Why: VICAdministrators},
		`project "x" was not created: only users who are logged in may do that here`:                         &ProjectDeniedError{Project: "x", Why: LoginNeeded},
		`project "x" was not created: Harbor is in read-only mode`:                                           &ProjectDeniedError{Project: "x", Why: ReadOnly},
		`project "x" was not created: status 403: "a\x1b"`:                                                   &ProjectDeniedError{Project: "x", Status: 403, Message: "a\x1b"},
		"list /api/projects: too many pages":                                                                 &ListError{"/api/projects", "too many pages"},
	} {
		if err.Error() != want {
			t.Errorf("%T reads %q, want %q", err, err, want)
		}
	}
}
