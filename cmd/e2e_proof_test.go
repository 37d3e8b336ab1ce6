//go:build e2e && linux

package cmd_test

import (
	"os"
	"strings"
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
