//go:build unix

package cmd

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/install"
	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/testkit"
	"github.com/vicr-cli/vicr/internal/trust"
)

// No script can write Docker's files on this machine: here they lie in a folder
// of the test, and the engine is one that answers every pull with one message.

// installForDocker installs a CA for an engine whose files lie below dir, as
// vicr trust --for docker does after the user agreed.
func installForDocker(t *testing.T, dir, message string) (stderr string, proofs []string, err error) {
	t.Helper()
	ca := testkit.NewCA(t)
	h, err := ref.ParseHost("registry.example:5000")
	if err != nil {
		t.Fatal(err)
	}
	m := machine.Machine{
		GOOS: "linux",
		Dirs: machine.Dirs{State: filepath.Join(dir, "home", "state"), MachineState: filepath.Join(dir, "state")},
		Docker: machine.Docker{
			Found: true, CertsDir: filepath.Join(dir, "certs.d"),
			ConfigFile: filepath.Join(dir, "daemon.json"), Socket: testkit.EngineSaying(t, message, nil),
		},
	}
	var out, errs bytes.Buffer
	a := &app{env: Env{Stdout: &out, Stderr: &errs, Getenv: func(string) string { return "" }, Now: time.Now}}
	site, err := install.Open(m)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(site.Close)
	r := trusting{
		target: target{host: h}, o: trustOptions{offline: true}, site: site,
		request: trust.Request{Host: h, Anchor: pki.Anchor{Cert: ca.Certificate}, Tools: []trust.Tool{trust.ToolDocker}},
		subject: change.Subject{Host: h.Canonical().String(), Trust: change.Trust{Fingerprint: pki.SHA256(ca.Certificate).String(), How: howFingerprint}},
	}
	if err := r.plan(t.Context()); err != nil {
		t.Fatal(err)
	}
	proofs, err = a.carryOut(t.Context(), r)
	if err != nil {
		a.fail(err)
	}
	return errs.String(), proofs, err
}

func TestAnEngineThatStillRefusesHasEverythingPutBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	stderr, _, err := installForDocker(t, dir, "x509: certificate signed by unknown authority")
	if got := exitCode(err); got != codeRolledBack {
		t.Errorf("exit code %d (%v), want %d", got, err, codeRolledBack)
	}
	for _, words := range []string{"does not trust registry.example:5000", "x509: certificate signed by unknown authority", "as it was before"} {
		if !strings.Contains(stderr, words) {
			t.Errorf("standard error lacks %q: %s", words, stderr)
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestAnEngineThatAcceptsIsTheProof(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	stderr, proofs, err := installForDocker(t, dir, "no basic auth credentials")
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	const want = "proven: the Docker engine trusts registry.example:5000"
	if len(proofs) != 1 || proofs[0] != want || !strings.Contains(stderr, want) {
		t.Errorf("proofs %q, standard error %q", proofs, stderr)
	}
	if _, err := os.Stat(filepath.Join(dir, "certs.d", "registry.example:5000", "ca.crt")); err != nil {
		t.Error(err)
	}
}

func TestAnEngineThatCannotSayProvesNothing(t *testing.T) {
	t.Parallel()
	stderr, proofs, err := installForDocker(t, t.TempDir(), "the moon\x1b[2J is\nfull")
	if err != nil || len(proofs) != 1 || !strings.HasPrefix(proofs[0], "not proven for registry.example:5000") {
		t.Errorf("%v, proofs %q\n%s", err, proofs, stderr)
	}
	// An engine's words are shown and steer no terminal.
	if !strings.Contains(stderr, `the moon\x1b[2J is\nfull`) || strings.ContainsRune(stderr, 0x1b) {
		t.Errorf("standard error: %q", stderr)
	}
}
