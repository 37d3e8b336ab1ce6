//go:build unix

package change_test

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/testkit"
)

// A crashCase is a command that is killed at each of its crash points.
type crashCase struct {
	name string
	verb string
	// prepare brings the machine to where the command starts.
	prepare func(t *testing.T, j *change.Journal)
	again   string // the command of the next run; "": none but recovery
	live    bool   // a daemon runs, which is told
}

func crashCases() []crashCase {
	none := func(*testing.T, *change.Journal) {}
	applied := func(t *testing.T, j *change.Journal) { t.Helper(); apply(t, j, hostA, planA()) }
	alike := func(t *testing.T, j *change.Journal) {
		t.Helper()
		apply(t, j, hostB, change.Plan{planA()[0], planA()[2]})
	}
	return append(liveCases(), []crashCase{
		{name: "apply", verb: "apply", prepare: none, again: "apply"},
		{name: "apply over an older plan", verb: "apply-again", prepare: applied, again: "apply-again"},
		{name: "roll-back", verb: "apply-unproven", prepare: none},
		{name: "undo", verb: "undo", prepare: applied, again: "undo"},
		{name: "undo beside another host", verb: "undo", again: "undo", prepare: func(t *testing.T, j *change.Journal) {
			t.Helper()
			apply(t, j, hostB, change.Plan{writeStep(certAt(hostB), "b", 0o644)})
			applied(t, j)
		}},
		{name: "apply of what another host wants too", verb: "apply", prepare: alike, again: "apply"},
		{name: "undo of what another host wants too", verb: "undo", again: "undo", prepare: func(t *testing.T, j *change.Journal) {
			t.Helper()
			alike(t, j)
			applied(t, j)
		}},
	}...)
}

type outcome int

const (
	ended outcome = iota
	killed
	failed
)

// run performs verb in a process of its own, with NAME=VALUE for the crash points.
func run(t *testing.T, bin, verb, root string, env ...string) (outcome, string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), bin)
	cmd.Env = append([]string{verbEnv + "=" + verb, rootEnv + "=" + root, "GOMAXPROCS=1"}, env...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return ended, string(out)
	case !errors.As(err, &exit):
		t.Fatal(err)
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() && status.Signal() == syscall.SIGKILL {
		return killed, string(out)
	}
	return failed, string(out)
}

// points counts the crash points of a command that runs to its end.
func points(t *testing.T, bin, verb, root string) int {
	t.Helper()
	log := filepath.Join(t.TempDir(), "log")
	if how, out := run(t, bin, verb, root, "VICR_CRASH_LOG="+log); how != ended {
		t.Fatalf("%s: %s", verb, out)
	}
	data, err := os.ReadFile(log)
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // there is none when nothing was to be done
		t.Fatal(err)
	}
	return bytes.Count(data, []byte("\n"))
}

// clone copies a machine, with modes and owners.
func clone(t *testing.T, from string) string {
	t.Helper()
	to := fastDir(t)
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		name := strings.TrimPrefix(path, from)
		if name == "" || name == pidAt || filepath.Ext(name) == ".new" || err != nil { // of another machine's process
			return err
		}
		target := filepath.Join(to, name)
		info, err := d.Info()
		if err != nil {
			return err
		}
		if d.IsDir() {
			err = os.Mkdir(target, 0o700)
		} else {
			var data []byte
			if data, err = os.ReadFile(path); err == nil {
				if name == journalAt+"/journal.json" { // programs work on the new machine
					data = bytes.ReplaceAll(data, []byte(from), []byte(to))
				}
				err = os.WriteFile(target, data, 0o600)
			}
		}
		if err != nil {
			return err
		}
		if st := info.Sys().(*syscall.Stat_t); os.Geteuid() == 0 {
			if err := os.Chown(target, int(st.Uid), int(st.Gid)); err != nil {
				return err
			}
		}
		return os.Chmod(target, info.Mode())
	})
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// fastDir is a folder in memory where there is one: thousands of syncs of a
// disk prove nothing more.
func fastDir(t *testing.T) string {
	t.Helper()
	const memory = "/dev/shm"
	if _, err := os.Stat(memory); err != nil {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp(memory, "vicr-change-") //nolint:usetesting // t.TempDir is on the disk
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// scene is a case with the machine before it, and after it ran to its end.
type scene struct {
	crashCase
	bin           string
	start         string // the machine before
	points        int
	before, after state
}

// A state is a machine and what its journal says, without the times.
type state struct {
	picture
	entries []change.Entry
	told    string // what the machine's processes were told
}

func stateOf(t *testing.T, root string) state {
	t.Helper()
	_, j := open(t, root)
	s := state{picture: look(t, root), entries: entries(t, j), told: told(t, root)}
	for i := range s.entries {
		s.entries[i].Time, s.entries[i].ID = time.Time{}, 0
		for k := range s.entries[i].Effects {
			elsewhere(s.entries[i].Effects[k].Run, root)
		}
	}
	return s
}

// wantState fails unless the machine and its journal are as wanted, with the
// same files in the journal's folder, whose own file holds times.
func wantState(t *testing.T, what string, got, want state) {
	t.Helper()
	wantPicture(t, what, got.machine(), want.machine())
	if !slices.Equal(slices.Sorted(maps.Keys(got.picture)), slices.Sorted(maps.Keys(want.picture))) {
		t.Fatalf("%s: the journal is\n%swant\n%s", what, got.picture, want.picture)
	}
	if (len(got.entries) > 0 || len(want.entries) > 0) && !reflect.DeepEqual(got.entries, want.entries) {
		t.Fatalf("%s: recorded %+v, want %+v", what, got.entries, want.entries)
	}
	if got.told != want.told {
		t.Fatalf("%s: the processes were told %s, want %s", what, got.told, want.told)
	}
}

func (c crashCase) scene(t *testing.T, bin string) scene {
	t.Helper()
	s := scene{crashCase: c, bin: bin, start: clone(t, world(t))}
	s.wake(t, s.start)
	_, j := open(t, s.start)
	c.prepare(t, j)
	s.before = stateOf(t, s.start)
	end := clone(t, s.start)
	s.wake(t, end)
	s.points = points(t, bin, c.verb, end)
	s.after = stateOf(t, end)
	return s
}

// settled says that a machine is as before the command or as after it, that
// the journal agrees, and that nothing lies about.
func (s scene) settled(t *testing.T, root string) {
	t.Helper()
	now, wanted := stateOf(t, root), s.before
	if maps.Equal(now.machine(), s.after.machine()) {
		wanted = s.after
	}
	wantState(t, "after recovery", now, wanted)
}

// recovered recovers a machine in this process and checks it; then the command
// is given again, and then its change is undone.
func (s scene) recovered(t *testing.T, root string) {
	t.Helper()
	_, j := open(t, root)
	if _, err := j.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.settled(t, root)
	at := stamps(t, root)
	if lines, err := j.Recover(t.Context()); err != nil || len(lines) > 0 || !maps.Equal(at, stamps(t, root)) {
		t.Fatalf("a second recovery did %q, %v", lines, err)
	}
	if s.again == "" {
		return
	}
	s.converges(t, root)
}

// converges gives the command again: it ends as if it had never been killed.
func (s scene) converges(t *testing.T, root string) {
	t.Helper()
	if err := perform(t.Context(), s.again, root); err != nil {
		t.Fatal(err)
	}
	wantState(t, "given again", stateOf(t, root), s.after)
}

// TestCrashes takes every crash point of every command. Pairs of points and
// full disks are thousands of processes more: each run takes a part of them
// that reaches all of the code, and with FAULTS=full it takes them all.
func TestCrashes(t *testing.T) {
	t.Parallel()
	bin := testkit.Crasher(t)
	part := 13
	if os.Getenv("FAULTS") == "full" {
		part = 1
	}
	for _, c := range crashCases() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := c.scene(t, bin)
			t.Run("killed at any point", s.killedOnce)
			t.Run("killed again in recovery", func(t *testing.T) { s.killedTwice(t, part) })
			t.Run("full disk at any point", func(t *testing.T) { s.fullDisk(t, part) })
		})
	}
	t.Run("power fails", func(t *testing.T) {
		t.Parallel()
		powerFails(t, bin)
	})
	t.Run("killed while others wait", func(t *testing.T) {
		t.Parallel()
		crashCases()[0].scene(t, bin).killedWithWaiters(t)
	})
}

func (s scene) killedOnce(t *testing.T) {
	t.Helper()
	for k := 1; k <= s.points; k++ {
		t.Run(strconv.Itoa(k), func(t *testing.T) {
			root := s.killedAt(t, k)
			direct := clone(t, root)
			s.recovered(t, root)
			if s.again != "" {
				s.wake(t, direct) // also without a recovery of its own in between
				s.converges(t, direct)
			}
		})
	}
	t.Logf("killed at %d points", s.points)
}

// killedAt returns a machine on which the command was killed.
func (s scene) killedAt(t *testing.T, k int) string {
	t.Helper()
	root := clone(t, s.start)
	s.wake(t, root)
	if how, out := run(t, s.bin, s.verb, root, "VICR_CRASH_AT="+strconv.Itoa(k)); how != killed {
		t.Fatalf("not killed at point %d: %s", k, out)
	}
	return root
}

func (s scene) killedTwice(t *testing.T, part int) {
	t.Helper()
	pairs := 0
	for k1 := 1; k1 <= s.points; k1 += part {
		t.Run(strconv.Itoa(k1), func(t *testing.T) {
			first := s.killedAt(t, k1)
			whole := clone(t, first)
			s.wake(t, whole)
			n := points(t, s.bin, "recover", whole)
			for k2 := 1 + k1%part; k2 <= n; k2 += part {
				t.Run(strconv.Itoa(k2), func(t *testing.T) {
					root := clone(t, first)
					s.wake(t, root)
					if how, out := run(t, s.bin, "recover", root, "VICR_CRASH_AT="+strconv.Itoa(k2)); how != killed {
						t.Fatalf("not killed: %s", out)
					}
					s.recovered(t, root)
					pairs++
				})
			}
		})
	}
	t.Logf("killed at %d pairs of points", pairs)
}

// fullDisk lets the system refuse at each point in turn: the disk is full, it
// is broken, or the user has used up a share of it.
func (s scene) fullDisk(t *testing.T, part int) {
	t.Helper()
	faults := []string{"ENOSPC", "EIO", "EDQUOT"}
	step := (part + 2) / 3
	for k := 1; k <= s.points; k += step {
		for i, fault := range faults {
			if step > 1 && (k/step)%len(faults) != i {
				continue
			}
			t.Run(strconv.Itoa(k)+" "+fault, func(t *testing.T) { s.refusedAt(t, k, fault) })
		}
	}
}

func (s scene) refusedAt(t *testing.T, k int, fault string) {
	t.Helper()
	root := clone(t, s.start)
	s.wake(t, root)
	how, out := run(t, s.bin, s.verb, root, "VICR_FAULT_AT="+strconv.Itoa(k), "VICR_FAULT_ERR="+fault)
	if how == killed {
		t.Fatal("killed")
	}
	now := look(t, root).machine()
	whole := maps.Equal(now, s.before.machine()) || maps.Equal(now, s.after.machine())
	if !whole && !strings.Contains(out, "incomplete") {
		t.Errorf("half done, and it says %q", out)
	}
	s.recovered(t, root)
}

// killedWithWaiters kills one process after the other while it holds the lock.
func (s scene) killedWithWaiters(t *testing.T) {
	t.Helper()
	root := clone(t, s.start)
	s.wake(t, root)
	var group sync.WaitGroup
	for k := range 4 {
		group.Go(func() {
			if how, out := run(t, s.bin, s.verb, root, "VICR_CRASH_AT="+strconv.Itoa(10*(k+1))); how == failed {
				t.Errorf("%s", out)
			}
		})
	}
	group.Wait()
	s.converges(t, root)
}
