//go:build e2e && linux

package cmd_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/testkit"
)

// person is somebody who is not root, with a home in the rig.
type person struct {
	uid, home string
}

func (w *world) addUser(t *testing.T) person {
	t.Helper()
	p := person{home: filepath.Join(w.Dir, "alice")}
	w.must(t, "useradd", "--create-home", "--home-dir", p.home, "alice")
	p.uid = strings.TrimSpace(w.must(t, "id", "-u", "alice").Stdout)
	return p
}

// as is a command of that person.
func (p person) as(argv ...string) []string {
	return append([]string{"setpriv", "--reuid=" + p.uid, "--regid=" + p.uid, "--clear-groups", "env", "HOME=" + p.home}, argv...)
}

func (w *world) trustFlags(t *testing.T) []string {
	t.Helper()
	ca := w.write(t, "ca.crt", w.ca.PEM())
	if err := os.Chmod(ca, 0o644); err != nil {
		t.Fatal(err)
	}
	return []string{"--ca-file", ca, "--fingerprint", pki.SHA256(w.ca.Certificate).String()}
}

func TestRealUserWhoIsNotRootGetsTheRestAsOneLineForRoot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	alice := w.addUser(t)
	before := w.TreeHash(t, "/etc")
	own := filepath.Join(alice.home, ".config", "vicr", "certs.d", testkit.RigAddress+"_5443_", "ca.crt")
	docker := w.Etc("/etc/docker/certs.d/" + registryHost + "/ca.crt")

	r := w.Run(t, "", alice.as(append([]string{w.vicr, "trust", registryHost}, w.trustFlags(t)...)...)...)
	if r.Code != 11 {
		t.Fatalf("the machine's part left: exit %d, want 11", r.Code)
	}
	if _, err := os.Stat(own); err != nil {
		t.Errorf("the user's own part was not made: %v", err)
	}
	w.asRoot(t, r.Stderr)
	if _, err := os.Stat(docker); err != nil {
		t.Errorf("the line for root did not do it: %v", err)
	}

	r = w.Run(t, "", alice.as(w.vicr, "untrust", registryHost)...)
	if r.Code != 11 {
		t.Fatalf("untrust, the machine's part left: exit %d, want 11", r.Code)
	}
	if _, err := os.Stat(own); !os.IsNotExist(err) {
		t.Errorf("the user's own part was not taken back: %v", err)
	}
	w.asRoot(t, r.Stderr)
	if w.TreeHash(t, "/etc") != before {
		t.Error("/etc is not as it was")
	}
}

// asRoot pastes the line that vicr printed, as root.
func (w *world) asRoot(t *testing.T, stderr string) {
	t.Helper()
	_, line, ok := strings.Cut(stderr, "the rest needs root: sudo ")
	if !ok {
		t.Fatalf("no line for root in %q", stderr)
	}
	line, _, _ = strings.Cut(line, "\n")
	w.must(t, "sh", "-c", line)
}

func TestRealEngineThatIsNotForYou(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	alice := w.addUser(t)
	host := w.Dockerd(t)
	if err := os.Chmod(strings.TrimPrefix(host, "unix://"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := w.Run(t, "", alice.as("env", "DOCKER_HOST="+host, w.vicr, "pull", registryHost+"/library/app:1")...)
	if r.Code != 1 || !strings.Contains(r.Stderr, "usermod -aG docker") || !strings.Contains(r.Stderr, "--to store") {
		t.Errorf("exit %d, want 1 and what to do", r.Code)
	}
}

// Without a copy of the CA at hand the line asks the registry again.
func TestRealUserWithoutAFileGetsALineThatWorks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	alice := w.addUser(t)
	r := w.Run(t, "", alice.as(w.vicr, "trust", registryHost, "--for", "docker", "--fingerprint", pki.SHA256(w.ca.Certificate).String())...)
	if r.Code != 11 {
		t.Fatalf("exit %d, want 11", r.Code)
	}
	w.asRoot(t, r.Stderr)
	if _, err := os.Stat(w.Etc("/etc/docker/certs.d/" + registryHost + "/ca.crt")); err != nil {
		t.Error(err)
	}
}

func TestRealSudoTheHomeIsTheUsers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	alice := w.addUser(t)
	before := w.TreeHash(t, "/etc")
	sudo := func(args ...string) testkit.Run {
		t.Helper()
		env := []string{"env", "SUDO_UID=" + alice.uid, "SUDO_GID=" + alice.uid, "SUDO_USER=alice", "VICR_FORMAT=json", w.vicr}
		return w.must(t, append(env, args...)...)
	}
	sudo(append([]string{"trust", registryHost}, w.trustFlags(t)...)...)
	own := filepath.Join(alice.home, ".config", "vicr", "certs.d", testkit.RigAddress+"_5443_", "ca.crt")
	info, err := os.Stat(own)
	if err != nil {
		t.Fatal(err)
	}
	if uid := info.Sys().(*syscall.Stat_t).Uid; uid == 0 {
		t.Error("what lies in the user's home is root's")
	}
	if _, err := os.Stat(w.Etc("/etc/docker/certs.d/" + registryHost + "/ca.crt")); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(w.Dir, "home", ".config")); !os.IsNotExist(err) {
		t.Errorf("something was written to root's home: %v", err)
	}
	config := filepath.Join(alice.home, ".docker", "config.json")
	w.must(t, "sh", "-c", "printf %s "+password+" | env SUDO_UID="+alice.uid+" "+w.vicr+" login "+registryHost+" -u "+user+" --password-stdin")
	if info, err := os.Stat(config); err != nil || info.Mode().Perm() != 0o600 || info.Sys().(*syscall.Stat_t).Uid == 0 {
		t.Errorf("sudo vicr login: %v, %v; want the user's own file, mode 0600", info, err)
	}
	if r := sudo("untrust", registryHost); strings.HasPrefix(r.Stdout, "{") {
		t.Error("the environment was believed under sudo")
	}
	if _, err := os.Stat(own); !os.IsNotExist(err) {
		t.Errorf("after untrust: %v", err)
	}
	if w.TreeHash(t, "/etc") != before {
		t.Error("/etc is not as it was")
	}
	if r := w.Run(t, "", "env", "SUDO_UID=99999", w.vicr, "trust", registryHost, "--for", "vicr", "--accept-new"); r.Code == 0 {
		t.Error("a SUDO_UID that nobody has was believed")
	}
}

// What the user has recorded counts, whatever root has.
func TestRealSudoDoesNotReplaceTheUsersCA(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	alice := w.addUser(t)
	other := testkit.NewCA(t)
	file := w.write(t, "other.crt", other.PEM())
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	w.must(t, alice.as(w.vicr, "trust", registryHost, "--for", "vicr", "--offline", "--ca-file", file,
		"--fingerprint", pki.SHA256(other.Certificate).String())...)
	own := filepath.Join(alice.home, ".config", "vicr", "certs.d", testkit.RigAddress+"_5443_", "ca.crt")
	before, err := os.ReadFile(own)
	if err != nil {
		t.Fatal(err)
	}
	etc := w.TreeHash(t, "/etc")
	for _, home := range []string{"/root", alice.home} {
		r := w.Run(t, "", "env", "SUDO_UID="+alice.uid, "HOME="+home, w.vicr, "trust", registryHost, "--accept-new")
		if r.Code != 3 {
			t.Errorf("HOME=%s: exit %d, want 3", home, r.Code)
		}
	}
	if now, err := os.ReadFile(own); err != nil || !bytes.Equal(now, before) {
		t.Errorf("the recorded CA was replaced: %v", err)
	}
	if w.TreeHash(t, "/etc") != etc {
		t.Error("/etc was changed")
	}
}

// atTerminal runs a command at a terminal and answers its questions.
func (w *world) atTerminal(t *testing.T, command string, answers ...string) (screen string, code int) {
	t.Helper()
	testkit.Need(t, "script", "bsdutils")
	cmd := w.Command(t.Context(), "script", "--quiet", "--return", "--command", command, "/dev/null")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out := newWatcher()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(answers); i += 2 {
		out.await(t, answers[i])
		if _, err := io.WriteString(in, answers[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	err = cmd.Wait()
	t.Logf("$ %s\n%s[%v]", command, out.String(), err)
	return out.String(), cmd.ProcessState.ExitCode()
}

func TestRealTerminal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ca := w.write(t, "ca.crt", w.ca.PEM())
	trust := w.vicr + " trust --for vicr --ca-file " + ca + " " + registryHost
	question := "Trust this CA for " + registryHost

	if screen, code := w.atTerminal(t, trust, question, "n\n"); code != 3 || !strings.Contains(screen, pki.SHA256(w.ca.Certificate).Colons()) {
		t.Errorf("no: exit %d, want 3 and the fingerprint on the screen", code)
	}
	if _, code := w.atTerminal(t, trust, question, "\x03"); code != 130 {
		t.Errorf("Ctrl-C: exit %d, want 130", code)
	}
	if _, err := os.Stat(filepath.Join(w.Dir, "home", ".config")); !os.IsNotExist(err) {
		t.Errorf("something was written without a yes: %v", err)
	}
	if _, code := w.atTerminal(t, trust, question, "y\n"); code != 0 {
		t.Errorf("yes: exit %d", code)
	}
	screen, code := w.atTerminal(t, w.vicr+" login "+registryHost, "User name", user+"\n", "Password:", password+"\n")
	if code != 0 || strings.Contains(screen, password) {
		t.Errorf("login: exit %d; the screen must not show the password", code)
	}
	if _, code := w.atTerminal(t, w.vicr+" login "+registryHost+" -u "+user, "Password:", "\x03"); code != 130 {
		t.Errorf("Ctrl-C at the password: exit %d, want 130", code)
	}
	if screen, code := w.atTerminal(t, w.vicr+" pull --to store --progress tty "+registryHost+"/library/app:1"); code != 0 || !strings.Contains(screen, "@sha256:") {
		t.Errorf("pull with bars: exit %d", code)
	}
}

// A watcher keeps what a program prints and says when a text has come.
type watcher struct {
	lines chan []byte
	seen  bytes.Buffer
}

func newWatcher() *watcher { return &watcher{lines: make(chan []byte, 1000)} }

func (w *watcher) Write(p []byte) (int, error) {
	w.lines <- bytes.Clone(p)
	return len(p), nil
}

func (w *watcher) String() string {
	for {
		select {
		case b := <-w.lines:
			w.seen.Write(b)
		default:
			return w.seen.String()
		}
	}
}

func (w *watcher) await(t *testing.T, text string) {
	t.Helper()
	limit := time.After(20 * time.Second)
	for !strings.Contains(w.seen.String(), text) {
		select {
		case b := <-w.lines:
			w.seen.Write(b)
		case <-limit:
			t.Fatalf("%q did not come; the screen: %s", text, w.seen.String())
		}
	}
}
