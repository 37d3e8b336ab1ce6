//go:build e2e && linux

package cmd_test

import (
	"os"
	"strings"
	"testing"

	"github.com/vicr-cli/vicr/internal/testkit"
)

// dockerd that has --insecure-registry on its command line: it starts with that or
// with a list in daemon.json, never with both.

// Debian's scripts start dockerd with $DOCKER_OPTS: that is where another
// registry has to go.
func flagOutOfOptions(t *testing.T, b *bench) {
	t.Helper()
	options := b.text(t, optsFile) + "\n# ours\nDOCKER_OPTS='--insecure-registry " + clear2 + " --log-level=info'\n"
	b.put(t, optsFile, options)
	d := testkit.Dockerd{Script: true}
	p := b.StartDockerd(t, d)
	b.wantListed(t, "before", clear2)
	before := b.machineState(t)

	run := b.trustInsecure(t, 0, clear1)
	if !strings.Contains(run.Stdout+run.Stderr, "docker restart") {
		t.Error("nobody said that Docker has to be restarted")
	}
	if got := b.text(t, daemonJSON); got != "" {
		t.Errorf("a list beside the flag, which keeps dockerd from starting: %q", got)
	}
	p.Stop()
	p = b.StartDockerd(t, d)
	b.wantListed(t, "after trust", clear1, clear2)
	b.trusts(t, clear1)

	b.want(t, 0, b.vicr, "untrust", clear1)
	if after := b.machineState(t); after != before {
		t.Errorf("not as before: %s", differs(before, after))
	}
	p.Stop()
	b.StartDockerd(t, d)
	b.wantListed(t, "after untrust", clear2)
}

// The same where systemd starts dockerd, which --restart has it do again.
func systemdRestart(t *testing.T, b *bench) {
	t.Helper()
	const options = "DOCKER_OPTS=\"--insecure-registry " + clear2 + "\"\n"
	m := b.bootMachine(t, map[string]string{optsFile: options})
	pid := func() string { return m.Run(t, "systemctl", "show", "docker", "--property=MainPID").Stdout }
	before, first := m.TreeHash(t, "/etc"), pid()
	trust := []string{"vicr", "trust", clear1, "--for", "docker", "--insecure", "-y"}
	if run := m.Run(t, trust...); run.Code != 0 || !strings.Contains(run.Stdout+run.Stderr, "systemctl restart docker") {
		t.Errorf("without --restart: exit %d, want 0 and what to type", run.Code)
	}
	if pid() != first {
		t.Error("Docker was restarted and nobody asked for it")
	}
	m.Run(t, "vicr", "untrust", clear1)
	if m.TreeHash(t, "/etc") != before {
		t.Error("/etc is not as it was")
	}
	if run := m.Run(t, append(trust, "--restart")...); run.Code != 0 {
		t.Errorf("with --restart: exit %d", run.Code)
	}
	if run := m.Run(t, pullOf(clear1)...); run.Code != 0 {
		t.Errorf("docker pull: exit %d", run.Code)
	}
	if got, err := os.ReadFile(m.Root + daemonJSON); err == nil {
		t.Errorf("a list beside the flag: %q", got)
	}
	if run := m.Run(t, "vicr", "untrust", clear1); run.Code != 0 {
		t.Errorf("untrust: exit %d", run.Code)
	}
	if run := m.Run(t, pullOf(clear1)...); run.Code == 0 {
		t.Error("it is trusted after untrust")
	}
	if run := m.Run(t, "systemctl", "is-active", "docker"); run.Code != 0 {
		t.Error("docker.service does not run any more")
	}
	if m.TreeHash(t, "/etc") != before {
		t.Error("/etc is not as it was")
	}
}

func flagOfNoFile(t *testing.T, b *bench) {
	t.Helper()
	b.StartDockerd(t, testkit.Dockerd{Args: []string{"--insecure-registry=" + clear2}})
	before := b.machineState(t)
	run := b.Run(t, "", b.vicr, "trust", clear1, "--for", "docker", "--insecure", "-y")
	if run.Code == 0 || !strings.Contains(run.Stderr, "--insecure-registry") {
		t.Errorf("exit %d, want a refusal that names the flag", run.Code)
	}
	if after := b.machineState(t); after != before {
		t.Errorf("a refused trust changed %s", differs(before, after))
	}
	b.wantListed(t, "after all", clear2)
}

// conflictThere is pain 1: the engine runs still, and would not start again.
func conflictThere(t *testing.T, b *bench) {
	t.Helper()
	b.StartRegistry(t, testkit.Registry{Addr: clear1})
	d := testkit.Dockerd{Args: []string{"--insecure-registry=" + clear2}}
	p := b.StartDockerd(t, d)
	b.put(t, daemonJSON, `{"insecure-registries": ["`+clear2+`"]}`)
	before := b.machineState(t)
	run := b.Run(t, "", b.vicr, "trust", clear1, "--for", "docker", "--insecure", "-y")
	if run.Code == 0 || !strings.Contains(run.Stderr, daemonJSON) || !strings.Contains(run.Stderr, "--insecure-registry") {
		t.Errorf("exit %d, want a refusal that names the flag and the file", run.Code)
	}
	if after := b.machineState(t); after != before {
		t.Errorf("a refused trust changed %s", differs(before, after))
	}
	p.Stop()
	p = b.LaunchDockerd(t, d)
	testkit.Until(t, "the end of dockerd", func() bool {
		return strings.Contains(p.Log(), "specified both as a flag and in the configuration file")
	})
}
