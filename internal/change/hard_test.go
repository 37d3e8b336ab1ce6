//go:build unix

package change_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vicr-cli/vicr/internal/atomicfile"
	"github.com/vicr-cli/vicr/internal/change"
)

// ownTree is the machine's own tree with a folder of the test in it.
func ownTree(t *testing.T) (dir string, tree *atomicfile.Tree, j *change.Journal) {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	tree = atomicfile.Machine()
	return dir, tree, change.OpenJournal(tree, filepath.Join(dir, "journal"), options(dir))
}

func planAt(paths ...string) change.Plan {
	var p change.Plan
	for _, path := range paths {
		s := editStep(hostA)
		s.Path = path
		p = append(p, s)
	}
	return p
}

func TestLinkStaysAndWhatItLeadsToIsChanged(t *testing.T) {
	t.Parallel()
	dir, tree, j := ownTree(t)
	put(t, dir, "/opt/daemon.json", "{}\n", 0o640)
	link := filepath.Join(dir, "daemon.json")
	if err := os.Symlink("opt/daemon.json", link); err != nil {
		t.Fatal(err)
	}
	before := look(t, dir)
	plan := planAt(link)
	if r := plan.Remarks(tree); len(r) != 1 || !strings.Contains(r[0], filepath.Join(dir, "opt/daemon.json")) {
		t.Errorf("%q", r)
	}
	apply(t, j, hostA, plan)
	if to, err := os.Readlink(link); err != nil || to != "opt/daemon.json" {
		t.Errorf("%q, %v", to, err)
	}
	if data, err := os.ReadFile(link); err != nil || !strings.Contains(string(data), hostA) {
		t.Errorf("%q, %v", data, err)
	}
	undo(t, j, hostA, false)
	wantPicture(t, "after", look(t, dir), before)
}

func TestNothingIsWrittenWhenOneFileCannotBe(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		spoil func(dir, path string) error
		is    func(error) bool
	}{
		"dangling": {func(_, path string) error { return os.Symlink("no/where", path) }, is[*atomicfile.LinkError]},
		"loop":     {func(_, path string) error { return os.Symlink("bad", path) }, is[*atomicfile.LinkError]},
		"FIFO":     {func(_, path string) error { return syscall.Mkfifo(path, 0o644) }, is[*atomicfile.NotRegularError]},
		"folder":   {func(_, path string) error { return os.Mkdir(path, 0o755) }, is[*atomicfile.NotRegularError]},
		"socket":   {func(_, path string) error { return syscall.Mknod(path, syscall.S_IFSOCK|0o644, 0) }, is[*atomicfile.NotRegularError]},
		"parent of all": {func(dir, _ string) error {
			if os.Geteuid() != 0 {
				return errSkip
			}
			return os.Chmod(filepath.Join(dir, "etc"), 0o777)
		}, is[*atomicfile.ParentError]},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, _, j := ownTree(t)
			put(t, dir, "/good", "{}", 0o644)
			bad := filepath.Join(dir, "etc", "bad")
			if err := os.Mkdir(filepath.Dir(bad), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := tt.spoil(dir, bad); errors.Is(err, errSkip) {
				t.Skip("only root can spoil it like this")
			} else if err != nil {
				t.Fatal(err)
			}
			before, at := look(t, dir), stamps(t, dir)[filepath.Join(dir, "good")]
			err := j.Apply(t.Context(), subject(hostA), planAt(filepath.Join(dir, "good"), bad), nil)
			if !tt.is(err) || errors.As(err, new(*change.RolledBackError)) {
				t.Errorf("%v", err)
			}
			wantPicture(t, "after", look(t, dir), before)
			if now := stamps(t, dir)[filepath.Join(dir, "good")]; !now.Equal(at) {
				t.Error("another file was written")
			}
		})
	}
}

var errSkip = errors.New("skip")

func is[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}

func TestHardLinkIsBrokenAndSaid(t *testing.T) {
	t.Parallel()
	dir, tree, j := ownTree(t)
	put(t, dir, "/daemon.json", "{}", 0o644)
	path, other := filepath.Join(dir, "daemon.json"), filepath.Join(dir, "other")
	if err := os.Link(path, other); err != nil {
		t.Fatal(err)
	}
	if r := planAt(path).Remarks(tree); len(r) != 1 || !strings.Contains(r[0], "2 names") {
		t.Errorf("%q", r)
	}
	apply(t, j, hostA, planAt(path))
	if data, err := os.ReadFile(other); err != nil || string(data) != "{}" {
		t.Errorf("%q, %v", data, err)
	}
	if r := planAt(path).Remarks(tree); len(r) != 0 {
		t.Errorf("%q", r)
	}
}

func TestFileThatIsChangedBeforeItIsReplacedIsLeft(t *testing.T) {
	t.Parallel()
	root := world(t)
	_, j := open(t, root)
	step := editStep(hostA)
	// The check runs when the file has been looked at.
	step.Check = []string{"/bin/sh", "-c", `echo edited > "$1"`, "sh", root + daemonJSON}
	err := j.Apply(t.Context(), subject(hostA), change.Plan{writeStep(certAt(hostA), "x", 0o644), step}, nil)
	if !is[*change.ChangedError](err) || !is[*change.RolledBackError](err) {
		t.Errorf("%v", err)
	}
	if data, err := os.ReadFile(filepath.Join(root, daemonJSON)); err != nil || string(data) != "edited\n" {
		t.Errorf("%q, %v", data, err)
	}
	if after := look(t, root); after[certAt(hostA)] != "" || after[journalAt] != "" {
		t.Errorf("%s", after)
	}
}

func TestLockedJournalNamesTheProcess(t *testing.T) {
	t.Parallel()
	root := world(t)
	tree, j := open(t, root)
	apply(t, j, hostA, planA())
	held, err := tree.Lock(t.Context(), journalAt+"/lock", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Unlock() //nolint:errcheck // of no interest here
	j.SetWait(time.Millisecond)
	var locked *atomicfile.LockedError
	if err := j.Apply(t.Context(), subject(hostB), planA2(), nil); !errors.As(err, &locked) || locked.PID != os.Getpid() {
		t.Errorf("%v", err)
	}
}

// An older vicr wrote no edits, effects or attributes, and was killed in an undo.
func TestJournalOfAnOlderVicrIsFinished(t *testing.T) {
	t.Parallel()
	root := world(t)
	_, j := open(t, root)
	put(t, root, certAt(hostA), "ca", 0o644)
	put(t, root, journalAt+"/journal.json", `{"format":1,"lastId":1,"folders":["`+journalAt+`"],"entries":[{"id":1,
		"subject":{"host":"`+hostA+`","fingerprint":"x","how":"asked","notAfter":"2030-01-02T03:04:05Z"},
		"records":[{"tool":"docker","path":"`+certAt(hostA)+`","before":null,
			"after":{"sha256":"`+sum([]byte("ca"))+`","size":2,"mode":420},"folders":["/etc/docker/certs.d","/etc/docker/certs.d/`+hostA+`"]}],
		"state":"done","time":"2026-01-02T03:04:05Z"}],
		"open":{"undo":true,"subject":{"host":"`+hostA+`","fingerprint":"x","how":"asked","notAfter":"2030-01-02T03:04:05Z"},"time":"2026-01-02T03:04:05Z"}}`, 0o600)
	if err := os.Chmod(filepath.Join(root, journalAt), 0o700); err != nil {
		t.Fatal(err)
	}
	if lines, err := j.Recover(t.Context()); err != nil || len(lines) != 3 {
		t.Errorf("%q, %v", lines, err)
	}
	if after := look(t, root); after["/etc/docker/certs.d"] != "" || after[journalAt] != "" {
		t.Errorf("%s", after)
	}
}

// An editor that saves while the new bytes are being written wins, too.
func TestFileThatIsChangedWhileTheNewOneIsWrittenIsLeft(t *testing.T) {
	t.Parallel()
	const tries = 200
	for range tries {
		dir, _, j := ownTree(t)
		put(t, dir, "/f", "old", 0o644)
		path, done, edited := filepath.Join(dir, "f"), make(chan struct{}), make(chan error)
		go func() { // saves as soon as the temporary file is there
			for {
				select {
				case <-done:
					edited <- nil
					return
				default:
				}
				if left, _ := filepath.Glob(filepath.Join(dir, ".vicr-*.tmp")); len(left) > 0 {
					edited <- os.WriteFile(path, []byte("an editor's"), 0o644)
					return
				}
			}
		}()
		err := j.Apply(t.Context(), subject(hostA), change.Plan{writeStep(path, strings.Repeat("x", 4<<20), 0)}, nil)
		close(done)
		if werr := <-edited; werr != nil {
			t.Fatal(werr)
		}
		if is[*change.ChangedError](err) {
			if data, err := os.ReadFile(path); err != nil || string(data) != "an editor's" {
				t.Errorf("%d bytes, %v", len(data), err)
			}
			return
		}
	}
	t.Errorf("it was never noticed in %d tries", tries)
}
