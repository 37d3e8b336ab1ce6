//go:build unix

package change_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vicr-cli/vicr/internal/change"
)

// but opens the journal of a machine on which one file is none that vicr changes.
func but(t *testing.T, root, denied string) *change.Journal {
	t.Helper()
	tree, _ := open(t, root)
	return change.OpenJournal(tree, journalAt, change.Options{Allow: func(_, path string) bool { return path != denied }})
}

// Whoever can plant a journal must not have root change other files; and a
// machine that is set up otherwise than it was keeps what is recorded.
func TestEntryThatIsNotBelievedIsLeftAloneAndOthersAreNot(t *testing.T) {
	t.Parallel()
	root := world(t)
	before := look(t, root)
	_, j := open(t, root)
	apply(t, j, hostA, planA())
	apply(t, j, hostB, change.Plan{writeStep(certAt(hostB), "b", 0o644)})
	for what, denied := range map[string]string{"a file": certAt(hostA), "a file that was removed": "/etc/old.conf"} {
		j := but(t, root, denied)
		recorded := entries(t, j)
		for _, e := range recorded {
			if doubted := strings.Contains(e.Doubt, denied); doubted != (e.Subject.Host == hostA) {
				t.Errorf("%s: %s: doubt %q", what, e.Subject.Host, e.Doubt)
			}
		}
		made := look(t, root)
		_, planning := j.UndoPlan(t.Context(), hostA, false)
		_, undoing := j.Undo(t.Context(), hostA, false)
		for verb, err := range map[string]error{"plan": planning, "undo": undoing} {
			var doubt *change.DoubtError
			if !errors.As(err, &doubt) || doubt.Host != hostA || !strings.Contains(err.Error(), denied) {
				t.Errorf("%s, %s: %v, want a *DoubtError that names the file", what, verb, err)
			}
		}
		wantPicture(t, what, look(t, root), made)

		const hostC = "third.example.com"
		apply(t, j, hostC, change.Plan{writeStep(certAt(hostC), "c", 0o644)})
		undo(t, j, hostC, false)
		wantPicture(t, what+": another host came and went", look(t, root).machine(), made.machine())
	}
	undo(t, but(t, root, certAt(hostA)), hostB, false)
	undo(t, j, hostA, false)
	wantPicture(t, "believed again", look(t, root), before)
}

func TestForcedUndoForgetsWhatIsNotBelieved(t *testing.T) {
	t.Parallel()
	root := world(t)
	before := look(t, root)
	_, j := open(t, root)
	apply(t, j, hostA, planA())
	before[certAt(hostA)] = look(t, root)[certAt(hostA)]
	for dir := filepath.Dir(certAt(hostA)); dir != "/etc/docker"; dir = filepath.Dir(dir) {
		before[dir] = look(t, root)[dir]
	}
	j = but(t, root, certAt(hostA))
	wantForgotten(t, "plan", func() (change.Undo, error) { return j.UndoPlan(t.Context(), hostA, true) })
	wantForgotten(t, "undo", func() (change.Undo, error) { return j.Undo(t.Context(), hostA, true) })
	wantPicture(t, "after", look(t, root), before)
}

func wantForgotten(t *testing.T, verb string, ask func() (change.Undo, error)) {
	t.Helper()
	u, err := ask()
	forgets := func(line string) bool { return strings.HasPrefix(line, "forget "+certAt(hostA)+" ") }
	if err != nil || slices.IndexFunc(u.Lines, forgets) != 0 || !slices.Contains(u.Lines, "restore /etc/old.conf (3 bytes, mode 0600)") {
		t.Errorf("%s: %v, %q", verb, err, u.Lines)
	}
}

// The machine of a run that was killed, on which something is no longer believed.
func TestInterruptedRunThatIsNotBelievedWaits(t *testing.T) {
	t.Parallel()
	root, killed := world(t), fastDir(t)
	_, j := open(t, root)
	err := j.Apply(t.Context(), subject(hostA), planA(), func(context.Context) error {
		return os.CopyFS(killed, os.DirFS(root))
	})
	if err != nil {
		t.Fatal(err)
	}
	made := look(t, killed)
	j = but(t, killed, certAt(hostA))
	_, recovering := j.Recover(t.Context())
	_, undoing := j.Undo(t.Context(), hostA, false)
	applying := j.Apply(t.Context(), subject(hostB), change.Plan{writeStep(certAt(hostB), "b", 0o644)}, nil)
	for verb, err := range map[string]error{"recover": recovering, "undo": undoing, "apply": applying} {
		var doubt *change.DoubtError
		if !errors.As(err, &doubt) || doubt.Host != hostA {
			t.Errorf("%s: %v, want a *DoubtError about %s", verb, err, hostA)
		}
	}
	wantPicture(t, "refused", look(t, killed), made)
	if _, err := j.Undo(t.Context(), hostA, true); err != nil {
		t.Fatal(err)
	}
	if now := look(t, killed); now[certAt(hostA)] != made[certAt(hostA)] || now["/etc/old.conf"] == "" || len(entries(t, j)) != 0 {
		t.Errorf("after --force: %v", now)
	}
	apply(t, j, hostB, change.Plan{writeStep(certAt(hostB), "b", 0o644)})
}
