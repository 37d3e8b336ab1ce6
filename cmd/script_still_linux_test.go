package cmd_test

import (
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"github.com/google/go-containerregistry/pkg/registry"
	"golang.org/x/sys/unix"
)

// A command that has nothing to move changes nothing on this machine, and looks
// at none of it that it does not need: neither at the tools here, nor, where
// nothing is verified, at the system's roots.
func TestWhoHasNothingToMoveLeavesTheMachineAlone(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	host := strings.TrimPrefix(server.URL, "http://")
	roots, kube := filepath.Join(home, "roots"), filepath.Join(home, ".kube") // which tells of clusters of kind
	for _, dir := range []string{roots, kube} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(kube, "config"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	threeLayers(t, filepath.Join(home, "image"))
	vicr := func(args ...string) {
		t.Helper()
		c := exec.CommandContext(t.Context(), "vicr", args...)
		c.Dir = home
		c.Env = []string{"HOME=" + home, "TMPDIR=" + home, "DOCKER_HOST=unix://" + home + "/none", "SSL_CERT_DIR=" + roots, "SSL_CERT_FILE=" + filepath.Join(roots, "none")}
		if out, err := c.CombinedOutput(); err != nil && args[0] != "doctor" {
			t.Fatalf("%s: %v: %s", args[0], err, out)
		}
	}
	commands := [][]string{
		{"push", "--plain-http", "--from", "oci:image:1", host + "/demo/app:1"},
		{"pull", "--plain-http", "--to", "oci:image:1", host + "/demo/app:1"},
		{"tag", "--plain-http", "--remote", host + "/demo/app:1", host + "/demo/app:2"},
	}
	for _, args := range commands { // the next time all of it is known
		vicr(args...)
	}
	const changes = unix.IN_CREATE | unix.IN_MODIFY | unix.IN_MOVED_TO | unix.IN_DELETE | unix.IN_ATTRIB
	for _, args := range commands {
		w := watch(t, map[string]uint32{
			filepath.Join(home, ".cache", "vicr"): changes,
			filepath.Join(home, "image"):          changes,
			filepath.Join(home, "image/ingest"):   changes,
			filepath.Join(home, "image/blobs"):    changes,
			roots:                                 unix.IN_OPEN,
			kube:                                  unix.IN_OPEN,
		})
		vicr(args...)
		if seen := w.take(); len(seen) > 0 {
			t.Errorf("%s touches %q", args[0], seen)
		}
	}
	for _, dir := range []string{roots, kube} {
		w := watch(t, map[string]uint32{dir: unix.IN_OPEN})
		vicr("doctor", host)
		if len(w.take()) == 0 {
			t.Errorf("not even doctor is seen to look into %s: the others prove nothing", dir)
		}
	}
}

// A watched machine tells what happened in some of its folders.
type watched struct {
	t  *testing.T
	fd int
	in map[int32]string // folders
}

func watch(t *testing.T, folders map[string]uint32) watched {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		t.Fatalf("nothing can be watched: %v", err)
	}
	w := watched{t: t, fd: fd, in: map[int32]string{}}
	for dir, mask := range folders {
		id, err := unix.InotifyAddWatch(fd, dir, mask)
		if err != nil {
			t.Fatalf("%s: %v", dir, err)
		}
		w.in[int32(id)] = dir
	}
	return w
}

// take is what happened so far, and ends watching.
func (w watched) take() (seen []string) {
	w.t.Helper()
	defer unix.Close(w.fd)
	buffer := make([]byte, 64<<10)
	n, err := unix.Read(w.fd, buffer)
	if errors.Is(err, unix.EAGAIN) {
		return nil
	}
	if err != nil {
		w.t.Fatal(err)
	}
	for at := 0; at < n; {
		event := (*unix.InotifyEvent)(unsafe.Pointer(&buffer[at]))
		name := buffer[at+unix.SizeofInotifyEvent:][:event.Len]
		seen = append(seen, filepath.Join(w.in[event.Wd], strings.TrimRight(string(name), "\x00")))
		at += unix.SizeofInotifyEvent + int(event.Len)
	}
	return seen
}
