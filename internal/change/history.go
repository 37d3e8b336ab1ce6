package change

import (
	"maps"

	"github.com/vicr-cli/vicr/internal/edit"
)

// joinEdits adds later edits of a file to those that are known, in their order:
// taken back from the end, they lead through states that the file was in. What
// came back to an earlier state is cut there.
func joinEdits(known, later []edit.Edit) []edit.Edit {
	all := append(append([]edit.Edit{}, known...), later...)
	state := map[edit.Edit]bool{} // of what each edit is about: whether it is there
	for _, e := range all {
		if _, known := state[about(e)]; !known {
			state[about(e)] = e.Remove // so it was before
		}
	}
	end := maps.Clone(state)
	for _, e := range all {
		end[about(e)] = !e.Remove
	}
	for i, e := range all {
		state[about(e)] = !e.Remove
		if maps.Equal(state, end) {
			return all[:i+1]
		}
	}
	return all
}

// about is what an edit adds or removes.
func about(e edit.Edit) edit.Edit {
	e.Remove = false
	return e
}
