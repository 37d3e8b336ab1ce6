//go:build unix

package change_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/vicr-cli/vicr/internal/atomicfile"
	"github.com/vicr-cli/vicr/internal/change"
)

func TestApplyMakesThePlanSoAndUndoBringsBackEverything(t *testing.T) {
	t.Parallel()
	root := world(t)
	tree, j := open(t, root)
	before := look(t, root)
	proven := false
	err := j.Apply(t.Context(), subject(hostA), planA(), func(context.Context) error {
		proven = true
		pending, err := planA().Pending(tree)
		if len(pending) > 0 {
			t.Errorf("proven before it was done: %v", pending)
		}
		return err
	})
	if err != nil || !proven {
		t.Fatalf("proven: %v, %v", proven, err)
	}
	after := look(t, root)
	if !strings.HasPrefix(after[certAt(hostA)], "-rw-r--r--") || after["/etc/old.conf"] != "" {
		t.Errorf("the machine is\n%s", after)
	}
	mode, _, _ := strings.Cut(after["/etc/docker/daemon.json"], " 9 bytes")
	if !strings.HasPrefix(before["/etc/docker/daemon.json"], mode) {
		t.Errorf("daemon.json did not keep its mode and owner: %s", mode)
	}
	for _, name := range []string{"", "/journal.json", "/lock", "/backup"} {
		if m := after[journalAt+name]; !strings.HasPrefix(m, "-rw-------") && !strings.HasPrefix(m, "drwx------") {
			t.Errorf("the journal's %q is for others too: %s", name, m)
		}
	}
	e := entries(t, j)
	if len(e) != 1 || e[0].Subject != subject(hostA) || e[0].State != change.StateDone || len(e[0].Records) != 4 {
		t.Errorf("recorded: %+v", e)
	}
	plan, err := j.UndoPlan(t.Context(), hostA)
	if err != nil || len(plan.Changed) > 0 {
		t.Errorf("%+v, %v", plan, err)
	}
	wantLines := []string{
		"restore /etc/old.conf (3 bytes, mode 0600)",
		"restore /etc/docker/daemon.json (9 bytes, mode 0640)",
		"remove " + certAt(hostA+":443"),
		"remove the folder " + filepath.Dir(certAt(hostA+":443")),
		"remove " + certAt(hostA),
		"remove the folder " + filepath.Dir(certAt(hostA)),
		"remove the folder /etc/docker/certs.d",
	}
	u := undo(t, j, hostA, false)
	if !slices.Equal(u.Lines, wantLines) || len(u.Changed) > 0 {
		t.Errorf("undone: %q, want %q", u.Lines, wantLines)
	}
	for i, line := range plan.Lines {
		if strings.TrimSuffix(line, " if it is empty") != wantLines[i] {
			t.Errorf("planned %q, did %q", line, wantLines[i])
		}
	}
	wantPicture(t, "after undo", look(t, root), before)
}

func TestSecondRunWritesNothing(t *testing.T) {
	t.Parallel()
	root := world(t)
	_, j := open(t, root)
	apply(t, j, hostA, planA())
	before := stamps(t, root)
	proofs := 0
	for _, proof := range []error{nil, errProof} {
		err := j.Apply(t.Context(), subject(hostA), planA(), func(context.Context) error { proofs++; return proof })
		if !errors.Is(err, proof) || errors.As(err, new(*change.RolledBackError)) {
			t.Errorf("%v", err)
		}
	}
	if lines, err := j.Recover(t.Context()); err != nil || len(lines) > 0 {
		t.Errorf("recovered %q, %v", lines, err)
	}
	if u := undo(t, j, hostB, false); len(u.Lines)+len(u.Changed) > 0 {
		t.Errorf("undid what nobody did: %+v", u)
	}
	if got := stamps(t, root); !maps.Equal(got, before) || proofs != 2 {
		t.Errorf("proven %d times; something was written: %v, before %v", proofs, got, before)
	}
}

func TestJournalTakesTheFoldersThatItNeededAlong(t *testing.T) {
	t.Parallel()
	root := fastDir(t)
	_, j := open(t, root)
	for range 2 {
		apply(t, j, hostA, change.Plan{writeStep(certAt(hostA), "a", 0o644)})
		for path, want := range map[string]string{"/var": "drwxr-xr-x", "/var/lib": "drwxr-xr-x", journalAt: "drwx------"} {
			if got := look(t, root)[path]; !strings.HasPrefix(got, want) {
				t.Errorf("%s is %q", path, got)
			}
		}
		undo(t, j, hostA, false)
		wantPicture(t, "after undo", look(t, root), picture{})
	}
}

func TestNothingRecordedNothingWritten(t *testing.T) {
	t.Parallel()
	root := world(t)
	_, j := open(t, root)
	before := stamps(t, root)
	if u := undo(t, j, hostA, true); len(u.Lines)+len(u.Changed) > 0 {
		t.Errorf("%+v", u)
	}
	apply(t, j, hostA, change.Plan{writeStep("/etc/docker/daemon.json", `{"old":1}`, 0o640)})
	if got := stamps(t, root); !maps.Equal(got, before) {
		t.Errorf("something was written: %v, before %v", got, before)
	}
}

func TestFailedProofRollsBack(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]change.Plan{"first": nil, "again": planA2()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := world(t)
			_, j := open(t, root)
			if first != nil {
				apply(t, j, hostA, first)
			}
			before, was := look(t, root), entries(t, j)
			err := j.Apply(t.Context(), subject(hostA), planA(), func(context.Context) error { return errProof })
			var back *change.RolledBackError
			if !errors.As(err, &back) || !errors.Is(err, errProof) {
				t.Fatalf("%v", err)
			}
			after := look(t, root)
			wantPicture(t, "after the roll-back", after.machine(), before.machine())
			if now := entries(t, j); !reflect.DeepEqual(now, was) {
				t.Errorf("recorded %v, before %v", now, was)
			}
		})
	}
}

func TestEndOfTheContextRollsBack(t *testing.T) {
	t.Parallel()
	root := world(t)
	_, j := open(t, root)
	before := look(t, root)
	ctx, cancel := context.WithCancel(t.Context())
	err := j.Apply(ctx, subject(hostA), planA(), func(ctx context.Context) error { cancel(); return ctx.Err() })
	if !errors.Is(err, context.Canceled) || !errors.As(err, new(*change.RolledBackError)) {
		t.Errorf("during the proof: %v", err)
	}
	if err := j.Apply(ctx, subject(hostA), planA(), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("before it began: %v", err)
	}
	wantPicture(t, "after both", look(t, root), before)
}

func TestStepThatFailsLeavesNothing(t *testing.T) {
	t.Parallel()
	root := world(t)
	_, j := open(t, root)
	if err := os.Mkdir(filepath.Join(root, "etc/folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", filepath.Join(root, "etc/dangling")); err != nil {
		t.Fatal(err)
	}
	put(t, root, "/etc/file", "x", 0o644)
	before := look(t, root)
	for _, path := range []string{"/etc/folder", "/etc/dangling", "/etc/dangling/ca.crt", "/etc/file/ca.crt"} {
		for _, p := range []change.Plan{
			{writeStep(path, "x", 0o644)},
			{writeStep(certAt(hostA), "ca", 0o644), writeStep(path, "x", 0o644)},
		} {
			err := j.Apply(t.Context(), subject(hostA), p, nil)
			if err == nil || errors.As(err, new(*change.RollbackError)) {
				t.Errorf("%s: %v", path, err)
			}
			wantPicture(t, path, look(t, root), before)
		}
	}
}

func TestPlansThatNobodyCanCarryOut(t *testing.T) {
	t.Parallel()
	root := world(t)
	tree, j := open(t, root)
	before := look(t, root)
	for name, p := range map[string]change.Plan{
		"relative": {writeStep("etc/x", "", 0o644)},
		"dots":     {writeStep("/etc/../x", "", 0o644)},
		"NUL":      {writeStep("/etc/x\x00", "", 0o644)},
		"no op":    {{Path: "/etc/x"}},
		"twice":    {writeStep("/etc/x", "1", 0o644), writeStep("/etc/x", "2", 0o644)},
		"large":    {writeStep("/etc/x", strings.Repeat("x", 5<<20), 0o644)},
	} {
		var perr *change.PlanError
		if _, err := p.Pending(tree); !errors.As(err, &perr) {
			t.Errorf("%s: pending: %v", name, err)
		}
		if err := j.Apply(t.Context(), subject(hostA), p, nil); !errors.As(err, &perr) {
			t.Errorf("%s: apply: %v", name, err)
		}
	}
	wantPicture(t, "after all", look(t, root), before)
}

func TestPendingIsWhatWouldChange(t *testing.T) {
	t.Parallel()
	root := world(t)
	tree, j := open(t, root)
	if p, err := planA().Pending(tree); err != nil || len(p) != 4 {
		t.Errorf("at first: %v, %v", p, err)
	}
	apply(t, j, hostA, planA())
	if p, err := planA().Pending(tree); err != nil || len(p) != 0 {
		t.Errorf("after: %v, %v", p, err)
	}
	if err := os.Chmod(filepath.Join(root, certAt(hostA)), 0o600); err != nil {
		t.Fatal(err)
	}
	if p, err := planA().Pending(tree); err != nil || len(p) != 1 || p[0].String() != "write "+certAt(hostA)+" (2 bytes, mode 0644)" {
		t.Errorf("another mode: %v, %v", p, err)
	}
	if got := (change.Step{Path: "/x", Op: change.OpRemove}).String(); got != "remove /x" {
		t.Errorf("%q", got)
	}
}

func TestUndoAfterAnotherPlanGoesBackToTheBeginning(t *testing.T) {
	t.Parallel()
	root := world(t)
	tree, j := open(t, root)
	before := look(t, root)
	for _, p := range []change.Plan{planA(), planA2(), planA(), planA2()} {
		apply(t, j, hostA, p)
		if left, err := p.Pending(tree); err != nil || len(left) > 0 {
			t.Fatalf("%v, %v", left, err)
		}
	}
	if e := entries(t, j); len(e) != 1 || len(e[0].Records) != 5 {
		t.Errorf("recorded: %+v", e)
	}
	undo(t, j, hostA, false)
	wantPicture(t, "after undo", look(t, root), before)
}

func TestLastHostTakesTheFoldersThatItShared(t *testing.T) {
	t.Parallel()
	for _, order := range [][]string{{hostA, hostB}, {hostB, hostA}} {
		t.Run(order[0], func(t *testing.T) {
			t.Parallel()
			root := world(t)
			_, j := open(t, root)
			before := look(t, root)
			apply(t, j, hostA, change.Plan{writeStep(certAt(hostA), "a", 0o644)})
			apply(t, j, hostB, change.Plan{writeStep(certAt(hostB), "b", 0o644)})
			undo(t, j, order[0], false)
			if e := entries(t, j); len(e) != 1 || e[0].Subject.Host != order[1] {
				t.Errorf("recorded: %+v", e)
			}
			undo(t, j, order[1], false)
			wantPicture(t, "after both", look(t, root), before)
		})
	}
}

func TestFileThatSomebodyChangedIsLeftUnlessForced(t *testing.T) {
	t.Parallel()
	root := world(t)
	_, j := open(t, root)
	before := look(t, root)
	apply(t, j, hostA, planA())
	daemon := "/etc/docker/daemon.json"
	if err := os.WriteFile(filepath.Join(root, daemon), []byte("edited"), 0o640); err != nil {
		t.Fatal(err)
	}
	u := undo(t, j, hostA, false)
	if !slices.Equal(u.Changed, []string{daemon}) {
		t.Errorf("%+v", u)
	}
	want := maps.Clone(before)
	want[daemon] = look(t, root)[daemon]
	wantPicture(t, "without force", look(t, root).machine(), want)
	if data, err := os.ReadFile(filepath.Join(root, daemon)); err != nil || string(data) != "edited" {
		t.Errorf("%q, %v", data, err)
	}
	if e := entries(t, j); len(e) != 1 || e[0].State != change.StateLeft || len(e[0].Records) != 1 {
		t.Errorf("recorded: %+v", e)
	}
	again := stamps(t, root)
	if u := undo(t, j, hostA, false); !slices.Equal(u.Changed, []string{daemon}) || len(u.Lines) > 0 || !maps.Equal(again, stamps(t, root)) {
		t.Errorf("a second time: %+v", u)
	}
	if u := undo(t, j, hostA, true); len(u.Changed) > 0 {
		t.Errorf("forced: %+v", u)
	}
	wantPicture(t, "forced", look(t, root), before)
}

func TestUndoOfWhatSomebodyTookBackByHandForgets(t *testing.T) {
	t.Parallel()
	root := world(t)
	_, j := open(t, root)
	before := look(t, root)
	apply(t, j, hostA, change.Plan{writeStep(certAt(hostA), "a", 0o644)})
	if err := os.RemoveAll(filepath.Join(root, "etc/docker/certs.d")); err != nil {
		t.Fatal(err)
	}
	want := []string{"forget " + hostA}
	if u, err := j.UndoPlan(t.Context(), hostA); err != nil || !slices.Equal(u.Lines, want) {
		t.Errorf("%+v, %v", u, err)
	}
	if u := undo(t, j, hostA, false); !slices.Equal(u.Lines, want) {
		t.Errorf("%+v", u)
	}
	wantPicture(t, "after", look(t, root), before)
}

func TestForeignFileInOurFolderStays(t *testing.T) {
	t.Parallel()
	root := world(t)
	_, j := open(t, root)
	apply(t, j, hostA, change.Plan{writeStep(certAt(hostA), "a", 0o644)})
	put(t, root, filepath.Dir(certAt(hostA))+"/client.cert", "theirs", 0o644)
	undo(t, j, hostA, false)
	after := look(t, root)
	if after[certAt(hostA)] != "" || after[filepath.Dir(certAt(hostA))+"/client.cert"] == "" || after[journalAt] != "" {
		t.Errorf("the machine is\n%s", after)
	}
}

func TestChangeBetweenLookAndRollBackIsLeftAndNamed(t *testing.T) {
	t.Parallel()
	root := world(t)
	_, j := open(t, root)
	before := look(t, root)
	err := j.Apply(t.Context(), subject(hostA), planA(), func(context.Context) error {
		put(t, root, certAt(hostA), "somebody's", 0o644)
		return errProof
	})
	var left *change.RollbackError
	if !errors.As(err, &left) || !errors.Is(err, errProof) || !slices.Equal(left.Left, []string{certAt(hostA)}) {
		t.Fatalf("%v", err)
	}
	if data, err := os.ReadFile(filepath.Join(root, certAt(hostA))); err != nil || string(data) != "somebody's" {
		t.Errorf("%q, %v", data, err)
	}
	if e := entries(t, j); len(e) != 1 || e[0].State != change.StateLeft {
		t.Errorf("recorded: %+v", e)
	}
	undo(t, j, hostA, true)
	wantPicture(t, "forced", look(t, root), before)
}

func TestLostBackupIsSaidWithWhatToType(t *testing.T) {
	t.Parallel()
	root := world(t)
	_, j := open(t, root)
	apply(t, j, hostA, planA())
	backups, err := filepath.Glob(filepath.Join(root, journalAt, "backup", "*"))
	if err != nil || len(backups) != 2 {
		t.Fatalf("%q, %v", backups, err)
	}
	kept := map[string][]byte{}
	for _, b := range backups {
		if kept[b], err = os.ReadFile(b); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(b, []byte("other bytes"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, err = j.Undo(t.Context(), hostA, false)
	var left *change.RollbackError
	if !errors.As(err, &left) || len(left.Left) != 2 || len(left.Commands) != 2 || !strings.Contains(left.Commands[1], backups[0]) && !strings.Contains(left.Commands[0], backups[0]) {
		t.Fatalf("%v", err)
	}
	// Once the bytes are back the next run finishes.
	for b, data := range kept {
		if err := os.WriteFile(b, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := j.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	if e := entries(t, j); len(e) != 0 {
		t.Errorf("recorded: %+v", e)
	}
}

func TestJournalThatOthersCouldHaveWrittenIsRefused(t *testing.T) {
	t.Parallel()
	file := journalAt + "/journal.json"
	link := func(root, path string) error {
		from := filepath.Join(root, path)
		if err := os.Rename(from, from+".moved"); err != nil {
			return err
		}
		return os.Symlink(filepath.Base(from)+".moved", from)
	}
	for name, spoil := range map[string]func(root string) error{
		"folder for the group": func(r string) error { return os.Chmod(filepath.Join(r, journalAt), 0o770) },
		"folder for all":       func(r string) error { return os.Chmod(filepath.Join(r, journalAt), 0o707) },
		"file for the group":   func(r string) error { return os.Chmod(filepath.Join(r, file), 0o620) },
		"file for all":         func(r string) error { return os.Chmod(filepath.Join(r, file), 0o602) },
		"folder is a link":     func(r string) error { return link(r, journalAt) },
		"file is a link":       func(r string) error { return link(r, file) },
		"folder of another":    func(r string) error { return os.Chown(filepath.Join(r, journalAt), 1234, 0) },
		"file of another":      func(r string) error { return os.Chown(filepath.Join(r, file), 1234, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if os.Geteuid() != 0 && strings.HasSuffix(name, "another") {
				t.Skip("only root can give files away")
			}
			root := world(t)
			_, j := open(t, root)
			apply(t, j, hostA, planA())
			if err := spoil(root); err != nil {
				t.Fatal(err)
			}
			before := look(t, root)
			wantRefused[*change.UnsafeError](t, j)
			wantPicture(t, "after", look(t, root), before)
		})
	}
}

func TestJournalThatCannotBeUnderstoodIsRefused(t *testing.T) {
	t.Parallel()
	for name, data := range map[string]string{
		"empty":         "",
		"torn":          `{"format":1,"entries":[`,
		"other format":  `{"format":2,"entries":[]}`,
		"unknown field": `{"format":1,"entries":[],"x":1}`,
		"no sum":        `{"format":1,"entries":[{"records":[{"path":"/etc/x","before":{"sha256":"../../../../etc/shadow"}}]}]}`,
		"relative path": `{"format":1,"entries":[{"records":[{"path":"etc/x"}]}]}`,
		"dots in open":  `{"format":1,"entries":[],"open":{"records":[{"path":"/etc/x","folders":["/a/../b"]}]}}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := world(t)
			_, j := open(t, root)
			put(t, root, journalAt+"/journal.json", data, 0o600)
			before := look(t, root)
			wantRefused[*change.JournalError](t, j)
			wantPicture(t, "after", look(t, root), before)
		})
	}
}

// wantRefused asks for an error of type E from all that a journal can do.
func wantRefused[E error](t *testing.T, j *change.Journal) {
	t.Helper()
	_, listErr := j.Entries(t.Context())
	_, planErr := j.UndoPlan(t.Context(), hostA)
	_, undoErr := j.Undo(t.Context(), hostA, true)
	_, recoverErr := j.Recover(t.Context())
	for verb, err := range map[string]error{
		"entries": listErr, "plan": planErr, "undo": undoErr, "recover": recoverErr,
		"apply": j.Apply(t.Context(), subject(hostB), planA2(), nil),
	} {
		var want E
		if !errors.As(err, &want) {
			t.Errorf("%s: %v", verb, err)
		}
	}
}

func TestSeveralAtOnceGoOneAfterTheOther(t *testing.T) {
	t.Parallel()
	root := world(t)
	before := look(t, root)
	var group sync.WaitGroup
	const hosts = 8
	for n := range hosts {
		_, j := open(t, root)
		host := fmt.Sprintf("h%d.example.com", n%(hosts/2))
		group.Go(func() { apply(t, j, host, change.Plan{writeStep(certAt(host), host, 0o644)}) })
	}
	group.Wait()
	_, j := open(t, root)
	recorded := entries(t, j)
	if len(recorded) != hosts/2 {
		t.Errorf("recorded: %+v", recorded)
	}
	for _, e := range recorded {
		_, j := open(t, root)
		group.Go(func() { undo(t, j, e.Subject.Host, false) })
	}
	group.Wait()
	wantPicture(t, "after all", look(t, root), before)
}

func TestJournalThatIsHeldIsWaitedForAndNamed(t *testing.T) {
	t.Parallel()
	root := world(t)
	tree, j := open(t, root)
	apply(t, j, hostA, planA())
	held, err := tree.Lock(t.Context(), journalAt+"/lock", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Unlock() //nolint:errcheck // of no interest here
	j.SetWait(1)
	var locked *atomicfile.LockedError
	if err := j.Apply(t.Context(), subject(hostB), planA2(), nil); !errors.As(err, &locked) || locked.Path != filepath.Join(root, journalAt, "lock") {
		t.Errorf("%v", err)
	}
	if e, err := j.Entries(t.Context()); err != nil || len(e) != 1 {
		t.Errorf("reading waits for nobody: %v, %v", e, err)
	}
}

// Whatever is applied, in whatever order, undoing all hosts, last first, brings
// back the machine.
func TestUndoOfEverythingIsAsBefore(t *testing.T) {
	t.Parallel()
	hosts := []string{hostA, hostB, "third.example.com"}
	paths := []string{"/etc/docker/daemon.json", "/etc/old.conf", certAt(hostA), certAt(hostB), "/etc/a/b/c/d", "/etc/a/b/x"}
	rapid.Check(t, func(rt *rapid.T) {
		root := world(t)
		tree, err := atomicfile.Beneath(root)
		if err != nil {
			rt.Fatal(err)
		}
		defer tree.Close() //nolint:errcheck // only a handle on a folder
		j := change.OpenJournal(tree, journalAt)
		before := look(t, root)
		for i, host := range hosts {
			var p change.Plan
			for _, path := range rapid.SliceOfNDistinct(rapid.SampledFrom(paths), 0, 4, rapid.ID).Draw(rt, "paths") {
				s := writeStep(path, fmt.Sprint(i, rapid.IntRange(0, 2).Draw(rt, "data")), rapid.SampledFrom([]fs.FileMode{0, 0o600, 0o644}).Draw(rt, "mode"))
				if rapid.IntRange(0, 4).Draw(rt, "remove") == 0 {
					s = change.Step{Path: path, Op: change.OpRemove}
				}
				p = append(p, s)
			}
			if err := j.Apply(t.Context(), subject(host), p, nil); err != nil {
				rt.Fatal(err)
			}
			if left, err := p.Pending(tree); err != nil || len(left) > 0 {
				rt.Fatalf("%v, %v", left, err)
			}
		}
		for _, host := range slices.Backward(hosts) {
			if u, err := j.Undo(t.Context(), host, false); err != nil || len(u.Changed) > 0 {
				rt.Fatalf("%+v, %v", u, err)
			}
		}
		if after := look(t, root); !maps.Equal(after, before) {
			rt.Fatalf("the machine is\n%swant\n%s", after, before)
		}
	})
}
