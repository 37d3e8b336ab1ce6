//go:build faults && unix

package cmd_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
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
	crashKilled    = -1       // in place of an exit code
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
	for _, prefix := range []string{"", "NEW"} {
		client := newClient(t, "ours")
		r.words[prefix+"CERT"], r.words[prefix+"KEY"] = filepath.Join(dir, prefix+"c.cert"), filepath.Join(dir, prefix+"c.key")
		crashWrite(t, r.words[prefix+"CERT"], client.PEM())
		crashWrite(t, r.words[prefix+"KEY"], client.KeyPEM(t))
	}
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
	code, out := r.run(t, home, command, env...)
	if code > 0 {
		t.Fatalf("vicr %s: exit %d\n%s", command, code, out)
	}
	return code == crashKilled
}

// run is vicr that may fail: it returns the exit code, or crashKilled, and what was said.
func (r *crashRig) run(t *testing.T, home, command string, env ...string) (code int, said string) {
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
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	status, _ := c.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signaled() && status.Signal() == syscall.SIGKILL {
		r.kills.Add(1)
		return crashKilled, string(out)
	}
	r.runs.Add(1)
	if status.Signaled() {
		t.Fatalf("vicr %s: %v\n%s", command, err, out)
	}
	return c.ProcessState.ExitCode(), string(out)
}

// kill runs a command that has to be killed at crash point k.
func (r *crashRig) kill(t *testing.T, home, command string, k int) {
	t.Helper()
	if !r.vicr(t, home, command, "VICR_CRASH_AT="+strconv.Itoa(k)) {
		t.Fatalf("vicr %s was not killed at crash point %d", command, k)
	}
}

// points runs a command to its end and counts the crash points it passes.
func (r *crashRig) points(t *testing.T, home, command string, env ...string) int {
	t.Helper()
	log := filepath.Join(t.TempDir(), "log")
	r.vicr(t, home, command, append(env, "VICR_CRASH_LOG="+log)...)
	lines, err := os.ReadFile(log)
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // there is none when nothing was to be done
		t.Fatal(err)
	}
	return bytes.Count(lines, []byte("\n"))
}

// wantOrder wants the bytes of each file on the disk before it gets its name,
// and the name there before the command says that it is done. Ingest files wait
// for nobody: they are read again before they count.
func wantOrder(t *testing.T, log string) {
	t.Helper()
	data, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	type op struct{ Kind, Path, To string }
	synced, unnamed, renames := map[string]bool{}, map[string]string{}, 0
	for line := range bytes.Lines(data) {
		var o op
		if err := json.Unmarshal(line, &o); err != nil {
			t.Fatal(err)
		}
		switch o.Kind {
		case "fsync":
			synced[o.Path] = true
		case "fsyncdir":
			maps.DeleteFunc(unnamed, func(name, _ string) bool { return filepath.Dir(name) == o.Path })
		case "rename":
			renames++
			if !synced[o.Path] {
				t.Errorf("%s gets its name before its bytes are on the disk", o.To)
			}
			unnamed[o.To] = o.Path
		default:
			synced[o.Path] = false
		}
	}
	if len(unnamed) > 0 {
		t.Errorf("names that are never synced: %v", unnamed)
	}
	if renames == 0 {
		t.Error("no file got a name")
	}
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
