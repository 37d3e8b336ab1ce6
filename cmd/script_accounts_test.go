package cmd_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/types"

	"github.com/vicr-cli/vicr/cmd"
	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/sandbox"
)

// A desk is where somebody types: a home of its own.
type desk struct {
	home     string
	stdin    io.Reader
	terminal bool
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	return &desk{home: t.TempDir(), stdin: strings.NewReader("")}
}

func (d *desk) environ() []string {
	return []string{
		"HOME=" + d.home, "USERPROFILE=" + d.home, "PATH=" + os.Getenv("PATH"), "NO_COLOR=1",
		"DOCKER_CONFIG=" + d.docker(), "DOCKER_HOST=unix://" + filepath.Join(d.home, "none.sock"),
	}
}

func (d *desk) docker() string { return filepath.Join(d.home, "docker") }

// run has vicr run in this process, and gives all that it printed.
func (d *desk) run(stderr io.Writer, args ...string) (code int, stdout string) {
	var out bytes.Buffer
	env := map[string]string{}
	for _, v := range d.environ() {
		name, value, _ := strings.Cut(v, "=")
		env[name] = value
	}
	code = cmd.Main(args, cmd.Env{
		Stdin: d.stdin, Stdout: &out, Stderr: stderr, Environ: d.environ(), Terminal: d.terminal,
		Getenv: func(name string) string { return env[name] }, Euid: 1000, Now: time.Now,
	})
	return code, out.String()
}

// says runs vicr with a password on standard input.
func (d *desk) says(t *testing.T, password string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var errs bytes.Buffer
	d.stdin = strings.NewReader(password + "\n")
	code, stdout = d.run(&errs, args...)
	if password != "" && (strings.Contains(stdout, password) || strings.Contains(errs.String(), password)) {
		t.Errorf("the password was printed: %s%s", stdout, errs.String())
	}
	return code, stdout, errs.String()
}

// openShop starts a sandbox, and writes its CA into a file.
func openShop(t *testing.T, o sandbox.Options) (host, caFile string) {
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
	caFile = filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(caFile, pki.EncodePEM(s.CA()), 0o600); err != nil {
		t.Fatal(err)
	}
	return s.Host(), caFile
}

// canary is a password that no test may ever see printed.
const canary = "c4nary-p4ssword"

// robotJWT is the secret of a robot of 1.8 to 2.1, which ends with 2027.
func robotJWT() string {
	enc := base64.RawURLEncoding.EncodeToString
	return enc([]byte(`{"alg":"RS256"}`)) + "." + enc([]byte(`{"exp":1798761599}`)) + "." + enc([]byte(canary))
}

func TestLoginSaysWhoOneIsAtEveryGeneration(t *testing.T) {
	t.Parallel()
	users := []sandbox.User{
		{Name: "admin", Password: canary},
		{Name: "dev", Password: canary},
		{Name: "dev@corp.local", Password: canary},
		{Name: "robot$ci", Password: robotJWT(), Kind: sandbox.Robot},
		{Name: "robot$demo+ci", Password: canary, Kind: sandbox.Robot},
		{Name: "oidc", Password: canary, Kind: sandbox.OIDC},
	}
	who := map[string]string{
		"admin": "admin (administrator)", "dev": "dev", "dev@corp.local": "dev@corp.local", "oidc": "oidc",
		"robot$ci": "robot$ci (robot, until 2026-12-31T23:59:59Z)", "robot$demo+ci": "robot$demo+ci (robot)",
	}
	for _, like := range sandbox.Likes() {
		for _, u := range users {
			if u.Kind == sandbox.Robot && !hasRobots(like) {
				continue
			}
			t.Run(string(like)+" "+u.Name, func(t *testing.T) {
				t.Parallel()
				var refusals atomic.Int32
				host, ca := openShop(t, sandbox.Options{
					Like: like, Users: users, Policy: sandbox.Policy{LoginDelay: 20 * time.Millisecond},
					OnRequest: func(_, path string, status int) {
						if status == 401 && path == "/service/token" {
							refusals.Add(1)
						}
					},
				})
				want := who[u.Name]
				if like == sandbox.Distribution {
					want = u.Name // it tells nobody anything
				}
				d := newDesk(t)
				code, out, errs := d.says(t, u.Password, "login", host, "-u", u.Name, "--password-stdin", "--ca-file", ca)
				if code != 0 || out != "logged in to "+host+" as "+want+", kept in config.json\n" {
					t.Errorf("exit %d, %q, %s", code, out, errs)
				}
				if n := refusals.Swap(0); n != 0 {
					t.Errorf("%d wrong passwords", n)
				}
				other := newDesk(t)
				code, _, errs = other.says(t, "wr0ng-"+canary, "login", host, "-u", u.Name, "--password-stdin", "--ca-file", ca)
				if code != 4 || !strings.Contains(errs, "refused the credentials") {
					t.Errorf("a wrong password: exit %d, %s", code, errs)
				}
				if n := refusals.Load(); n != 1 && like != sandbox.Distribution {
					t.Errorf("a wrong password was tried %d times", n)
				}
				if _, err := os.Stat(filepath.Join(other.docker(), "config.json")); !os.IsNotExist(err) {
					t.Errorf("it was kept: %v", err)
				}
				if code, out, _ := d.says(t, "", "logout", "--all"); code != 0 || out != "logged out of "+host+"\n" {
					t.Errorf("logout: exit %d, %q", code, out)
				}
			})
		}
	}
}

func TestLoginForScripts(t *testing.T) {
	t.Parallel()
	host, ca := openShop(t, sandbox.Options{
		Like:  sandbox.Harbor110,
		Users: []sandbox.User{{Name: "admin", Password: canary}, {Name: "robot$ci", Password: robotJWT(), Kind: sandbox.Robot}},
	})
	for user, want := range map[string]string{
		"admin":    `{"Host":"` + host + `","Username":"admin","Kept":"config.json","Who":"admin","Kind":"user","Admin":true}`,
		"robot$ci": `{"Host":"` + host + `","Username":"robot$ci","Kept":"config.json","Who":"robot$ci","Kind":"robot","Expires":"2026-12-31T23:59:59Z"}`,
	} {
		password := canary
		if user != "admin" {
			password = robotJWT()
		}
		code, out, errs := newDesk(t).says(t, password, "login", host, "-u", user, "--password-stdin", "--ca-file", ca, "--format", "json", "-D")
		if code != 0 || strings.TrimSpace(out) != want {
			t.Errorf("exit %d: %s, want %s; %s", code, out, want, errs)
		}
	}
}

// Inside VIC, whose accounts are Admiral's, Harbor tells nobody who he is, and is not asked.
func TestLoginInsideVIC(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	host, ca := openShop(t, sandbox.Options{
		Like: sandbox.Harbor15, Policy: sandbox.Policy{Admiral: true}, Users: []sandbox.User{{Name: "dev@corp.local", Password: canary}},
		OnRequest: func(_, path string, _ int) {
			if path == "/api/users/current" {
				asked.Add(1)
			}
		},
	})
	code, out, errs := newDesk(t).says(t, canary, "login", host, "-u", "dev@corp.local", "--password-stdin", "--ca-file", ca)
	if code != 0 || out != "logged in to "+host+" as dev@corp.local, kept in config.json\n" || asked.Load() != 0 {
		t.Errorf("exit %d, %q, asked %d times; %s", code, out, asked.Load(), errs)
	}
}

// What was allowed at login goes with the logins, also where docker forgot them.
func TestLogoutOfAllForgetsWhatWasAllowed(t *testing.T) {
	t.Parallel()
	host, _ := openShop(t, sandbox.Options{Users: []sandbox.User{{Name: "dev", Password: canary}}})
	d := newDesk(t)
	code, _, errs := d.says(t, canary, "login", host, "-u", "dev", "--password-stdin", "--insecure-skip-verify", "--allow-insecure-credentials")
	if code != 0 || !hasFile(t, d.home, "hosts.json") {
		t.Fatalf("exit %d, or nothing noted: %s", code, errs)
	}
	if err := os.Remove(filepath.Join(d.docker(), "config.json")); err != nil { // as docker logout does
		t.Fatal(err)
	}
	code, out, errs := d.says(t, "", "logout", "--all")
	if code != 0 || out != "" || hasFile(t, d.home, "hosts.json") {
		t.Errorf("exit %d, %q: %s", code, out, errs)
	}
}

// hasFile says whether there is a file of that name somewhere below dir.
func hasFile(t *testing.T, dir, name string) (found bool) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		found = found || err == nil && e.Name() == name
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// Harbor 1.x sends logins to its one name, whatever name was typed.
func TestTheRealmOnAnotherName(t *testing.T) {
	t.Parallel()
	host, ca := openShop(t, sandbox.Options{Like: sandbox.Harbor17, Users: []sandbox.User{{Name: "dev", Password: canary}}})
	typed := strings.Replace(host, "127.0.0.1", "localhost", 1)
	d := newDesk(t)
	code, _, errs := d.says(t, "", "trust", "--for", "vicr", "--accept-new", typed)
	want := typed + " sends logins to " + host + ", for which this CA vouches too; use that name: vicr trust " + host + ", vicr login " + host
	if code != 0 || !strings.Contains(errs, want) {
		t.Errorf("trust: exit %d, %s; want %q", code, errs, want)
	}
	code, _, errs = d.says(t, canary, "login", typed, "-u", "dev", "--password-stdin")
	if code != 8 || !strings.Contains(errs, "hint: log in by the name that the registry has for itself: vicr login "+host+"\n") {
		t.Errorf("login: exit %d, %s", code, errs)
	}
	if code, _, errs = d.says(t, canary, "login", host, "-u", "dev", "--password-stdin", "--ca-file", ca); code != 0 {
		t.Errorf("by its name: exit %d, %s", code, errs)
	}
	// By its own name, and by 2.x, which follows the name that was typed, nothing is said.
	other, _ := openShop(t, sandbox.Options{})
	for _, name := range []string{host, strings.Replace(other, "127.0.0.1", "localhost", 1)} {
		if code, _, errs = newDesk(t).says(t, "", "trust", "--for", "vicr", "--accept-new", name); code != 0 || strings.Contains(errs, "sends logins") {
			t.Errorf("%s: exit %d, %s", name, code, errs)
		}
	}
}

// The realm's name is another machine's, or nobody's.
func TestTheRealmOfAnother(t *testing.T) {
	t.Parallel()
	stranger, _ := openShop(t, sandbox.Options{})
	stranger = strings.Replace(stranger, "127.0.0.1", "localhost", 1)
	for realm, want := range map[string]string{
		stranger:      " sends logins to " + stranger + ", whose certificate this CA does not vouch for: vicr trust " + stranger,
		"localhost:1": " sends logins to localhost:1, which cannot be reached from here",
		"x y":         "",
	} {
		host, _ := openShop(t, sandbox.Options{Policy: sandbox.Policy{Realm: realm}})
		code, _, errs := newDesk(t).says(t, "", "trust", "--for", "vicr", "--accept-new", host)
		if code != 0 || !strings.Contains(errs, want) || strings.Contains(errs, "\x1b") || want == "" && strings.Contains(errs, "sends logins") {
			t.Errorf("%q: exit %d, %s", realm, code, errs)
		}
	}
}

// Twenty logins at once, each a process, to twenty registries; beside them
// docker's own code writes the same file. A reader never sees half of one.
func TestTwentyLoginsAtOnceLeaveTwentyEntries(t *testing.T) {
	t.Parallel()
	const logins = 20
	d := newDesk(t)
	path := filepath.Join(d.docker(), "config.json")
	done := make(chan struct{})
	var reader, writers sync.WaitGroup
	reads := 0
	reader.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			data, err := os.ReadFile(path)
			if err == nil && !json.Valid(data) {
				t.Errorf("torn: %q", data)
			}
			if err == nil {
				reads++
			}
		}
	})
	hosts := make([]string, logins)
	for i := range logins {
		host, ca := openShop(t, sandbox.Options{
			Like: sandbox.Likes()[i%len(sandbox.Likes())], Users: []sandbox.User{{Name: "dev", Password: fmt.Sprint(canary, i)}},
		})
		hosts[i] = host
		writers.Go(func() {
			c := exec.CommandContext(t.Context(), "vicr", "login", host, "-u", "dev", "--password-stdin", "--ca-file", ca)
			c.Env, c.Stdin = d.environ(), strings.NewReader(fmt.Sprint(canary, i))
			if out, err := c.CombinedOutput(); err != nil || strings.Contains(string(out), canary) {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	writers.Wait()
	kept := entries(t, path)
	for i, host := range hosts {
		if want := base64.StdEncoding.EncodeToString(fmt.Append(nil, "dev:", canary, i)); kept[host] != want {
			t.Errorf("the login to %s is lost", host)
		}
	}
	if len(kept) != logins {
		t.Errorf("%d entries", len(kept))
	}
	// docker takes no lock, so it may lose a login; what it reads and leaves is whole.
	for i := range logins {
		writers.Go(func() {
			file, err := config.Load(d.docker())
			if err != nil {
				t.Errorf("docker cannot read it: %v", err)
				return
			}
			name := fmt.Sprintf("docker%d.test", i)
			file.AuthConfigs[name] = types.AuthConfig{Username: "u", Password: "p"}
			if err := file.Save(); err != nil {
				t.Errorf("docker: %v", err)
			}
		})
		writers.Go(func() {
			if code, _, errs := d.again().says(t, "", "logout", hosts[i]); code != 0 {
				t.Errorf("logout: %s", errs)
			}
		})
	}
	writers.Wait()
	close(done)
	reader.Wait()
	if entries(t, path); reads == 0 {
		t.Error("nothing was read meanwhile")
	}
}

// again is another process at the same desk.
func (d *desk) again() *desk { return &desk{home: d.home} }

// entries are the logins that config.json has, by host.
func entries(t *testing.T, path string) map[string]string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Auths map[string]struct{ Auth string }
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for host, e := range file.Auths {
		all[host] = e.Auth
	}
	return all
}
