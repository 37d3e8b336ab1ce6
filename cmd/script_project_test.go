package cmd_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vicr-cli/vicr/internal/sandbox"
)

var blobs = regexp.MustCompile(`/blobs/|^PUT |^PATCH `)

// What is to be said about a push is found out before a blob is asked about, in
// every Harbor.
func TestARefusedPushSendsNothing(t *testing.T) {
	t.Parallel()
	for _, like := range sandbox.Likes() {
		if like == sandbox.Distribution {
			continue
		}
		o := sandbox.Options{Like: like, Users: []sandbox.User{{Name: "guest"}, {Name: "stranger"}, {Name: "robot$demo+ci", Kind: sandbox.Robot}}, Projects: []sandbox.Project{
			{Name: "demo", Members: map[string]sandbox.Role{"dev": sandbox.Developer, "guest": sandbox.Guest}},
		}}
		for _, tt := range []struct {
			name, user, password, image string
			flags                       []string
			code                        int
			says                        []string
			most                        int // requests
		}{
			{"missing project", "dev", "", "missing/app:1", nil, 5, []string{`there is no project "missing"`, "hint: vicr project create HOST/missing", "--create-project"}, 5},
			{"missing project, a robot", "robot$demo+ci", "", "missing/app:1", nil, 5, []string{`there is no project "missing"`}, 5},
			{"a guest", "guest", "", "demo/app:1", nil, 4, []string{`may pull from project "demo", and not push`, "ask an administrator of project demo"}, 4},
			{"a stranger", "stranger", "", "demo/app:1", nil, 4, []string{`no member of project "demo"`}, 5},
			{"a stranger who would create it", "stranger", "", "demo/app:1", []string{"--create-project"}, 4, []string{`no member of project "demo"`}, 5},
			{"a public project", "dev", "", "library/app:1", nil, 4, []string{`may pull from project "library", and not push`}, 4},
			{"no project", "dev", "", "app:1", nil, 2, []string{`"app" names no project`, "hint: name one: HOST/PROJECT/REPO:TAG"}, 1},
			{"nobody", "", "", "missing/app:1", []string{"--create-project"}, 4, []string{"wants a login", "hint: vicr login HOST"}, 2},
			{"a wrong password", "dev", "wrong", "demo/app:1", nil, 4, []string{"refused the credentials", "hint: vicr login HOST"}, 2},
		} {
			if strings.HasPrefix(tt.user, "robot$") && !hasRobots(like) {
				continue
			}
			t.Run(string(like)+", "+tt.name, func(t *testing.T) {
				t.Parallel()
				r := newRig(t, o)
				r.login(tt.user, tt.password)
				r.seen.take()
				code, said := r.vicr("y\n", append([]string{"push", "--from", "oci:image", r.box.Host() + "/" + tt.image}, tt.flags...)...)
				asked, took := r.seen.take()
				if code != tt.code {
					t.Errorf("exit code %d, want %d", code, tt.code)
				}
				for _, want := range tt.says {
					if want = strings.ReplaceAll(want, "HOST", r.box.Host()); !strings.Contains(said, want) {
						t.Errorf("%q is not said", want)
					}
				}
				if slices.ContainsFunc(asked, blobs.MatchString) || len(asked) > tt.most || strings.Contains(strings.Join(asked, "\n"), "POST") {
					t.Errorf("%d requests, want %d at most and none about blobs: %q", len(asked), tt.most, asked)
				}
				if took > time.Second { // docker asks again for a minute
					t.Errorf("asked for %s", took)
				}
				if t.Failed() {
					t.Log(said)
				}
			})
		}
	}
}

// hasRobots says whether a registry has accounts named robot$.
func hasRobots(l sandbox.Like) bool {
	return l == sandbox.Harbor110 || l == sandbox.Harbor216 || l == sandbox.Distribution
}

// The token service of Harbor 1 fails for a name without a project, each time
// that it is asked: it is asked once.
func TestANameWithoutAProjectIsAnsweredAtOnce(t *testing.T) {
	t.Parallel()
	for _, like := range []sandbox.Like{sandbox.Harbor11, sandbox.Harbor15, sandbox.Harbor17, sandbox.Harbor110} {
		for _, user := range []string{"", "dev"} {
			const push = "push --from oci:image"
			for _, argv := range []string{"pull --to store", "inspect", push} {
				t.Run(string(like)+", "+user+", "+argv, func(t *testing.T) {
					t.Parallel()
					r := newRig(t, sandbox.Options{Like: like})
					r.login(user, "")
					r.seen.take()
					code, said := r.vicr("", append(strings.Fields(argv), r.box.Host()+"/app:1")...)
					asked, took := r.seen.take()
					token := "GET /service/token 500"
					want := []string{"GET /v2/app/manifests/1 401", token}
					switch {
					case argv != push:
					case user == "": // the upload that is begun asks, and sends no blob
						want = []string{"POST /v2/app/blobs/uploads/ 401", token}
					default:
						want = []string{"GET /v2/ 401"}
					}
					if code != 2 || !strings.Contains(said, "project") || !slices.Equal(asked, want) || took > 2*time.Second {
						t.Errorf("exit %d after %s: %q, want %q\n%s", code, took, asked, want, said)
					}
				})
			}
		}
	}
}

// A push that is allowed does not pay for the question: the tokens are those
// that it needs, and the realm is learnt once.
func TestAskingBeforeAPushIsFree(t *testing.T) {
	t.Parallel()
	for _, like := range sandbox.Likes() {
		t.Run(string(like), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, sandbox.Options{Like: like})
			r.seen.take()
			if code, said := r.vicr("", "push", "--from", "oci:image", r.box.Host()+"/demo/app:1"); code != 0 {
				t.Fatalf("exit code %d\n%s", code, said)
			}
			asked, _ := r.seen.take()
			count := func(what string) (n int) {
				for _, one := range asked {
					if strings.HasPrefix(one, what) {
						n++
					}
				}
				return n
			}
			if n := count("GET /v2/ 401"); n != 1 {
				t.Errorf("the realm is learnt %d times", n)
			}
			tokens := 1 // also for the repository that the image came from: its blobs are mounted
			if like == sandbox.Distribution {
				tokens = 0
			}
			if n := count("GET /service/token"); n != tokens {
				t.Errorf("%d tokens, want %d", n, tokens)
			}
			if n := count("POST "); n != 3 || count("POST /v2/demo/app/blobs/uploads/ 201") != n {
				t.Errorf("%d blobs are asked for, want 3 that are mounted", n)
			}
			for _, one := range asked {
				if strings.HasSuffix(one, " 401") && one != "GET /v2/ 401" || strings.Contains(one, "/api/") {
					t.Errorf("for nothing: %s", one)
				}
			}
			if t.Failed() {
				t.Logf("%q", asked)
			}
		})
	}
}

func TestAPushCreatesItsProject(t *testing.T) {
	t.Parallel()
	for _, like := range sandbox.Likes() {
		if like == sandbox.Distribution {
			continue
		}
		for flag, visibility := range map[string]string{"--create-project": "private", "--create-project=private": "private", "--create-project=public": "public"} {
			t.Run(string(like)+" "+flag, func(t *testing.T) {
				t.Parallel()
				r := newRig(t, sandbox.Options{Like: like})
				code, said := r.vicr("", "push", flag, "--from", "oci:image", r.box.Host()+"/new/app:1")
				if code != 0 || !strings.Contains(said, "created "+r.box.Host()+"/new, "+visibility) {
					t.Fatalf("exit code %d\n%s", code, said)
				}
				code, said = r.vicr("", "project", "ls", r.box.Host())
				if want := regexp.MustCompile(`(?m)^new +` + visibility + ` `); code != 0 || !want.MatchString(said) {
					t.Errorf("exit code %d\n%s", code, said)
				}
				code, said = r.vicr("", "push", flag, "--from", "oci:image", r.box.Host()+"/new/app:2")
				if code != 0 || strings.Contains(said, "created") {
					t.Errorf("again: exit code %d\n%s", code, said)
				}
			})
		}
	}
}

// Where Harbor tells a user of OIDC nothing about a project, both are said, and
// only creating it shows which it was.
func TestWhatCannotBeToldApartIsSaid(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{Users: []sandbox.User{{Name: "sso", Kind: sandbox.OIDC}}, Policy: sandbox.Policy{AuthMode: "oidc_auth"}})
	r.login("sso", "")
	for _, project := range []string{"missing", "demo"} {
		code, said := r.vicr("", "push", "--from", "oci:image", r.box.Host()+"/"+project+"/app:1")
		for _, want := range []string{`there is no project "` + project + `", or this user may not push to it`, "hint: ask an administrator", "hint: if there is no such project: vicr project create " + r.box.Host() + "/" + project} {
			if code != 4 || !strings.Contains(said, want) {
				t.Errorf("exit code %d, want 4 and %q\n%s", code, want, said)
			}
		}
	}
	if code, said := r.vicr("", "push", "--create-project", "--from", "oci:image", r.box.Host()+"/demo/app:1"); code != 4 || !strings.Contains(said, `no member of project "demo"`) {
		t.Errorf("exit code %d\n%s", code, said)
	}
	if code, said := r.vicr("", "push", "--create-project", "--from", "oci:image", r.box.Host()+"/missing/app:1"); code != 0 {
		t.Errorf("exit code %d\n%s", code, said)
	}
}

// Who may not create a project is told who may.
func TestProjectsThatMayNotBeCreated(t *testing.T) {
	t.Parallel()
	for _, like := range sandbox.Likes() {
		if like == sandbox.Distribution {
			continue
		}
		for _, tt := range []struct {
			name   string
			policy sandbox.Policy
			code   int
			says   string
		}{
			{"administrators only", sandbox.Policy{AdminOnly: true}, 4, "only administrators may do that here"},
			{"inside VIC", sandbox.Policy{Admiral: true}, 4, "only administrators of vSphere Integrated Containers may do that here"},
			{"read-only", sandbox.Policy{ReadOnly: true}, 8, "Harbor is in read-only mode"},
		} {
			if like == sandbox.Harbor216 && tt.policy.Admiral || like == sandbox.Harbor11 && tt.policy.ReadOnly {
				continue // it is not there
			}
			t.Run(string(like)+", "+tt.name, func(t *testing.T) {
				t.Parallel()
				r := newRig(t, sandbox.Options{Like: like, Policy: tt.policy})
				all := [][]string{
					{"push", "--create-project", "--from", "oci:image", r.box.Host() + "/new/app:1"},
					{"project", "create", r.box.Host() + "/new"},
				}
				if tt.policy.ReadOnly && like != sandbox.Harbor216 {
					all = all[:1] // its read-only mode is about images
				}
				for _, args := range all {
					r.seen.take()
					code, said := r.vicr("", args...)
					if code != tt.code || !strings.Contains(said, tt.says) || !strings.Contains(said, "vicr: hint: ") {
						t.Errorf("%s: exit code %d, want %d and %q\n%s", args[0], code, tt.code, tt.says, said)
					}
					if asked, _ := r.seen.take(); slices.ContainsFunc(asked, blobs.MatchString) {
						t.Errorf("%s: %q", args[0], asked)
					}
				}
			})
		}
	}
}

// Harbor from 1.5 on shows what is public to whoever has a wrong password: that
// is no list of one's projects.
func TestAWrongPasswordGetsNoList(t *testing.T) {
	t.Parallel()
	for _, like := range sandbox.Likes() {
		t.Run(string(like), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, sandbox.Options{Like: like})
			want, words := 4, "refused the credentials"
			if like == sandbox.Distribution {
				want, words = 5, "has no projects"
			}
			r.login("dev", "wrong")
			for _, args := range [][]string{{"project", "ls", r.box.Host()}, {"project", "create", r.box.Host() + "/new"}} {
				if code, said := r.vicr("", args...); code != want || !strings.Contains(said, words) || strings.Contains(said, "library") {
					t.Errorf("%s: exit code %d, want %d and %q\n%s", args[1], code, want, words, said)
				}
			}
		})
	}
}

// Who asks for what is not there is told what is, and not to make it.
func TestWhatIsNotThereIsNotToBeMadeForAPull(t *testing.T) {
	t.Parallel()
	for _, like := range []sandbox.Like{sandbox.Harbor110, sandbox.Harbor216} {
		r := newRig(t, sandbox.Options{Like: like})
		r.login("dev", "")
		for _, tt := range []struct{ command, name, hint string }{
			{"pull --to oci:image", "missing/app:1", ""},
			{"inspect", "missing/app:1", ""},
			{"ls", "missing/app", ""},
			{"ls", "missing", "vicr ls HOST"},
			{"ls", "library/nope", "vicr ls HOST/library"},
		} {
			code, said := r.vicr("", append(strings.Fields(tt.command), r.box.Host()+"/"+tt.name)...)
			said = strings.ReplaceAll(said, r.box.Host(), "HOST")
			_, hints, _ := strings.Cut(said, "hint: ")
			first, _, _ := strings.Cut(hints, "\n")
			want := tt.hint
			if want == "" && like == sandbox.Harbor216 {
				want = "vicr ls HOST"
			}
			if code == 0 || first == "" || strings.Contains(hints, "project create") || !strings.HasSuffix(first, want) {
				t.Errorf("%s, %s %s: exit %d: %s", like, tt.command, tt.name, code, said)
			}
		}
	}
}
