package change_test

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vicr-cli/vicr/internal/change"
)

func TestUndoBringsAttributesBack(t *testing.T) {
	t.Parallel()
	for name, plan := range map[string]func(path string) change.Plan{
		"edited":  func(path string) change.Plan { return planAt(path) },
		"written": func(path string) change.Plan { return change.Plan{writeStep(path, "new", 0o644)} },
		"removed": func(path string) change.Plan { return change.Plan{{Tool: "docker", Path: path, Op: change.OpRemove}} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, tree, j := ownTree(t)
			put(t, dir, "/daemon.json", "{}", 0o640)
			path := filepath.Join(dir, "daemon.json")
			if err := unix.Setxattr(path, "user.vicr", []byte{0, 255, 'x'}, 0); errors.Is(err, unix.ENOTSUP) {
				t.Skip("the file system of the test folder keeps no attributes:", err)
			} else if err != nil {
				t.Fatal(err)
			}
			before := look(t, dir)
			want, err := tree.Attrs(path)
			if err != nil || len(want) == 0 {
				t.Fatalf("%q, %v", want, err)
			}
			apply(t, j, hostA, plan(path))
			if _, err := os.Stat(path); err == nil {
				if got, err := tree.Attrs(path); err != nil || !maps.EqualFunc(got, want, slices.Equal) {
					t.Errorf("while trusted: %q, %v", got, err)
				}
				// What somebody does to them meanwhile is taken back with the file.
				if err := unix.Removexattr(path, "user.vicr"); err != nil {
					t.Fatal(err)
				}
			}
			undo(t, j, hostA, false)
			wantPicture(t, "after", look(t, dir), before)
			if got, err := tree.Attrs(path); err != nil || !maps.EqualFunc(got, want, slices.Equal) {
				t.Errorf("after: %q, %v", got, err)
			}
		})
	}
}
