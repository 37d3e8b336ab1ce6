package listing_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/vicr-cli/vicr/internal/auth"
	"github.com/vicr-cli/vicr/internal/harbor"
	"github.com/vicr-cli/vicr/internal/listing"
	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/registry"
	"github.com/vicr-cli/vicr/internal/sandbox"
	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A world is a sandbox, the ways to it, and what was asked of it.
type world struct {
	box *sandbox.Sandbox

	mu    sync.Mutex
	asked []string
}

func start(t *testing.T, o sandbox.Options) *world {
	t.Helper()
	w := &world{}
	o.OnRequest = func(method, path string, status int) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.asked = append(w.asked, fmt.Sprintf("%s %s %d", method, path, status))
	}
	var err error
	if w.box, err = sandbox.Start(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.box.Close() })
	return w
}

// as lists a path as a user, or as nobody; password "" is the right one.
func (w *world) as(t *testing.T, user, password, path string) (listing.Listing, error) {
	t.Helper()
	host, o := w.ways(t, user, password)
	return listing.Of(t.Context(), listing.Target{Host: host, Path: path}, o)
}

func (w *world) ways(t *testing.T, user, password string) (ref.Host, listing.Options) {
	t.Helper()
	host, err := ref.ParseHost(w.box.Host())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(w.box.CA())
	rt := wire.New(wire.Config{Host: host, Roots: roots, Silence: 5 * time.Second})
	t.Cleanup(rt.CloseIdleConnections)
	var c auth.Credentials
	for _, u := range w.box.Users() {
		if u.Name == user {
			c = auth.Credentials{Username: u.Name, Password: u.Password}
		}
	}
	if password != "" {
		c.Password = password
	}
	tr := auth.NewTransport(rt, rt.Base(), c, auth.Policy{})
	o := listing.Options{Registry: tr, API: tr.API(), Open: rt, Base: rt.Base()}
	if !c.IsZero() {
		o.Verify = func(ctx context.Context) error { _, err := tr.Verify(ctx); return err }
	}
	o.Service = func(ctx context.Context) (string, error) { asks, err := tr.Learn(ctx); return asks.Service, err }
	return host, o
}

// shown is a listing in short: names, with + before what is public and the
// number of tags behind a repository.
func shown(l listing.Listing) string {
	var all []string
	for _, p := range l.Projects {
		mark := "-"
		if p.Public {
			mark = "+"
		}
		all = append(all, fmt.Sprintf("%s%s/%d", mark, p.Name, p.Repositories))
	}
	for _, a := range l.Artifacts {
		all = append(all, fmt.Sprintf("[%s]", strings.Join(a.Tags, " ")))
	}
	if len(l.Artifacts) == 0 {
		all = append(all, l.Tags...)
	}
	for _, r := range l.Repositories {
		all = append(all, fmt.Sprintf("%s:%d", r.Name, max(r.Tags, r.Artifacts)))
	}
	return string(l.Kind) + " " + strings.Join(all, " ")
}

func options(like sandbox.Like) sandbox.Options {
	return sandbox.Options{Like: like, Projects: []sandbox.Project{
		{Name: "team", Members: map[string]sandbox.Role{"dev": sandbox.Guest}, Images: []string{"app:1", "app:2", "deep/er/app:1"}, Findings: map[string]int{"High": 5, "Critical": 2, "Low": 0}},
		{Name: "teams", Public: true, Images: []string{"app:1"}},
		{Name: "secret", Images: []string{"app:1"}},
	}}
}

func TestEachGenerationIsListed(t *testing.T) {
	t.Parallel()
	type result struct{ user, path, want string }
	// What 1.5, 1.7 and 1.10 have in common.
	v1 := []result{
		{"", "", "projects +library/2 +teams/1"},
		{"dev", "", "projects -demo/0 +library/2 -team/2 +teams/1"},
		{"admin", "", "projects -demo/0 +library/2 -secret/1 -team/2 +teams/1"},
		{"", "library", "repositories library/hello:1 library/ubuntu:1"},
		{"dev", "team", "repositories team/app:2 team/deep/er/app:1"},
		{"dev", "demo", "repositories "},
		{"dev", "team/app", "tags [1] [2]"},
		{"dev", "team/deep/er/app", "tags [1]"},
	}
	for like, tests := range map[sandbox.Like][]result{
		sandbox.Harbor11: {
			{"", "", "projects +library/2 +teams/1"},
			{"dev", "", "projects -demo/0 +library/2 -team/2 +teams/1"},
			{"", "library", "repositories library/hello:-1 library/ubuntu:-1"},
			{"dev", "team", "repositories team/app:-1 team/deep/er/app:-1"},
			{"dev", "teams", "repositories teams/app:-1"},
			{"dev", "team/app", "tags 1 2"},
			{"dev", "team/deep/er/app", "tags 1"},
		},
		sandbox.Harbor15:  v1,
		sandbox.Harbor17:  v1,
		sandbox.Harbor110: v1,
		sandbox.Harbor216: {
			{"", "", "projects +library/2 +teams/1"},
			{"dev", "", "projects -demo/0 +library/2 -team/2 +teams/1"},
			{"admin", "", "projects -demo/0 +library/2 -secret/1 -team/2 +teams/1"},
			{"", "library", "repositories library/hello:1 library/ubuntu:1"},
			{"dev", "team", "repositories team/app:1 team/deep/er/app:1"},
			{"dev", "demo", "repositories "},
			{"dev", "team/app", "tags [1 2]"},
			{"dev", "team/deep/er/app", "tags [1]"},
		},
		sandbox.Distribution: {
			{"dev", "", "repositories library/hello:-1 library/ubuntu:-1 secret/app:-1 team/app:-1 team/deep/er/app:-1 teams/app:-1"},
			{"dev", "team", "repositories team/app:-1 team/deep/er/app:-1"},
			{"dev", "team/app", "tags 1 2"},
		},
	} {
		t.Run(string(like), func(t *testing.T) {
			t.Parallel()
			w := start(t, options(like))
			for _, tc := range tests {
				l, err := w.as(t, tc.user, "", tc.path)
				if got := shown(l); err != nil || got != tc.want {
					t.Errorf("%s as %q:\n%s, %v, want\n%s", tc.path, tc.user, got, err, tc.want)
				}
			}
		})
	}
}

func TestWhatIsNotShownSaysWhy(t *testing.T) {
	t.Parallel()
	kind := func(err error) string {
		var refused *harbor.RefusedListError
		var none *listing.NoProjectError
		var answer *registry.Error
		var denied *auth.DeniedError
		switch {
		case errors.As(err, &refused) && refused.Unsure:
			return "refused, or no project"
		case errors.As(err, &refused):
			return fmt.Sprintf("refused %d", refused.Status)
		case errors.As(err, &none):
			return "no project"
		case errors.As(err, &answer) && errors.Is(err, transfer.ErrNotFound):
			return "not found"
		case errors.As(err, &answer):
			return fmt.Sprintf("status %d", answer.Status)
		case errors.As(err, &denied):
			return "denied"
		}
		return fmt.Sprint(err)
	}
	type result struct{ user, path, want string }
	v1 := []result{
		{"dev", "nope", "no project"},
		{"admin", "nope", "no project"},
		{"dev", "secret", "refused 0"},
		{"dev", "team/none", "not found"},
		{"dev", "secret/app", "status 401"},
	}
	for like, tests := range map[sandbox.Like][]result{
		sandbox.Harbor11: {
			{"", "nope", "refused, or no project"},
			{"", "secret", "refused, or no project"},
			{"dev", "team/none", "not found"},
		},
		sandbox.Harbor15:  v1,
		sandbox.Harbor17:  v1,
		sandbox.Harbor110: v1,
		sandbox.Harbor216: {
			{"dev", "nope", "no project"},
			{"admin", "nope", "no project"},
			{"dev", "secret", "refused 403"},
			{"", "secret", "refused 401"},
			{"dev", "team/none", "not found"},
			{"dev", "nope/app", "not found"},
			{"dev", "secret/app", "status 401"},
		},
		sandbox.Distribution: {
			{"", "", "denied"},
			{"dev", "nope", "not found"},
			{"dev", "team/none", "not found"},
		},
	} {
		t.Run(string(like), func(t *testing.T) {
			t.Parallel()
			w := start(t, options(like))
			for _, tc := range tests {
				l, err := w.as(t, tc.user, "", tc.path)
				if got := kind(err); got != tc.want {
					t.Errorf("%s as %q: %s, want %s (%s)", tc.path, tc.user, got, tc.want, shown(l))
				}
			}
		})
	}
}

// A Harbor answers a wrong password with what is public: that is no answer.
func TestAWrongPasswordListsNothing(t *testing.T) {
	t.Parallel()
	for _, like := range sandbox.Likes() {
		w := start(t, sandbox.Options{Like: like})
		l, err := w.as(t, "dev", "wrong", "")
		if denied := (*auth.DeniedError)(nil); !errors.As(err, &denied) || len(l.Projects) > 0 {
			t.Errorf("%s: %v, %s", like, err, shown(l))
		}
	}
}

// OIDC's CLI secrets are taken at few paths, robots are no users, VIC takes
// passwords at fewer still.
func TestAccountsThatTheAPITakesNarrowly(t *testing.T) {
	t.Parallel()
	member := map[string]sandbox.Role{"o": sandbox.Developer, "robot$team+r": sandbox.Developer, "dev@corp.local": sandbox.Developer}
	o := sandbox.Options{
		Users:    []sandbox.User{{Name: "o", Kind: sandbox.OIDC}, {Name: "robot$team+r", Kind: sandbox.Robot}, {Name: "dev@corp.local"}},
		Projects: []sandbox.Project{{Name: "team", Members: member, Images: []string{"app:1"}}},
	}
	for _, tc := range []struct {
		like            sandbox.Like
		admiral         bool
		user, path, say string
	}{
		{sandbox.Harbor216, false, "o", "", "projects +library/2 -team/1"},
		{sandbox.Harbor216, false, "o", "team", "repositories team/app:1"},
		{sandbox.Harbor216, false, "o", "team/app", "tags [1]"},
		{sandbox.Harbor216, false, "robot$team+r", "team/app", "tags [1]"},
		{sandbox.Harbor17, true, "dev@corp.local", "", "projects +library/2 -team/1"},
		{sandbox.Harbor17, true, "dev@corp.local", "library", "repositories library/hello:1 library/ubuntu:1"},
		{sandbox.Harbor17, true, "dev@corp.local", "team/app", "tags [1]"},
	} {
		o.Like, o.Policy.Admiral = tc.like, tc.admiral
		w := start(t, o)
		l, err := w.as(t, tc.user, "", tc.path)
		if got := shown(l); err != nil || got != tc.say {
			t.Errorf("%s %s as %s: %s, %v, want %s", tc.like, tc.path, tc.user, got, err, tc.say)
		}
	}
	o.Like, o.Policy.Admiral = sandbox.Harbor17, true
	_, err := start(t, o).as(t, "dev@corp.local", "", "team")
	if refused := (*harbor.RefusedListError)(nil); !errors.As(err, &refused) || !strings.Contains(err.Error(), "Management Portal") {
		t.Errorf("in VIC: %v", err)
	}
}

func TestWhatHarbor2Tells(t *testing.T) {
	t.Parallel()
	w := start(t, options(sandbox.Harbor216))
	l, err := w.as(t, "dev", "", "team/app")
	if err != nil || len(l.Artifacts) != 1 || !slices.Equal(l.Tags, []string{"1", "2"}) {
		t.Fatalf("%+v, %v", l, err)
	}
	a := l.Artifacts[0]
	if a.Scan != "2 critical, 5 high" || a.Found["high"] != 5 || len(a.Found) != 2 {
		t.Errorf("scan %q, %v", a.Scan, a.Found)
	}
	if _, err := time.Parse(time.RFC3339, a.Pushed); err != nil || a.Size <= 0 || !strings.HasPrefix(a.Digest, "sha256:") {
		t.Errorf("%+v", a)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if path := "GET /api/v2.0/projects/team/repositories/app/artifacts 200"; !slices.Contains(w.asked, path) {
		t.Errorf("asked %q", w.asked)
	}
}

// Many projects come in pages, whatever the links look like.
func TestPagesAreReadToTheEnd(t *testing.T) {
	t.Parallel()
	o := sandbox.Options{}
	for i := range 230 {
		o.Projects = append(o.Projects, sandbox.Project{Name: fmt.Sprintf("p%03d", i), Public: true})
	}
	for _, like := range []sandbox.Like{sandbox.Harbor11, sandbox.Harbor17, sandbox.Harbor216} {
		o.Like, o.Policy.AbsoluteLinks = like, like == sandbox.Harbor17
		l, err := start(t, o).as(t, "", "", "")
		if err != nil || len(l.Projects) != 231 || l.More {
			t.Errorf("%s: %d projects, %v, %v", like, len(l.Projects), l.More, err)
		}
	}
}
