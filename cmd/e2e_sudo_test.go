//go:build e2e && linux

package cmd_test

import (
	"bytes"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vicr-cli/vicr/internal/testkit"
)

// Whoever may run vicr through sudo does not thereby choose where root reads,
// writes and looks for programs.
func TestRealSudoHostileEnvironment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	alice := w.addUser(t)
	evil := filepath.Join(w.Dir, "evil")
	w.must(t, "sh", "-c", "mkdir -p "+evil+"/docker && cp "+w.write(t, "evil.crt", testkit.NewCA(t).PEM())+" "+evil+"/ca.pem")
	for _, name := range []string{"sudo", "systemctl", "dockerd", "skopeo", "podman", "docker-credential-evil"} {
		script := "#!/bin/sh\ntouch " + evil + "/ran-" + name + "\n"
		if err := os.WriteFile(filepath.Join(evil, name), []byte(script), 0o755); err != nil { //nolint:gosec // a program
			t.Fatal(err)
		}
	}
	args := append([]string{
		"env", "SUDO_UID=" + alice.uid, "SUDO_USER=alice", "HOME=" + evil, "PATH=" + evil + ":" + os.Getenv("PATH"),
		"DOCKER_CONFIG=" + evil + "/docker", "DOCKER_HOST=unix://" + evil + "/d.sock", "SSL_CERT_FILE=" + evil + "/ca.pem",
		"SSL_CERT_DIR=" + evil, "TMPDIR=" + evil, "XDG_CONFIG_HOME=" + evil, "XDG_STATE_HOME=" + evil, "GODEBUG=x509negativeserial=1",
		"VICR_FORMAT=json", w.vicr, "trust", registryHost,
	}, w.trustFlags(t)...)
	r := w.must(t, args...)
	for _, name := range []string{"DOCKER_CONFIG", "DOCKER_HOST", "SSL_CERT_FILE", "SSL_CERT_DIR", "TMPDIR", "XDG_CONFIG_HOME", "GODEBUG", "VICR_FORMAT"} {
		if !strings.Contains(r.Stderr, name) {
			t.Errorf("%s was set, and nobody said that it does not count", name)
		}
	}
	if strings.HasPrefix(r.Stdout, "{") {
		t.Error("VICR_FORMAT was believed")
	}
	if got, err := os.ReadFile(w.Etc("/etc/docker/certs.d/" + registryHost + "/ca.crt")); err != nil || !bytes.Equal(got, w.ca.PEM()) {
		t.Errorf("the registry's CA is not where Docker reads it: %q, %v", got, err)
	}
	found, err := filepath.Glob(evil + "/ran-*")
	if err != nil || len(found) > 0 {
		t.Errorf("root ran programs out of PATH: %v, %v", found, err)
	}
	for _, dir := range []string{evil + "/vicr", evil + "/.config", evil + "/.local", evil + "/docker/certs.d"} {
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("%s was written", dir)
		}
	}
}

// The registry's own CA among the roots that the caller names would make the
// registry publicly trusted, and root would install nothing.
func TestRealSudoTheCallerDoesNotChooseTheSystemsRoots(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	alice := w.addUser(t)
	ca := w.write(t, "roots.pem", w.ca.PEM())
	for _, caller := range []string{"", "SUDO_UID=" + alice.uid} {
		argv := []string{"env", "SSL_CERT_FILE=" + ca, w.vicr, "trust", "--dry-run", registryHost, "--accept-new"}
		if caller != "" {
			argv = append([]string{"env", caller}, argv...)
		}
		r := w.must(t, argv...)
		if public := strings.Contains(r.Stdout, "publicly trusted"); public != (caller == "") {
			t.Errorf("%q: publicly trusted: %v", caller, public)
		}
	}
}

func TestRealSudoThatTheSystemDoesNotBearOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	alice := w.addUser(t)
	etc, lib := w.TreeHash(t, "/etc"), w.TreeHash(t, "/var/lib/vicr")
	for name, env := range map[string][]string{
		"negative":      {"SUDO_UID=-1"},
		"nobody's":      {"SUDO_UID=99999"},
		"with a letter": {"SUDO_UID=" + alice.uid + "x"},
		"another name":  {"SUDO_UID=" + alice.uid, "SUDO_USER=root"},
	} {
		argv := append(append([]string{"env"}, env...), w.vicr, "trust", registryHost, "--for", "docker")
		if r := w.Run(t, "", append(argv, w.trustFlags(t)...)...); r.Code != 2 {
			t.Errorf("%s: exit %d, want 2", name, r.Code)
		}
	}
	if w.TreeHash(t, "/etc") != etc || w.TreeHash(t, "/var/lib/vicr") != lib {
		t.Error("something was changed")
	}
}

// By the calls that the processes make: root opens nothing in the home of who
// called sudo, and no connection to the registry.
func TestRealSudoRootReadsNoHomeAndAsksNoNetwork(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	alice := w.addUser(t)
	w.must(t, alice.as("sh", "-c", "mkdir -p ~/.docker ~/.config/containers && echo '{}' > ~/.docker/config.json")...)
	trace := filepath.Join(w.Dir, "trace")
	strace := testkit.Need(t, "strace", "strace")
	flags := append(w.trustFlags(t), "--", registryHost)
	w.must(t, append([]string{
		strace, "-f", "-qq", "-o", trace, "-e", "trace=open,openat,connect,setuid,clone,clone3,vfork,fork,fcntl",
		"env", "SUDO_UID=" + alice.uid, "SUDO_USER=alice", w.vicr, "trust",
	}, flags...)...)
	data, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	asUser := map[string]bool{} // processes, and what they started
	seen := map[bool]int{}      // calls of interest, by whether the user made them
	kept := map[string]bool{}   // files of root's that the user's vicr hands to no program
	for line := range strings.Lines(string(data)) {
		pid, call, _ := strings.Cut(strings.TrimSpace(line), " ")
		call = strings.TrimSpace(call)
		name, rest, _ := strings.Cut(call, "(")
		switch {
		case name == "setuid" && strings.HasPrefix(rest, alice.uid+")"):
			asUser[pid] = true
		case strings.Contains(name, "clone"), strings.Contains(name, "fork"):
			if _, child, ok := strings.Cut(call, " = "); ok && asUser[pid] {
				asUser[child] = true
			}
		case name == "fcntl" && strings.Contains(rest, "F_SETFD, FD_CLOEXEC") && asUser[pid]:
			kept[rest[:1]] = true
		case strings.Contains(rest, alice.home+"/"), name == "connect" && strings.Contains(rest, "AF_INET"):
			seen[asUser[pid]]++
			if !asUser[pid] {
				t.Errorf("root: %s", call)
			}
		}
	}
	if !kept["3"] || !kept["4"] {
		t.Errorf("what goes to root is kept from programs: %v", kept)
	}
	if seen[true] == 0 {
		t.Error("nobody looked into the home or asked the registry: the trace shows nothing")
	}
	if _, err := os.Stat(w.Etc("/etc/docker/certs.d/" + registryHost + "/ca.crt")); err != nil {
		t.Errorf("the machine's half: %v", err)
	}
}

// How it was agreed to is told alike by who calls sudo and by root; a client
// certificate goes over as bytes.
func TestRealSudoRootIsToldHow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	alice := w.addUser(t)
	sudo := []string{"env", "SUDO_UID=" + alice.uid, "SUDO_USER=alice", w.vicr}
	leaf := w.ca.NewLeaf(t, testkit.Template(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }))
	cert, key := filepath.Join(alice.home, "a.crt"), filepath.Join(alice.home, "a.key")
	for path, data := range map[string][]byte{cert: leaf.PEM(), key: leaf.KeyPEM(t)} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		w.must(t, "chown", "alice", path)
	}
	w.must(t, append(sudo, "trust", registryHost, "--for", "vicr,docker", "--accept-new", "--client-cert", cert, "--client-key", key)...)
	if r := w.must(t, append(sudo, "status", registryHost)...); !strings.Contains(r.Stdout, " accept-new ") || strings.Contains(r.Stdout, " fingerprint ") {
		t.Errorf("root's record: %s", r.Stdout)
	}
	installed, err := os.ReadFile(w.Etc("/etc/docker/certs.d/" + registryHost + "/client.key"))
	if err != nil || !bytes.Equal(installed, leaf.KeyPEM(t)) {
		t.Errorf("the client's key: %v", err)
	}
	w.must(t, append(sudo, "untrust", registryHost)...)
}
