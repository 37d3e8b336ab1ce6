//go:build unix

package change_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vicr-cli/vicr/internal/atomicfile"
	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/edit"
)

// withDaemon is a machine on which the daemon runs.
func withDaemon(t *testing.T) (root string, tree *atomicfile.Tree, j *change.Journal) {
	t.Helper()
	root = world(t)
	startDaemon(t, self(t), root)
	tree, _ = open(t, root)
	return root, tree, change.OpenJournal(tree, journalAt, options(root))
}

// steps keeps those of the plan that are kinds of step.
func steps(p change.Plan, ops ...change.Op) change.Plan {
	return slices.DeleteFunc(p, func(s change.Step) bool { return !slices.Contains(ops, s.Op) })
}

func TestDaemonKnowsAndForgets(t *testing.T) {
	t.Parallel()
	for name, missing := range map[string]bool{"file": false, "no file": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root, tree, j := withDaemon(t)
			if missing {
				if err := os.Remove(filepath.Join(root, daemonJSON)); err != nil {
					t.Fatal(err)
				}
			}
			before := look(t, root).machine()
			apply(t, j, hostA, insecure(root, hostA))
			if got := believes(t, root); !slices.Equal(got, []string{hostA}) {
				t.Errorf("the daemon believes %q", got)
			}
			if left, err := insecure(root, hostA).Pending(tree); err != nil || len(left) > 0 {
				t.Errorf("pending: %v, %v", left, err)
			}
			e := entries(t, j)[0]
			if len(e.Effects) != 3 || len(e.Records) != 2 || len(e.Records[1].Edits) != 1 {
				t.Errorf("recorded %+v", e)
			}
			plan, err := j.UndoPlan(t.Context(), hostA, false)
			if err != nil {
				t.Fatal(err)
			}
			u := undo(t, j, hostA, false)
			for _, lines := range [][]string{plan.Lines, u.Lines} {
				if !slices.Contains(lines, "reload dockerd") || !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, "run /bin/sh -c 'echo off") }) {
					t.Errorf("lines: %q", lines)
				}
			}
			if got := believes(t, root); len(got) > 0 {
				t.Errorf("the daemon still believes %q", got)
			}
			wantPicture(t, "after undo", look(t, root).machine(), before)
			if got := told(t, root); got != `{"copied":true,"list":[],"log":""}` {
				t.Errorf("told: %s", got)
			}
		})
	}
}

func TestEffectsRunAfterAllFilesInOrderAndOnlyWithAFileOfTheirTool(t *testing.T) {
	t.Parallel()
	root, tree, _ := withDaemon(t)
	var calls []string
	o := options(root)
	o.Settled = func(context.Context, string, change.Reload) error {
		pending, err := steps(insecure(root, hostA), change.OpEdit, change.OpWrite).Pending(tree)
		calls = append(calls, "settled")
		if len(pending) > 0 {
			t.Errorf("reloaded before all files were there: %v", pending)
		}
		return err
	}
	j := change.OpenJournal(tree, journalAt, o)
	other := writeStep("/etc/other.conf", "x", 0o644)
	other.Tool = "podman"
	plan := append(insecure(root, hostA), other)
	apply(t, j, hostA, plan)
	if len(calls) != 1 {
		t.Errorf("%q", calls)
	}
	if err := os.Remove(filepath.Join(root, "etc/other.conf")); err != nil {
		t.Fatal(err)
	}
	if p, err := plan.Pending(tree); err != nil || len(p) != 1 || p[0].Path != other.Path {
		t.Errorf("pending for another tool's file: %v, %v", p, err)
	}
}

func TestFailedEffectRollsBackAndTellsAgain(t *testing.T) {
	t.Parallel()
	root, tree, j := withDaemon(t)
	before, toldBefore := look(t, root).machine(), told(t, root)
	fails := change.Step{Tool: "docker", Op: change.OpRun, Run: &change.Command{
		Argv: []string{"/bin/sh", "-c", "echo " + strings.Repeat("x", 1000) + "; exit 3"}, Undo: []string{"/bin/sh", "-c", ":"},
	}}
	err := j.Apply(t.Context(), subject(hostA), append(insecure(root, hostA), fails), nil)
	var back *change.RolledBackError
	var failed *change.ProgramError
	if !errors.As(err, &back) || !errors.As(err, &failed) || failed.Code != 3 || len(failed.Output) != 400 {
		t.Fatalf("%v", err)
	}
	wantPicture(t, "rolled back", look(t, root).machine(), before)
	if got := told(t, root); got != toldBefore {
		t.Errorf("told %s, before %s", got, toldBefore)
	}
	_ = tree
}

func TestUndoThatCannotTellSaysWhatToType(t *testing.T) {
	t.Parallel()
	root, tree, _ := withDaemon(t)
	before := look(t, root).machine()
	deaf := errors.New("it does not take it")
	o, works := options(root), true
	o.Settled = func(ctx context.Context, host string, r change.Reload) error {
		if !works {
			return deaf
		}
		return settled(root)(ctx, host, r)
	}
	j := change.OpenJournal(tree, journalAt, o)
	plan := steps(insecure(root, hostA), change.OpEdit, change.OpReload)
	apply(t, j, hostA, plan)
	works = false
	for range 2 { // the next run meets the same
		_, err := j.Undo(t.Context(), hostA, false)
		var left *change.RollbackError
		if !errors.As(err, &left) || !errors.Is(err, deaf) || len(left.Commands) != 2 ||
			left.Commands[0] != "kill -HUP $(cat "+pidAt+")" || !strings.HasPrefix(left.Commands[1], "install -m 0640") || len(left.Left) != 1 {
			t.Fatalf("%v, %+v", err, left)
		}
	}
	works = true
	if _, err := j.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantPicture(t, "in order", look(t, root).machine(), before)
	if got := believes(t, root); len(got) > 0 {
		t.Errorf("it believes %q", got)
	}
	apply(t, j, hostA, plan)
	works = false
	_, err := j.Undo(t.Context(), hostA, true)
	var left *change.RollbackError
	if !errors.As(err, &left) || len(left.Left) != 0 || !slices.Equal(left.Commands, []string{"kill -HUP $(cat " + pidAt + ")"}) {
		t.Errorf("forced: %v", err)
	}
	wantPicture(t, "forced", look(t, root).machine(), before)
}

func TestProcessThatIsNotThereIsNoError(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(t *testing.T, root string){
		"no pid file": func(*testing.T, string) {},
		"none has the number": func(t *testing.T, root string) {
			t.Helper()
			put(t, root, pidAt, "4194305\n", 0o644)
		},
		"another program has it": func(t *testing.T, root string) {
			t.Helper()
			put(t, root, pidAt, "1\n2", 0o644)
			if _, err := os.Stat("/bin/sleep"); err != nil {
				t.Skip("the process to be mistaken is a sleep, and there is none")
			}
			put(t, root, pidAt, startSleep(t)+"\n", 0o644)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := world(t)
			spoil(t, root)
			tree, _ := open(t, root)
			o := options(root)
			o.Settled = func(context.Context, string, change.Reload) error { return errors.New("nobody was told") }
			j := change.OpenJournal(tree, journalAt, o)
			before := look(t, root)
			apply(t, j, hostA, steps(insecure(root, hostA), change.OpEdit, change.OpReload))
			u := undo(t, j, hostA, false)
			if !slices.Contains(u.Lines, "dockerd does not run: the files count when it starts") {
				t.Errorf("%q", u.Lines)
			}
			wantPicture(t, "after", look(t, root), before)
		})
	}
}

func TestSignalGoesToNobodyThatOthersName(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(root string) error{
		"for all":       func(r string) error { return os.Chmod(filepath.Join(r, pidAt), 0o666) },
		"of another":    func(r string) error { return os.Chown(filepath.Join(r, pidAt), 1234, 0) },
		"no number":     func(r string) error { return os.WriteFile(filepath.Join(r, pidAt), []byte("-1"), 0o644) },
		"process group": func(r string) error { return os.WriteFile(filepath.Join(r, pidAt), []byte("0"), 0o644) },
		"large": func(r string) error {
			return os.WriteFile(filepath.Join(r, pidAt), []byte(strings.Repeat(" ", 100)), 0o644)
		},
		"a link": func(r string) error {
			return errors.Join(os.Rename(filepath.Join(r, pidAt), filepath.Join(r, "pid")), os.Symlink("../pid", filepath.Join(r, pidAt)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if os.Geteuid() != 0 && name == "of another" {
				t.Skip("only root can give files away")
			}
			root, _, j := withDaemon(t)
			if err := spoil(root); err != nil {
				t.Fatal(err)
			}
			plan := steps(insecure(root, hostA), change.OpEdit, change.OpReload)
			if err := j.Apply(t.Context(), subject(hostA), plan, nil); err == nil {
				t.Error("no error")
			}
			if got := believes(t, root); len(got) > 0 {
				t.Errorf("it was told: %q", got)
			}
		})
	}
}

func TestCheckJudgesTheNewBytesBeforeAnythingIsWritten(t *testing.T) {
	t.Parallel()
	sh := func(script string) []string { return []string{"/bin/sh", "-c", script, "sh", "{}"} }
	for name, tt := range map[string]struct {
		check []string
		ok    bool
	}{
		"good":           {sh(`grep -q ` + hostA + ` "$1"`), true},
		"bad":            {sh(`echo no; exit 1`), false},
		"does not know":  {sh(`echo unknown flag: --validate; exit 1`), true},
		"is not there":   {[]string{"/no/such/dockerd", "{}"}, true},
		"takes too long": {sh(`exec sleep 60`), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := world(t)
			tree, _ := open(t, root)
			j := change.OpenJournal(tree, journalAt, options(root))
			j.SetLimits(100 * time.Millisecond)
			before := look(t, root)
			step := editStep(hostA)
			step.Check = tt.check
			err := j.Apply(t.Context(), subject(hostA), change.Plan{writeStep(certAt(hostA), "x", 0o644), step}, nil)
			var failed *change.ProgramError
			switch {
			case tt.ok && err != nil:
				t.Fatal(err)
			case !tt.ok && (!errors.As(err, &failed) || errors.As(err, new(*change.RolledBackError))):
				t.Fatalf("%v", err)
			case tt.ok:
				if len(entries(t, j)) != 1 {
					t.Error("not recorded")
				}
				undo(t, j, hostA, false)
			}
			wantPicture(t, "after", look(t, root), before)
		})
	}
}

func TestProgramThatHangsIsEndedAndThePlanRolledBack(t *testing.T) {
	t.Parallel()
	root := world(t)
	tree, _ := open(t, root)
	j := change.OpenJournal(tree, journalAt, options(root))
	j.SetLimits(100 * time.Millisecond)
	before := look(t, root)
	hangs := change.Step{Tool: "docker", Op: change.OpRun, Run: &change.Command{
		Argv: []string{"/bin/sh", "-c", "exec sleep 60"}, Undo: []string{"/bin/sh", "-c", ":"},
	}}
	err := j.Apply(t.Context(), subject(hostA), change.Plan{editStep(hostA), hangs}, nil)
	var failed *change.ProgramError
	if !errors.As(err, &failed) || failed.Code != -1 || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	wantPicture(t, "after", look(t, root), before)
}

func TestJournalIsBelievedOnlyForProgramsAndProcessesThatAreAllowed(t *testing.T) {
	t.Parallel()
	root := world(t)
	put(t, root, logAt, "", 0o644)
	tree, _ := open(t, root)
	j := change.OpenJournal(tree, journalAt, options(root))
	apply(t, j, hostA, insecure(root, hostA))
	for what, spoil := range map[string]func(*change.Options){
		"no program": func(o *change.Options) { o.AllowRun = nil },
		"not its undo": func(o *change.Options) {
			o.AllowRun = func(_ string, argv []string) bool { return !strings.Contains(argv[2], "off") }
		},
		"for no such host": func(o *change.Options) { o.AllowRun = func(h string, _ []string) bool { return h != hostA } },
		"no reload":        func(o *change.Options) { o.AllowReload = nil },
		"another process":  func(o *change.Options) { o.AllowReload = func(r change.Reload) bool { return r.PIDFile != pidAt } },
	} {
		o := options(root)
		spoil(&o)
		wantRefused[*change.UnsafeError](t, change.OpenJournal(tree, journalAt, o))
		fresh := world(t)
		freshTree, _ := open(t, fresh)
		before := look(t, fresh)
		var refused *change.PlanError
		err := change.OpenJournal(freshTree, journalAt, o).Apply(t.Context(), subject(hostA), insecure(fresh, hostA), nil)
		if !errors.As(err, &refused) {
			t.Errorf("%s: a plan that would not be believed: %v", what, err)
		}
		wantPicture(t, what, look(t, fresh), before)
	}
}

func TestPlanShowsTheChangedLinesAndNoSecret(t *testing.T) {
	t.Parallel()
	root := world(t)
	tree, _ := open(t, root)
	secret := writeStep("/etc/docker/certs.d/h/client.key", "PRIVATE", 0o600)
	secret.Secret = true
	hidden := editStep("hidden.example.com")
	hidden.Secret, hidden.Path = true, "/etc/hidden.json"
	lines, err := change.Plan{secret, editStep(hostA), editStep(hostB), hidden, reloadStep(), runStep(root)}.Show(tree)
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(lines, "\n")
	for _, want := range []string{"write /etc/docker/certs.d/h/client.key (7 bytes", "edit " + daemonJSON, "    +", hostA, hostB, "reload dockerd", "(copies the file)"} {
		if !strings.Contains(all, want) {
			t.Errorf("no %q in\n%s", want, all)
		}
	}
	for _, never := range []string{"PRIVATE", "hidden.example.com"} {
		if strings.Contains(all, never) {
			t.Errorf("%q in\n%s", never, all)
		}
	}
}

func TestEditThatCannotBeMadeTouchesNothing(t *testing.T) {
	t.Parallel()
	root := world(t)
	_, j := open(t, root)
	put(t, root, daemonJSON, "{ // a comment\n}", 0o644)
	before := look(t, root)
	err := j.Apply(t.Context(), subject(hostA), change.Plan{writeStep(certAt(hostA), "x", 0o644), editStep(hostA)}, nil)
	var syntax *edit.SyntaxError
	if !errors.As(err, &syntax) || !strings.Contains(err.Error(), filepath.Join(root, daemonJSON)) {
		t.Errorf("%v", err)
	}
	wantPicture(t, "after", look(t, root), before)
}

func startSleep(t *testing.T) string {
	t.Helper()
	cmd := exec.Command("/bin/sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return strconv.Itoa(cmd.Process.Pid)
}
