//go:build unix

package change_test

import (
	"fmt"
	"testing"

	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/edit"
)

// A registry that goes from a CA to insecure and back, for as long as it likes:
// the last edit of a record is the one that holds, the record does not grow,
// and undo finds its way back.
func TestEditsKeepTheirOrderAndDoNotGrow(t *testing.T) {
	t.Parallel()
	root := world(t)
	before := look(t, root)
	_, j := open(t, root)
	on := editStep(hostA)
	off := on
	off.Edit = &edit.Edit{Format: on.Edit.Format, Key: on.Edit.Key, Value: on.Edit.Value, Remove: true}
	other := on
	other.Edit = &edit.Edit{Format: on.Edit.Format, Key: on.Edit.Key, Value: "registry.example.com:443"}
	for round, tt := range []struct {
		step change.Step
		want []edit.Edit
	}{
		{on, []edit.Edit{*on.Edit}},
		{off, []edit.Edit{*on.Edit, *off.Edit}},
		{on, []edit.Edit{*on.Edit}},
		{other, []edit.Edit{*on.Edit, *other.Edit}},
		{off, []edit.Edit{*on.Edit, *other.Edit, *off.Edit}},
		{on, []edit.Edit{*on.Edit, *other.Edit}},
		{off, []edit.Edit{*on.Edit, *other.Edit, *off.Edit}},
	} {
		apply(t, j, hostA, change.Plan{tt.step})
		r := entries(t, j)[0].Records[0]
		if fmt.Sprint(r.Edits) != fmt.Sprint(tt.want) {
			t.Fatalf("round %d: %v, want %v", round, r.Edits, tt.want)
		}
	}
	// Somebody else edits the file too, so that the edits alone are taken back.
	put(t, root, daemonJSON, `{"old":1,"insecure-registries":["registry.example.com:443","theirs"]}`, 0o640)
	undo(t, j, hostA, false)
	put(t, root, daemonJSON, `{"old":1}`, 0o640)
	wantPicture(t, "after", look(t, root), before)
}

// What an edit of somebody else's entry took out comes back.
func TestRemovedEntriesComeBackFirst(t *testing.T) {
	t.Parallel()
	root := world(t)
	put(t, root, daemonJSON, `{"insecure-registries":["`+hostA+`"]}`, 0o640)
	_, j := open(t, root)
	on := editStep(hostA)
	off := on
	off.Edit = &edit.Edit{Format: on.Edit.Format, Key: on.Edit.Key, Value: on.Edit.Value, Remove: true}
	for range 2 {
		apply(t, j, hostA, change.Plan{off})
		apply(t, j, hostA, change.Plan{on})
	}
	apply(t, j, hostA, change.Plan{off})
	if r := entries(t, j)[0].Records[0]; len(r.Edits) != 1 || !r.Edits[0].Remove {
		t.Errorf("recorded: %v", r.Edits)
	}
	before := look(t, root)[daemonJSON]
	undo(t, j, hostA, false)
	if now := look(t, root)[daemonJSON]; now == before {
		t.Error("the entry did not come back")
	}
}
