package change

import (
	"bytes"
	"cmp"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/vicr-cli/vicr/internal/atomicfile"
	"github.com/vicr-cli/vicr/internal/edit"
)

// A work is what becomes of one file: one step, or several edits of it.
type work struct {
	steps  []Step
	record Record
	before []byte
	after  []byte
}

// prepare works out what becomes of each file. It only reads. A plan that the
// journal would not be believed for is a [*PlanError].
func (s *session) prepare(host string, pending Plan) (works []work, effects []Step, err error) {
	planned := map[string]bool{} // folders
	for _, step := range pending {
		if why := s.forbidden(host, step); why != "" {
			return nil, nil, &PlanError{Step: step, Why: why}
		}
		i := slices.IndexFunc(works, func(w work) bool { return w.record.Path == step.Path })
		switch {
		case step.effect():
			effects = append(effects, step)
		case i < 0:
			w := work{steps: []Step{step}, record: Record{Tool: step.Tool, Path: step.Path, Restart: step.Restart}}
			works = append(works, w)
		default:
			works[i].steps = append(works[i].steps, step)
			works[i].record.Restart = cmp.Or(works[i].record.Restart, step.Restart)
		}
	}
	for i := range works {
		if err := works[i].build(s, effects, planned); err != nil {
			return nil, nil, err
		}
	}
	return works, effects, nil
}

// build fills in what the file is and is to be.
func (w *work) build(s *session, effects []Step, planned map[string]bool) (err error) {
	r, step := &w.record, w.steps[0]
	if r.Before, w.before, err = look(s.tree, r.Path); err != nil {
		return err
	}
	if step.Op == OpRemove && linked(s.tree, r.Path) {
		path := s.tree.Real(r.Path)
		return &atomicfile.LinkError{Path: path, At: path, Why: "would have to be removed"}
	}
	if err := s.canWrite(r.Path); err != nil || step.Op == OpRemove {
		return err
	}
	w.after = step.Data
	if step.Op == OpEdit {
		for _, step := range w.steps {
			r.Edits = append(r.Edits, *step.Edit)
		}
		if w.after, err = makeEdits(r.Edits, w.before); err == nil && len(w.after) > maxFile {
			err = &PlanError{Step: step, Why: "the file is too large"}
		}
		if err == nil {
			r.Interim, err = interimOf(*r, effects, r.Before, w.before)
		}
		if err != nil {
			return fmt.Errorf("%q: %w", s.tree.Real(r.Path), err)
		}
	}
	r.After = version(w.after)
	r.After.Mode = cmp.Or(step.Mode, newMode)
	if r.Before != nil {
		r.After.Attrs = r.Before.Attrs
		if step.Mode == 0 || step.Op == OpEdit {
			r.After.Mode = r.Before.Mode
		}
	}
	missing, err := s.tree.Missing(filepath.Dir(r.Path))
	if err != nil {
		return err
	}
	r.Folders = slices.DeleteFunc(missing, func(f string) bool { return planned[f] })
	for _, f := range r.Folders {
		planned[f] = true
	}
	return nil
}

// canWrite finds out before the first file is changed what would keep one of
// them from being changed.
func (s *session) canWrite(path string) error {
	at, err := s.at(path)
	if err != nil {
		return err
	}
	return s.tree.Writable(at)
}

// carryOut makes the file so, if it still is as it was looked at.
func (w work) carryOut(s *session) error {
	r, step := w.record, w.steps[0]
	asBefore := func() error {
		now, _, err := look(s.tree, r.Path)
		if err == nil && !same(now, r.Before) {
			err = &ChangedError{Path: s.tree.Real(r.Path)}
		}
		return err
	}
	if err := asBefore(); err != nil {
		return err
	}
	switch {
	case step.Op == OpRemove:
		return s.remove(r.Path)
	case r.Before != nil && bytes.Equal(w.before, w.after) && r.Before.Mode == r.After.Mode:
		return nil // another host's change made it so
	}
	if _, err := s.tree.MkdirAll(filepath.Dir(r.Path), cmp.Or(step.DirMode, newDirMode)); err != nil {
		return err
	}
	mode := step.Mode
	if step.Op == OpEdit && r.Before != nil {
		mode = 0
	}
	return s.replace(r.Path, w.after, mode, nil, asBefore)
}

// makeEdits makes one edit after the other.
func makeEdits(edits []edit.Edit, data []byte) (after []byte, err error) {
	after = data
	for _, e := range edits {
		if after, err = e.Apply(after); err != nil {
			return nil, err
		}
	}
	for _, e := range edits {
		if has, err := e.Has(after); err != nil || !has {
			return nil, &edit.SyntaxError{Format: e.Format, Why: "the change does not hold in this file"}
		}
	}
	return after, nil
}

// revertEdits takes back those that the file holds, last one first.
func revertEdits(edits []edit.Edit, data []byte) (before []byte, err error) {
	before = data
	for _, e := range slices.Backward(edits) {
		has, err := e.Has(before)
		if err != nil {
			return nil, err
		}
		if !has {
			continue
		}
		if before, err = e.Revert(before); err != nil {
			return nil, err
		}
	}
	return before, nil
}

// interim is what a running process must read before it reads final.
func interim(edits []edit.Edit, final []byte) (data []byte, err error) {
	data = final
	for _, e := range edits {
		if data, err = e.Interim(data); err != nil {
			return nil, err
		}
	}
	return data, nil
}

// interimOf is the version of [interim], nil where there need be none: when it
// is final itself, or nothing is reloaded.
func interimOf(r Record, effects []Step, final *Version, data []byte) (*Version, error) {
	reloads := func(s Step) bool { return s.Op == OpReload && s.Tool == r.Tool }
	if !slices.ContainsFunc(effects, reloads) {
		return nil, nil
	}
	between, err := interim(r.Edits, data)
	if err != nil || bytes.Equal(between, data) {
		return nil, err
	}
	v := version(between)
	v.Mode = fs.FileMode(newMode)
	if final != nil {
		v.Mode = final.Mode
	}
	return v, nil
}
