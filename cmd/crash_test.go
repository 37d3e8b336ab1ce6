//go:build faults && unix

package cmd_test

import (
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

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
	login        = "login -u dev --password-stdin $HOST"
	loginMarked  = "login -u dev --password-stdin --allow-insecure-credentials $HOST"
	logout       = "logout $HOST"
	pullToStore  = "pull --jobs 1 --to store $HOST/library/app:1"
	pullToLayout = "pull --jobs 1 --to oci:$HOME/layout --all-platforms $HOST/library/hello:1.0"
	tagInStore   = "tag --in store $HOST/library/app:1 $HOST/demo/app:1"

	crashFirst = 8 // first points of pairs, at most

	otherLogin = "{\n\t\"auths\": {\n\t\t\"other.example.com\": {\n\t\t\t\"auth\": \"eDp5\"\n\t\t}\n\t},\n\t\"psFormat\": \"table {{.Names}}\"\n}\n"
)

// A crashCase is a command that is killed at each of its crash points.
type crashCase struct {
	name    string
	put     func(t *testing.T, home string) // what others wrote before; may be nil
	before  []string                        // commands that ran before
	cut     func(t *testing.T, home string) // what became of it; may be nil
	command string
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
		{name: "login", before: []string{trustOwn}, command: login, next: logout},
		{name: "login beside others", put: putLogins, before: []string{trustOwn}, command: login, back: logout},
		{name: "login with a mark", put: putLogins, before: []string{trustOwn}, command: loginMarked},
		{name: "logout", before: []string{trustOwn, login}, command: logout},
		{name: "logout with a mark", put: putLogins, before: []string{trustOwn, loginMarked}, command: logout},
		{name: "pull to store", before: []string{trustOwn}, command: pullToStore},
		{name: "pull to layout", before: []string{trustOwn}, command: pullToLayout},
		{name: "pull that resumes", before: []string{trustOwn, pullToStore}, cut: cutPull, command: pullToStore},
		{name: "tag", before: []string{trustOwn, pullToStore}, command: tagInStore},
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

// Killed before or after any system call that changes something, a command
// leaves nothing torn. Given again it ends well, with nothing left behind, and
// can be taken back; also if it is killed that second time.
//
// All points are taken. Of the pairs, which are tens of thousands, a run takes
// some first points, each with every change of the second run; with FAULTS=full
// all of them.
func TestCrashAnywhere(t *testing.T) {
	t.Parallel()
	r, start := newCrashRig(t), time.Now()
	t.Run("in", func(t *testing.T) {
		for _, c := range crashCases() {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				s := newCrashScene(t, r, c)
				t.Run("killed", s.killedOnce)
				t.Run("killed twice", s.killedTwice)
			})
		}
	})
	took := time.Since(start)
	t.Logf("%d kills and %d other runs in %.1f s: %.0f kills a second",
		r.kills.Load(), r.runs.Load(), took.Seconds(), float64(r.kills.Load())/took.Seconds())
}

// A crashScene is a case with what lies there before and after an undisturbed run.
type crashScene struct {
	crashCase
	*crashRig
	start         string // the home before
	total         int    // crash points of the command
	before, after crashPicture
	seen          sync.Map // as text, pictures of homes that are known to end well
}

func newCrashScene(t *testing.T, r *crashRig, c crashCase) *crashScene {
	t.Helper()
	s := &crashScene{crashCase: c, crashRig: r, start: crashHome(t)}
	if c.put != nil {
		c.put(t, s.start)
	}
	for _, command := range c.before {
		r.vicr(t, s.start, command)
	}
	if c.cut != nil {
		c.cut(t, s.start)
	}
	s.before = pictureOf(t, s.start)
	end := cloneHome(t, s.start)
	s.total = r.points(t, end, c.command)
	s.after = pictureOf(t, end)
	s.after.wantWhole(t, s.after, s.after)
	return s
}

// killedAt returns a home where the command was killed.
func (s *crashScene) killedAt(t *testing.T, from string, k int) (string, crashPicture) {
	t.Helper()
	home := cloneHome(t, from)
	s.kill(t, home, s.command, k)
	torn := pictureOf(t, home)
	torn.wantWhole(t, s.before, s.after)
	return home, torn
}

// endsWell gives the command again, and takes it back.
func (s *crashScene) endsWell(t *testing.T, home string) {
	t.Helper()
	s.vicr(t, home, s.command)
	wantPicture(t, "given again", pictureOf(t, home), s.after)
	if s.back != "" {
		s.vicr(t, home, s.back)
		wantPicture(t, "taken back", pictureOf(t, home), s.before)
	}
}

func (s *crashScene) killedOnce(t *testing.T) {
	t.Logf("killed at %d points", s.total)
	for k := 1; k <= s.total; k++ {
		t.Run(strconv.Itoa(k), func(t *testing.T) {
			t.Parallel()
			home, torn := s.killedAt(t, s.start, k)
			if s.back != "" { // also at once
				direct := cloneHome(t, home)
				s.vicr(t, direct, s.back)
				wantPicture(t, "taken back at once", pictureOf(t, direct), s.before)
			}
			if s.next != "" {
				other := cloneHome(t, home)
				s.vicr(t, other, s.next)
				pictureOf(t, other).wantTidy(t)
			}
			s.endsWell(t, home)
			s.seen.Store(torn.String(), true)
		})
	}
}

func (s *crashScene) killedTwice(t *testing.T) {
	step1, step2 := s.total/crashFirst+1, 2 // two points lie between two changes
	if os.Getenv("FAULTS") == "full" {
		step1, step2 = 1, 1
	}
	for k1 := 1; k1 <= s.total; k1 += step1 {
		t.Run(strconv.Itoa(k1), func(t *testing.T) {
			t.Parallel()
			first, _ := s.killedAt(t, s.start, k1)
			n := s.points(t, cloneHome(t, first), s.command)
			for k2 := 1 + k1%step2; k2 <= n; k2 += step2 {
				t.Run(strconv.Itoa(k2), func(t *testing.T) {
					home, torn := s.killedAt(t, first, k2)
					if _, seen := s.seen.LoadOrStore(torn.String(), true); !seen {
						s.endsWell(t, home)
					}
				})
			}
		})
	}
}
