//go:build unix

package change_test

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

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
	plan, err := j.UndoPlan(t.Context(), hostA, false)
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
