package change_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"

	"github.com/vicr-cli/vicr/internal/change"
)

// A file of a number that was left may name another dockerd by now: it is not told.
func TestNoOtherDaemonIsToldByALeftNumber(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		start func(t *testing.T, root string) *exec.Cmd
		root  bool
		told  bool
	}{
		"it is the one": {start: func(t *testing.T, root string) *exec.Cmd {
			t.Helper()
			return startDaemon(t, self(t), root)
		}, told: true},
		"names this file": {start: func(t *testing.T, root string) *exec.Cmd {
			t.Helper()
			return startDaemon(t, self(t), root, "-D", "--pidfile", root+"/run/../run/docker.pid")
		}, told: true},
		"names another file": {start: func(t *testing.T, root string) *exec.Cmd {
			t.Helper()
			return startDaemon(t, self(t), root, "--pidfile="+root+"/run/other.pid")
		}},
		"names another file in short": {start: func(t *testing.T, root string) *exec.Cmd {
			t.Helper()
			return startDaemon(t, self(t), root, "-p", root+"/run/other.pid")
		}},
		"of another user": {start: ofAnotherUser, root: true},
		"in another root": {start: inAnotherRoot, root: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tt.root && os.Geteuid() != 0 {
				t.Skip("only root can start what belongs to another user, or lies in another root")
			}
			root := world(t)
			put(t, root, "/run/other.pid", "", 0o644)
			pid := tt.start(t, root).Process.Pid
			if err := os.Remove(filepath.Join(root, pidAt)); err != nil {
				t.Fatal(err)
			}
			put(t, root, pidAt, strconv.Itoa(pid)+"\n", 0o644) // ours, whoever runs it
			taken := filepath.Join(root, takenAt)
			before, err := os.ReadFile(taken)
			if err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			tree, _ := open(t, root)
			o := options(root)
			if !tt.told {
				o.Settled = nil
			}
			j := change.OpenJournal(tree, journalAt, o)
			apply(t, j, hostA, steps(insecure(root, hostA), change.OpEdit, change.OpReload))
			if after, err := os.ReadFile(taken); tt.told == slices.Equal(before, after) || err != nil && !os.IsNotExist(err) {
				t.Errorf("told: %t, %v", !slices.Equal(before, after), err)
			}
			u := undo(t, j, hostA, false)
			if idle := slices.Contains(u.Lines, "dockerd does not run: the files count when it starts"); idle == tt.told {
				t.Errorf("%q", u.Lines)
			}
		})
	}
}

// reachable is this program where everybody may start it.
func reachable(t *testing.T, dir string) string {
	t.Helper()
	data, err := os.ReadFile(self(t))
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(dir, "change.test")
	if err := os.WriteFile(bin, data, 0o755); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	return bin
}

func ofAnotherUser(t *testing.T, root string) *exec.Cmd {
	t.Helper()
	if err := errors.Join(os.Chmod(root, 0o755), os.MkdirAll(filepath.Join(root, "run"), 0o755)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(filepath.Join(root, "run"), 1234, 1234); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(reachable(t, root))
	cmd.Env = []string{verbEnv + "=daemon", rootEnv + "=" + root, "GOMAXPROCS=1"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1234, Gid: 1234}}
	cmd.Dir = "/"
	return listens(t, cmd, root)
}

// inAnotherRoot is one as in a container of its own.
func inAnotherRoot(t *testing.T, root string) *exec.Cmd {
	t.Helper()
	other := world(t)
	cmd := exec.Command(self(t))
	cmd.Env = []string{verbEnv + "=daemon", rootEnv + "=" + other, chrootEnv + "=1", "GOMAXPROCS=1"}
	cmd.Dir = "/"
	listens(t, cmd, other)
	put(t, root, pidAt, strconv.Itoa(cmd.Process.Pid), 0o644)
	return cmd
}
