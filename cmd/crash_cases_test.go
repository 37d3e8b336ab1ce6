//go:build faults && unix

package cmd_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/testkit"
)

const (
	trustOwn     = "trust --for vicr --fingerprint $FP $HOST"
	untrustOwn   = "untrust $HOST"
	trustTree    = "trust --root $HOME/tree --for docker --offline --ca-file $CA --fingerprint $FP registry.example.com"
	untrustTree  = "untrust --root $HOME/tree registry.example.com"
	trustAll     = "trust --root $HOME/tree --for docker,podman,containerd,buildkit,k3s,system --offline --ca-file $CA --fingerprint $FP registry.example.com"
	insecureTree = "trust --root $HOME/tree --for docker,podman --insecure --yes --offline registry.example.com"
	besideTree   = "trust --root $HOME/tree --for docker --insecure --yes --offline 192.0.2.0/24"
	untrustNet   = "untrust --root $HOME/tree 192.0.2.0/24"
	trustOwnPair = "trust --for vicr --fingerprint $FP --client-cert $CERT --client-key $KEY $HOST"
	trustPair    = trustTree + " --client-cert $CERT --client-key $KEY"
	trustNewPair = trustTree + " --client-cert $NEWCERT --client-key $NEWKEY"
	trustAllPair = trustAll + " --client-cert $CERT --client-key $KEY"
	insecureFlag = "trust --root $HOME/tree --for docker --insecure --yes --offline registry.example.com"
	besideFlag   = "trust --root $HOME/tree --for docker --insecure --yes --offline second.example.com"
	untrustFlag  = "untrust --root $HOME/tree second.example.com"
	login        = "login -u dev --password-stdin $HOST"
	loginMarked  = "login -u dev --password-stdin --allow-insecure-credentials $HOST"
	logout       = "logout $HOST"
	pullToStore  = "pull --jobs 1 --to store $HOST/library/app:1"
	pullToLayout = "pull --jobs 1 --to oci:$HOME/layout --all-platforms $HOST/library/hello:1.0"
	tagInStore   = "tag --in store $HOST/library/app:1 $HOST/demo/app:1"

	otherLogin = "{\n\t\"auths\": {\n\t\t\"other.example.com\": {\n\t\t\t\"auth\": \"eDp5\"\n\t\t}\n\t},\n\t\"psFormat\": \"table {{.Names}}\"\n}\n"
)

// A crashCase is a command that is killed at each of its crash points.
type crashCase struct {
	name    string
	put     func(t *testing.T, home string) // what others wrote before; may be nil
	before  []string                        // commands that ran before
	cut     func(t *testing.T, home string) // what became of it; may be nil
	command string
	keeps   bool   // a part that was done stays done
	back    string // takes the command back to the byte; "": nothing does
	next    string // another command that may come next
}

func crashCases() []crashCase {
	return []crashCase{
		{name: "trust for vicr", command: trustOwn, back: untrustOwn},
		{name: "untrust for vicr", before: []string{trustOwn}, command: untrustOwn},
		{name: "trust for docker", put: putDocker, command: trustTree, back: untrustTree},
		{name: "untrust for docker", put: putDocker, before: []string{trustTree}, command: untrustTree},
		{name: "trust for docker in an empty tree", put: putTree, command: trustTree, back: untrustTree},
		{name: "trust in place of another CA", put: putOtherCA, command: trustTree, back: untrustTree},
		{name: "untrust where another CA was", put: putOtherCA, before: []string{trustTree}, command: untrustTree},
		{name: "trust for all tools", put: putTools, command: trustAll, back: untrustTree},
		{name: "untrust for all tools", put: putTools, before: []string{trustAll}, command: untrustTree},
		{name: "insecure", put: putTools, command: insecureTree, back: untrustTree},
		{name: "insecure beside another", put: putTools, before: []string{besideTree}, command: insecureTree, next: untrustTree},
		{name: "insecure no more", put: putTools, before: []string{insecureTree}, command: untrustTree},
		{name: "insecure no more beside another", put: putTools, before: []string{insecureTree, besideTree}, command: untrustTree, next: untrustNet},
		{name: "insecure in place of a CA", put: putTools, before: []string{trustTree}, command: insecureTree},
		{name: "a CA in place of insecure", put: putTools, before: []string{insecureTree}, command: trustTree},
		{name: "trust for vicr with a client pair", command: trustOwnPair, back: untrustOwn},
		{name: "untrust for vicr with a client pair", before: []string{trustOwnPair}, command: untrustOwn},
		{name: "trust with a client pair", put: putDocker, command: trustPair, back: untrustTree},
		{name: "untrust with a client pair", put: putDocker, before: []string{trustPair}, command: untrustTree},
		{name: "a client pair beside a CA", put: putDocker, before: []string{trustTree}, command: trustPair, next: untrustTree},
		{name: "a client pair in place of ours", put: putDocker, before: []string{trustPair}, command: trustNewPair, next: untrustTree},
		{name: "a client pair in place of theirs", put: putOtherPair, command: trustPair, back: untrustTree},
		{name: "untrust where another client pair was", put: putOtherPair, before: []string{trustPair}, command: untrustTree},
		{name: "trust for all tools with a client pair", put: putTools, command: trustAllPair, back: untrustTree},
		{name: "untrust for all tools with a client pair", put: putTools, before: []string{trustAllPair}, command: untrustTree},
		{name: "insecure by a flag", put: putFlag, command: insecureFlag, back: untrustTree},
		{name: "insecure by a flag beside another", put: putFlag, before: []string{besideFlag}, command: insecureFlag, next: untrustFlag},
		{name: "insecure by a flag no more", put: putFlag, before: []string{insecureFlag}, command: untrustTree},
		{name: "insecure by a flag no more beside another", put: putFlag, before: []string{insecureFlag, besideFlag}, command: untrustTree, next: untrustFlag},
		{name: "login", before: []string{trustOwn}, command: login, next: logout},
		{name: "login beside others", put: putLogins, before: []string{trustOwn}, command: login, back: logout},
		{name: "login with a mark", put: putLogins, before: []string{trustOwn}, command: loginMarked},
		{name: "logout", before: []string{trustOwn, login}, command: logout},
		{name: "logout with a mark", put: putLogins, before: []string{trustOwn, loginMarked}, command: logout},
		{name: "pull to store", before: []string{trustOwn}, keeps: true, command: pullToStore},
		{name: "pull to layout", before: []string{trustOwn}, keeps: true, command: pullToLayout},
		{name: "pull that resumes", before: []string{trustOwn, pullToStore}, cut: cutPull, keeps: true, command: pullToStore},
		{name: "tag", before: []string{trustOwn, pullToStore}, keeps: true, command: tagInStore},
	}
}

func putTree(t *testing.T, home string) {
	t.Helper()
	if err := os.Mkdir(filepath.Join(home, "tree"), 0o755); err != nil {
		t.Fatal(err)
	}
}

func putDocker(t *testing.T, home string) {
	t.Helper()
	crashWrite(t, filepath.Join(home, "tree/etc/docker/daemon.json"), []byte("{}\n"))
	if err := os.MkdirAll(filepath.Join(home, "tree/var/lib"), 0o755); err != nil {
		t.Fatal(err)
	}
}

// putTools has a configuration file of somebody else's for each tool that has one.
func putTools(t *testing.T, home string) {
	t.Helper()
	for path, text := range map[string]string{
		"etc/docker/daemon.json":          "{\n\t\"debug\": true\n}",
		"etc/containerd/config.toml":      "version = 2\n# ours\n",
		"etc/buildkit/buildkitd.toml":     "",
		"etc/rancher/k3s/registries.yaml": "# ours\nmirrors:\n  docker.io:\n    endpoint:\n      - \"https://mirror.example\"\n",
		"etc/os-release":                  "ID=debian\n",
		"var/lib/none":                    "",
	} {
		crashWrite(t, filepath.Join(home, "tree", path), []byte(text))
	}
}

func putOtherCA(t *testing.T, home string) {
	t.Helper()
	putDocker(t, home)
	other := pki.EncodePEM(testkit.NewCA(t).Certificate)
	crashWrite(t, filepath.Join(home, "tree/etc/docker/certs.d/registry.example.com/ca.crt"), other)
}

// putOtherPair has a client certificate of somebody else's under our names.
func putOtherPair(t *testing.T, home string) {
	t.Helper()
	putOtherCA(t, home)
	other := newClient(t, "theirs")
	dir := filepath.Join(home, "tree/etc/docker/certs.d/registry.example.com")
	crashWrite(t, filepath.Join(dir, "client.cert"), other.PEM())
	crashWrite(t, filepath.Join(dir, "client.key"), other.KeyPEM(t))
}

// putFlag has a dockerd that systemd starts with what /etc/default/docker says.
func putFlag(t *testing.T, home string) {
	t.Helper()
	for path, text := range map[string]string{
		"lib/systemd/system/docker.service": "[Service]\nEnvironmentFile=-/etc/default/docker\nExecStart=/usr/sbin/dockerd -H fd:// $DOCKER_OPTS\n",
		"run/systemd/system/none":           "",
		"etc/default/docker":                "# ours\nDOCKER_OPTS=\"--log-level=info \\\n  --insecure-registry other.example.com\" # and no more\nexport HTTP_PROXY=\n",
		"var/lib/none":                      "",
	} {
		crashWrite(t, filepath.Join(home, "tree", path), []byte(text))
	}
}

func putLogins(t *testing.T, home string) {
	t.Helper()
	crashWrite(t, filepath.Join(home, "docker/config.json"), []byte(otherLogin))
	if err := os.Chmod(filepath.Join(home, "docker/config.json"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// cutPull leaves half of each blob, as a pull does that lost its connection.
func cutPull(t *testing.T, home string) {
	t.Helper()
	store := filepath.Join(home, "data/vicr/store")
	blobs, err := filepath.Glob(filepath.Join(store, "blobs/sha256/*"))
	if err != nil || len(blobs) == 0 {
		t.Fatal(blobs, err)
	}
	for _, blob := range blobs {
		data, err := os.ReadFile(blob)
		if err != nil {
			t.Fatal(err)
		}
		part := filepath.Join(store, "ingest", "sha256-"+filepath.Base(blob))
		if err := os.WriteFile(part, data[:len(data)/2], 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(blob); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(store, "index.json")); err != nil {
		t.Fatal(err)
	}
}
