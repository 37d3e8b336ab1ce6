package change

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/vicr-cli/vicr/internal/atomicfile"
	"github.com/vicr-cli/vicr/internal/shell"
)

// A verdict says what is to be done about a file that was changed.
type verdict int

const (
	nothing verdict = iota // it is as before
	restore
	leave // somebody else changed it
)

// odd says whether a file is none that we would have written.
func odd(err error) bool {
	var special *atomicfile.NotRegularError
	var link *atomicfile.LinkError
	var outside *atomicfile.OutsideError
	return errors.As(err, &special) || errors.As(err, &link) || errors.As(err, &outside) || errors.Is(err, atomicfile.ErrTooLarge)
}

// linked says whether a link lies there: we make none, and remove none.
func linked(t *atomicfile.Tree, path string) bool {
	info, err := t.Stat(path)
	return err == nil && info.Mode()&fs.ModeSymlink != 0
}

// judge looks at the file. It is judged by its bytes: other permissions alone
// do not make it somebody else's.
func (r Record) judge(t *atomicfile.Tree, force bool) (verdict, error) {
	now, _, err := look(t, r.Path)
	if odd(err) || r.Before == nil && linked(t, r.Path) {
		return leave, nil
	}
	if err != nil {
		return nothing, err
	}
	switch {
	case same(now, r.Before):
		return nothing, nil
	case sameBytes(now, r.After), r.between(now), force:
		return restore, nil
	case sameBytes(now, r.Before), now == nil && len(r.Edits) > 0:
		return nothing, nil
	}
	return leave, nil
}

// A putBack is how far one file is.
type putBack struct {
	record  Record
	todo    verdict
	waits   bool     // it holds its interim bytes until the process took them
	folders []string // that were removed
	used    []string // that were not: they hold something
	err     error
}

// What is left when a transaction was taken back.
type remains struct {
	left   []Record       // whose files are left alone, in their order
	used   []string       // folders that are still used, outermost first
	untold *RollbackError // effects that failed, in a forced undo
}

// takeBack goes back over the records of the open transaction, and then makes
// the files count again: always, or else if a file was put back or this run
// made it count. It does as much as it can before it returns a [*RollbackError].
func (s *session) takeBack(ctx context.Context, records []Record, effects []Step, always bool, u *Undo) (remains, error) {
	var files []*putBack
	for _, r := range slices.Backward(records) {
		f := &putBack{record: r}
		f.todo, f.waits, f.err = s.takeBackFile(r)
		if !f.waits {
			s.takeBackFolders(f)
		}
		files = append(files, f)
		always = always || s.acted || f.todo == restore || f.err != nil
	}
	// Processes forget while the interim bytes are there. All else comes after.
	forgets := func(step Step) bool {
		waits := func(f *putBack) bool { return f.waits && f.record.Tool == step.Tool }
		return step.Op == OpReload && slices.ContainsFunc(files, waits)
	}
	now, after := slices.DeleteFunc(slices.Clone(effects), func(e Step) bool { return !forgets(e) }),
		slices.DeleteFunc(slices.Clone(effects), forgets)
	t := told{failed: map[string]bool{}}
	s.tell(ctx, now, files, &t)
	for _, f := range files {
		if f.waits && f.err == nil && (!t.failed[f.record.Tool] || s.state.Open.Force) {
			f.waits, f.err = false, s.bringBack(f.record)
			s.takeBackFolders(f)
		}
	}
	if always {
		s.tell(ctx, after, files, &t)
	}
	return s.reckon(files, effects, t, u)
}

// reckon adds up how far the files are.
func (s *session) reckon(files []*putBack, effects []Step, t told, u *Undo) (rest remains, err error) {
	var failed, waiting []Record
	errs := t.errs
	commands := map[string]bool{} // tools whose effects are to be typed
	for tool := range t.failed {
		commands[tool] = true
	}
	for _, f := range files {
		rest.used = append(f.used, rest.used...)
		switch {
		case f.err != nil:
			failed = append(failed, f.record)
			errs = append(errs, f.err)
			commands[f.record.Tool] = true
			continue
		case f.waits:
			waiting = append(waiting, f.record)
			continue
		case f.todo == leave:
			rest.left = append(rest.left, f.record)
		}
		u.note(f.record, f.todo, f.folders, "")
	}
	u.Lines = append(u.Lines, t.lines...)
	if len(errs) == 0 {
		slices.Reverse(rest.left)
		return rest, nil
	}
	e := &RollbackError{Err: errors.Join(errs...)}
	s.incomplete(e, failed)
	for _, step := range effects {
		if commands[step.Tool] {
			e.Commands = append(e.Commands, step.command())
		}
	}
	s.incomplete(e, waiting)
	if len(failed)+len(waiting) == 0 && s.state.Open.Force {
		slices.Reverse(rest.left)
		rest.untold = e
		return rest, nil
	}
	return remains{}, e
}

// takeBackFile puts one file back, or where a process must forget first, what
// makes it forget.
func (s *session) takeBackFile(r Record) (todo verdict, waits bool, err error) {
	// A killed run left its temporary file beside the one that it was about to replace.
	at, err := s.tree.Follow(r.Path)
	if err != nil { // what lies there is judged below
		at = r.Path
	}
	if _, err := s.tree.Sweep(filepath.Dir(at)); err != nil && !errors.Is(err, syscall.ENOTDIR) {
		return nothing, false, err
	}
	todo, err = r.judge(s.tree, s.state.Open.Force && s.state.Open.Undo)
	if err != nil || todo != restore {
		return todo, false, err
	}
	if r.Interim != nil {
		return todo, true, s.bringInterim(r)
	}
	return todo, false, s.bringBack(r)
}

// takeBackFolders removes the empty ones, innermost first.
func (s *session) takeBackFolders(f *putBack) {
	if f.err != nil || f.todo == leave {
		return
	}
	for _, dir := range slices.Backward(f.record.Folders) {
		if info, err := s.tree.Stat(dir); err != nil || !info.IsDir() {
			continue // gone, or somebody else's by now
		}
		switch err := s.tree.RemoveDir(dir); {
		case errors.Is(err, atomicfile.ErrNotEmpty):
			f.used = append([]string{dir}, f.used...)
		case err != nil:
			f.err = err
			return
		default:
			f.folders = append([]string{dir}, f.folders...)
		}
	}
}

func (s *session) bringBack(r Record) error {
	if r.Before == nil {
		return s.remove(r.Path)
	}
	data, err := s.backup(r.Before)
	if err != nil {
		return err
	}
	return s.replace(r.Path, data, s.mode(r, r.Before.Mode), r.Before, nil)
}

// mode is the one from before, less what somebody took from the file since:
// the bytes may be a secret by now.
func (s *session) mode(r Record, before fs.FileMode) fs.FileMode {
	now, _, err := look(s.tree, r.Path)
	if err != nil || now == nil || r.After == nil || now.Owner == nil || now.Mode == r.After.Mode {
		return before
	}
	return before & now.Mode
}

// bringInterim writes the interim bytes, which are made anew.
func (s *session) bringInterim(r Record) error {
	if now, _, err := look(s.tree, r.Path); err != nil || r.between(now) {
		return err
	}
	var final []byte
	if r.Before != nil {
		var err error
		if final, err = s.backup(r.Before); err != nil {
			return err
		}
	}
	data, err := interim(r.Edits, final)
	if err != nil {
		return err
	}
	if v := version(data); !sameBytes(v, r.Interim) {
		return &JournalError{Path: s.tree.Real(s.path(journalName)), Why: "it names other bytes than those that its edit makes"}
	}
	return s.replace(r.Path, data, s.mode(r, r.Interim.Mode), r.Before, nil)
}

// told is what came of making files count again.
type told struct {
	lines  []string
	errs   []error
	failed map[string]bool // tools
}

// tell runs those of the effects whose tool's files are not all left alone. It
// goes on to its end also when the user interrupts.
func (s *session) tell(ctx context.Context, effects []Step, files []*putBack, t *told) {
	ctx = context.WithoutCancel(ctx)
	for _, step := range effects {
		ours := func(f *putBack) bool { return f.record.Tool == step.Tool && f.todo != leave }
		if !slices.ContainsFunc(files, ours) {
			continue
		}
		if host := s.needs(step); host != "" {
			t.lines = append(t.lines, "leave what "+host+" needs: "+step.command()+" is not run")
			continue
		}
		line, err := s.effect(ctx, s.state.Open.Subject.Host, step, true)
		if err != nil {
			t.errs = append(t.errs, err)
			t.failed[step.Tool] = true
			continue
		}
		t.lines = append(t.lines, line)
	}
}

// needs is the host of another entry that did the same by other words, "" if
// there is none: what takes both back is run when the last one leaves.
func (s *session) needs(step Step) string {
	if step.Op != OpRun {
		return ""
	}
	for _, e := range s.state.Entries {
		also := func(other Step) bool {
			return other.Op == OpRun && slices.Equal(other.Run.undo(), step.Run.undo()) && !slices.Equal(other.Run.Argv, step.Run.Argv)
		}
		if e.Subject.Host != s.state.Open.Subject.Host && slices.ContainsFunc(e.Effects, also) {
			return e.Subject.Host
		}
	}
	return ""
}

// incomplete adds which files are not as they were, and how to put them back by hand.
func (s *session) incomplete(e *RollbackError, failed []Record) {
	for _, r := range failed {
		path := s.tree.Real(r.Path)
		if _, gone := s.tree.Stat(r.Path); r.Before == nil && errors.Is(gone, fs.ErrNotExist) {
			// The file is gone as it should be; folders that were made for it are not.
			for _, f := range slices.Backward(r.Folders) {
				if _, err := s.tree.Stat(f); err == nil {
					e.Left = append(e.Left, s.tree.Real(f))
					e.Commands = append(e.Commands, "rmdir -- "+shell.Quote(s.tree.Real(f)))
				}
			}
			continue
		}
		e.Left = append(e.Left, path)
		if r.Before == nil {
			e.Commands = append(e.Commands, removeCommand(path))
			continue
		}
		e.Commands = append(e.Commands, copyCommand(s.tree.Real(s.path(backupName, r.Before.SHA256)), path, r.Before))
	}
}
