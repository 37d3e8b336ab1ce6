//go:build unix

package change_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/vicr-cli/vicr/internal/change"
)

// keepStep puts something into a store that keeps what it was given by name, and
// does not take out what is not there.
func keepStep(root, host string) change.Step {
	store := root + "/run/store"
	return change.Step{Tool: "docker", Op: change.OpRun, Run: &change.Command{
		Argv: []string{"/bin/sh", "-c", `mkdir -p "$1" && : > "$1/ca"`, host, store},
		Undo: []string{"/bin/sh", "-c", `rm "$1/ca" || { echo "no such thing: $1"; exit 44; }`, "sh", store},
		Gone: "no such thing",
	}}
}

func kept(root string) bool {
	_, err := os.Stat(root + "/run/store/ca")
	return err == nil
}

// Two registries want the same in a store: it goes with the last one.
func TestWhatTwoHostsKeepInAStoreGoesWithTheLast(t *testing.T) {
	t.Parallel()
	for name, order := range map[string][]string{"first in": {hostA, hostB}, "last in": {hostB, hostA}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := world(t)
			_, j := open(t, root)
			before := look(t, root)
			for _, host := range []string{hostA, hostB} {
				apply(t, j, host, change.Plan{writeStep(certAt(host), host, 0o644), keepStep(root, host)})
			}
			if u := undo(t, j, order[0], false); !kept(root) || !slices.ContainsFunc(u.Lines, func(l string) bool { return strings.HasPrefix(l, "leave what "+order[1]+" needs") }) {
				t.Errorf("the other one has lost it: %q", u.Lines)
			}
			if undo(t, j, order[1], false); kept(root) {
				t.Error("it stays")
			}
			wantPicture(t, "after", look(t, root), before)
		})
	}
}

// What is gone already needs no taking back; any other failure is told.
func TestUndoOfWhatIsGoneIsNoFailure(t *testing.T) {
	t.Parallel()
	root := world(t)
	_, j := open(t, root)
	before := look(t, root)
	plan := change.Plan{writeStep(certAt(hostA), "x", 0o644), keepStep(root, hostA)}
	apply(t, j, hostA, plan)
	if err := os.Remove(root + "/run/store/ca"); err != nil {
		t.Fatal(err)
	}
	undo(t, j, hostA, false)
	wantPicture(t, "after", look(t, root), before)

	never := errors.New("not proven")
	plan[1].Run.Argv = []string{"/bin/sh", "-c", "exit 1"}
	if err := j.Apply(t.Context(), subject(hostA), plan, func(context.Context) error { return never }); !errors.As(err, new(*change.RolledBackError)) {
		t.Errorf("it never got there, and that is %v", err)
	}
	wantPicture(t, "rolled back", look(t, root), before)

	plan[1].Run.Argv, plan[1].Run.Gone = []string{"/bin/sh", "-c", ":"}, "something else"
	apply(t, j, hostA, plan)
	var left *change.RollbackError
	if _, err := j.Undo(t.Context(), hostA, false); !errors.As(err, &left) {
		t.Errorf("it failed for another reason, and that is %v", err)
	}
}
