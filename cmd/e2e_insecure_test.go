//go:build e2e && linux

package cmd_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/vicr-cli/vicr/internal/testkit"
)

// Registries that Docker is told not to verify, with a real dockerd that runs.

const (
	clear1 = "192.0.2.4:5000" // plain HTTP, as is clear2
	clear2 = "192.0.2.4:5001"

	daemonJSON = "/etc/docker/daemon.json"
	optsFile   = "/etc/default/docker"
)

// oddJSON is what nobody's formatter would write: tabs, an order of its own, no
// final newline.
const oddJSON = "{\n\t\"log-level\":   \"info\",\n\n\t\"debug\": false, \"labels\": [\"a=b\"]\n}"

func (b *bench) put(t *testing.T, path, text string) {
	t.Helper()
	path = b.Etc(path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// text is a file of the rig, "" if it is not there.
func (b *bench) text(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(b.Etc(path))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(data)
}

// listed are the registries that the engine does not verify now.
func (b *bench) listed(t *testing.T) []string {
	t.Helper()
	run := b.want(t, 0, "docker", "info", "--format", "{{json .RegistryConfig}}")
	var c struct {
		IndexConfigs          map[string]struct{ Secure bool }
		InsecureRegistryCIDRs []string
	}
	if err := json.Unmarshal([]byte(run.Stdout), &c); err != nil {
		t.Fatal(err)
	}
	list := slices.DeleteFunc(c.InsecureRegistryCIDRs, func(s string) bool { return s == "127.0.0.0/8" || s == "::1/128" })
	for name, i := range c.IndexConfigs {
		if !i.Secure {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}

func (b *bench) wantListed(t *testing.T, when string, want ...string) {
	t.Helper()
	if got := b.listed(t); !slices.Equal(got, want) {
		t.Errorf("%s: docker info lists %q, want %q", when, got, want)
	}
}

// hangUp has the engine read its configuration anew, and waits until it did.
func (b *bench) hangUp(t *testing.T, p *testkit.Process) {
	t.Helper()
	before := strings.Count(p.Log(), "Got signal to reload")
	if err := syscall.Kill(p.PID(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	testkit.Until(t, "reload", func() bool { return strings.Count(p.Log(), "Got signal to reload") > before })
	b.want(t, 0, "docker", "info") // after it, since the reload holds the configuration's lock
}

func (b *bench) trusts(t *testing.T, host string) {
	t.Helper()
	if run := b.Run(t, "", "docker", "pull", host+"/"+image); run.Code != 0 {
		t.Errorf("docker pull from %s: exit %d", host, run.Code)
	}
}

func (b *bench) trustInsecure(t *testing.T, code int, host string) testkit.Run {
	t.Helper()
	return b.want(t, code, b.vicr, "trust", host, "--for", "docker", "--insecure", "-y")
}

func TestRealInsecure(t *testing.T) {
	t.Parallel()
	vicr := buildVicr(t)
	for name, test := range map[string]func(*testing.T, *bench){
		"by_a_signal_while_a_container_runs":        whileAContainerRuns,
		"no_daemon.json_before":                     noFileBefore,
		"the_key_deleted_does_not_take_it_back":     keyDeleted,
		"somebody_edited_since":                     editedSince,
		"two_registries_in_any_order":               twoInAnyOrder,
		"flag_out_of_DOCKER_OPTS":                   flagOutOfOptions,
		"flag_that_no_file_has":                     flagOfNoFile,
		"the_daemon_refuses_the_file":               refusedReload,
		"login_to_a_registry_without_TLS":           loginWithoutTLS,
		"an_insecure_registry_that_has_a_CA_now":    caInstead,
		"systemd_flag_and_restart":                  systemdRestart,
		"newest_engine_by_a_signal":                 newestBySignal,
		"newest_engine_judges_before_anything_else": newestJudges,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, vicr)
			b.StartRegistry(t, testkit.Registry{Addr: clear1})
			test(t, b)
		})
	}
}

func whileAContainerRuns(t *testing.T, b *bench) {
	t.Helper()
	b.put(t, daemonJSON, oddJSON)
	p := b.StartDockerd(t, testkit.Dockerd{})
	b.want(t, 0, "docker", "load", "-i", b.Archive())
	b.want(t, 0, "docker", "run", "-d", "--name=witness", "--network=none", "--stop-signal=KILL", "app:1", "/bin/busybox", "sleep", "600")
	witness := func() string {
		return b.want(t, 0, "docker", "inspect", "--format", "{{.State.Status}} {{.State.Pid}} {{.State.StartedAt}} {{.RestartCount}}", "witness").Stdout
	}
	container, before := witness(), b.machineState(t)
	if !strings.HasPrefix(container, "running") {
		t.Fatalf("the container is %q", container)
	}

	b.refuses(t, "before", []string{"docker", "pull", clear1 + "/" + image})
	b.trustInsecure(t, 0, clear1)
	b.wantListed(t, "after trust", clear1)
	b.trusts(t, clear1)
	if !strings.HasPrefix(b.text(t, daemonJSON), "{\n\t\"log-level\":   \"info\",\n\n\t\"debug\": false, \"labels\": [\"a=b\"]") {
		t.Errorf("what was there was written anew: %q", b.text(t, daemonJSON))
	}
	b.want(t, 0, b.vicr, "untrust", clear1)
	b.wantListed(t, "after untrust")
	b.refuses(t, "after untrust", []string{"docker", "pull", clear1 + "/" + image})
	if b.text(t, daemonJSON) != oddJSON {
		t.Errorf("daemon.json is %q", b.text(t, daemonJSON))
	}
	if after := b.machineState(t); after != before {
		t.Errorf("not as before: %s", differs(before, after))
	}
	if now := witness(); now != container {
		t.Errorf("the container was %q and is %q", container, now)
	}
	if data := b.text(t, "/run/docker.pid"); strings.TrimSpace(data) != strconv.Itoa(p.PID()) {
		t.Errorf("dockerd was %d and is %s", p.PID(), data)
	}
}

func noFileBefore(t *testing.T, b *bench) {
	t.Helper()
	b.StartDockerd(t, testkit.Dockerd{})
	before := b.machineState(t)
	b.trustInsecure(t, 0, clear1)
	b.trusts(t, clear1)
	b.want(t, 0, b.vicr, "untrust", clear1)
	b.wantListed(t, "after untrust")
	if after := b.machineState(t); after != before {
		t.Errorf("not as before: %s", differs(before, after))
	}
}

// The pitfall first, by hand; then vicr does not fall into it.
func keyDeleted(t *testing.T, b *bench) {
	t.Helper()
	p := b.StartDockerd(t, testkit.Dockerd{})
	b.put(t, daemonJSON, `{"insecure-registries": ["`+clear2+`"]}`)
	b.hangUp(t, p)
	b.put(t, daemonJSON, "{}")
	b.hangUp(t, p)
	b.wantListed(t, "the key deleted by hand", clear2)
	b.put(t, daemonJSON, `{"insecure-registries": []}`)
	b.hangUp(t, p)
	b.put(t, daemonJSON, "{}")
	b.hangUp(t, p)
	b.wantListed(t, "the list emptied by hand")

	b.trustInsecure(t, 0, clear1)
	b.wantListed(t, "after trust", clear1)
	b.want(t, 0, b.vicr, "untrust", clear1)
	b.wantListed(t, "after untrust")
	if got := b.text(t, daemonJSON); got != "{}" {
		t.Errorf("daemon.json is %q", got)
	}
}

func editedSince(t *testing.T, b *bench) {
	t.Helper()
	b.put(t, daemonJSON, oddJSON)
	b.StartDockerd(t, testkit.Dockerd{})
	b.trustInsecure(t, 0, clear1)
	b.wantListed(t, "after trust", clear1)
	edited := strings.Replace(b.text(t, daemonJSON), `"a=b"`, `"a=b", "c=d"`, 1)
	b.put(t, daemonJSON, edited)
	b.want(t, 0, b.vicr, "untrust", clear1)
	b.wantListed(t, "after untrust")
	if want := strings.Replace(oddJSON, `"a=b"`, `"a=b", "c=d"`, 1); b.text(t, daemonJSON) != want {
		t.Errorf("daemon.json is %q, want %q", b.text(t, daemonJSON), want)
	}
}

func twoInAnyOrder(t *testing.T, b *bench) {
	t.Helper()
	b.put(t, daemonJSON, oddJSON)
	b.StartRegistry(t, testkit.Registry{Addr: clear2})
	b.StartDockerd(t, testkit.Dockerd{})
	before := b.machineState(t)
	for _, order := range [][]string{{clear1, clear2}, {clear2, clear1}} {
		b.trustInsecure(t, 0, clear1)
		b.trustInsecure(t, 0, clear2)
		b.wantListed(t, "both", clear1, clear2)
		b.want(t, 0, b.vicr, "untrust", order[0])
		b.wantListed(t, "one", order[1])
		b.want(t, 0, b.vicr, "untrust", order[1])
		b.wantListed(t, "none")
		if after := b.machineState(t); after != before {
			t.Errorf("%q: not as before: %s", order, differs(before, after))
		}
	}
}

// dockerd 20.10 cannot judge a file beforehand, so it is told, and does not
// take it. A key that it does not know was put there after its start.
func refusedReload(t *testing.T, b *bench) {
	t.Helper()
	p := b.StartDockerd(t, testkit.Dockerd{})
	const theirs = "{\n  \"no-such-key\": 1\n}\n"
	b.put(t, daemonJSON, theirs)
	before := b.machineState(t)
	run := b.trustInsecure(t, 9, clear1)
	if !strings.Contains(run.Stderr, "insecure") {
		t.Error("nobody said what was refused")
	}
	if got := b.text(t, daemonJSON); got != theirs {
		t.Errorf("daemon.json is %q", got)
	}
	if after := b.machineState(t); after != before {
		t.Errorf("not rolled back: %s", differs(before, after))
	}
	b.wantListed(t, "after the roll-back")
	if err := syscall.Kill(p.PID(), 0); err != nil {
		t.Errorf("dockerd is gone: %v", err)
	}
}

func loginWithoutTLS(t *testing.T, b *bench) {
	t.Helper()
	const host = "192.0.2.4:5002"
	b.StartRegistry(t, testkit.Registry{Addr: host, User: user, Password: password})
	b.StartDockerd(t, testkit.Dockerd{})
	before := b.machineState(t)
	b.trustInsecure(t, 0, host)
	if run := b.Run(t, password, b.vicr, "login", host, "-u", user, "--password-stdin", "--plain-http"); run.Code != 8 {
		t.Errorf("a password in clear without a word: exit %d, want 8", run.Code)
	}
	login := b.Run(t, password, b.vicr, "login", host, "-u", user, "--password-stdin", "--plain-http", "--allow-insecure-credentials")
	if login.Code != 0 || !strings.Contains(login.Stderr, "warning") {
		t.Fatalf("login: exit %d, want 0 and a warning", login.Code)
	}
	b.trusts(t, host)
	name := host + "/" + image
	b.want(t, 0, b.vicr, "pull", "--plain-http", name)
	b.want(t, 0, b.vicr, "tag", name, host+"/demo/app:2")
	b.want(t, 0, b.vicr, "push", "--plain-http", host+"/demo/app:2")
	b.want(t, 0, "docker", "rmi", host+"/demo/app:2")
	b.want(t, 0, "docker", "pull", host+"/demo/app:2")
	b.want(t, 0, b.vicr, "logout", host)
	b.want(t, 0, b.vicr, "untrust", host)
	after := b.machineState(t)
	if strings.Fields(after)[0] != strings.Fields(before)[0] {
		t.Error("/etc is not as it was")
	}
	b.refuses(t, "after untrust", []string{"docker", "pull", name})
}

// An engine does not read the CA of a registry that is insecure to it.
func caInstead(t *testing.T, b *bench) {
	t.Helper()
	const host = "192.0.2.2:5443"
	b.StartRegistry(t, testkit.Registry{Addr: host, Cert: b.leaf})
	b.put(t, daemonJSON, `{"insecure-registries": ["`+host+`", "`+clear1+`"], "debug": false}`)
	b.StartDockerd(t, testkit.Dockerd{})
	before := b.machineState(t)
	b.want(t, 0, append([]string{b.vicr, "trust", host, "--for", "docker"}, b.pinned(t, b.ca)...)...)
	b.wantListed(t, "after trust", clear1)
	b.trusts(t, host)
	b.want(t, 0, b.vicr, "untrust", host)
	b.wantListed(t, "after untrust", host, clear1)
	if after := b.machineState(t); after != before {
		t.Errorf("not as before: %s", differs(before, after))
	}
}

func newestBySignal(t *testing.T, b *bench) {
	t.Helper()
	b.put(t, daemonJSON, oddJSON)
	b.StartDockerd(t, testkit.NewestDockerd(t))
	before := b.machineState(t)
	b.trustInsecure(t, 0, clear1)
	b.wantListed(t, "after trust", clear1)
	b.trusts(t, clear1)
	b.want(t, 0, b.vicr, "untrust", clear1)
	b.wantListed(t, "after untrust")
	if after := b.machineState(t); after != before {
		t.Errorf("not as before: %s", differs(before, after))
	}
}

// Its --validate finds what is wrong, so that nothing is written.
func newestJudges(t *testing.T, b *bench) {
	t.Helper()
	newest := testkit.NewestDockerd(t)
	// Only a dockerd that lies where the system's programs do is asked to judge.
	if r := b.Run(t, "", "mount", "--bind", newest.Program, "/usr/sbin/dockerd"); r.Code != 0 {
		t.Fatal("the newest dockerd cannot be put in its place")
	}
	b.StartDockerd(t, newest)
	b.put(t, daemonJSON, "{\n  \"no-such-key\": 1\n}\n")
	before := b.machineState(t)
	inode := b.inode(t, daemonJSON)
	run := b.Run(t, "", b.vicr, "trust", clear1, "--for", "docker", "--insecure", "-y")
	if run.Code == 0 || !strings.Contains(run.Stderr, "no-such-key") {
		t.Errorf("exit %d, want a refusal that names the key", run.Code)
	}
	if after := b.machineState(t); after != before {
		t.Errorf("a refused trust changed %s", differs(before, after))
	}
	if b.inode(t, daemonJSON) != inode {
		t.Error("daemon.json was written, and put back")
	}
	b.wantListed(t, "after all")
}

func (b *bench) inode(t *testing.T, path string) uint64 {
	t.Helper()
	info, err := os.Stat(b.Etc(path))
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Ino
}
