//go:build e2e && linux

package cmd_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/testkit"
)

// A CA that is not the registry's can only come from a file that nobody checked
// with the registry. The engine is asked all the same.
func TestRealEngineThatStillRefusesHasEverythingPutBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	host := w.Dockerd(t)
	other := testkit.NewCA(t)
	before := w.TreeHash(t, "/etc")
	r := w.Run(t, "", "env", "DOCKER_HOST="+host, w.vicr, "trust", registryHost, "--for", "docker", "--offline",
		"--ca-file", w.write(t, "other.crt", other.PEM()), "--fingerprint", pki.SHA256(other.Certificate).String())
	if r.Code != 9 || !strings.Contains(r.Stderr, "does not trust "+registryHost) || !strings.Contains(r.Stderr, "x509") {
		t.Errorf("exit %d, want 9 and the engine's words", r.Code)
	}
	if w.TreeHash(t, "/etc") != before {
		t.Error("/etc is not as it was")
	}
	if _, err := os.Stat(w.Etc("/var/lib/vicr")); !os.IsNotExist(err) {
		t.Errorf("the machine's journal is left behind: %v", err)
	}
}

// Without skopeo it is podman or buildah that is asked, and they would make
// storage of their own for that.
func TestRealProofByPodmanOrBuildahLeavesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t, buildVicr(t))
	b.StartRegistry(t, testkit.Registry{Addr: tls1, Cert: b.leaf})
	const uid = "23456" // that no other rig has
	home := filepath.Join(b.Dir, "carol")
	b.want(t, 0, "useradd", "--create-home", "--home-dir", home, "--uid", uid, "carol")
	hide := func(program, pkg string) {
		t.Helper()
		b.want(t, 0, "mount", "--bind", "/dev/null", testkit.Need(t, program, pkg))
	}
	for _, dir := range []string{"/dev/shm", "/var/tmp"} {
		b.want(t, 0, "mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", dir)
	}
	hide("skopeo", "skopeo")
	for i, program := range []string{"podman", "buildah"} {
		if i > 0 {
			hide("podman", "podman")
		}
		for who, as := range map[string][]string{
			"root":  nil,
			"carol": {"setpriv", "--reuid=" + uid, "--regid=" + uid, "--clear-groups", "env", "HOME=" + home},
		} {
			t.Run(program+"_of_"+who, func(t *testing.T) { b.provenWithoutTrace(t, as, uid, home) })
		}
	}
}

func (b *bench) provenWithoutTrace(t *testing.T, as []string, uid, home string) {
	t.Helper()
	vicr := append(as, b.vicr)
	state := func() string {
		t.Helper()
		parts := []string{b.machineState(t), home, b.TreeHash(t, home)}
		for _, dir := range []string{"/var/lib", "/run", "/dev/shm", "/var/tmp"} {
			parts = append(parts, dir, b.TreeHash(t, dir))
		}
		for _, pattern := range []string{"/tmp/.vicr-*.tmp", "/tmp/podman-run-" + uid, "/tmp/containers-user-" + uid} {
			found, err := filepath.Glob(pattern)
			if err != nil {
				t.Fatal(err)
			}
			parts = append(parts, found...)
		}
		return strings.Join(parts, "\n")
	}
	before := state()
	run := b.want(t, 0, append(append(vicr, "trust", tls1, "--for", "podman"), b.pinned(t, b.ca)...)...)
	if !strings.Contains(run.Stderr, "proven: Podman trusts "+tls1) {
		t.Error("nobody was asked")
	}
	b.want(t, 0, append(vicr, "untrust", tls1)...)
	if after := state(); after != before {
		t.Errorf("the proof left something behind: before\n%s\nafter\n%s", before, after)
	}
	testkit.Until(t, "the end of all processes", func() bool { return processes(t, uid) == 0 })
}

// processes says how many a user has.
func processes(t *testing.T, uid string) (n int) {
	t.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		if info, err := os.Stat(dir); err == nil && fmt.Sprint(info.Sys().(*syscall.Stat_t).Uid) == uid {
			n++
		}
	}
	return n
}
