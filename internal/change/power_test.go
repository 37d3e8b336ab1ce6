//go:build unix

package change_test

import (
	"fmt"
	"maps"
	"path/filepath"
	"testing"

	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/testkit"
)

// powerFails asks of each command that its calls are in an order that outlives
// a power failure, and tries all states that a disk may be in after one: what
// was not synced may be there or not, in any combination.
func powerFails(t *testing.T, bin string) {
	t.Helper()
	none := func(*testing.T, *change.Journal) {}
	edited := func(t *testing.T, j *change.Journal) {
		t.Helper()
		apply(t, j, hostA, steps(insecure(j.Root(), hostA), change.OpWrite, change.OpEdit))
	}
	for _, c := range []crashCase{
		{name: "apply", verb: "apply", prepare: none},
		{name: "edit", verb: "edit", prepare: none},
		{name: "roll-back", verb: "apply-unproven", prepare: none},
		{name: "undo", verb: "undo", prepare: edited},
		{name: "undo beside another host", verb: "undo", prepare: func(t *testing.T, j *change.Journal) {
			t.Helper()
			apply(t, j, hostB, change.Plan{editStep(hostB)})
			edited(t, j)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := c.scene(t, bin)
			ops := logged(t, s)
			testkit.InOrder(t, ops)
			seen := map[string]bool{}
			for k := range len(ops) + 1 {
				for _, d := range testkit.DisksAfter(t, s.start, ops[:k], isLock) {
					if name := d.String(); !seen[name] {
						seen[name] = true
						s.outlives(t, k, d)
					}
				}
			}
			t.Logf("%d calls, %d states of the disk", len(ops), len(seen))
		})
	}
}

// logged runs the command and returns what it did, with paths as its machine
// has them.
func logged(t *testing.T, s scene) []testkit.Op {
	t.Helper()
	root, log := clone(t, s.start), filepath.Join(t.TempDir(), "log")
	if how, out := run(t, s.bin, s.verb, root, "VICR_OP_LOG="+log); how != ended {
		t.Fatal(out)
	}
	return testkit.ReadOps(t, log, root)
}

// isLock: whether the lock's file is there, and what is in it, counts for nobody.
func isLock(path string) bool { return path == journalAt+"/lock" }

// outlives starts the machine again with this disk: recovery makes it as before
// the command or as after it.
func (s scene) outlives(t *testing.T, k int, d testkit.Disk) {
	t.Helper()
	root := fastDir(t)
	d.Make(t, root)
	_, j := open(t, root)
	if _, err := j.Recover(t.Context()); err != nil {
		t.Fatalf("after call %d: %v\n%s", k, err, d)
	}
	s = s.withoutLock()
	now := stateOf(t, root)
	delete(now.picture, journalAt+"/lock")
	wanted := s.before
	if maps.Equal(now.machine(), s.after.machine()) {
		wanted = s.after
	}
	wantState(t, fmt.Sprintf("power failed after call %d", k), now, wanted)
}

// withoutLock is the scene without the lock's file, which no power failure has
// to leave.
func (s scene) withoutLock() scene {
	for _, p := range []*picture{&s.before.picture, &s.after.picture} {
		*p = maps.Clone(*p)
		delete(*p, journalAt+"/lock")
	}
	return s
}
