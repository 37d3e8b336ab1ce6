//go:build unix

package change_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/edit"
)

const (
	daemonJSON = "/etc/docker/daemon.json"
	listKey    = "insecure-registries"
	pidAt      = "/run/docker.pid"
	listAt     = "/run/list"  // what the daemon believes
	takenAt    = "/run/taken" // sum of the file that it read last
	copyAt     = "/run/copy"  // made of daemon.json by a program
	logAt      = "/run/log"   // what another program appends to
)

// daemon is a process that reads its file anew when it is told to, as dockerd
// does: a key that is gone changes nothing. What it believes it writes down, so
// that a copy of its machine goes on with it.
func daemon(root string) error {
	hup := make(chan os.Signal, 8)
	signal.Notify(hup, syscall.SIGHUP)
	at := func(path string) string { return filepath.Join(root, path) }
	read := func() error {
		data, err := os.ReadFile(at(daemonJSON))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		list, err := edit.JSONList(data, listKey)
		if err != nil {
			return err
		}
		if list != nil {
			if err := swap(at(listAt), strings.Join(list, " ")); err != nil {
				return err
			}
		}
		return swap(at(takenAt), sum(data))
	}
	if _, err := os.Stat(at(listAt)); err != nil {
		if err := read(); err != nil {
			return err
		}
	}
	if err := swap(at(pidAt), strconv.Itoa(os.Getpid())+"\n"); err != nil {
		return err
	}
	for range hup {
		if err := read(); err != nil {
			return err
		}
	}
	return nil
}

func swap(path, data string) error {
	if err := os.WriteFile(path+".new", []byte(data), 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func sum(data []byte) string {
	b := sha256.Sum256(data)
	return hex.EncodeToString(b[:])
}

// settled waits until the daemon has read daemon.json as it is.
func settled(root string) func(context.Context, string, change.Reload) error {
	return func(ctx context.Context, _ string, _ change.Reload) error {
		for ctx.Err() == nil {
			data, err := os.ReadFile(filepath.Join(root, daemonJSON))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			if taken, _ := os.ReadFile(filepath.Join(root, takenAt)); string(taken) == sum(data) {
				return nil
			}
			time.Sleep(time.Millisecond)
		}
		return ctx.Err()
	}
}

// startDaemon starts one for the machine and waits until it listens. The test
// ends it.
func startDaemon(t *testing.T, bin, root string, flags ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(bin, flags...)
	cmd.Env = []string{verbEnv + "=daemon", rootEnv + "=" + root, "GOMAXPROCS=1"}
	return listens(t, cmd, root)
}

func listens(t *testing.T, cmd *exec.Cmd, root string) *exec.Cmd {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(root, "run"), 0o755); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if said.Len() > 0 {
			t.Errorf("the daemon said %s", &said)
		}
	})
	for range 5000 {
		pid, err := os.ReadFile(filepath.Join(root, pidAt))
		if err == nil && strings.TrimSpace(string(pid)) == strconv.Itoa(cmd.Process.Pid) {
			return cmd
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("the daemon does not start")
	return nil
}

// self is the program of this test, which is also the daemon.
func self(t *testing.T) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return exe
}

func believes(t *testing.T, root string) []string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, listAt))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	list := strings.Fields(string(data))
	slices.Sort(list)
	return list
}

// options allow what the plans of the tests do.
func options(root string) change.Options {
	return change.Options{
		AllowRun:    func(_ string, argv []string) bool { return argv[0] == "/bin/sh" },
		AllowReload: func(r change.Reload) bool { return r.PIDFile == pidAt },
		Settled:     settled(root),
	}
}

func reloadStep() change.Step {
	return change.Step{Tool: "docker", Op: change.OpReload, Reload: &change.Reload{
		Name: "dockerd", PIDFile: pidAt, Exe: []string{"change.test", "crasher"},
	}}
}

func runStep(root string) change.Step {
	return change.Step{Tool: "docker", Op: change.OpRun, Run: &change.Command{
		What: "copies the file", Argv: []string{"/bin/sh", "-c", `cat "$1" > "$2" 2> "$3"; :`, "sh", root + daemonJSON, root + copyAt, root + "/run/errors"},
	}}
}

func logStep(root string) change.Step {
	script := func(word string) []string {
		return []string{"/bin/sh", "-c", "echo " + word + ` >> "$1"`, "sh", root + logAt}
	}
	return change.Step{Tool: "docker", Op: change.OpRun, Run: &change.Command{Argv: script("on"), Undo: script("off")}}
}

func editStep(host string) change.Step {
	return change.Step{
		Tool: "docker", Path: daemonJSON, Op: change.OpEdit, Mode: 0o644, DirMode: 0o755,
		Edit: &edit.Edit{Format: edit.JSON, Key: listKey, Value: host},
	}
}

// insecure is the plan that makes dockerd take a registry as it is.
func insecure(root, host string) change.Plan {
	return change.Plan{
		writeStep(certAt(host), host, 0o644), reloadStep(), editStep(host), runStep(root), logStep(root),
	}
}

// told is what the machine's processes were told, as far as it counts.
func told(t *testing.T, root string) string {
	t.Helper()
	read := func(path string) string {
		data, err := os.ReadFile(filepath.Join(root, path))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		return string(data)
	}
	lines := strings.Fields(read(logAt))
	last := ""
	if len(lines) > 0 && lines[len(lines)-1] != "off" {
		last = lines[len(lines)-1]
	}
	out, err := json.Marshal(map[string]any{
		"list": believes(t, root), "log": last, "copied": len(lines) == 0 || read(copyAt) == read(daemonJSON),
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
