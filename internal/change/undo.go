package change

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/vicr-cli/vicr/internal/atomicfile"
)

// An Undo is what taking back the changes for a registry does.
type Undo struct {
	Host    string
	Lines   []string // what is done, a line each; empty when nothing is
	Changed []string // files that somebody changed since: left alone unless forced
}

// UndoPlan says what [Journal.Undo] would do. It only reads, and
// is empty when nothing is recorded for the host. Errors are those of [Journal.Entries].
func (j *Journal) UndoPlan(ctx context.Context, host string, force bool) (Undo, error) {
	u := Undo{Host: host}
	if err := ctx.Err(); err != nil {
		return u, err
	}
	c, err := j.load()
	if err != nil {
		return u, err
	}
	if o := c.Open; o != nil && o.Subject.Host == host {
		if o.Undo {
			u.Lines = append(u.Lines, "finish an undo that was interrupted")
		} else {
			u.Lines = append(u.Lines, "roll back a change that was interrupted")
		}
	}
	if i := c.entry(host); i >= 0 {
		err = u.plan(j.tree, c.Entries[i].Records, force)
	}
	return u, err
}

// plan adds what will be done about the records.
func (u *Undo) plan(t *atomicfile.Tree, records []Record, force bool) error {
	for _, r := range slices.Backward(records) {
		todo, err := r.judge(t, force)
		if err != nil {
			return err
		}
		var folders []string
		for _, f := range r.Folders {
			if info, err := t.Stat(f); err == nil && info.IsDir() {
				folders = append(folders, f)
			}
		}
		u.note(r, todo, folders, " if it is empty")
	}
	if len(u.Lines)+len(u.Changed) == 0 {
		u.Lines = append(u.Lines, forget(u.Host))
	}
	return nil
}

func forget(host string) string { return "forget " + host }

// note adds what is done about one file and the folders that were made for it.
func (u *Undo) note(r Record, todo verdict, folders []string, condition string) {
	switch {
	case todo == leave:
		u.Changed = append(u.Changed, r.Path)
		return
	case todo == restore && r.Before == nil:
		u.Lines = append(u.Lines, "remove "+r.Path)
	case todo == restore:
		u.Lines = append(u.Lines, fmt.Sprintf("restore %s (%d bytes, mode %04o)", r.Path, r.Before.Size, r.Before.Mode.Perm()))
	}
	for _, f := range slices.Backward(folders) {
		u.Lines = append(u.Lines, "remove the folder "+f+condition)
	}
}

// Undo takes back what was done for the host, last change first: files get the
// bytes, permissions and owner from before or go, folders that were made go
// when they are empty, and the entry goes. A file that somebody changed since
// is left alone and stays recorded, unless force. Nothing is written when
// nothing is recorded. An undo that is killed is finished by the next run.
// The error is a [*RollbackError] when files could not be put back, and else as
// of [Journal.Apply].
func (j *Journal) Undo(ctx context.Context, host string, force bool) (u Undo, err error) {
	u.Host = host
	c, err := j.load()
	if err != nil {
		return u, err
	}
	tidy, err := j.tidy(&c)
	if err != nil || tidy && c.entry(host) < 0 {
		return u, err
	}
	s, err := j.begin(ctx)
	if err != nil {
		return u, err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	done, err := s.recover()
	for _, d := range done {
		if d.Host == host {
			u.Lines, u.Changed = d.Lines, d.Changed
		}
	}
	if err != nil {
		return u, err
	}
	i := s.state.entry(host)
	if i < 0 {
		return u, nil
	}
	todo := Undo{Host: host}
	if err := todo.plan(s.tree, s.state.Entries[i].Records, force); err != nil {
		return u, err
	}
	if len(todo.Lines) == 0 && s.state.Entries[i].State == StateLeft {
		u.Changed = todo.Changed
		return u, nil
	}
	s.state.Open = &transaction{Undo: true, Force: force, Subject: s.state.Entries[i].Subject, Time: time.Now().UTC()}
	if err := s.save(); err != nil {
		return u, err
	}
	more, err := s.undo()
	u.Lines, u.Changed = append(u.Lines, more.Lines...), more.Changed
	return u, err
}

// undo does, or goes on with, the open undo.
func (s *session) undo() (u Undo, err error) {
	host := s.state.Open.Subject.Host
	u.Host = host
	i := s.state.entry(host)
	if i < 0 {
		s.state.Open = nil
		return u, s.save()
	}
	kept, folders, err := s.takeBack(s.state.Entries[i].Records, s.state.Open.Force, &u)
	if err != nil {
		return u, err
	}
	s.state.Entries = slices.Clone(s.state.Entries)
	if len(kept) > 0 {
		e := &s.state.Entries[i]
		e.Records, e.State, e.Time = kept, StateLeft, s.state.Open.Time
	} else {
		s.state.Entries = slices.Delete(s.state.Entries, i, i+1)
	}
	s.bequeath(folders)
	s.state.Open = nil
	if len(u.Lines)+len(u.Changed) == 0 {
		u.Lines = append(u.Lines, forget(host))
	}
	return u, s.save()
}

// bequeath hands folders that are still used to an entry that has files in
// them: whoever leaves last removes them.
func (s *session) bequeath(folders []string) {
	for _, f := range slices.Backward(folders) {
		below := func(r Record) bool { return strings.HasPrefix(filepath.ToSlash(r.Path), filepath.ToSlash(f)+"/") }
		for i := range s.state.Entries {
			k := slices.IndexFunc(s.state.Entries[i].Records, below)
			if k < 0 {
				continue
			}
			records := slices.Clone(s.state.Entries[i].Records)
			records[k].Folders = append([]string{f}, records[k].Folders...)
			s.state.Entries[i].Records = records
			break
		}
	}
}

// A verdict says what is to be done about a file that was changed.
type verdict int

const (
	nothing verdict = iota // it is as before
	restore
	leave // somebody else changed it
)

// judge looks at the file. It is judged by its bytes: other permissions alone
// do not make it somebody else's.
func (r Record) judge(t *atomicfile.Tree, force bool) (verdict, error) {
	now, _, err := look(t, r.Path)
	var odd *atomicfile.NotRegularError
	if errors.As(err, &odd) || errors.Is(err, atomicfile.ErrTooLarge) {
		return leave, nil
	}
	if err != nil {
		return nothing, err
	}
	switch {
	case same(now, r.Before):
		return nothing, nil
	case sameBytes(now, r.After), force:
		return restore, nil
	case sameBytes(now, r.Before):
		return nothing, nil
	}
	return leave, nil
}

// takeBack goes back over the records. It returns those whose file is left
// alone, in their order, and the folders that are still used, outermost first.
// It does as much as it can before it returns a [*RollbackError].
func (s *session) takeBack(records []Record, force bool, u *Undo) (kept []Record, used []string, err error) {
	var failed []Record
	var errs []error
	for _, r := range slices.Backward(records) {
		todo, err := s.takeBackFile(r, force)
		var removed []string
		if err == nil && todo != leave {
			var left []string
			removed, left, err = s.takeBackFolders(r.Folders)
			used = append(left, used...)
		}
		if err != nil {
			failed = append(failed, r)
			errs = append(errs, err)
			continue
		}
		if todo == leave {
			kept = append(kept, r)
		}
		u.note(r, todo, removed, "")
	}
	if len(failed) > 0 {
		return nil, nil, s.incomplete(errors.Join(errs...), failed)
	}
	slices.Reverse(kept)
	return kept, used, nil
}

func (s *session) takeBackFile(r Record, force bool) (verdict, error) {
	// A killed run left its temporary file beside the one that it was about to replace.
	if _, err := s.tree.Sweep(filepath.Dir(r.Path)); err != nil && !errors.Is(err, syscall.ENOTDIR) {
		return nothing, err
	}
	todo, err := r.judge(s.tree, force)
	if err == nil && todo == restore {
		err = s.bringBack(r)
	}
	return todo, err
}

// takeBackFolders removes the empty ones, innermost first.
func (s *session) takeBackFolders(folders []string) (removed, used []string, err error) {
	for _, f := range slices.Backward(folders) {
		if info, err := s.tree.Stat(f); err != nil || !info.IsDir() {
			continue // gone, or somebody else's by now
		}
		switch err := s.tree.RemoveDir(f); {
		case errors.Is(err, atomicfile.ErrNotEmpty):
			used = append([]string{f}, used...)
		case err != nil:
			return nil, nil, err
		default:
			removed = append([]string{f}, removed...)
		}
	}
	return removed, used, nil
}

func (s *session) bringBack(r Record) error {
	if r.Before == nil {
		return s.tree.Remove(r.Path)
	}
	data, err := s.backup(r.Before)
	if err != nil {
		return err
	}
	if r.Before.Owner == nil {
		return s.tree.Write(r.Path, data, r.Before.Mode)
	}
	return s.tree.WriteAs(r.Path, data, r.Before.Mode, *r.Before.Owner)
}
