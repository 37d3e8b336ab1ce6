package change

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"slices"
	"strings"
)

// Recover puts in order what a killed run left: a change is rolled back, an
// undo finished. It says what it did, a line each, and writes nothing when
// there is nothing to do. Errors are those of [Journal.Undo].
func (j *Journal) Recover(ctx context.Context) (lines []string, err error) {
	tidy, err := j.inOrder()
	if err != nil || tidy {
		return nil, err
	}
	s, err := j.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	done, err := s.recover()
	for _, d := range done {
		lines = append(lines, d.Lines...)
		for _, path := range d.Changed {
			lines = append(lines, "leave "+path+", which somebody changed since")
		}
	}
	return lines, err
}

// recover deals with the open transaction, if there is one.
func (s *session) recover() ([]Undo, error) {
	if s.state.Open == nil {
		return nil, nil
	}
	if s.state.Open.Undo {
		u, err := s.undo()
		return []Undo{u}, err
	}
	u, err := s.revert()
	return []Undo{u}, err
}

// rollBack puts back what the open change did, because of cause.
func (s *session) rollBack(cause error) error {
	u, err := s.revert()
	var incomplete *RollbackError
	switch {
	case errors.As(err, &incomplete):
		incomplete.Err = errors.Join(cause, incomplete.Err)
		return incomplete
	case len(u.Changed) > 0:
		return &RollbackError{Err: errors.Join(cause, err), Left: u.Changed}
	case err != nil || len(u.Lines) > 0:
		return &RolledBackError{Err: errors.Join(cause, err)}
	}
	return cause
}

// revert goes back to the state before the open change. A file that somebody
// else changed in between is left alone and recorded as such.
func (s *session) revert() (u Undo, err error) {
	tx := s.state.Open
	u.Host = tx.Subject.Host
	kept, folders, err := s.takeBack(tx.Records, false, &u)
	if err != nil {
		return u, err
	}
	s.state.Entries = slices.Clone(s.state.Entries)
	if len(kept) > 0 {
		s.merge(tx.Subject, kept, StateLeft, tx.Time)
	}
	s.bequeath(folders)
	s.state.Open = nil
	return u, s.save()
}

// incomplete says which files are not as they were, and how to put them back by hand.
func (s *session) incomplete(err error, failed []Record) error {
	e := &RollbackError{Err: err}
	for _, r := range failed {
		path := s.tree.Real(r.Path)
		if _, gone := s.tree.Stat(r.Path); r.Before == nil && errors.Is(gone, fs.ErrNotExist) {
			// The file is gone as it should be; folders that were made for it are not.
			for _, f := range slices.Backward(r.Folders) {
				if _, err := s.tree.Stat(f); err == nil {
					e.Left = append(e.Left, s.tree.Real(f))
					e.Commands = append(e.Commands, "rmdir -- "+quote(s.tree.Real(f)))
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
	return e
}

func removeCommand(path string) string {
	if runtime.GOOS == "windows" {
		return `del "` + path + `"`
	}
	return "rm -f -- " + quote(path)
}

func copyCommand(from, to string, v *Version) string {
	if runtime.GOOS == "windows" {
		return `copy /y "` + from + `" "` + to + `"`
	}
	owner := ""
	if v.Owner != nil {
		owner = fmt.Sprintf(" -o %d -g %d", v.Owner.UID, v.Owner.GID)
	}
	return fmt.Sprintf("install -m %04o%s -- %s %s", v.Mode.Perm(), owner, quote(from), quote(to))
}

// quote makes one word of a POSIX shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
