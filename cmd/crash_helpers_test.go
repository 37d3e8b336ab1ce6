//go:build faults && unix

package cmd_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/sandbox"
)

const (
	crashProcesses = 4        // at a time
	crashLayer     = 40 << 10 // bytes; several reads from a connection
)

// A crashRig is what all cases share: vicr built with crash points, and a
// registry with library/hello:1.0 and library/app:1.
type crashRig struct {
	bin      string
	words    map[string]string // what commands call $NAME
	password string
	slots    chan struct{}
	kills    atomic.Int64
	runs     atomic.Int64 // the others
}

func newCrashRig(t *testing.T) *crashRig {
	t.Helper()
	dir := t.TempDir()
	r := &crashRig{bin: filepath.Join(dir, "vicr"), slots: make(chan struct{}, crashProcesses)}
	build := exec.CommandContext(t.Context(), "go", "build", "-tags", "crashpoints", "-o", r.bin, "..")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	s, err := sandbox.Start(t.Context(), sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	r.words = map[string]string{"HOST": s.Host(), "FP": pki.SHA256(s.CA()).String(), "CA": filepath.Join(dir, "ca.crt")}
	crashWrite(t, r.words["CA"], pki.EncodePEM(s.CA()))
	for _, u := range s.Users() {
		switch u.Name {
		case "admin":
			seedCrashImage(t, s, u)
		case "dev":
			r.password = u.Password
		}
	}
	return r
}

// seedCrashImage pushes library/app:1, whose layer is cut into several pieces.
func seedCrashImage(t *testing.T, s *sandbox.Sandbox, admin sandbox.User) {
	t.Helper()
	layer := make([]byte, crashLayer)
	rand.NewChaCha8([32]byte{}).Read(layer)
	img, err := mutate.AppendLayers(empty.Image, static.NewLayer(layer, types.OCILayer))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(s.CA())
	tag, err := name.NewTag(s.Host() + "/library/app:1")
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	defer transport.CloseIdleConnections()
	err = remote.Write(tag, img, remote.WithContext(t.Context()), remote.WithTransport(transport),
		remote.WithAuth(&authn.Basic{Username: admin.Name, Password: admin.Password}))
	if err != nil {
		t.Fatal(err)
	}
}

// vicr runs a command at home, with NAME=VALUE for the crash points, and says
// whether it was killed; to end in another way than by 0 or SIGKILL fails t.
func (r *crashRig) vicr(t *testing.T, home, command string, env ...string) (killed bool) {
	t.Helper()
	var args []string
	for word := range strings.FieldsSeq(command) {
		args = append(args, os.Expand(word, func(name string) string {
			if name == "HOME" {
				return home
			}
			return r.words[name]
		}))
	}
	c := exec.CommandContext(t.Context(), r.bin, args...)
	c.Dir = home
	c.Stdin = strings.NewReader(r.password + "\n")
	c.Env = append([]string{
		"HOME=" + home,
		"XDG_CONFIG_HOME=" + filepath.Join(home, "config"),
		"XDG_DATA_HOME=" + filepath.Join(home, "data"),
		"XDG_STATE_HOME=" + filepath.Join(home, "state"),
		"XDG_CACHE_HOME=" + filepath.Join(home, "cache"),
		"DOCKER_CONFIG=" + filepath.Join(home, "docker"),
		"DOCKER_HOST=unix://" + filepath.Join(home, "no-engine.sock"),
		"GOMAXPROCS=1",
	}, env...)
	r.slots <- struct{}{}
	out, err := c.CombinedOutput()
	<-r.slots
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		status, ok := exit.Sys().(syscall.WaitStatus)
		killed = ok && status.Signaled() && status.Signal() == syscall.SIGKILL
	}
	if killed {
		r.kills.Add(1)
		return true
	}
	r.runs.Add(1)
	if err != nil {
		t.Fatalf("vicr %s: %v\n%s", command, err, out)
	}
	return false
}

// kill runs a command that has to be killed at crash point k.
func (r *crashRig) kill(t *testing.T, home, command string, k int) {
	t.Helper()
	if !r.vicr(t, home, command, "VICR_CRASH_AT="+strconv.Itoa(k)) {
		t.Fatalf("vicr %s was not killed at crash point %d", command, k)
	}
}

// points runs a command to its end and counts the crash points it passes.
func (r *crashRig) points(t *testing.T, home, command string) int {
	t.Helper()
	log := filepath.Join(t.TempDir(), "log")
	r.vicr(t, home, command, "VICR_CRASH_LOG="+log)
	lines, err := os.ReadFile(log)
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // there is none when nothing was to be done
		t.Fatal(err)
	}
	return bytes.Count(lines, []byte("\n"))
}

// crashHome makes an empty home, in memory where that can be: thousands of
// syncs of a disk prove nothing more.
func crashHome(t *testing.T) string {
	t.Helper()
	home, err := os.MkdirTemp("/dev/shm", "vicr-crash-") //nolint:usetesting // t.TempDir is on the disk
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(home); err != nil {
			t.Error(err)
		}
	})
	return home
}

// cloneHome copies a home. The paths of files that the journal names move along.
func cloneHome(t *testing.T, from string) string {
	t.Helper()
	to := crashHome(t)
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == from {
			return err
		}
		target := filepath.Join(to, strings.TrimPrefix(path, from))
		info, err := d.Info()
		if err != nil {
			return err
		}
		if d.IsDir() {
			err = os.Mkdir(target, 0o700)
		} else {
			var data []byte
			if data, err = os.ReadFile(path); err == nil {
				err = os.WriteFile(target, bytes.ReplaceAll(data, []byte(from), []byte(to)), 0o600)
			}
		}
		if err != nil {
			return err
		}
		return os.Chmod(target, info.Mode())
	})
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// A crashFile is a file or folder of a home.
type crashFile struct {
	mode fs.FileMode
	data string
}

// A crashPicture is a home, by the paths in it. Times and the home's own path
// are not in it, nor is the random part of temporary names.
type crashPicture map[string]crashFile

var (
	crashTime = regexp.MustCompile(`"(time|lastId)": ("[^"]*"|[0-9]+)`)
	crashTemp = regexp.MustCompile(`\.vicr-[0-9a-f]*`)
)

func pictureOf(t *testing.T, home string) crashPicture {
	t.Helper()
	p := crashPicture{}
	err := filepath.WalkDir(home, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == home {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		f := crashFile{mode: info.Mode()}
		if info.Mode().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			f.data = strings.ReplaceAll(string(data), home, "$HOME")
			if d.Name() == "journal.json" {
				f.data = crashTime.ReplaceAllString(f.data, `"$1": ""`)
			}
			if d.Name() == "lock" { // it names the process that held it last
				f.data = ""
			}
		}
		path = crashTemp.ReplaceAllString(strings.TrimPrefix(path, home+"/"), ".vicr-*")
		for _, taken := p[path]; taken; _, taken = p[path] { // a second temporary file
			path += "+"
		}
		p[path] = f
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (p crashPicture) String() string {
	var b strings.Builder
	for _, path := range slices.Sorted(maps.Keys(p)) {
		fmt.Fprintf(&b, "%s %s %x\n", p[path].mode, path, sha256.Sum256([]byte(p[path].data)))
	}
	return b.String()
}

// wantPicture fails unless both are the same, and says what differs.
func wantPicture(t *testing.T, what string, got, want crashPicture) {
	t.Helper()
	for _, path := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[path]; !ok {
			t.Errorf("%s: left behind: %s %s", what, got[path].mode, path)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(want)) {
		if is, ok := got[path]; !ok {
			t.Errorf("%s: missing: %s", what, path)
		} else if is != want[path] {
			t.Errorf("%s: %s is %s\n%swant %s\n%s", what, path, is.mode, is.data, want[path].mode, want[path].data)
		}
	}
}

// wantTidy fails if a temporary file or a lock was left, which may hold secrets.
func (p crashPicture) wantTidy(t *testing.T) {
	t.Helper()
	for path := range p {
		if base := filepath.Base(path); strings.HasPrefix(base, ".vicr-") || strings.HasSuffix(base, ".lock") {
			t.Errorf("left behind: %s", path)
		}
	}
}

// wantWhole fails if something that can be read is torn: neither as it was
// before the command nor as it is after it, not valid, or not what it is called.
func (p crashPicture) wantWhole(t *testing.T, before, after crashPicture) {
	t.Helper()
	for path, f := range p {
		base, folder := filepath.Base(path), filepath.Base(filepath.Dir(path))
		sum := sha256.Sum256([]byte(f.data))
		switch {
		case f.mode.IsDir(), strings.HasPrefix(base, ".vicr-"), folder == "ingest", base == "lock", strings.HasSuffix(base, ".lock"):
		case base == "journal.json":
			if !json.Valid([]byte(f.data)) {
				t.Errorf("%s is torn: %s", path, f.data)
			}
		case folder == "sha256", folder == "backup":
			if hex.EncodeToString(sum[:]) != base {
				t.Errorf("%s is torn", path)
			}
		case f != before[path] && f != after[path]:
			t.Errorf("%s is neither the old nor the new: %s %s", path, f.mode, f.data)
		case base == "index.json":
			p.wantImages(t, filepath.Dir(path), f.data)
		}
	}
	for path := range before {
		_, stays := after[path]
		if _, ok := p[path]; stays && !ok {
			t.Errorf("%s is away", path)
		}
	}
}

// wantImages fails unless all that a manifest or index names is there.
func (p crashPicture) wantImages(t *testing.T, layout, manifest string) {
	t.Helper()
	var m struct {
		Manifests, Layers []v1.Descriptor
		Config            *v1.Descriptor
	}
	if err := json.Unmarshal([]byte(manifest), &m); err != nil {
		t.Errorf("%s: %v in %s", layout, err, manifest)
		return
	}
	if m.Config != nil {
		m.Layers = append(m.Layers, *m.Config)
	}
	for _, d := range slices.Concat(m.Manifests, m.Layers) {
		blob, ok := p[filepath.Join(layout, "blobs", d.Digest.Algorithm, d.Digest.Hex)]
		if !ok || int64(len(blob.data)) != d.Size {
			t.Errorf("%s names %s, which is there: %t, with %d of %d bytes", layout, d.Digest, ok, len(blob.data), d.Size)
		}
		if ok && slices.ContainsFunc(m.Manifests, func(child v1.Descriptor) bool { return child.Digest == d.Digest }) {
			p.wantImages(t, layout, blob.data)
		}
	}
}

// crashWrite makes a file and the folders above it.
func crashWrite(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o640); err != nil {
		t.Fatal(err)
	}
}
