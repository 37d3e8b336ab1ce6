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
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/vicr-cli/vicr/internal/atomicfile"
	"github.com/vicr-cli/vicr/internal/change"
)

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
	if u, err := j.UndoPlan(t.Context(), hostA, false); err != nil || !slices.Equal(u.Lines, want) {
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
		j := change.OpenJournal(tree, journalAt, change.Options{})
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
