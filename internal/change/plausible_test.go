package change_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vicr-cli/vicr/internal/atomicfile"
	"github.com/vicr-cli/vicr/internal/change"
)

// Whoever can plant a journal must not have root change other files.
func TestJournalIsBelievedOnlyForFilesThatCanBeChanged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca, journal := filepath.Join(dir, "certs.d", "h", "ca.crt"), filepath.Join(dir, "journal")
	step := change.Step{Tool: "docker", Op: change.OpWrite, Path: ca, Data: []byte("x"), Mode: 0o644, DirMode: 0o755}
	if err := change.OpenJournal(atomicfile.Machine(), journal, change.Options{}).Apply(t.Context(), change.Subject{Host: "h"}, change.Plan{step}, nil); err != nil {
		t.Fatal(err)
	}
	only := func(host, path string) *change.Journal {
		return change.OpenJournal(atomicfile.Machine(), journal, change.Options{Allow: func(h, p string) bool { return h == host && p == path }})
	}
	for what, j := range map[string]*change.Journal{
		"another file": only("h", filepath.Join(dir, "shadow")),
		"another host": only("other", ca),
	} {
		_, reading := j.Entries(t.Context())
		_, planning := j.UndoPlan(t.Context(), "h", true)
		_, undoing := j.Undo(t.Context(), "h", true)
		_, recovering := j.Recover(t.Context())
		for verb, err := range map[string]error{"entries": reading, "plan": planning, "undo": undoing, "recover": recovering} {
			var unsafe *change.UnsafeError
			if !errors.As(err, &unsafe) || !strings.Contains(err.Error(), ca) {
				t.Errorf("%s, %s: %v, want an *UnsafeError that names the file", what, verb, err)
			}
		}
	}
	if _, err := only("h", ca).Undo(t.Context(), "h", false); err != nil {
		t.Errorf("the file that was changed: %v", err)
	}
}
