package cmd

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vicr-cli/vicr/internal/harbor"
	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/sandbox"
)

// No script has a terminal: here somebody answers at one.
func TestAtATerminalAPushAsksAboutAMissingProject(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, answer string
		terminal     bool
		noInput      bool
		project      string
		asked        bool
		code         int
		created      bool
	}{
		{"yes", "y\n", true, false, "new", true, codeDone, true},
		{"no", "n\n", true, false, "new", true, codeNotFound, false},
		{"nothing", "\n", true, false, "new", true, codeNotFound, false},
		{"the end", "", true, false, "new", true, codeFailed, false},
		{"no terminal", "y\n", false, false, "new", false, codeNotFound, false},
		{"--no-input", "y\n", true, true, "new", false, codeNotFound, false},
		{"a project of others", "y\n", true, false, "library", false, codeDenied, false},
		{"a project that is there", "y\n", true, false, "demo", false, codeDone, false},
	} {
		for _, like := range []sandbox.Like{sandbox.Harbor17, sandbox.Harbor216} {
			t.Run(tt.name+", "+string(like), func(t *testing.T) {
				t.Parallel()
				posts := make(chan string, 16)
				s, err := sandbox.Start(t.Context(), sandbox.Options{Like: like, OnRequest: func(method, path string, _ int) {
					if method == "POST" {
						posts <- path
					}
				}})
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close() //nolint:errcheck // nothing is kept
				home := t.TempDir()
				ca := filepath.Join(home, "ca.crt")
				login := base64.StdEncoding.EncodeToString([]byte("dev:" + s.Users()[1].Password))
				for name, data := range map[string]string{
					ca:                                 string(pki.EncodePEM(s.CA())),
					filepath.Join(home, "config.json"): fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, s.Host(), login),
				} {
					if err := os.WriteFile(name, []byte(data), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				var said bytes.Buffer
				env := map[string]string{"HOME": home, "USERPROFILE": home, "DOCKER_CONFIG": home}
				a := &app{env: Env{
					Stdin: strings.NewReader(tt.answer), Stderr: &said, Terminal: tt.terminal, Euid: 1000, Now: time.Now,
					Getenv: func(name string) string { return env[name] },
				}}
				a.flags.timeout, a.flags.noInput, a.flags.color = 30*time.Second, tt.noInput, "never"
				img, err := ref.ParseImage(s.Host() + "/" + tt.project + "/app:1")
				if err != nil {
					t.Fatal(err)
				}
				r, err := a.road(t.Context(), img.Host, tlsFlags{caFile: ca})
				if err != nil {
					t.Fatal(err)
				}
				defer r.wire.CloseIdleConnections()
				asks, learnt := r.auth.Learn(t.Context())
				if learnt != nil {
					t.Fatal(learnt)
				}
				err = a.mayPush(t.Context(), r, img, asks, "")
				if code := exitCode(err); code != tt.code {
					t.Errorf("exit code %d, want %d: %v", code, tt.code, err)
				}
				question := "There is no project " + s.Host() + "/new. Create it, private? [y/N]"
				if got := strings.Contains(said.String(), question); got != tt.asked {
					t.Errorf("asked %v, want %v: %q", got, tt.asked, said.String())
				}
				if got := len(posts) == 1; got != tt.created || len(posts) > 1 {
					t.Errorf("%d created, want %v", len(posts), tt.created)
				}
			})
		}
	}
}

// Whoever is nobody begins at once, unless an engine would have to give out the
// whole image before anybody is asked.
func TestNobodyIsAskedForOnlyWhereItSavesSomething(t *testing.T) {
	t.Parallel()
	s, err := sandbox.Start(t.Context(), sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // nothing is kept
	home := t.TempDir()
	ca := filepath.Join(home, "ca.crt")
	if err := os.WriteFile(ca, pki.EncodePEM(s.CA()), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"HOME": home, "USERPROFILE": home, "DOCKER_CONFIG": home}
	a := &app{env: Env{Euid: 1000, Now: time.Now, Getenv: func(name string) string { return env[name] }}}
	a.flags.timeout = 30 * time.Second
	img, err := ref.ParseImage(s.Host() + "/demo/app:1")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		create createFlag
		from   place
		harbor bool
	}{
		{"a folder", "", diskPlace{}, false},
		{"a registry", "", nil, false},
		{"a folder, and a project to make", private, diskPlace{}, true},
		{"an engine", "", enginePlace{}, true},
	} {
		r, err := a.road(t.Context(), img.Host, tlsFlags{caFile: ca})
		if err != nil {
			t.Fatal(err)
		}
		asks, err := r.asksFor(t.Context(), tt.create, tt.from)
		if err != nil || harbor.IsService(asks.Service) != tt.harbor {
			t.Errorf("%s: %+v, %v", tt.name, asks, err)
		}
		if err := a.mayPush(t.Context(), r, img, asks, tt.create); exitCode(err) == codeDenied != tt.harbor {
			t.Errorf("%s: %v", tt.name, err)
		}
		r.wire.CloseIdleConnections()
	}
}

func TestEachRefusalOfAProjectHasItsOwnHint(t *testing.T) {
	t.Parallel()
	host, err := ref.ParseHost("registry.example.com")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, err := range []error{
		&harbor.ProjectMissingError{Project: "demo"}, &harbor.PushDeniedError{Project: "demo"}, &harbor.NoProjectsError{}, &harbor.NoProjectPartError{},
		&harbor.ProjectNameError{}, &harbor.ProjectDeniedError{}, &harbor.ProjectDeniedError{Why: harbor.LoginNeeded}, &harbor.ProjectDeniedError{Why: harbor.Administrators},
		&harbor.ProjectDeniedError{Why: harbor.VICAdministrators}, &harbor.ProjectDeniedError{Why: harbor.People}, &harbor.ProjectDeniedError{Why: harbor.SystemRobots}, &harbor.ProjectDeniedError{Why: harbor.ReadOnly},
	} {
		about := aboutHost(host, err)
		hints := strings.Join(ruleFor(about).hintsFor(about), "\n")
		if seen[hints] || hints == "" || strings.Contains(hints, "push") && !strings.Contains(hints, "registry.example.com") {
			t.Errorf("%v: %q", err, hints)
		}
		seen[hints] = true
	}
}
