//go:build unix

package change_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/vicr-cli/vicr/internal/atomicfile"
	"github.com/vicr-cli/vicr/internal/change"
)

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
	_, planErr := j.UndoPlan(t.Context(), hostA, false)
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
